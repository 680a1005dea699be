"""What the exit status says. docs/reference/exit-codes.md tells it to people; a test holds the two together."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit statuses of every command. Scripts rely on them, so a number never changes its meaning."""

    DONE = 0
    FINDINGS = 1
    USAGE = 2
    UNREADABLE = 3
    UNTRANSLATABLE = 4
    LOAD_RESTORED = 5
    RESTORE_FAILED = 6
    INTERNAL = 70
    INTERRUPTED = 130
