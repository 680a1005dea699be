"""One target as written, lowered by itself: `-t nat -A PREROUTING -p tcp -j DNAT --to-destination 10.0.0.1:80`.

A reader of its own, so that what a target means is tested apart from the parser: it knows -t, -A, -p and what the
target's own option table says. A line that starts with `ip6:` is for ip6tables.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.diagnostics import Refused
from fwtrans.ir.fields import Family
from fwtrans.ir.intervals import IntervalSet
from fwtrans.lower.extensions.base import Outcome, Place, Use
from fwtrans.lower.extensions.registry import find_target
from fwtrans.lower.values import read_protocol
from fwtrans.parsers.iptables_save.syntax import ExtensionUse, OptionUse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwtrans.ir.sets import NamedSet
    from fwtrans.parsers.iptables_save.options import Option


class Lowered(NamedTuple):
    outcome: Outcome
    assumed: tuple[str, ...]
    shared: Mapping[str, object]


def lower_target(
    line: str, *, hooks: frozenset[str] | None = None, sets: Mapping[str, NamedSet] | None = None
) -> Lowered:
    family = Family.IP
    if line.startswith("ip6:"):
        family, line = Family.IP6, line.removeprefix("ip6:")
    words = shlex.split(line)
    table = words[words.index("-t") + 1] if "-t" in words else "filter"
    chain = words[words.index("-A") + 1] if "-A" in words else "FORWARD"
    protocols = protocols_of(words, family)
    start = words.index("-j")
    target = find_target(words[start + 1], family)
    assert target is not None, f"no target {words[start + 1]} for {family}"
    if target.tables and table not in target.tables:
        raise Refused("FWT117", f"{target.name} is not legal in table {table}", option=target.name)
    use = ExtensionUse(target.name, _options(words[start + 2 :], target.options, start + 2), start)
    assumed: list[str] = []
    shared: dict[str, object] = {}
    place = Place(
        family=family,
        table=table,
        chain=chain,
        protocols=protocols,
        identity="test",
        sets=sets or {},
        hooks=frozenset({chain}) if hooks is None else hooks,
        assumed=assumed,
        shared=shared,
    )
    return Lowered(target.lower(Use(use), place), tuple(assumed), shared)


def protocols_of(words: list[str], family: Family) -> IntervalSet:
    """Return what `-p` lets through."""
    if "-p" not in words:
        return IntervalSet.full(8)
    position = words.index("-p")
    found = IntervalSet.single(8, read_protocol(words[position + 1], "-p", family))
    return found.complement() if position and words[position - 1] == "!" else found


def _options(words: list[str], table: tuple[Option, ...], first: int) -> tuple[OptionUse, ...]:
    known = {spelling: option for option in table for spelling in (option.name, *option.aliases)}
    given: dict[str, OptionUse] = {}
    index = 0
    while index < len(words):
        option = known.get(words[index])
        if option is None:
            beginnings = {found.name: found for name, found in known.items() if name.startswith(words[index])}
            option = next(iter(beginnings.values())) if len(beginnings) == 1 else None
        if option is None:
            raise Refused("FWT103", f"unknown option {words[index]}", option=words[index])
        values = tuple(words[index + 1 : index + 1 + option.arity])
        if len(values) < option.arity:
            raise Refused("FWT106", f"{option.name} needs a value", option=option.name)
        if option.name in given and not option.repeatable:
            raise Refused("FWT111", f"{option.name} was given twice", option=option.name)
        given[option.name] = OptionUse(option.name, values, False, first + index)
        index += 1 + option.arity
    return tuple(given.values())
