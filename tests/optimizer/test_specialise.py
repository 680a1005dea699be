# ruff: noqa: S311 -- seeds make failures repeatable
"""Chains for packets of which something is known: what is left, what is cloned, and that nothing else changes."""

from __future__ import annotations

import re
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fwtrans.ir import effect as does
from fwtrans.ir import fields as known
from fwtrans.ir.bits import BitSet
from fwtrans.ir.fields import Family, Field, FieldKind
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import AnyOf, FieldTest, KeyPart, MemberTest, bits, negated, number
from fwtrans.ir.names import NamePattern, NameSet
from fwtrans.ir.pprint import print_table
from fwtrans.ir.rename import rename_fields
from fwtrans.ir.rule import Rule
from fwtrans.ir.ruleset import Hook, Ruleset
from fwtrans.ir.sets import Element, MapElement, NamedMap, NamedSet
from fwtrans.ir.verdict import Dispatch, Goto, Jump, Return
from fwtrans.ir.verify import verify
from fwtrans.optimizer.specialise import Entry, specialise, specialise_entries
from fwtrans.optimizer.tracking import tracks_alike
from fwtrans.semantics.equivalence import compare
from fwtrans.semantics.packet import HookVisit
from fwtrans.semantics.path import Hop, Path
from tests.growth import assert_grows_with
from tests.optimizer.corpus import NODES, ORIGIN, guest_ports, hops, pve_table
from tests.semantics.builders import (
    ACCEPT,
    DROP,
    SADDR,
    TCP,
    UDP,
    base,
    chain,
    dport,
    limit,
    log,
    rule,
    ruleset,
    state,
    table,
)
from tests.semantics.rulesets import VALUES, random_ruleset

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path as FolderPath

    from fwtrans.ir.match import ValueSet
    from fwtrans.ir.ruleset import Chain, Table

TAP1, TAP2 = NameSet.exact("tap1"), NameSet.exact("tap2")
TAPS = TAP1.union(TAP2)


def left(*parts: Chain | Rule, facts: Mapping[Field, ValueSet] | None = None, learn: bool = False) -> str:
    """Return what is left of the chain main, as text, without the line of the table."""
    found = specialise(ruleset(*parts).tables[0], "main", facts or {}, learn=learn)
    assert verify(Ruleset((replace(found.table, chains=with_origins(found.table)),))) == ()
    return print_table(found.table).partition("\n")[2]


def with_origins(table: Table) -> tuple[Chain, ...]:
    """Return chains whose rules pass for rules that were read: `verify` asks each for an origin."""
    return tuple(replace(item, rules=tuple(replace(r, origins=(ORIGIN,)) for r in item.rules)) for item in table.chains)


def shown(*chains: Chain) -> str:
    return print_table(table(*chains)).partition("\n")[2]


def port_in(names: NameSet) -> FieldTest:
    return FieldTest(known.PORT_IN, names)


BRIDGED: dict[Field, ValueSet] = {
    known.PORT_IN: TAPS,
    known.PORT_OUT: NameSet.prefix("fwln"),
    known.BRIDGED: IntervalSet.single(1, 1),
}


# --- tests ---


def test_what_the_facts_exclude_goes_and_what_they_imply_is_not_asked() -> None:
    fwln_in, fwln_out = port_in(NameSet.prefix("fwln")), FieldTest(known.PORT_OUT, NameSet.prefix("fwln"))
    found = left(
        base(
            rule(fwln_in, number(known.BRIDGED, 1), Jump("in")), rule(fwln_out, number(known.BRIDGED, 1), Jump("out"))
        ),
        chain("in", rule(DROP)),
        chain("out", rule(port_in(TAP1), number(known.BRIDGED, 1), ACCEPT)),
        facts=BRIDGED,
    )
    assert found == shown(base(rule(Jump("out"))), chain("out", rule(port_in(TAP1), ACCEPT)))


def test_a_test_is_narrowed_where_that_makes_it_simpler() -> None:
    wide = port_in(NameSet.of((NamePattern("tap1", is_prefix=False), NamePattern("eth", is_prefix=True))))
    assert left(rule(wide, DROP), facts=BRIDGED) == shown(base(rule(port_in(TAP1), DROP)))
    two = state("invalid", "new")
    assert left(rule(two, DROP), facts={known.CT_STATE: state("new", "untracked").values}) == shown(
        base(rule(state("new"), DROP))
    )
    ranges = FieldTest(known.IP_SADDR, IntervalSet(32, ((5, 100),)))
    fact = {known.IP_SADDR: IntervalSet(32, ((0, 20), (40, 60), (200, 300)))}
    assert left(rule(ranges, DROP), facts=fact) == shown(base(rule(ranges, DROP)))


