"""A rule for packets of several kinds becomes one rule for each, where it only asks and leaves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.match import AnyOf
from fwtrans.ir.verdict import Goto, Jump, Return
from fwtrans.optimizer.alternatives import with_alternatives_apart
from tests.optimizer.proofs import becomes, shown
from tests.semantics.builders import DROP, TCP, base, chain, dport, limit, log, rule, source

if TYPE_CHECKING:
    from fwtrans.ir.ruleset import Table


def apart_everywhere(table: Table) -> Table:
    return replace(table, chains=tuple(map(with_alternatives_apart, table.chains)))


EITHER = AnyOf(((TCP, dport(22)), (source(1),)))
LAST = rule(log("x"), DROP)


def test_what_leaves_the_chain_is_one_rule_for_each_kind() -> None:
    called = chain("a", rule(TCP, DROP))
    for verdict in (DROP, Return(), Goto("a")):
        apart = (rule(TCP, TCP, dport(22), verdict), rule(TCP, source(1), verdict))
        before = (base(rule(TCP, EITHER, verdict), LAST), called)
        assert becomes(apart_everywhere, *before) == shown(base(*apart, LAST), called)


def test_alternatives_twice_are_all_pairs() -> None:
    before = base(rule(EITHER, AnyOf(((dport(1),), (dport(2),))), DROP), LAST)
    apart = (
        rule(*first, second, DROP) for first in ((TCP, dport(22)), (source(1),)) for second in (dport(1), dport(2))
    )
    assert becomes(apart_everywhere, before) == shown(base(*apart, LAST))


def test_what_would_be_done_twice_stays_one_rule() -> None:
    called = chain("a", rule(TCP, log("y")))
    for item in (rule(EITHER, log("z"), DROP), rule(EITHER, limit("a"), DROP), rule(EITHER, Jump("a"))):
        before = (base(item, LAST), called)
        assert becomes(apart_everywhere, *before) == shown(*before)


def test_many_kinds_stay_one_rule() -> None:
    for count, parted in ((16, True), (17, False)):
        many = AnyOf(tuple((source(number),) for number in range(count)))
        text = becomes(apart_everywhere, base(rule(many, DROP), LAST))
        assert (text != shown(base(rule(many, DROP), LAST))) is parted
