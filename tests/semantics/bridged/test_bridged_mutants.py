# ruff: noqa: S311 -- seeds make failures repeatable
"""The proof of bridged packets can fail: a changed bridge table is found out, or does the same.

Each witness must be confirmed by the concrete evaluator. A change that is said not to matter is held against packets
between random ends; named changes, which a careless hand would make, must each be found.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import pytest

from fwtrans.ir import fields as known
from fwtrans.ir.effect import Assign
from fwtrans.ir.fields import Family
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest
from fwtrans.ir.ruleset import Hook, Ruleset
from fwtrans.ir.verdict import Accept, Drop
from fwtrans.ir.verify import verify
from fwtrans.optimizer.bridged.hardware import hardware_addresses
from fwtrans.semantics.bridged.journey import journey
from fwtrans.semantics.bridged.topology import guest_ports
from tests.bridged_corpora import compared, node
from tests.semantics.bridged.journeys import ends, packet, pool_of, travelled
from tests.semantics.mutants import Change, mutant, sites

if TYPE_CHECKING:
    from collections.abc import Callable

    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain, Table
    from tests.bridged_corpora import Node

SUBJECTS = (
    ("f-pol-drop-drop", False), ("f-pol-reject-reject", False), ("f-foreign", False), ("f-opt-l2", False),
    ("f-log-custom", False), ("s3", True),
)  # fmt: skip
MUTANTS, PACKETS = 30, 100


def bridge_only(ruleset: Ruleset) -> dict[Change, list]:  # type: ignore[type-arg]
    """Return where the bridge table can be changed."""
    (at,) = (number for number, table in enumerate(ruleset.tables) if table.family is Family.BRIDGE)
    found = {change: [site for site in places if site.table == at] for change, places in sites(ruleset).items()}
    return {change: places for change, places in found.items() if places}


@pytest.mark.parametrize(("name", "optimized"), SUBJECTS)
def test_a_changed_bridge_table_is_told_apart_or_does_the_same(name: str, *, optimized: bool) -> None:
    subject = node(name, optimized=optimized)
    places = bridge_only(subject.new)
    changes = sorted(places, key=lambda change: change.value)
    answers: Counter[str] = Counter()
    for seed in range(MUTANTS):
        source = Random(f"{name} {seed}")
        change = changes[seed % len(changes)]
        made = mutant(source, subject.new, change, source.choice(places[change]))
        if verify(made.ruleset):
            continue  # no ruleset at all
        found = compared(subject, made.ruleset).comparison
        assert not found.undecided, (name, seed, found.undecided)
        for difference in found.differences:
            is_bucket = change is Change.LIMIT  # a bucket of another size may answer otherwise
            assert difference.confirmed or is_bucket, (name, seed, change, difference.path.name, difference.subject)
        answers["different" if found.differences else "equal"] += 1
        if found.equal:
            assert_does_the_same(subject, made.ruleset, f"{name} {seed} {change}")
    assert answers["different"] > MUTANTS // 8, answers


def assert_does_the_same(subject: Node, changed: Ruleset, what: str) -> None:
    source, pool = Random(what), pool_of(subject)
    guests, own = guest_ports(subject.old), {**subject.host.hardware, **hardware_addresses(subject.old)}
    for number in range(PACKETS):
        start, goal = ends(source, pool, guests)
        family, values = packet(source, pool, start, goal, own)
        hops = journey(family, start, goal, by_iptables=False)
        before, after = (travelled(side, hops, values, number) for side in (subject.new, changed))
        assert before == after, (what, number, start, goal, {field.name: value for field, value in values.items()})


# --- what a careless hand would do -----------------------------------------------------------------------------------


def changed_chains(ruleset: Ruleset, change: Callable[[Chain], Chain | None]) -> Ruleset:
    """Return the ruleset with the bridge table's chains changed, or gone where nothing is returned."""

    def table_of(table: Table) -> Table:
        if table.family is not Family.BRIDGE:
            return table
        return replace(table, chains=tuple(new for chain in table.chains if (new := change(chain)) is not None))

    return replace(ruleset, tables=tuple(map(table_of, ruleset.tables)))


def changed_rules(ruleset: Ruleset, change: Callable[[Rule], Rule | None]) -> Ruleset:
    def chain_of(chain: Chain) -> Chain:
        return replace(chain, rules=tuple(new for rule in chain.rules if (new := change(rule)) is not None))

    return changed_chains(ruleset, chain_of)


def asks(rule: Rule, field: object) -> bool:
    return any(isinstance(step, FieldTest) and step.field is field for step in rule.steps)


def without_early_reject(ruleset: Ruleset) -> Ruleset:
    return changed_chains(ruleset, lambda chain: replace(chain, rules=()) if chain.name == "reject-in" else chain)


def early_reject_for_another_address(ruleset: Ruleset) -> Ruleset:
    def moved(rule: Rule) -> Rule:
        steps = tuple(
            FieldTest(step.field, IntervalSet.single(48, low_of(step.values) + 1))
            if isinstance(step, FieldTest) and step.field is known.ETHER_DADDR
            else step
            for step in rule.steps
        )
        return replace(rule, steps=steps)

    return changed_rules(ruleset, moved)


def low_of(values: object) -> int:
    assert isinstance(values, IntervalSet)
    return values.ranges[0][0]