def test_bits_that_are_known_are_not_asked_again() -> None:
    fact = {known.MARK: BitSet.cube(32, 0x80000000, 0x80000000)}
    asked = rule(bits(known.MARK, 0x80000001, 0x80000001), DROP)
    assert left(asked, facts=fact) == shown(base(rule(bits(known.MARK, 1, 1), DROP)))
    assert left(asked, facts={known.MARK: BitSet.cube(32, 0x80000000, 0)}) == shown(base())


def test_a_fact_says_nothing_of_presence() -> None:
    found: dict[Field, ValueSet] = {known.DPORT: IntervalSet.single(16, 22)}
    assert left(rule(dport(22), DROP), facts=found) == shown(base(rule(dport(22), DROP)))
    assert left(rule(dport(23), DROP), facts=found) == shown(base())
    there = {**found, known.HAS_TRANSPORT: IntervalSet.single(1, 1)}
    assert left(rule(dport(22), DROP), facts=there) == shown(base(rule(DROP)))
    assert left(rule(dport(22), DROP), facts={known.HAS_TRANSPORT: IntervalSet.single(1, 0)}) == shown(base())
    flags = bits(known.TCP_FLAGS, 2, 2)
    assert left(rule(flags, DROP), facts={known.L4PROTO: IntervalSet.single(8, 17)}) == shown(base())


def test_alternatives_lose_branches() -> None:
    either = AnyOf(((port_in(TAP1), dport(22)), (port_in(NameSet.exact("eth0")),), (dport(23),)))
    assert left(rule(either, DROP), facts={known.PORT_IN: TAP2}) == shown(base(rule(dport(23), DROP)))
    assert left(rule(either, DROP), facts={known.PORT_IN: TAP1}) == shown(
        base(rule(AnyOf(((dport(22),), (dport(23),))), DROP))
    )
    assert left(rule(either, DROP), facts={known.PORT_IN: NameSet.exact("eth0")}) == shown(base(rule(DROP)))


def test_named_sets_are_held_against_facts() -> None:
    named = NamedSet("guests", (known.IP_SADDR,), (Element(((1, 5),)), Element(((9, 9),))))
    inside = MemberTest(SADDR, "guests")
    there = {known.NFPROTO: IntervalSet.single(8, 2)}

    def of(test: MemberTest, values: IntervalSet) -> tuple[str, int]:
        found = specialise(
            table(base(rule(test, DROP)), sets=(named,)), "main", {**there, known.IP_SADDR: values}
        ).table
        return print_table(replace(found, sets=())).partition("\n")[2], len(found.sets)

    assert of(inside, IntervalSet(32, ((20, 30),))) == (shown(base()), 0)
    assert of(inside, IntervalSet(32, ((2, 3),))) == (shown(base(rule(DROP))), 0)
    assert of(inside, IntervalSet(32, ((2, 7),))) == (shown(base(rule(inside, DROP))), 1)
    assert of(replace(inside, inside=False), IntervalSet(32, ((20, 30),))) == (shown(base(rule(DROP))), 0)
    changing = replace(inside, dynamic=True)
    assert of(changing, IntervalSet(32, ((20, 30),))) == (shown(base(rule(changing, DROP))), 1)


# --- rules and chains ---


def test_rules_behind_an_end_vanish() -> None:
    found = left(rule(port_in(TAPS), DROP), rule(dport(1), ACCEPT), facts=BRIDGED)
    assert found == shown(base(rule(DROP)))
    called = (base(rule(Jump("user")), rule(ACCEPT)), chain("user", rule(UDP, ACCEPT), rule(DROP)))
    assert left(*called) == shown(base(rule(Jump("user"))), called[1])
    gone = (base(rule(Goto("user")), rule(ACCEPT)), chain("user", rule(UDP, ACCEPT)))
    assert left(*gone) == shown(base(rule(Goto("user"))), gone[1])


def test_what_a_rule_does_before_a_test_that_never_holds_stays() -> None:
    found = left(rule(dport(5), limit("a"), TCP, port_in(NameSet.exact("eth0")), log("x"), DROP), facts=BRIDGED)
    assert found == shown(base(rule(dport(5), limit("a"), None)))


