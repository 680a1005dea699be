"""How big a ruleset is: what the kernel has to hold and the loader to send."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from fwtrans.ir.ruleset import Ruleset


class Size(NamedTuple):
    """Counts over all tables."""

    rules: int
    chains: int
    sets: int
    maps: int
    elements: int

    @property
    def entries(self) -> int:
        """Return rules and elements together: what growth is measured by."""
        return self.rules + self.elements


def size_of(ruleset: Ruleset) -> Size:
    """Return the size of a ruleset."""
    chains = [chain for table in ruleset.tables for chain in table.chains]
    sets = [item for table in ruleset.tables for item in table.sets]
    maps = [item for table in ruleset.tables for item in table.maps]
    return Size(
        sum(len(chain.rules) for chain in chains),
        len(chains),
        len(sets),
        len(maps),
        sum(len(item.elements) for item in sets) + sum(len(item.elements) for item in maps),
    )
