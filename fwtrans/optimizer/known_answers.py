"""Rejects that are known to be for the right packets do not ask whom they are for.

    all ways are for TCP:           l4proto tcp, reject with tcp reset           becomes   reject with tcp reset
    the rule asks for an address:   nfproto ipv6, ip6 saddr X, reject with ...   becomes   ip6 saddr X, reject with ...

nft tests by itself whom an answer is for, and whoever reads its text reads these tests. What they show about the other tests
of their rule must not be used before they go: the ruleset that was printed has never said them.

Why it is safe: a test goes only where another one of its rule says the same, or all ways to its chain do.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.fields import L4PROTO, NFPROTO
from fwtrans.ir.match import number
from fwtrans.ir.remembering import once
from fwtrans.ir.rule import pure_front
from fwtrans.ir.verdict import Reject
from fwtrans.optimizer.base import with_rules
from fwtrans.optimizer.facts import decider_of
from fwtrans.optimizer.known_kinds import known_kinds

if TYPE_CHECKING:
    from fwtrans.ir.match import FieldTest
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain, Table
    from fwtrans.optimizer.facts import Facts

_FOR_WHOM = {"tcp reset": number(L4PROTO, 6), "icmp": number(NFPROTO, 2), "icmpv6": number(NFPROTO, 10)}


def without_known_answers(table: Table) -> Table:
    """Return the table with rejects that do not ask whom they are for where that is known."""
    if not any(map(_answers, table.chains)):
        return table
    # what `whole` says is whether headers are there, which no answer asks
    decider, kinds = decider_of(table), known_kinds(table, whole=True)

    def silent(rule: Rule, facts: Facts) -> Rule:
        asked = _for_whom(rule)
        if asked is None or asked not in rule.steps:
            return rule
        front = pure_front(rule)
        others = tuple(step for step in front if step != asked)
        is_known = decider.decide(asked, decider.learn(others, facts)) == ()
        return replace(rule, steps=(*others, *rule.steps[len(front) :])) if is_known else rule

    chains = (
        with_rules(chain, tuple(silent(rule, kinds.of(chain.name)) for rule in chain.rules))
        if _answers(chain)
        else chain
        for chain in table.chains
    )
    return replace(table, chains=tuple(chains))


@once
def _answers(chain: Chain) -> bool:
    return any(_for_whom(rule) in rule.steps for rule in chain.rules if isinstance(rule.verdict, Reject))


def _for_whom(rule: Rule) -> FieldTest | None:
    """Return the test that nft makes by itself in front of a rule."""
    return _FOR_WHOM.get(rule.verdict.protocol) if isinstance(rule.verdict, Reject) else None