def test_empty_chains_and_jumps_to_them_vanish() -> None:
    never = rule(port_in(NameSet.exact("eth0")), DROP)
    found = left(base(rule(Jump("a")), rule(dport(5), Goto("a")), rule(ACCEPT)), chain("a", never), facts=BRIDGED)
    assert found == shown(base(rule(dport(5), Return()), rule(ACCEPT)))


def test_equal_facts_share_a_chain_and_different_ones_clone_it() -> None:
    marked = rule(bits(known.MARK, 1, 1), DROP)
    set_mark, clear = does.Assign(known.MARK, 0xFFFFFFFE, 1), does.Assign(known.MARK, 0xFFFFFFFE, 0)
    user = chain("user", marked, rule(dport(5), DROP))
    found = left(
        base(
            rule(TCP, set_mark, Jump("user")),
            rule(UDP, clear, Jump("user")),
            rule(dport(7), clear, Jump("user")),
            rule(dport(8), Jump("user")),
        ),
        user,
    )
    assert [line.strip() for line in found.splitlines() if "chain " in line] == [
        "chain main : filter forward 0 accept", "chain user", "chain user-2", "chain user-3",
    ]  # fmt: skip
    assert (
        shown(chain("user", rule(DROP)), chain("user-2", rule(dport(5), DROP)), replace(user, name="user-3")) in found
    )


def test_what_only_its_own_caller_asks_is_known_in_a_chain() -> None:
    rules = base(rule(port_in(TAP1), Jump("a")), rule(port_in(TAP2), Jump("b")), rule(port_in(TAP1), Jump("b")))
    a, b = chain("a", rule(port_in(TAP1), dport(1), DROP)), chain("b", rule(port_in(TAP1), dport(1), DROP))
    assert left(rules, a, b) == shown(rules, a, b)
    assert left(rules, a, b, learn=True) == shown(rules, chain("a", rule(dport(1), DROP)), b)


def test_what_a_rule_takes_away_is_known_behind_it() -> None:
    rules = (
        rule(state("invalid"), DROP),
        rule(state("established", "related"), ACCEPT),
        rule(state("invalid", "new"), DROP),
    )
    assert left(*rules, learn=True) == shown(base(*rules[:2], rule(state("new"), DROP)))
    two_tests = (rule(TCP, state("invalid"), DROP), rule(state("invalid"), DROP))
    assert left(*two_tests, learn=True) == shown(base(*two_tests))
    limited = (rule(limit("a"), state("invalid"), DROP), rule(state("invalid"), DROP))
    assert left(*limited, learn=True) == shown(base(*limited))


def test_a_write_ends_what_was_known() -> None:
    fact = {known.MARK: BitSet.exact(32, 5)}
    copied = does.Assign(known.MARK, 0xFFFFFFF0, 0, does.BitsOf(known.PRIORITY, 3))
    rules = (rule(copied, None), rule(bits(known.MARK, 4, 4), TCP, DROP), rule(bits(known.MARK, 1, 1), DROP))
    found = left(*rules, facts=fact)
    assert found == shown(base(rules[0], rules[2]))


def test_a_write_that_changes_nothing_is_left_out() -> None:
    fact = {known.MARK: BitSet.cube(32, 2, 2)}
    keeps = does.Assign(known.MARK, 0xFFFFFFFD, 2)
    assert left(rule(TCP, keeps, log("x"), None), facts=fact) == shown(base(rule(TCP, log("x"), None)))
    flips = does.Assign(known.MARK, 0xFFFFFFFF, 2)
    assert left(rule(TCP, flips, None), facts=fact) == shown(base(rule(TCP, flips, None)))


def test_what_a_called_chain_writes_is_known_behind_the_call() -> None:
    clear = rule(does.Assign(known.MARK, 0xFFFFFFFE, 0), None)
    marks = rule(dport(5), does.Assign(known.MARK, 0xFFFFFFFE, 1), ACCEPT)
    rules = base(
        rule(Jump("a")), rule(bits(known.MARK, 1, 1), DROP), rule(TCP, Jump("b")), rule(bits(known.MARK, 1, 1), DROP)
    )
    b = chain("b", rule(dport(6), does.Assign(known.MARK, 0xFFFFFFFE, 1), Return()))
    found = left(rules, chain("a", clear, marks), b)
    assert found == shown(base(rules.rules[0], *rules.rules[2:]), chain("a", clear, marks), b)


