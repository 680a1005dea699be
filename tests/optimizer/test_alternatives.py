"""A rule for packets of several kinds becomes one rule for each, as it is printed."""

from __future__ import annotations

from fwtrans.ir.fields import IP_TTL
from fwtrans.ir.match import AnyOf, number
from fwtrans.ir.stateful import EveryNth, StatefulObject, StatefulTest
from fwtrans.ir.verdict import Goto, Jump, Return
from fwtrans.optimizer.alternatives import with_alternatives_apart
from tests.optimizer.proofs import assert_safe, becomes, shown
from tests.semantics.builders import DROP, TCP, base, chain, dport, limit, log, rule, source, table

EITHER = AnyOf(((TCP, dport(22)), (source(1),)))
LAST = rule(log("x"), DROP)


def test_what_leaves_the_chain_is_one_rule_for_each_kind() -> None:
    called = chain("a", rule(TCP, DROP))
    for verdict in (DROP, Return(), Goto("a")):
        apart = (rule(TCP, dport(22), verdict), rule(TCP, source(1), verdict))
        before = (base(rule(TCP, EITHER, verdict), LAST), called)
        assert becomes(with_alternatives_apart, *before) == shown(base(*apart, LAST), called)


def test_alternatives_twice_are_all_pairs() -> None:
    other = AnyOf(((number(IP_TTL, 1),), (number(IP_TTL, 2),)))
    before = base(rule(EITHER, other, DROP), LAST)
    apart = (
        rule(*first, number(IP_TTL, second), DROP) for first in ((TCP, dport(22)), (source(1),)) for second in (1, 2)
    )
    assert becomes(with_alternatives_apart, before) == shown(base(*apart, LAST))


def test_what_goes_on_or_is_counted_is_done_once_for_each_packet() -> None:
    called = chain("a", rule(TCP, log("y")))
    for end in ((log("z"),), (limit("a"), DROP), (Jump("a"),)):
        found = assert_safe(with_alternatives_apart, table(base(rule(EITHER, *end), LAST), called))
        rules = found.chains[0].rules
        assert len(rules) == 5  # the source with port 22 or without: another protocol, a later fragment, another port
        assert not any(isinstance(step, AnyOf) for each in rules for step in each.steps)


def test_what_several_rules_cannot_share_stays_one_rule() -> None:
    third = StatefulTest(StatefulObject("third", EveryNth(3, 0)), ())
    before = base(rule(EITHER, third, DROP), LAST)
    assert becomes(with_alternatives_apart, before) == shown(before)


def test_more_rules_than_anybody_wants_to_load_stay_one() -> None:
    for count, parted in ((32, True), (600, False)):
        many = AnyOf(tuple((source(each),) for each in range(count)))
        text = becomes(with_alternatives_apart, base(rule(many, DROP), LAST))
        assert (text != shown(base(rule(many, DROP), LAST))) is parted
