"""Two chains that ask a map of logs, one for IPv4 and one for IPv6, and go on alike are one chain, and so are their maps.

    before   a (IPv4): oifname vmap { "tap1" : jump log-4 }; drop     b (IPv6): oifname vmap { "tap1" : jump log-6 }; drop
    after    ether type . oifname vmap { ip . "tap1" : jump log-4, ip6 . "tap1" : jump log-6 }; drop

Why it is safe: all frames that reach a chain are of one type, so that they find what they found before, and nothing else.

It declines where the type is not known on every way, for maps that passes did not make (programs may fill them) or that
several rules ask, and where it is not plain from the maps' names which of several belong together.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.ir.fields import Family
from fwtrans.ir.match import KeyPart
from fwtrans.ir.rule import joined_origins
from fwtrans.ir.ruleset import Chain
from fwtrans.ir.sets import MapElement, NamedMap
from fwtrans.ir.verdict import Dispatch
from fwtrans.ir.walk import map_names
from fwtrans.optimizer.base import Pass, Passed, each_table
from fwtrans.optimizer.known_kinds import known_kinds, type_of_frames
from fwtrans.optimizer.log_calls import log_maps
from fwtrans.optimizer.names import Names
from fwtrans.optimizer.reached import renamed_chains, with_what_is_named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Ruleset, Table

# What `log_chains.py` makes of a class of one protocol: IN-v4-log-DROP.
_MADE = re.compile(r"-v[46]-(?:.*-)?(?P<kind>log-)")


class _Asking(NamedTuple):
    """A chain that begins with a look-up in a map of logs, and the type of all frames that come there."""

    chain: Chain
    look_up: Dispatch
    item: NamedMap
    ether_type: int

    @property
    def kind(self) -> str:
        """Return what the map's name says of what is logged."""
        found = _MADE.search(self.item.name)
        return "" if found is None else self.item.name[found.start("kind") :]


def with_joint_logs(table: Table) -> Table:
    """Return the table with maps of logs for IPv4 and IPv6 that are asked alike as one."""
    if table.family is not Family.BRIDGE:
        return table
    groups: dict[tuple[tuple[KeyPart, ...], tuple[Rule, ...], str], list[_Asking]] = {}
    for asking in _asking(table):
        groups.setdefault((asking.look_up.key, asking.chain.rules[1:], asking.kind), []).append(asking)
    names = Names(table)
    for together in groups.values():
        if len({one.ether_type for one in together}) == len(together) > 1:
            table = _joint(table, together, names)
    return table


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset with maps of logs for IPv4 and IPv6 that are asked alike as one."""
    return each_table(ruleset, lambda table, _declined: with_joint_logs(table))


PASS = Pass("joint-logs", "maps of what is logged for IPv4 and IPv6 that are asked alike are one", run)


def _is_made(item: NamedMap) -> bool:
    return known.ETHER_TYPE not in item.fields and _MADE.search(item.name) is not None


def _asking(table: Table) -> list[_Asking]:
    maps = {item.name: item for item in log_maps(table) if _is_made(item)}
    if not maps:
        return []
    uses = Counter(name for chain in table.chains for rule in chain.rules for name in map_names(rule))
    kinds = known_kinds(table, whole=False)
    found: list[_Asking] = []
    for chain in table.chains:
        first = chain.rules[0] if chain.base is None and chain.rules else None
        if first is None or first.steps or not isinstance(first.verdict, Dispatch):
            continue
        item = maps.get(first.verdict.map_name)
        ether_type = type_of_frames(table, kinds.of(chain.name)) if item is not None else None
        if item is not None and uses[item.name] == 1 and ether_type is not None:
            found.append(_Asking(chain, first.verdict, item, ether_type))
    return found


def _joint(table: Table, together: Sequence[_Asking], names: Names) -> Table:
    """Return the table with some chains and their maps as one."""
    together = sorted(together, key=lambda one: one.ether_type)
    first = together[0]
    name = names.new(_common([one.item.name for one in together]))
    item = NamedMap(
        name,
        (known.ETHER_TYPE, *first.item.fields),
        first.item.value,
        tuple(
            MapElement(((one.ether_type, one.ether_type), *element.key), element.value)
            for one in together
            for element in one.item.elements
        ),
    )
    asked = Dispatch((KeyPart(known.ETHER_TYPE), *first.look_up.key), name)
    rules = zip(*(one.chain.rules for one in together), strict=True)
    said = [replace(alike[0], origins=joined_origins(alike)) for alike in rules]
    said[0] = replace(said[0], verdict=asked)
    called = Chain(names.new(_common([one.chain.name for one in together])), tuple(said))
    gone = {one.chain.name for one in together[1:]}
    chains = tuple(called if chain is first.chain else chain for chain in table.chains if chain.name not in gone)
    old = {one.chain.name: called.name for one in together}
    return with_what_is_named(renamed_chains(replace(table, chains=chains, maps=(*table.maps, item)), old))


def _common(several: Sequence[str]) -> str:
    """Return the words that all names have, in their order: IN-v4-log-DROP and IN-v6-log-DROP are IN-log-DROP."""
    first, *others = (name.split("-") for name in several)
    return "-".join(word for word in first if all(word in other for other in others)) or several[0]