def test_maps_keep_what_fits() -> None:
    elements = tuple(
        MapElement((NamePattern(name, is_prefix=False),), verdict)
        for name, verdict in (("tap1", Jump("a")), ("tap2", Goto("b")), ("eth0", DROP))
    )
    ports = NamedMap("ports", (known.PORT_IN,), "verdict", elements)
    never = rule(number(known.BRIDGED, 0), DROP)
    whole = table(
        base(rule(Dispatch((KeyPart(known.PORT_IN),), "ports")), rule(ACCEPT)),
        chain("a", rule(dport(1), DROP)),
        chain("b", never),
        maps=(ports,),
    )
    found = specialise(whole, "main", BRIDGED).table
    assert found.maps == (replace(ports, elements=elements[:2]),)
    assert [item.name for item in found.chains] == ["main", "a", "b"]
    assert found.chains[2].rules == ()


def test_entries_share_what_is_equal() -> None:
    shared = chain("shared", rule(dport(1), DROP))
    rules = base(
        rule(port_in(TAP1), Jump("shared")), rule(FieldTest(known.PORT_OUT, TAP1), Jump("shared")), name="main"
    )
    found = specialise_entries(
        table(rules, shared),
        [Entry("main", {known.PORT_IN: TAP1}, "out"), Entry("main", {known.PORT_OUT: TAP1, known.PORT_IN: TAP2}, "in")],
    )
    assert found.entries == ("out", "in")
    assert [(item.name, len(item.rules)) for item in found.table.chains] == [("out", 2), ("in", 1), ("shared", 1)]


# --- fields under other names ---


def test_fields_are_renamed_at_once_everywhere() -> None:
    key = (KeyPart(known.PORT_IN), KeyPart(known.IIFNAME))
    ports = NamedSet("ports", (known.PORT_IN, known.IIFNAME), ())
    before = table(
        base(
            rule(AnyOf(((port_in(TAP1),), (FieldTest(known.IIFNAME, TAP2),))), MemberTest(key, "ports"), DROP),
            rule(limit("a", key=key), does.SetUpdate("ports", key, does.SetOperation.ADD), Dispatch(key, "map")),
        ),
        sets=(ports,),
        maps=(NamedMap("map", (known.PORT_IN, known.IIFNAME), "verdict"),),
    )
    after = rename_fields(before, {known.PORT_IN: known.IIFNAME, known.IIFNAME: known.IBRNAME})
    text = print_table(before).replace("iifname", "ibrname").replace("bridge.port_in", "iifname")
    assert print_table(after) == text
    with pytest.raises(ValueError, match="different kinds"):
        rename_fields(before, {known.PORT_IN: known.MARK})


# --- proofs ---


def guarded(original: Ruleset, facts: Mapping[Field, ValueSet]) -> Ruleset:
    """Return the ruleset behind rules that drop every packet for which the facts do not hold."""
    guards = tuple(Rule((negated(FieldTest(field, values)),), DROP) for field, values in facts.items())
    tables = tuple(
        replace(
            item,
            chains=tuple(
                replace(part, rules=(*guards, *part.rules)) if part.base is not None else part for part in item.chains
            ),
        )
        for item in original.tables
    )
    return Ruleset(tables)


def random_facts(source: Random) -> dict[Field, ValueSet]:
    found: dict[Field, ValueSet] = {}
    for field in source.sample(list(VALUES), source.randint(0, 5)):
        chosen = source.sample(VALUES[field], source.randint(1, min(3, len(VALUES[field]))))
        if field.kind is FieldKind.NAME:
            found[field] = NameSet.exact(*map(str, chosen))
        elif field.kind is FieldKind.BITS:
            mask = source.choice((1, 3, (1 << field.width) - 1))
            found[field] = BitSet.of(field.width, ((mask, int(value) & mask) for value in chosen))
        else:
            found[field] = IntervalSet.values(field.width, map(int, chosen))
        if source.random() < 0.2:
            found[field] = found[field].complement()
    return {field: values for field, values in found.items() if not values.is_empty and not values.is_full}


def specialised(original: Ruleset, facts: Mapping[Field, ValueSet], *, learn: bool) -> Ruleset:
    return Ruleset(
        tuple(
            specialise_entries(
                item, [Entry(part.name, facts) for part in item.chains if part.base is not None], learn=learn
            ).table
            for item in original.tables
        )
    )


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 32), st.booleans())
def test_random_rulesets_do_the_same_for_the_packets_they_are_specialised_to(seed: int, learn: bool) -> None:
    source = Random(seed)
    original, facts = random_ruleset(source), random_facts(source)
    # a chain behind another one sees the packet as that one has left it
    if sum(part.base is not None for item in original.tables for part in item.chains) > 1:
        facts = {field: values for field, values in facts.items() if not is_written(original, field)}
    after = specialised(original, facts, learn=learn)
    old, new = guarded(original, facts), guarded(after, facts)
    assert compare(old, new).equal or not tracks_alike(old, new)
    assert specialised(after, facts, learn=learn) == after


