"""The differences between Proxmox VE's two firewalls that are known, by name and in words of an administrator."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from fwtrans.semantics.outcome import Difference


class Known(NamedTuple):
    """A known difference: its name, and what it means."""

    name: str
    what: str


def explained(item: Difference) -> Known | None:  # noqa: ARG001
    """Return the known difference that this is, if it is one."""
    return None