def without_invalid_guard(ruleset: Ruleset) -> Ruleset:
    def gone(rule: Rule) -> Rule | None:
        only_invalid = any(
            isinstance(step, FieldTest) and step.field is known.CT_STATE and step.values == IntervalSet.single(3, 0)
            for step in rule.steps
        )
        return None if only_invalid and isinstance(rule.verdict, Drop) else rule

    return changed_rules(ruleset, gone)


def without_mac_filter(ruleset: Ruleset) -> Ruleset:
    return changed_rules(ruleset, lambda rule: None if asks(rule, known.ETHER_SADDR) else rule)


def without_ct_mark(ruleset: Ruleset) -> Ruleset:
    def is_mark(rule: Rule) -> bool:
        return any(isinstance(step, Assign) and step.field is known.CT_MARK for step in rule.steps)

    return changed_rules(ruleset, lambda rule: None if is_mark(rule) else rule)


def without_what_guests_send(ruleset: Ruleset) -> Ruleset:
    return without_hook(ruleset, Hook.PREROUTING, "out-FORWARD")


def without_what_guests_get(ruleset: Ruleset) -> Ruleset:
    return without_calls(ruleset, Hook.FORWARD, "in-FORWARD-")


def without_other_frames(ruleset: Ruleset) -> Ruleset:
    def kept(chain: Chain) -> Chain:
        if chain.name != "out-FORWARD":
            return chain
        return replace(chain, rules=tuple(rule for rule in chain.rules if not _is_for_other_frames(rule)))

    return changed_chains(ruleset, kept)


def _is_for_other_frames(rule: Rule) -> bool:
    tests = [step for step in rule.steps if isinstance(step, FieldTest) and step.field is known.ETHER_TYPE]
    return any(isinstance(test.values, IntervalSet) and 0x0806 in test.values for test in tests)


def without_the_middle(ruleset: Ruleset) -> Ruleset:
    return without_calls(ruleset, Hook.FORWARD, "middle-FORWARD-")


def without_calls(ruleset: Ruleset, hook: Hook, prefix: str) -> Ruleset:
    """Leave out the calls of a part that has its base chain together with another."""

    def kept(chain: Chain) -> Chain:
        if chain.base is None or chain.base.hook is not hook:
            return chain
        rules = (rule for rule in chain.rules if not getattr(rule.verdict, "chain", "").startswith(prefix))
        return replace(chain, rules=tuple(rules))

    changed = changed_chains(ruleset, kept)
    assert changed != ruleset, prefix
    return changed


def without_hook(ruleset: Ruleset, hook: Hook, name: str) -> Ruleset:
    def kept(chain: Chain) -> Chain:
        gone = chain.base is not None and chain.base.hook is hook and chain.name == name
        return replace(chain, rules=()) if gone else chain

    changed = changed_chains(ruleset, kept)
    assert changed != ruleset, name
    return changed


def one_guest_unjudged(ruleset: Ruleset) -> Ruleset:
    done: list[Rule] = []

    def first_dispatch_gone(rule: Rule) -> Rule | None:
        is_dispatch = asks(rule, known.IIFNAME) and type(rule.verdict).__name__ == "Jump" and len(rule.steps) == 1
        if is_dispatch and not done:
            done.append(rule)
            return None
        return rule

    return changed_rules(ruleset, first_dispatch_gone)


def guests_swapped(ruleset: Ruleset) -> Ruleset:
    """Two guests get each other's rules."""
    (table,) = (table for table in ruleset.tables if table.family is Family.BRIDGE)
    first, second = sorted(chain.name for chain in table.chains if chain.name.endswith("-OUT-v4"))[-2:]
    rules = {chain.name: chain.rules for chain in table.chains}
    swapped = {first: rules[second], second: rules[first]}
    return changed_chains(ruleset, lambda chain: replace(chain, rules=swapped.get(chain.name, chain.rules)))


def rejecting_what_is_dropped(ruleset: Ruleset) -> Ruleset:
    """The early look drops where it should let go on."""

    def dropped(chain: Chain) -> Chain:
        if not chain.name.startswith("reject-") or chain.base is not None:
            return chain
        rules = (replace(rule, verdict=Drop()) if isinstance(rule.verdict, Accept) else rule for rule in chain.rules)
        return replace(chain, rules=tuple(rules))

    return changed_chains(ruleset, dropped)


@pytest.mark.parametrize(
    "change",
    [
        without_early_reject, early_reject_for_another_address, without_invalid_guard, without_mac_filter, without_ct_mark,
        without_what_guests_send, without_what_guests_get, without_other_frames, without_the_middle, one_guest_unjudged,
        guests_swapped, rejecting_what_is_dropped,
    ],
)  # fmt: skip
def test_what_a_careless_hand_changes_is_found(change: Callable[[Ruleset], Ruleset]) -> None:
    subject = node("s3")
    changed = change(subject.new)
    assert changed != subject.new
    found = compared(subject, changed)
    if change in {without_early_reject, early_reject_for_another_address}:
        # a REJECT that nobody answers is a drop: that is no secret, and names the guests
        (told,) = (item for item in found.intended if item.name == "reject-is-drop")
        assert "tap101i0" in told.text
        return
    assert found.comparison.differences
    assert all(difference.confirmed for difference in found.comparison.differences)


def test_witnesses_are_whole_packets() -> None:
    """A path that begins on a bridge has packets with a transport protocol, as people know them."""
    subject = node("s3")
    found = compared(subject, without_what_guests_get(subject.new)).comparison
    ip = [item for item in found.differences if item.packet.values.get(known.NFPROTO) in {2, 10}]
    assert ip
    assert all(known.L4PROTO in item.packet.values for item in ip)