@pytest.mark.parametrize("family", ["ip", "ip6"])
@pytest.mark.parametrize("name", NODES)
def test_every_hop_of_a_real_node_does_the_same(shared: FolderPath, name: str, family: str) -> None:
    original = pve_table(shared, name, family)
    for facts in hops(original).values():
        forward = replace(original, chains=tuple(c for c in original.chains if c.base is None or c.name == "FORWARD"))
        after = Ruleset((specialise(original, "FORWARD", facts, learn=True).table,))
        assert compare(guarded(Ruleset((forward,)), facts), guarded(after, facts)).equal


def test_a_node_of_200_guests(shared: FolderPath) -> None:
    original = pve_table(shared, "s200")
    rules: dict[str, int] = {}
    for name, facts in hops(original).items():
        left_of = specialise(original, "FORWARD", facts).table
        rules[name] = sum(len(item.rules) for item in left_of.chains)
    assert rules["middle"] < 10 < rules["out"] < rules["in"] < sum(len(item.rules) for item in original.chains)


def test_the_work_grows_with_the_rules(shared: FolderPath) -> None:
    small, large = (pve_table(shared, name) for name in ("s50", "s200"))
    size = sum(len(item.rules) for item in large.chains) / sum(len(item.rules) for item in small.chains)
    for name, facts in hops(large).items():
        of_small = hops(small)[name]
        assert_grows_with(
            size,
            lambda facts=of_small: specialise(small, "FORWARD", facts),  # type: ignore[misc]
            lambda facts=facts: specialise(large, "FORWARD", facts),  # type: ignore[misc]
        )


def is_written(original: Ruleset, field: Field) -> bool:
    return f"field={field.name}" in "".join(map(print_table, original.tables)) or field in {
        known.CT_STATE, known.HAS_CONNTRACK, known.MARK,
    }  # fmt: skip


# --- the same packets, called otherwise ---

RENAMED = {
    known.PORT_IN: known.IIFNAME,
    known.PORT_OUT: known.OIFNAME,
    known.IIFNAME: known.IBRNAME,
    known.OIFNAME: known.OBRNAME,
}


def bridged_path(port_in: str, port_out: str, bridge: str) -> Path:
    """Return one hop of a bridged packet, as iptables sees it and as a bridge table does."""
    routed = {
        known.PORT_IN: port_in,
        known.PORT_OUT: port_out,
        known.IIFNAME: bridge,
        known.OIFNAME: bridge,
    }
    here = tuple((RENAMED[field], name) for field, name in routed.items())
    frame = ((known.NFPROTO, 2), (known.ETHER_PROTOCOL, 0x800), (known.HAS_VLAN, 0))
    old = Hop(HookVisit(Family.IP, Hook.FORWARD), (*routed.items(), (known.BRIDGED, 1), (known.HAS_ETHERNET, 1)))
    return Path(port_in, (old,), (Hop(HookVisit(Family.BRIDGE, Hook.FORWARD), (*here, *frame)),))


@pytest.mark.parametrize("node", ["s3", "s10", "f-foreign", "f-opt-ips"])
def test_every_guest_is_judged_the_same_in_a_bridge_table(shared: FolderPath, node: str) -> None:
    original = pve_table(shared, node)
    forward = replace(original, chains=tuple(c for c in original.chains if c.base is None or c.name == "FORWARD"))
    sides = hops(original)
    for side in ("out", "in"):
        found = rename_fields(specialise(original, "FORWARD", sides[side]).table, RENAMED)
        assert not re.search(r"bridge\.(port|forwarded)", print_table(found))
        ports = sorted(pattern.text for pattern in guest_ports(original).patterns)
        paths = [bridged_path(*((port, "fwln1") if side == "out" else ("fwln1", port)), "fwbr1") for port in ports]
        after = Ruleset((replace(found, family=Family.BRIDGE),))
        assert compare(Ruleset((forward,)), after, paths=paths).equal
        other = [bridged_path(path.name, "eth0", "fwbr1")._replace(new=path.new) for path in paths[:1]]
        assert side == "in" or not compare(Ruleset((forward,)), after, paths=other).equal
