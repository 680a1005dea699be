# ruff: noqa: S311 -- seeds make failures repeatable
"""Shadowed rules and rules that never matter: which are found, who is to blame, and that no finding is ever wrong."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fwtrans.ir import effect as does
from fwtrans.ir import fields as known
from fwtrans.ir.fields import Family
from fwtrans.ir.match import KeyPart, OpaqueTest, bits
from fwtrans.ir.ruleset import Hook, Ruleset
from fwtrans.ir.sets import MapElement, NamedMap
from fwtrans.ir.verdict import Dispatch, Goto, Jump, Reject, Return
from fwtrans.semantics.concrete import evaluate
from fwtrans.semantics.equivalence import compare
from fwtrans.semantics.outcome import Limits
from fwtrans.semantics.shadowing import Finding, FindingKind, Lint, lint
from fwtrans.semantics.side import table_name
from fwtrans.semantics.visits import arrives_whole, visits_of
from fwtrans.source import Origin, SourceFile
from tests.semantics.builders import (
    ACCEPT,
    DROP,
    HAS_PORTS,
    TCP,
    UDP,
    base,
    chain,
    dport,
    limit,
    log,
    rule,
    ruleset,
    source,
    table,
)
from tests.semantics.rulesets import random_packet, random_ruleset
from tests.semantics.test_symbolic_and_concrete import answer_for

if TYPE_CHECKING:
    from fwtrans.ir.rule import Rule

SHADOWED, NEVER_MATCHES = FindingKind.SHADOWED, FindingKind.NEVER_MATCHES
UNREACHABLE, NEVER_MATTERS = FindingKind.UNREACHABLE_CHAIN, FindingKind.NEVER_MATTERS


def told(found: Lint) -> list[tuple[FindingKind, str, int, list[int]]]:
    return [
        (item.kind, item.place.chain, item.place.number, [place.number for place in item.because])
        for item in found.findings
    ]


def of_rules(*rules: Rule) -> list[tuple[FindingKind, int, list[int]]]:
    return [(kind, number, because) for kind, _, number, because in told(lint(ruleset(*rules)))]


def mark(value: int) -> does.Assign:
    return does.Assign(known.MARK, 0, value)


# --- rules that no packet matches ---


def test_a_rule_behind_a_wider_one_is_shadowed_by_it() -> None:
    assert of_rules(rule(TCP, DROP), rule(UDP, DROP), rule(TCP, HAS_PORTS, dport(22), ACCEPT)) == [(SHADOWED, 2, [0])]


def test_only_the_rules_that_are_needed_are_blamed() -> None:
    narrow, wide = rule(HAS_PORTS, dport(22, 23), DROP), rule(HAS_PORTS, dport(22, 80), DROP)
    assert of_rules(narrow, wide, rule(HAS_PORTS, dport(23, 80), ACCEPT)) == [(SHADOWED, 2, [0, 1])]
    first, second = rule(TCP, source(1), DROP), rule(source(1), Reject("tcp reset"))
    assert of_rules(first, second, rule(UDP, source(1), ACCEPT)) == [(SHADOWED, 2, [1])]
    assert of_rules(rule(TCP, source(1, 3), DROP), rule(source(1, 2), DROP), rule(source(1), ACCEPT)) == [
        (SHADOWED, 2, [1])
    ]


def test_a_rule_that_is_only_partly_taken_is_not_told() -> None:
    assert of_rules(rule(source(1), DROP), rule(source(1, 2), ACCEPT), rule(DROP)) == []


def test_a_rule_that_asks_for_what_excludes_itself_can_never_match() -> None:
    assert of_rules(rule(TCP, UDP, DROP)) == [(NEVER_MATCHES, 0, [])]


def test_a_chain_is_entered_with_what_its_callers_ask_for() -> None:
    found = lint(ruleset(base(rule(TCP, Jump("user")), rule(UDP, DROP)), chain("user", rule(UDP, DROP), rule(DROP))))
    assert told(found) == [(NEVER_MATCHES, "user", 0, [0])]
    assert found.findings[0].because[0].chain == "main"


def test_what_a_called_chain_takes_is_laid_on_the_jump() -> None:
    user = chain("user", rule(source(1), Return()), rule(ACCEPT))
    found = lint(ruleset(base(rule(TCP, Jump("user")), rule(TCP, source(2), DROP), rule(DROP)), user))
    assert told(found) == [(SHADOWED, "main", 1, [0])]


def test_a_chain_that_nothing_leads_to_is_told_once() -> None:
    lost = chain("lost", rule(TCP, DROP), rule(DROP))
    assert told(lint(ruleset(base(rule(UDP, DROP)), lost))) == [(UNREACHABLE, "lost", -1, [])]


def test_a_chain_behind_a_shadowed_jump_is_unreachable_through_it() -> None:
    found = lint(ruleset(base(rule(DROP), rule(TCP, Goto("user"))), chain("user", rule(ACCEPT))))
    assert told(found) == [(SHADOWED, "main", 1, [0]), (UNREACHABLE, "user", -1, [1])]


def test_marks_are_followed() -> None:
    marked = bits(known.MARK, 3, 1)
    assert of_rules(rule(TCP, mark(1)), rule(UDP, mark(2)), rule(TCP, bits(known.MARK, 3, 2), DROP)) == [
        (SHADOWED, 2, [0])
    ]
    assert of_rules(rule(TCP, mark(1)), rule(TCP, marked, DROP), rule(TCP, ACCEPT), rule(DROP)) == [(SHADOWED, 2, [1])]
    found = of_rules(rule(TCP, DROP), rule(marked, mark(2)), rule(marked, DROP))
    assert found == [(SHADOWED, 2, [1])]


def test_elements_of_maps_lead_to_chains() -> None:
    mapping = NamedMap(
        "to", (known.L4PROTO,), "verdict", (MapElement(((6, 6),), Jump("user")), MapElement(((17, 17),), ACCEPT))
    )
    tables = table(
        base(rule(Dispatch((KeyPart(known.L4PROTO),), "to")), rule(DROP)),
        chain("user", rule(UDP, DROP), rule(TCP, ACCEPT)),
        maps=(mapping,),
    )
    assert told(lint(ruleset(tables))) == [(NEVER_MATCHES, "user", 0, [0])]


def test_a_rule_is_judged_at_all_hooks_of_its_table() -> None:
    both = ruleset(table(base(rule(source(1), DROP), rule(source(1), DROP)), family=Family.INET))
    assert told(lint(both)) == [(SHADOWED, "main", 1, [0])]
    user = chain("user", rule(TCP, DROP))
    hooks = (base(rule(TCP, ACCEPT), rule(Jump("user")), name="a", hook=Hook.INPUT), base(rule(Jump("user")), name="b"))
    assert told(lint(ruleset(*hooks, user))) == [(NEVER_MATTERS, "a", 1, [])]


def test_all_rules_of_a_line_have_to_be_dead() -> None:
    file = SourceFile("dump", "-A FORWARD -j X\n")
    from_line = Origin(file, 1)
    dead = replace(rule(TCP, source(1), ACCEPT), origins=(from_line,))
    alive = replace(rule(UDP, source(1), ACCEPT), origins=(from_line,))
    assert of_rules(rule(TCP, DROP), dead, alive, rule(DROP)) == []
    assert of_rules(rule(TCP, DROP), dead, dead, rule(DROP)) == [(SHADOWED, 1, [0])]


def test_the_policy_of_a_user_chain_is_no_rule() -> None:
    own = Origin(SourceFile("ebtables", ":user ACCEPT\n"), 1)
    user = replace(chain("user", rule(DROP), replace(rule(ACCEPT), origins=(own,))), origin=own)
    assert told(lint(ruleset(base(rule(Jump("user"))), user))) == []


# --- what cannot be known ---


def test_an_opaque_rule_shadows_only_the_same_question() -> None:
    first, other = OpaqueTest("string x"), OpaqueTest("string y")
    assert of_rules(rule(first, DROP), rule(other, ACCEPT), rule(first, TCP, ACCEPT), rule(DROP)) == [
        (SHADOWED, 2, [0])
    ]
    assert of_rules(rule(TCP, first, DROP), rule(TCP, ACCEPT), rule(DROP)) == []


def test_a_limit_shadows_nothing_and_matters() -> None:
    assert of_rules(rule(limit("a"), ACCEPT), rule(limit("a"), ACCEPT), rule(DROP)) == []


def test_a_hook_that_cannot_be_decided_is_named_and_nothing_is_said_of_it() -> None:
    looped = ruleset(base(rule(TCP, DROP), rule(TCP, ACCEPT), rule(Jump("user"))), chain("user", rule(Jump("user"))))
    found = lint(looped)
    assert found.findings == ()
    assert [item.reason for item in found.undecided] == ["a jump loop leads through chain user"]


def test_out_of_memory_is_undecided() -> None:
    rules = [rule(source(at * 7 % 1013), dport(at), HAS_PORTS, DROP) for at in range(400)]
    found = lint(ruleset(*rules), limits=Limits(nodes=600))
    assert found.findings == ()
    assert found.undecided
    assert "memory" in found.undecided[0].reason


# --- rules that change nothing ---


def test_what_the_policy_decides_alike_never_matters() -> None:
    found = lint(ruleset(base(rule(TCP, DROP), rule(UDP, ACCEPT), rule(source(1), DROP), accepts=False)))
    assert told(found) == [(NEVER_MATTERS, "main", 0, []), (NEVER_MATTERS, "main", 2, [])]
    assert [item.reason for item in found.findings] == ["the policy decides the same"] * 2


def test_what_later_rules_decide_alike_never_matters_and_names_them() -> None:
    assert of_rules(rule(TCP, source(1), DROP), rule(source(2), ACCEPT), rule(TCP, DROP)) == [(NEVER_MATTERS, 0, [2])]
    assert of_rules(rule(source(1), DROP), rule(UDP, ACCEPT), rule(DROP)) == []


def test_of_two_equal_rules_only_the_shadowed_one_is_told() -> None:
    assert of_rules(rule(TCP, DROP), rule(TCP, DROP)) == [(SHADOWED, 1, [0])]


def test_a_rule_in_front_of_a_dead_rule_that_would_do_another_thing_matters() -> None:
    assert of_rules(rule(TCP, ACCEPT), rule(TCP, DROP)) == [(SHADOWED, 1, [0])]


def test_a_log_on_the_way_makes_a_rule_matter() -> None:
    assert of_rules(rule(TCP, DROP), rule(log("x")), rule(DROP)) == []
    assert of_rules(rule(TCP, log("x"), DROP), rule(DROP)) == []


def test_rejects_of_other_kinds_are_no_substitute() -> None:
    assert of_rules(rule(TCP, Reject("tcp reset")), rule(Reject("icmp", "port-unreachable"))) == []


def test_a_jump_to_where_nothing_happens_never_matters() -> None:
    found = lint(ruleset(base(rule(TCP, Jump("user")), rule(UDP, DROP)), chain("user")))
    assert told(found) == [(NEVER_MATTERS, "main", 0, [])]


def test_a_return_at_the_end_of_a_chain_never_matters() -> None:
    found = lint(ruleset(base(rule(Jump("user")), rule(DROP)), chain("user", rule(TCP, ACCEPT), rule(Return()))))
    assert told(found) == [(NEVER_MATTERS, "user", 1, [])]


def test_rules_that_only_count_are_counted_and_not_found() -> None:
    found = lint(ruleset(rule(TCP, DROP), rule(TCP, does.Count(1, 2), None), rule(UDP, DROP)))
    assert (found.findings, found.counting, found.rules) == ((), 1, 3)


# --- no finding is wrong ---


def numbered(found: Ruleset) -> Ruleset:
    """Give each rule a line of its own, as a dump has it."""
    file, line = SourceFile("random", ""), 0
    tables = []
    for one in found.tables:
        chains = []
        for part in one.chains:
            rules = []
            for item in part.rules:
                line += 1
                rules.append(replace(item, origins=(Origin(file, line),)))
            chains.append(replace(part, rules=tuple(rules)))
        tables.append(replace(one, chains=tuple(chains)))
    return Ruleset(tuple(tables))


def without(found: Ruleset, gone: set[tuple[str, str, int]]) -> Ruleset:
    tables = []
    for one in found.tables:
        chains = tuple(
            replace(
                part,
                rules=tuple(item for at, item in enumerate(part.rules) if (table_name(one), part.name, at) not in gone),
            )
            for part in one.chains
        )
        tables.append(replace(one, chains=chains))
    return Ruleset(tuple(tables))


def key(item: Finding) -> tuple[str, str, int]:
    return item.place.table, item.place.chain, item.place.number


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_what_is_told_of_random_rulesets_is_true(seed: int) -> None:
    randomly = Random(seed)
    checked = numbered(random_ruleset(randomly))
    found = lint(checked)
    assert not found.undecided
    dead = {key(item) for item in found.findings if item.kind in {SHADOWED, NEVER_MATCHES}}
    lost = {key(item)[:2] for item in found.findings if item.kind is UNREACHABLE}
    idle = {key(item) for item in found.findings if item.kind is NEVER_MATTERS}
    for visit in visits_of(checked):
        for number in range(20):
            packet = random_packet(randomly, visit, malformed=False, whole=arrives_whole(checked, visit))
            for passed in evaluate(checked, visit, packet, partial(answer_for, seed + number)).trace:
                place = (table_name(passed.table), passed.chain.name, passed.number)
                assert place[:2] not in lost
                # a look-up in a map that finds nothing counts as held
                assert not passed.held or place not in dead or isinstance(passed.rule.verdict, Dispatch)
    for places in (dead, *({place} for place in idle)):
        left = without(checked, places)
        # a rule that matches nothing can still make the kernel put fragments together
        if all(arrives_whole(checked, visit) == arrives_whole(left, visit) for visit in visits_of(checked)):
            assert compare(checked, left).equal, places


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_plain_rulesets_have_every_dead_rule_told(seed: int) -> None:
    """Without marks, limits and calls nothing is guessed: a rule that is not told has a packet that it decides."""
    randomly = Random(seed)
    ports = (22, 23, 80)
    rules = [
        rule(
            *randomly.sample([TCP, UDP, source(1), source(1, 2), source(2)], randomly.randint(0, 2)),
            *([HAS_PORTS, dport(*randomly.sample(ports, 2))] if randomly.random() < 0.5 else []),
            randomly.choice((ACCEPT, DROP)),
        )
        for _ in range(6)
    ]
    found = lint(ruleset(*rules))
    dead = {item.place.number for item in found.findings if item.kind is not NEVER_MATTERS}
    idle = {item.place.number for item in found.findings if item.kind is NEVER_MATTERS}
    whole = ruleset(*rules)
    for number in range(len(rules)):
        fewer = ruleset(*rules[:number], *rules[number + 1 :])
        if compare(whole, fewer).equal:
            others = {at for at in range(number + 1, len(rules)) if at in dead or at in idle}
            assert number in dead | idle or others, number
        else:
            assert number not in dead | idle


def test_builders_are_told_by_hook() -> None:
    found = lint(Ruleset((table(base(rule(DROP), rule(TCP, DROP), hook=Hook.INPUT)),)))
    assert [item.place.table for item in found.findings] == ["ip filter"]
