"""Random chains whose rules have much in common, so that passes find work: few fields, few values, all kinds of verdicts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir import effect as does
from fwtrans.ir import fields as known
from fwtrans.ir import verdict as verdicts
from fwtrans.ir.fields import Family
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest, bits, number, number_range, present
from fwtrans.ir.names import NamePattern, NameSet
from fwtrans.ir.rule import Rule
from fwtrans.ir.ruleset import BaseHook, Chain, Hook, Ruleset, Table
from fwtrans.ir.stateful import Limit, LimitUnit, StatefulObject, StatefulTest
from fwtrans.source import Origin, SourceFile

if TYPE_CHECKING:
    from random import Random

    from fwtrans.ir.match import PureTest
    from fwtrans.ir.rule import Step
    from fwtrans.ir.verdict import Verdict

_HERE = Origin(SourceFile("random", "a rule\n"), 1)
_LIMITS = tuple(
    StatefulTest(StatefulObject(name, Limit(5, LimitUnit.SECOND, 5))) for name in ("first bucket", "second bucket")
)


_REJECT = verdicts.Reject("icmpx", "port-unreachable")


def _in_ip(rule: Rule) -> Rule:
    return replace(rule, verdict=verdicts.Reject("icmp", "port-unreachable")) if rule.verdict is _REJECT else rule


def _address(draw: Random, field: known.Field) -> FieldTest:
    address = 0x0A000000 + draw.choice((1, 2, 3, 255, 256))
    length = draw.choice((32, 32, 32, 31, 24, 8))
    found = IntervalSet.prefix(32, address, length)
    return FieldTest(field, found.complement() if draw.random() < 0.1 else found)


def _ports(draw: Random) -> list[PureTest]:
    low = draw.choice((21, 22, 23, 80))
    wanted: FieldTest = number(known.DPORT, low)
    if draw.random() < 0.25:
        wanted = number_range(known.DPORT, low, low + draw.choice((1, 60)))
    elif draw.random() < 0.2:
        wanted = number(known.DPORT, low, 443)
    front: list[PureTest] = [number(known.L4PROTO, draw.choice((6, 6, 17)))] if draw.random() < 0.9 else []
    return [*front, *([present(known.HAS_TRANSPORT)] if draw.random() < 0.5 else []), wanted]


def _name(draw: Random) -> FieldTest:
    if draw.random() < 0.15:
        return FieldTest(known.IIFNAME, NameSet.of((NamePattern("tap", is_prefix=True),)))
    names = NameSet.exact(*draw.sample(("tap1", "tap2", "tap3", "eth0"), draw.choice((1, 1, 1, 2))))
    return FieldTest(known.IIFNAME, names.complement() if draw.random() < 0.1 else names)


def _tests(draw: Random) -> list[PureTest]:
    found: list[PureTest] = []
    if draw.random() < 0.35:
        found.append(_name(draw))
    if draw.random() < 0.4:
        found.append(_address(draw, known.IP_SADDR))
    if draw.random() < 0.3:
        found.append(_address(draw, known.IP_DADDR))
    if draw.random() < 0.5:
        found.extend(_ports(draw))
    if draw.random() < 0.1:
        found.append(number(known.CT_STATE, *draw.sample(range(5), 2)))
    if draw.random() < 0.1:
        found.append(bits(known.MARK, *draw.choice(((0xFFFFFFFF, 1), (0xFFFFFFFF, 2), (1, 1)))))
    if draw.random() < 0.08:
        found = [test for test in found if not isinstance(test, FieldTest) or test.field is not known.L4PROTO]
        found.append(bits(known.TCP_FLAGS, *draw.choice(((2, 2), (16, 16), (18, 2)))))
    return found


def _effects(draw: Random) -> list[Step]:
    chance = draw.random()
    if chance < 0.08:
        return [does.Log(prefix=draw.choice(("one", "two")))]
    if chance < 0.14:
        return [does.Assign(known.MARK, 0, draw.choice((1, 2)))]
    if chance < 0.18:
        return [draw.choice(_LIMITS)]
    return []


def _verdict(draw: Random, later: list[str]) -> Verdict | None:
    chance = draw.random()
    if later and chance < 0.2:
        return verdicts.Jump(draw.choice(later))
    if later and chance < 0.25:
        return verdicts.Goto(draw.choice(later))
    if chance < 0.32:
        return verdicts.Return()
    if chance < 0.38:
        return _REJECT
    return verdicts.Accept() if chance < 0.75 else verdicts.Drop()


def _rules(draw: Random, count: int, later: list[str], *, plain: bool) -> tuple[Rule, ...]:
    found = []
    for _ in range(count):
        effects = [] if plain else _effects(draw)
        verdict = draw.choice((verdicts.Accept(), verdicts.Drop())) if plain else _verdict(draw, later)
        if effects and draw.random() < 0.4:
            verdict = None
        steps: list[Step] = [*_tests(draw), *effects]
        found.append(Rule(tuple(steps), verdict, (_HERE,)))
    return tuple(found)


def random_lists(draw: Random) -> Ruleset:
    """Return a ruleset of one table with a base chain and chains to jump to, some of them of plain rules only."""
    users = [f"user{at}" for at in range(draw.randint(0, 3))]
    plain = draw.random() < 0.4
    base = BaseHook("filter", Hook.FORWARD, 0, draw.random() < 0.6)
    chains = [Chain("forward", _rules(draw, draw.randint(4, 16), users, plain=plain), base)]
    for at, name in enumerate(users):
        chains.append(Chain(name, _rules(draw, draw.randint(2, 10), users[at + 1 :], plain=draw.random() < 0.3)))
    family = draw.choice((Family.IP, Family.IP, Family.INET, Family.BRIDGE))
    if family is Family.IP:
        chains = [replace(chain, rules=tuple(map(_in_ip, chain.rules))) for chain in chains]
    return Ruleset((Table(family, "lists", tuple(chains)),))
