"""What the exit status says. docs/reference/exit-codes.md tells it to people; a test holds the two together."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fwtrans.diagnostics import Diagnostic


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


def exit_code_of(diagnostics: Iterable[Diagnostic]) -> ExitCode:
    """Return the status that the errors among the findings call for when a ruleset is read and translated.

    What could not be read weighs more than what could not be translated: the rest of the findings may follow from it.
    A fault of ours weighs most, because then nothing that was said is to be relied on.
    """
    families = {item.code[3] for item in diagnostics if item.severity is Severity.ERROR}
    if "3" in families:
        return ExitCode.INTERNAL
    if "1" in families:
        return ExitCode.UNREADABLE
    return ExitCode.UNTRANSLATABLE if families else ExitCode.DONE
