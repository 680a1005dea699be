"""What a guest must have in two sets under its port, its hardware address and its address, is asked in one.

    before   iifname . ether saddr != @iif-mac drop; icmpv6 type 134 drop; iifname . ip6 saddr != @iif-ipv6 drop
    after    iifname . ether saddr . ip6 saddr != @iif-mac-ipv6 drop; icmpv6 type 134 drop

Why it is safe: a packet that has all fields is in the joint set exactly where it is in both others. Rules between that do
nothing but drop change places with the second one.

It declines where a packet may lack one of the fields (a rule that asks for what is not there does not apply), for sets with
ranges and such as somebody may change, and where a port has several values in both, so that the joint set would be larger
than both together.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.ir.fields import Family
from fwtrans.ir.match import MemberTest, number
from fwtrans.ir.names import NamePattern
from fwtrans.ir.rule import is_pure, joined_origins
from fwtrans.ir.sets import Element, NamedSet
from fwtrans.ir.verdict import Drop
from fwtrans.optimizer.base import Pass, Passed
from fwtrans.optimizer.facts import Decider, decider_of
from fwtrans.optimizer.known_kinds import known_kinds
from fwtrans.optimizer.names import Names
from fwtrans.optimizer.port_context import PORT_FIELDS
from fwtrans.optimizer.reached import with_what_is_named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.ir.match import KeyPart
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain, Ruleset, Table
    from fwtrans.ir.sets import Part

_ON_A_BRIDGE = number(known.HAS_ETHERNET, 1)


def with_joint_keys(table: Table) -> Table:
    """Return the table with filters of a port's addresses that follow each other asked at once."""
    if table.family is not Family.BRIDGE:
        return table
    joining = _Joining(table)
    chains = tuple(map(joining.changed, table.chains))
    if chains == table.chains:
        return table
    made = tuple(item for item in joining.made.values() if item is not None)
    return with_what_is_named(replace(table, chains=chains, sets=(*table.sets, *made)))


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset with filters of a port's addresses asked at once."""
    tables = tuple(map(with_joint_keys, ruleset.tables))
    return Passed(ruleset if tables == ruleset.tables else replace(ruleset, tables=tables))


PASS = Pass("joint-keys", "filters of a port's hardware address and address are one look-up", run)


class _Joint(NamedTuple):
    """The test that can stand for two of a list, and where the second one stands."""

    test: MemberTest
    place: int


@dataclass(slots=True)
class _Joining:
    table: Table
    made: dict[tuple[str, str], NamedSet | None] = field(default_factory=dict)
    """Of two sets the joint one, or None where there is none."""
    _sets: dict[str, NamedSet] = field(init=False)
    _names: Names = field(init=False)
    _decider: Decider = field(init=False)

    def __post_init__(self) -> None:
        self._sets = {item.name: item for item in self.table.sets}
        self._names = Names(self.table)
        self._decider = decider_of(self.table)

    def changed(self, chain: Chain) -> Chain:
        """Return the chain in its new form."""
        rules = chain.rules
        at = 0
        while at < len(rules):
            joint = self._joint_at(chain, rules, at)
            if joint is None:
                at += 1
                continue
            origins = joined_origins((rules[at], rules[joint.place]))
            rule = replace(rules[at], steps=(joint.test,), origins=origins)
            rules = (*rules[:at], rule, *rules[at + 1 : joint.place], *rules[joint.place + 1 :])
        return chain if rules is chain.rules else replace(chain, rules=rules)

    def _joint_at(self, chain: Chain, rules: Sequence[Rule], at: int) -> _Joint | None:
        first = _member(rules[at])
        if first is None:
            return None
        for place in range(at + 1, len(rules)):
            rule = rules[place]
            if not isinstance(rule.verdict, Drop) or not all(map(is_pure, rule.steps)):
                return None
            second = _member(rule)
            if second is None or second.key[0] != first.key[0]:
                continue
            key = (*first.key, *second.key[1:])
            joint = self._joint(first, second) if self._has_all(chain, key) else None
            if joint is not None:
                return _Joint(MemberTest(key, joint.name, inside=False), place)
        return None

    def _has_all(self, chain: Chain, key: Sequence[KeyPart]) -> bool:
        """Tell whether every packet that comes to a chain has all fields of a key."""
        facts = self._decider.learn((_ON_A_BRIDGE,), known_kinds(self.table, whole=False).of(chain.name))
        return all(self._decider.there(part.field, facts) for part in key)

    def _joint(self, first: MemberTest, second: MemberTest) -> NamedSet | None:
        names = (first.set_name, second.set_name)
        if names not in self.made:
            made = self.made[names] = self._made(*(self._sets[name] for name in names))
            if made is not None:
                self._sets[made.name] = made
        return self.made[names]

    def _made(self, first: NamedSet, second: NamedSet) -> NamedSet | None:
        if not (_is_plain(first) and _is_plain(second)):
            return None
        others: dict[Part, list[tuple[Part, ...]]] = {}
        for element in second.elements:
            others.setdefault(element.key[0], []).append(element.key[1:])
        elements = tuple(
            Element((*element.key, *more)) for element in first.elements for more in others.get(element.key[0], ())
        )
        if not elements or len(elements) > len(first.elements) + len(second.elements):
            return None
        side = f"{first.name.partition('-')[0]}-"
        name = self._names.new(first.name, second.name.removeprefix(side))
        return NamedSet(name, (*first.fields, *second.fields[1:]), elements)


def _member(rule: Rule) -> MemberTest | None:
    """Return what a rule asks that drops what is not in a set under its port, and asks nothing else."""
    if not isinstance(rule.verdict, Drop) or len(rule.steps) != 1:
        return None
    (test,) = rule.steps
    if not isinstance(test, MemberTest) or test.inside or test.dynamic or test.key[0].field not in PORT_FIELDS:
        return None
    return test if len(test.key) > 1 else None


def _is_plain(item: NamedSet) -> bool:
    """Tell whether a set is a hash of keys that stay while the ruleset is loaded."""
    stays = not (item.dynamic or item.timeout or item.has_counters)
    return stays and all(
        element == Element(element.key) and all(map(_is_exact, element.key)) for element in item.elements
    )


def _is_exact(part: Part) -> bool:
    return not part.is_prefix if isinstance(part, NamePattern) else part[0] == part[1]
