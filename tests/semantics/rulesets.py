"""Random small rulesets and the packets that tell their rules apart: every kind of step, verdict and table."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir import effect as does
from fwtrans.ir import fields as known
from fwtrans.ir import verdict as verdicts
from fwtrans.ir.bits import BitSet
from fwtrans.ir.fields import FIELDS, Family, Field, FieldKind
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import (
    AnyOf,
    FieldTest,
    KeyPart,
    MemberTest,
    OpaqueTest,
    absent,
    bits,
    negated_if,
    number,
    number_range,
    present,
)
from fwtrans.ir.names import NamePattern, NameSet
from fwtrans.ir.rule import Rule
from fwtrans.ir.ruleset import BaseHook, Chain, Hook, Ruleset, Table
from fwtrans.ir.sets import Element, MapElement, NamedMap, NamedSet
from fwtrans.ir.stateful import Limit, LimitUnit, StatefulFromMap, StatefulObject, StatefulTest
from fwtrans.semantics.domain import contradictions, fixed_values
from fwtrans.semantics.packet import HookVisit, Packet

if TYPE_CHECKING:
    from random import Random

    from fwtrans.ir.match import PureTest
    from fwtrans.ir.rule import Step

_IP6_FRAGMENT = known.header_field("exthdr", "frag", "frag-off", 13)
# The values that rules name and packets have; between them lie values that no rule names.
VALUES: dict[Field, tuple[int | str, ...]] = {
    known.L4PROTO: (6, 17, 1, 200),
    known.HAS_TRANSPORT: (0, 1),
    known.DPORT: (21, 22, 23, 80, 8080),
    known.SPORT: (67, 68, 40000),
    known.TCP_FLAGS: (0, 2, 16, 18),
    known.ICMP_TYPE: (0, 8),
    known.IP_SADDR: (0x0A000000, 0x0A000001, 0x0A0000FF, 0x0A000100, 0xC0000201),
    known.IP_DADDR: (0x0A000001, 0x0A000002),
    known.IP6_SADDR: (1, 2, 0x20010DB8 << 96),
    known.IIFNAME: ("eth0", "eth1", "lo", "tap1"),
    known.OIFNAME: ("eth0", "wg0"),
    known.MARK: (0, 1, 2, 3, 0x80000001),
    known.CT_MARK: (0, 1, 5),
    known.HAS_CONNTRACK: (0, 1),
    known.CT_STATE: (0, 1, 2, 3, 4),
    known.IP_TTL: (1, 2, 64),
    known.NFPROTO: (2, 10),
    known.IP_TOS: (0, 4, 0xB8),
    known.IP_FRAGMENT: (0, 0, 0, 0x2000, 1, 0x2001),
    _IP6_FRAGMENT: (0, 0, 1),
    known.FIELDS[_IP6_FRAGMENT.requires[-1][0]]: (0, 1),
    known.ETHER_PROTOCOL: (0x800, 0x86DD, 0x806),
    known.ETHER_TYPE: (0x800, 0x86DD, 0x806, 0x8100),
    known.HAS_VLAN: (0, 1),
}
_TESTED = (
    known.L4PROTO, known.HAS_TRANSPORT, known.DPORT, known.DPORT, known.SPORT, known.TCP_FLAGS, known.ICMP_TYPE,
    known.IP_SADDR, known.IP_SADDR, known.IP_DADDR, known.IP6_SADDR, known.IIFNAME, known.OIFNAME, known.MARK,
    known.MARK, known.CT_MARK, known.CT_STATE, known.HAS_CONNTRACK, known.IP_TTL, known.NFPROTO, known.IP_TOS,
    known.ETHER_PROTOCOL, known.ETHER_TYPE, known.HAS_VLAN, known.IP_FRAGMENT, _IP6_FRAGMENT,
)  # fmt: skip
_OBJECTS = (
    StatefulObject("a", Limit(5, LimitUnit.SECOND, 5)),
    StatefulObject("b", Limit(5, LimitUnit.SECOND, 5)),
    StatefulObject("c", Limit(1, LimitUnit.HOUR, 2)),
)
_KEYS = (
    (KeyPart(known.IP_SADDR),),
    (KeyPart(known.IP_SADDR, 0xFFFFFF00),),
    (KeyPart(known.L4PROTO), KeyPart(known.DPORT)),
    (KeyPart(known.IIFNAME), KeyPart(known.IP_DADDR)),
    (KeyPart(known.MARK),),
    (KeyPart(known.MARK, 3), KeyPart(known.CT_STATE)),
)
_LOGS = tuple(does.Log(prefix=text) for text in ("one", "two", "three"))


_FRAMES = {known.ETHER_PROTOCOL, known.ETHER_TYPE, known.HAS_VLAN}
_NOT_IN = {
    Family.IP: {known.IP6_SADDR, _IP6_FRAGMENT, known.NFPROTO, *_FRAMES},
    Family.IP6: {
        known.IP_SADDR,
        known.IP_DADDR,
        known.IP_TTL,
        known.IP_TOS,
        known.ICMP_TYPE,
        known.NFPROTO,
        known.IP_FRAGMENT,
        *_FRAMES,
    },
    Family.INET: _FRAMES,
    Family.BRIDGE: set[Field](),
}


def random_test(source: Random, family: Family) -> PureTest:
    chance = source.random()
    if chance < 0.06:
        return OpaqueTest(source.choice(("string x", "bpf y")), holds=source.random() < 0.7)
    if chance < 0.16:
        return AnyOf(
            tuple(
                tuple(_field_test(source, family) for _ in range(source.randint(1, 2)))
                for _ in range(source.randint(1, 3))
            )
        )
    if chance < 0.26:
        at = source.randrange(len(_KEYS))
        return MemberTest(_KEYS[at], f"set{at}", inside=source.random() < 0.7)
    if chance < 0.30:
        return MemberTest((KeyPart(known.IP_SADDR),), "changing", source.random() < 0.7, dynamic=True)
    return _field_test(source, family)


def _field_test(source: Random, family: Family) -> FieldTest:
    field = source.choice([field for field in _TESTED if field not in _NOT_IN[family]])
    invert = source.random() < 0.3
    value = source.choice(VALUES[field])
    if isinstance(value, str):
        names = NameSet.exact(value) if source.random() < 0.7 else NameSet.prefix(value[:2])
        return negated_if(FieldTest(field, names), invert)
    if field.width == 1:
        return present(field) if value else absent(field)
    if field.kind is FieldKind.BITS:
        masks = (0x1FFF, 0x2000) if field is known.IP_FRAGMENT else (1, 2, 3, 0x12, (1 << field.width) - 1)
        mask = source.choice(masks)
        return negated_if(bits(field, mask, value & mask), invert)
    if field.kind in {FieldKind.IPV4, FieldKind.IPV6} and source.random() < 0.5:
        length = field.width - source.choice((0, 1, 8))
        return negated_if(FieldTest(field, IntervalSet.prefix(field.width, value, length)), invert)
    if source.random() < 0.3:
        return negated_if(
            number_range(field, value, min(value + source.choice((0, 1, 60)), (1 << field.width) - 1)), invert
        )
    chosen = {value, source.choice([item for item in VALUES[field] if isinstance(item, int)])}
    return negated_if(number(field, *sorted(chosen)), invert)


def random_effect(source: Random) -> Step:
    chance = source.randrange(14)
    if chance < 3:
        return source.choice(_LOGS)
    if chance < 7:
        target = source.choice((known.MARK, known.MARK, known.CT_MARK, known.IP_TOS))
        copied = does.BitsOf(known.CT_MARK if target is known.MARK else known.MARK, 3, source.choice((0, 1)))
        ones = (1 << target.width) - 1
        keep = ones & ~source.choice((1, 2, 3, 0, ones))
        return does.Assign(target, keep, source.choice((0, 1, 2, 3)), copied if source.random() < 0.3 else None)
    if chance == 7:
        return does.AssignFromTable(known.IP_TTL, ((2, 1), (64, 63), (1, 2)))
    if chance == 8:
        if source.random() < 0.5:
            return does.AssignFromMap(known.CT_MARK, (KeyPart(known.IIFNAME),), "ct-marks")
        return does.AssignFromMap(known.MARK, _KEYS[0], "marks")
    if chance == 9:
        return does.NoTrack()
    if chance == 10:
        return StatefulTest(
            source.choice(_OBJECTS), source.choice(((), (KeyPart(known.IP_SADDR),))), source.random() < 0.4
        )
    if chance == 11:
        operation = source.choice((does.SetOperation.ADD, does.SetOperation.DELETE))
        return does.SetUpdate("changing", (KeyPart(known.IP_SADDR),), operation)
    if chance == 12:
        return StatefulFromMap((KeyPart(known.IIFNAME),), "limits")
    return does.SetHelper(source.choice(("ftp", "sip")), "ip", "tcp")


def random_verdict(source: Random, later: list[str]) -> verdicts.Verdict | None:
    chance = source.randrange(14)
    if chance < 4 and later:
        name = source.choice(later)
        return verdicts.Jump(name) if chance < 3 else verdicts.Goto(name)
    if chance == 4:
        return verdicts.Dispatch(_KEYS[2], source.choice(("ends", "calls")) if len(later) > 1 else "ends")
    plain: tuple[verdicts.Verdict | None, ...] = (
        verdicts.Accept(), verdicts.Accept(), verdicts.Drop(), verdicts.Drop(), verdicts.Return(),
        verdicts.Reject("icmp", "port-unreachable"), verdicts.Reject("icmpx", "port-unreachable"),
        verdicts.Queue(1), None, None, verdicts.SynProxy(), verdicts.TransparentProxy(None, 80, 0xFFFFFFFE, 1),
    )  # fmt: skip
    return source.choice(plain)


def random_rule(source: Random, family: Family, later: list[str]) -> Rule:
    steps: list[Step] = [random_test(source, family) for _ in range(source.choice((0, 1, 1, 1, 1, 1, 1, 1, 2, 2)))]
    for _ in range(source.choice((0, 0, 0, 1, 1, 2))):
        steps.insert(source.randint(0, len(steps)), random_effect(source))
    return Rule(tuple(steps), random_verdict(source, later))


def random_table(source: Random, name: str, hook: Hook) -> Table:
    family = source.choice((Family.IP, Family.IP, Family.INET, Family.IP6, Family.BRIDGE))
    users = [f"user{number}" for number in range(source.randint(0, 3))]
    chains: list[Chain] = []
    for at in range(source.choice((1, 1, 1, 2))):
        kind = source.choice(("filter", "filter", "filter", "nat"))
        base = BaseHook(kind, hook, source.choice((-300, -100, 0, 0, 10)), source.random() < 0.7)
        rules = [random_rule(source, family, users) for _ in range(source.randint(1, 6))]
        if kind == "nat":
            rules.append(Rule((_field_test(source, family), does.Nat(does.NatKind.MASQUERADE)), verdicts.Accept()))
        chains.append(Chain(f"base{at}", tuple(rules), base))
    for at, user in enumerate(users):
        chains.append(
            Chain(user, tuple(random_rule(source, family, users[at + 1 :]) for _ in range(source.randint(1, 4))))
        )
    return Table(family, name, tuple(chains), _sets(source), _maps(source, users))


def _sets(source: Random) -> tuple[NamedSet, ...]:
    found = []
    for at, key in enumerate(_KEYS):
        elements = [Element(tuple(_part(source, part) for part in key)) for _ in range(source.randint(0, 3))]
        found.append(NamedSet(f"set{at}", tuple(part.field for part in key), tuple(dict.fromkeys(elements))))
    found.append(NamedSet("changing", (known.IP_SADDR,), dynamic=True, timeout=60))
    return tuple(found)


def _part(source: Random, part: KeyPart) -> tuple[int, int] | NamePattern:
    value = source.choice(VALUES[part.field])
    if isinstance(value, str):
        return NamePattern(value[:3], is_prefix=True) if source.random() < 0.3 else NamePattern(value, is_prefix=False)
    if part.mask is not None:
        value &= part.mask
    high = min(value + source.choice((0, 0, 1, 255)), (1 << part.field.width) - 1)
    return (value, high)


def _maps(source: Random, users: list[str]) -> tuple[NamedMap, ...]:
    ends: tuple[verdicts.Verdict, ...] = (verdicts.Accept(), verdicts.Drop(), verdicts.Return())
    calls = tuple(verdicts.Jump(user) for user in users[-1:]) + tuple(verdicts.Goto(user) for user in users[-1:])
    fields = tuple(part.field for part in _KEYS[2])

    def elements(choices: tuple[verdicts.Verdict, ...]) -> tuple[MapElement, ...]:
        keys = {(_part(source, _KEYS[2][0]), _part(source, _KEYS[2][1])) for _ in range(source.randint(0, 3))}
        return tuple(MapElement(key, source.choice(choices)) for key in sorted(keys, key=str))

    marks = [
        MapElement(((value, value),), source.choice((1, 2, 3)))
        for value in VALUES[known.IP_SADDR][: source.randint(0, 3)]
        if isinstance(value, int)
    ]
    names = [
        ((NamePattern(name, is_prefix=False),), name) for name in map(str, source.sample(VALUES[known.IIFNAME], 3))
    ]
    limits = [MapElement(key, StatefulTest(source.choice(_OBJECTS), over=source.random() < 0.4)) for key, _ in names]
    return (
        NamedMap("limits", (known.IIFNAME,), "limit", tuple(limits[: source.randint(0, 3)])),
        NamedMap("ct-marks", (known.IIFNAME,), "mark", tuple(MapElement(key, len(name)) for key, name in names[1:])),
        NamedMap("ends", fields, "verdict", elements(ends)),
        NamedMap("marks", (known.IP_SADDR,), "mark", tuple(marks)),
        NamedMap("calls", fields, "verdict", elements(ends + calls)),
    )


def random_ruleset(source: Random) -> Ruleset:
    hook = source.choice((Hook.PREROUTING, Hook.INPUT, Hook.FORWARD, Hook.OUTPUT, Hook.POSTROUTING))
    return Ruleset(tuple(random_table(source, f"t{at}", hook) for at in range(source.choice((1, 1, 2)))))


def random_packet(source: Random, visit: HookVisit, *, malformed: bool = True, whole: bool = False) -> Packet:
    """Return a possible packet; `malformed` and `whole` as in `contradictions`."""
    while True:
        values = {field: source.choice(choices) for field, choices in VALUES.items()}
        values |= fixed_values(visit)
        if visit.family is Family.BRIDGE:
            _make_frame(values)
        values[known.HAS_CONNTRACK] = int(values[known.CT_STATE] in {1, 2, 3})
        there = {field: value for field, value in values.items() if _is_there(field, values)}
        packet = Packet(there)
        if not contradictions(visit, packet, malformed=malformed, whole=whole):
            return packet


def _make_frame(values: dict[Field, int | str]) -> None:
    """Make the fields of a frame fit each other."""
    protocol = values[known.ETHER_PROTOCOL]
    values[known.NFPROTO] = {0x800: 2, 0x86DD: 10}.get(int(protocol), 0)
    values[known.ETHER_TYPE] = 0x8100 if values[known.HAS_VLAN] else protocol
    if not values[known.NFPROTO]:
        del values[known.L4PROTO]
        values[known.HAS_TRANSPORT] = 0
        values[known.CT_STATE] = 4


def _is_there(field: Field, values: dict[Field, int | str]) -> bool:
    return all(
        values.get(FIELDS[name]) == needed and _is_there(FIELDS[name], values) for name, needed in field.requires
    )


# --- mutants ---------------------------------------------------------------------------------------------------------


def mutant(source: Random, ruleset: Ruleset) -> Ruleset:
    """Return the ruleset with one thing changed, perhaps one that does not matter."""
    at = source.randrange(len(ruleset.tables))
    table = ruleset.tables[at]
    chain_at = source.randrange(len(table.chains))
    chain = _changed_chain(source, table.chains[chain_at])
    chains = (*table.chains[:chain_at], chain, *table.chains[chain_at + 1 :])
    changed = replace(table, chains=chains)
    if source.random() < 0.15:
        changed = _changed_sets(source, changed)
    return Ruleset((*ruleset.tables[:at], changed, *ruleset.tables[at + 1 :]))


def _changed_sets(source: Random, table: Table) -> Table:
    at = source.randrange(len(table.sets))
    named = table.sets[at]
    if not named.elements:
        return table
    fewer = replace(named, elements=named.elements[1:])
    return replace(table, sets=(*table.sets[:at], fewer, *table.sets[at + 1 :]))


def _changed_chain(source: Random, chain: Chain) -> Chain:
    rules = list(chain.rules)
    if chain.base is not None and (not rules or source.random() < 0.1):
        if source.random() < 0.5:
            return replace(chain, base=replace(chain.base, accepts=not chain.base.accepts))
        return replace(chain, base=replace(chain.base, priority=chain.base.priority + 20))
    if not rules:
        return chain
    at = source.randrange(len(rules))
    what = source.randrange(5)
    if what == 0:
        del rules[at]
    elif what == 1:
        rules.insert(source.randrange(len(rules)), rules[at])
    elif what == 2:
        other = source.randrange(len(rules))
        rules[at], rules[other] = rules[other], rules[at]
    else:
        rules[at] = _changed_rule(source, rules[at])
    return replace(chain, rules=tuple(rules))


def _changed_rule(source: Random, rule: Rule) -> Rule:
    if not rule.steps or source.random() < 0.3:
        ends = (verdicts.Accept(), verdicts.Drop(), verdicts.Return(), verdicts.Reject("tcp reset"), None)
        return replace(rule, verdict=source.choice(ends))
    at = source.randrange(len(rule.steps))
    step = rule.steps[at]
    return replace(rule, steps=(*rule.steps[:at], *_changed_step(source, step), *rule.steps[at + 1 :]))


def _changed_step(source: Random, step: Step) -> tuple[Step, ...]:
    if source.random() < 0.2:
        return ()
    if isinstance(step, FieldTest):
        if source.random() < 0.5 or not isinstance(step.values, IntervalSet) or not step.values.ranges:
            return (FieldTest(step.field, step.values.complement()),)
        (low, high), *rest = step.values.ranges
        return (FieldTest(step.field, IntervalSet.of(step.values.width, [(low, max(low, high - 1)), *rest])),)
    if isinstance(step, does.Log):
        return (does.Log(prefix=step.prefix + "x"),)
    if isinstance(step, does.Assign):
        return (replace(step, constant=step.constant ^ source.choice((1, 2, 4))),)
    if isinstance(step, StatefulTest):
        return (replace(step, over=not step.over),)
    if isinstance(step, OpaqueTest):
        return (replace(step, holds=not step.holds),)
    return (step, *([] if source.random() < 0.5 else [BITS_TEST]))


BITS_TEST = FieldTest(known.MARK, BitSet.cube(32, 1, 1))
