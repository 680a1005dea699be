"""Rules that leave a chain, RETURN or goto, for packets without a thing that nft can only ask to be there (a socket).

    -o lo, no socket: return      oifname lo goto it;  goto behind        (behind: the chain's later rules)
    ...                           it: meta skuid >= 0 goto behind

Where a rule decides the packet or jumps, its rest stands in a chain that packets with the thing leave at once
(`flat_rule`). A RETURN there would come back too early, and a goto not at all. So the chain's later rules get a chain of
their own, to which all packets go that do not leave: none of these gotos puts anything on the stack, and the end of each
of these chains is the end of the chain that they were.

In a base chain a RETURN is the policy, and is said as such.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeGuard

from fwtrans.backend.nft.selectors import ASKED_POSITIVELY
from fwtrans.ir.expand import TooManyCopies, expand
from fwtrans.ir.match import FieldTest, absent, present
from fwtrans.ir.rule import Rule
from fwtrans.ir.ruleset import Chain
from fwtrans.ir.verdict import Accept, Drop, Goto, Return
from fwtrans.ir.walk import flat_steps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import ValueSet
    from fwtrans.ir.rule import Step
    from fwtrans.ir.ruleset import Table

    Settled = Mapping[Field, ValueSet]


def is_missing(step: Step) -> TypeGuard[FieldTest]:
    """Tell whether the step asks that something is not there which nft can only ask to be there."""
    return isinstance(step, FieldTest) and step.field in ASKED_POSITIVELY and step == absent(step.field)


def leaving_without(table: Table, settled: Settled) -> Table:
    """Return the table in which no rule leaves its chain behind a test that a thing is missing."""
    if not any(_leaves(rule) for chain in table.chains for rule in chain.rules):
        return table
    taken = {chain.name for chain in table.chains}
    chains: list[Chain] = []
    for chain in table.chains:
        rules = chain.rules
        if chain.base is not None:
            policy = Accept() if chain.base.accepts else Drop()
            rules = tuple(_with_policy(rule, policy) if _leaves(rule) else rule for rule in rules)
        chains.extend(_Splitting(chain, taken, settled).run(rules))
    return replace(table, chains=tuple(chains))


def _leaves(rule: Rule) -> bool:
    return isinstance(rule.verdict, (Return, Goto)) and any(map(is_missing, flat_steps(rule.steps)))


def _with_policy(rule: Rule, policy: Accept | Drop) -> Rule:
    return replace(rule, verdict=policy) if isinstance(rule.verdict, Return) else rule


class _Splitting:
    """One chain, and the chains that its later rules become."""

    def __init__(self, chain: Chain, taken: set[str], settled: Settled) -> None:
        self.chain = chain
        self.taken = taken
        self.settled = settled
        self.done: list[Chain] = []
        self.current = chain
        self.rules: list[Rule] = []

    def run(self, rules: Sequence[Rule]) -> list[Chain]:
        """Return the chain and those that were cut off it."""
        for rule in rules:
            for copy in self._copies(rule):
                self._add(copy)
        self._end()
        return self.done

    def _copies(self, rule: Rule) -> tuple[Rule, ...]:
        """Return the rule, or the flat rules that it is where one of them leaves without a thing."""
        if not _leaves(rule):
            return (rule,)
        try:
            flat = expand(rule, self.settled)
        except TooManyCopies:  # told where the rule is printed
            return (rule,)
        return tuple(
            replace(rule, steps=steps, verdict=verdict, counters=rule.counters if number == 0 else None)
            for number, (steps, verdict) in enumerate(flat)
        )

    def _add(self, rule: Rule) -> None:
        at = next((at for at, step in enumerate(rule.steps) if is_missing(step)), None)
        if at is None or not isinstance(rule.verdict, (Return, Goto)):
            self.rules.append(rule)
            return
        missing = rule.steps[at]
        assert is_missing(missing)  # noqa: S101 -- that is how it was found
        without, behind = self._name("without"), self._name("behind")
        onward = Rule((), Goto(behind))
        self.rules.extend([replace(rule, steps=rule.steps[:at], verdict=Goto(without)), onward])
        self._end()
        there = replace(rule, steps=(present(missing.field),), verdict=Goto(behind), counters=None)
        self.current, self.rules = Chain(without, ()), [there]
        rest = rule.steps[at + 1 :]
        if rest or not isinstance(rule.verdict, Return):  # a return at a chain's end says nothing
            self._add(replace(rule, steps=rest, counters=None))
        if rest:
            self.rules.append(onward)
        self._end()
        self.current, self.rules = Chain(behind, ()), []

    def _end(self) -> None:
        self.done.append(replace(self.current, rules=tuple(self.rules)))

    def _name(self, what: str) -> str:
        number = 1
        while (name := f"{self.chain.name}-{what}-{number}") in self.taken:
            number += 1
        self.taken.add(name)
        return name
