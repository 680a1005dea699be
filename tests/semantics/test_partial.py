# ruff: noqa: S311 -- seeds make failures repeatable
"""What stands for a rule that could not be translated, and that the result never lets more pass."""

from __future__ import annotations

from dataclasses import replace
from functools import partial as bound
from random import Random
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fwtrans.ir import effect as does
from fwtrans.ir import fields as known
from fwtrans.ir.match import bits
from fwtrans.ir.ruleset import Ruleset
from fwtrans.ir.untranslated import is_untranslated, untranslated
from fwtrans.ir.verdict import Goto, Jump, Reject, Return
from fwtrans.semantics.concrete import Decision, evaluate
from fwtrans.semantics.partial import opened, partial
from fwtrans.semantics.visits import arrives_whole, visits_of
from tests.semantics.builders import (
    ACCEPT,
    DROP,
    SADDR,
    TCP,
    UDP,
    base,
    chain,
    limit,
    log,
    rule,
    ruleset,
    source,
)
from tests.semantics.rulesets import random_packet, random_ruleset
from tests.semantics.test_symbolic_and_concrete import answer_for

if TYPE_CHECKING:
    from fwtrans.ir.rule import Rule

HOLE = untranslated("here")


def left(*rules: Rule) -> tuple[Rule, ...]:
    found = partial(ruleset(*rules))
    assert not found.faults
    assert len(found.replaced) == sum(HOLE in item.steps for item in rules)
    return found.ruleset.tables[0].chains[0].rules


def test_what_accepts_or_only_logs_is_left_out() -> None:
    assert left(rule(TCP, HOLE, ACCEPT), rule(UDP, ACCEPT), rule(DROP)) == (rule(UDP, ACCEPT), rule(DROP))
    assert left(rule(TCP, HOLE, log("x")), rule(DROP)) == (rule(DROP),)
    assert left(rule(TCP, HOLE, limit("a"), ACCEPT), rule(DROP)) == (rule(DROP),)


def test_what_may_stop_or_send_elsewhere_drops_all_that_its_other_tests_let_through() -> None:
    assert left(rule(TCP, HOLE, source(1), DROP), rule(ACCEPT)) == (rule(TCP, source(1), DROP), rule(ACCEPT))
    reject = Reject("tcp reset")
    assert left(rule(TCP, HOLE, reject), rule(ACCEPT)) == (rule(TCP, reject), rule(ACCEPT))
    assert left(rule(TCP, HOLE, Return()), rule(DROP)) == (rule(TCP, DROP), rule(DROP))
    assert left(rule(HOLE, DROP), rule(ACCEPT)) == (rule(DROP), rule(ACCEPT))


def test_a_limit_does_not_save_packets_from_the_drop() -> None:
    assert left(rule(TCP, limit("a"), HOLE, DROP), rule(ACCEPT)) == (rule(TCP, DROP), rule(ACCEPT))


def test_calls_are_dropped() -> None:
    user = chain("user", rule(UDP, DROP))
    for call in (Jump("user"), Goto("user")):
        found = partial(ruleset(base(rule(TCP, HOLE, call), rule(ACCEPT)), user))
        assert not found.faults
        assert found.ruleset.tables[0].chains[0].rules == (rule(TCP, DROP), rule(ACCEPT))


def test_a_mark_that_may_be_set_is_not_guessed() -> None:
    sets_mark = rule(TCP, HOLE, does.Assign(known.MARK, 0, 1), None)
    tests_mark = rule(bits(known.MARK, 1, 1), DROP)
    assert left(sets_mark, tests_mark) == (rule(TCP, DROP), tests_mark)


def test_an_accept_in_front_of_a_translation_is_not_left_out() -> None:
    nat = rule(does.Nat(does.NatKind.MASQUERADE), ACCEPT)
    found = partial(ruleset(base(rule(TCP, HOLE, ACCEPT), nat, kind="nat")))
    assert not found.faults
    assert [item.drops for item in found.replaced] == [True]


def test_an_accept_in_a_user_chain_is_left_out() -> None:
    user = chain("user", rule(TCP, HOLE, ACCEPT))
    found = partial(ruleset(base(rule(Jump("user")), rule(DROP)), user))
    assert not found.faults
    assert found.ruleset.tables[0].chain("user") == chain("user")


def test_a_list_that_may_be_filled_has_no_substitute() -> None:
    fills = rule(TCP, HOLE, does.SetUpdate("seen", SADDR, does.SetOperation.ADD), ACCEPT)
    found = partial(ruleset(fills))
    assert found.faults
    assert "list" in found.faults[0]


def test_the_proof_sees_what_is_opened() -> None:
    original = ruleset(rule(TCP, HOLE, DROP), rule(ACCEPT))
    assert opened(original, ruleset(rule(ACCEPT)))
    assert not opened(original, ruleset(rule(TCP, DROP), rule(ACCEPT)))
    assert opened(ruleset(rule(HOLE, ACCEPT), rule(DROP)), ruleset(rule(ACCEPT)))
    assert not opened(ruleset(rule(HOLE, ACCEPT), rule(DROP)), ruleset(rule(DROP)))


def test_what_cannot_be_decided_is_not_called_safe() -> None:
    looped = ruleset(base(rule(Jump("user")), rule(HOLE, ACCEPT)), chain("user", rule(Jump("user"))))
    assert "cannot decide" in partial(looped).faults[0]


def with_holes(randomly: Random, whole: Ruleset) -> Ruleset:
    tables = []
    for table in whole.tables:
        chains = []
        for one in table.chains:
            rules = []
            for at, item in enumerate(one.rules):
                if randomly.random() < 0.25:
                    place = randomly.randint(0, len(item.steps))
                    hole = untranslated(f"{table.name}/{one.name}/{at}")
                    item = replace(item, steps=(*item.steps[:place], hole, *item.steps[place:]))  # noqa: PLW2901
                rules.append(item)
            chains.append(replace(one, rules=tuple(rules)))
        tables.append(replace(table, chains=tuple(chains)))
    return Ruleset(tuple(tables))


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_whatever_the_untranslated_says_nothing_more_passes(seed: int) -> None:
    randomly = Random(seed)
    original = with_holes(randomly, random_ruleset(randomly))
    found = partial(original)
    if found.faults:
        return
    part = found.ruleset
    assert not any(
        is_untranslated(step)
        for table in part.tables
        for one in table.chains
        for item in one.rules
        for step in item.steps
    )
    for visit in visits_of(original):
        for number in range(20):
            packet = random_packet(randomly, visit, malformed=False, whole=arrives_whole(original, visit))
            answers = bound(answer_for, seed + number)
            after = evaluate(part, visit, packet, answers)
            if after.decision is Decision.ACCEPT:
                before = evaluate(original, visit, packet, answers)
                assert before.decision is Decision.ACCEPT
                assert before.values == after.values


def test_random_rulesets_mostly_have_a_safe_part() -> None:
    randomly = Random(7)
    faults = [bool(partial(with_holes(randomly, random_ruleset(randomly))).faults) for _ in range(60)]
    assert faults.count(False) > 30
