"""Chains that a walk has left as they were, with all that they lead to: walking them again for the same facts changes nothing.

A pass walks a table until it does not change any more, and the next pass walks what the one before has left alone. What is
kept is a walk by the whole content of a chain: its rules, those of the chains that it leads to, the sets and maps that
they name, and which of them have a single caller. That is all that a walk looks at, beside the facts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from fwtrans.ir.walk import names_of_chain
from fwtrans.optimizer.reached import distinct_ways

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from fwtrans.ir.ruleset import Table

# More walks than this are forgotten, all at once.
_MOST = 1 << 18

_Exits = TypeVar("_Exits")


class Settled(NamedTuple, Generic[_Exits]):
    """A walk that changed nothing: the chain, how packets come back from it, the maps it asks, and the walks of what it calls."""

    chain: str
    exits: _Exits
    maps: tuple[str, ...]
    calls: tuple[Settled[_Exits], ...]


_walks: dict[Hashable, Settled[Any]] = {}
_numbers: dict[Hashable, int] = {}
# A set or map is told by where it lies in memory, so it has to stay there.
_held: dict[int, object] = {}


class Contents:
    """Gives each chain of a table the number of its whole content."""

    def __init__(self, table: Table, callers: Mapping[str, int]) -> None:
        self._family = table.family
        self._callers = callers
        self._chains = {chain.name: chain for chain in table.chains}
        self._maps = {mapping.name: mapping for mapping in table.maps}
        self._objects: dict[str, object] = {**{named.name: named for named in table.sets}, **self._maps}
        self._known: dict[str, int] = {}

    def number(self, name: str) -> int:
        """Return the number of a chain."""
        if name not in self._known:
            self._known[name] = self._find(name)
        return self._known[name]

    def _find(self, name: str) -> int:
        chain = self._chains[name]
        below = tuple((target, self.number(target)) for target in distinct_ways(chain, self._maps))
        objects: list[tuple[str, int]] = []
        for named in frozenset[str]().union(*names_of_chain(chain)):
            held = self._objects.get(named)
            objects.append((named, id(held)))
            _held[id(held)] = held
        content = (self._family, chain, self._callers[name] <= 1, below, frozenset(objects))
        return _numbers.setdefault(content, len(_numbers))


def known_walk(key: Hashable) -> Settled[Any] | None:
    """Return the walk that changed nothing, if there was one."""
    return _walks.get(key)


def keep_walk(key: Hashable, walk: Settled[Any]) -> None:
    """Keep a walk that changed nothing."""
    if len(_walks) >= _MOST:
        _walks.clear()
    _walks[key] = walk
