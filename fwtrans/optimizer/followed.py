"""How much the kernel follows when it looks at a table: every rule and every element, once for each way there.

Where a rule or an element with a jump is new, the kernel walks a table from its base chains to see how deep jumps go. Linux 6.1
of Debian 12 remembers no chain that it has seen on another way (a 6.12.107 does): two maps of a thousand guests behind each
other are a million ways, three a billion, and for so long nobody can change a rule.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from fwtrans.ir.order import callees_last
from fwtrans.ir.remembering import once
from fwtrans.ir.verdict import Goto, Jump
from fwtrans.ir.walk import chain_ways

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwtrans.ir.ruleset import Chain, Table
    from fwtrans.ir.sets import NamedMap
    from fwtrans.ir.verdict import Verdict

    Counted = Mapping[str, Mapping[Jump | Goto, int]]

MOST_FOLLOWED = 10_000_000
"""A kernel that remembers nothing follows so many in about a second."""


class Ways:
    """What is behind the chains of one table; with `many`, so many rules of a chain, or elements of a map, that lead one way count as one.

    Lists of rules become maps, and elements of one verdict a set: what a pass makes before that is not what is loaded.
    With `counted` (see `twins.py`) a map's elements are as many as it says.
    """

    def __init__(self, table: Table, many: int = 0, counted: Counted | None = None) -> None:
        self._maps: Mapping[str, NamedMap] = {item.name: item for item in table.maps}
        self._many = many
        self._counted = counted or {}
        self._known: dict[str, int] = {}
        self._behind_maps: dict[str, int] = {}
        bases = [chain.name for chain in table.chains if chain.base is not None]
        for chain in reversed(callees_last(table, bases)):
            self._known[chain.name] = len(chain.rules) + sum(self._behind_ways(*way) for way in _ways_of(chain))
        self.all = sum(map(self._known.__getitem__, bases))

    def behind(self, verdict: Verdict | None) -> int:
        """Return how many rules and elements a verdict leads to, on all ways behind it."""
        return self._known.get(verdict.chain, 0) if isinstance(verdict, (Jump, Goto)) else 0

    def verdicts_of(self, item: NamedMap) -> tuple[tuple[Jump | Goto, int], ...]:
        """Return what a map leads to, and how many elements are taken to do."""
        found = self._counted.get(item.name)
        return verdicts_of(item) if found is None else tuple(found.items())

    def _behind_ways(self, name: str, is_map: bool, count: int) -> int:
        if not is_map:
            return self._known[name] * self._times(count)
        found = self._behind_maps.get(name)
        if found is None:
            found = self._behind_maps[name] = self._behind_map(self._maps[name])
        return count * found

    def _behind_map(self, item: NamedMap) -> int:
        found = self.verdicts_of(item)
        behind = sum([self._times(times) * self._known.get(verdict.chain, 0) for verdict, times in found])
        elements = max(len(item.elements), sum(times for _, times in found)) if self._counted else len(item.elements)
        return elements + behind

    def _times(self, count: int) -> int:
        return 1 if 0 < self._many <= count else count


@once
def _ways_of(chain: Chain) -> tuple[tuple[str, bool, int], ...]:
    """Return the chains, and the verdict maps (True), that a chain's rules lead to, and how many rules do."""
    return tuple((name, is_map, count) for (name, is_map), count in Counter(chain_ways(chain)).items())


@once
def verdicts_of(item: NamedMap) -> tuple[tuple[Jump | Goto, int], ...]:
    """Return what a map leads to, and how many elements do."""
    values = (element.value for element in item.elements if isinstance(element.value, (Jump, Goto)))
    return tuple(Counter(values).items())
