"""What is asked of `apply`, and how it ends."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from fwtrans.apply.boot import BootFiles
from fwtrans.backend.loader.plan import Counts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NEW_TABLES = "new.json"
"""What was loaded, beside the snapshot of what was there before."""
BOOT_BEFORE = "boot.nft"
"""What the next boot would have loaded before."""


class Outcome(Enum):
    """How it ended."""

    REFUSED = "refused"
    DECLINED = "declined"
    UNCHANGED = "nothing to change"
    CONFIRMED = "confirmed"
    RESTORED = "restored"
    RESTORE_FAILED = "restore failed"


def _nothing(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the caller wants, and how to talk to whoever is there. `step` is called with the name of each step done."""

    directory: Path
    confirm_within: float = 60.0
    persist: bool = False
    allow_changes: bool = False
    keep: int = 10
    boot_files: BootFiles = field(default_factory=BootFiles)
    ask: Callable[[str], bool] = lambda _: True
    say: Callable[[str], None] = _nothing
    step: Callable[[str], None] = _nothing


@dataclass(frozen=True, slots=True)
class Applied:
    """How it ended, with what was planned and the snapshot that leads back."""

    outcome: Outcome
    identity: str = ""
    counts: Counts = field(default_factory=Counts)
    sent: int = 0

    @property
    def value(self) -> dict[str, object]:
        """Return it in JSON's types."""
        return {
            "outcome": self.outcome.value,
            "id": self.identity or None,
            "transactions": self.sent,
            "changes": asdict(self.counts),
        }
