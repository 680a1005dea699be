"""How much the kernel follows when it looks at a table: every rule and every element, once for each way there.

Where a rule or an element with a jump is new, the kernel walks a table from its base chains to see how deep jumps go. Linux 6.1
of Debian 12 remembers no chain that it has seen on another way (a 6.12.107 does): two maps of a thousand guests behind each
other are a million ways, three a billion, and for so long nobody can change a rule.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from fwtrans.ir.remembering import once
from fwtrans.ir.verdict import Dispatch, Goto, Jump
from fwtrans.optimizer.reached import callees_last

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Table
    from fwtrans.ir.sets import NamedMap
    from fwtrans.ir.verdict import Verdict

MOST_FOLLOWED = 10_000_000
"""A kernel that remembers nothing follows so many in about a second."""


class Ways:
    """What is behind the chains of one table; with `many`, so many elements of one verdict in a map count as one."""

    def __init__(self, table: Table, many: int = 0) -> None:
        self._maps: Mapping[str, NamedMap] = {item.name: item for item in table.maps}
        self._many = many
        self._known: dict[str, int] = {}
        bases = [chain.name for chain in table.chains if chain.base is not None]
        for chain in reversed(callees_last(table, bases)):
            self._known[chain.name] = len(chain.rules) + sum(map(self._behind_rule, chain.rules))
        self.all = sum(map(self._known.__getitem__, bases))

    def behind(self, verdict: Verdict | None) -> int:
        """Return how many rules and elements a verdict leads to, on all ways behind it."""
        return self._known.get(verdict.chain, 0) if isinstance(verdict, (Jump, Goto)) else 0

    def _behind_rule(self, rule: Rule) -> int:
        if not isinstance(rule.verdict, Dispatch):
            return self.behind(rule.verdict)
        item = self._maps[rule.verdict.map_name]
        led = ((verdict, 1 if 0 < self._many <= count else count) for verdict, count in verdicts_of(item))
        return len(item.elements) + sum(count * self.behind(verdict) for verdict, count in led)


@once
def verdicts_of(item: NamedMap) -> tuple[tuple[Jump | Goto, int], ...]:
    """Return what a map leads to, and how many elements do."""
    values = (element.value for element in item.elements if isinstance(element.value, (Jump, Goto)))
    return tuple(Counter(values).items())
