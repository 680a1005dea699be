"""One chain under facts: which of its rules are left, what is left of each, and how packets come back from it."""

from __future__ import annotations

from dataclasses import replace
from operator import is_
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import verdict as verdicts
from fwtrans.optimizer.by_name import rules_for
from fwtrans.optimizer.leaving import Leaving, class_of
from fwtrans.optimizer.rule_walk import walk_steps, without_last_tests
from fwtrans.optimizer.state import State, joined_states

if TYPE_CHECKING:
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain
    from fwtrans.ir.verdict import Verdict
    from fwtrans.optimizer.interpreter import Interpreter
    from fwtrans.optimizer.leaving import BitClass
    from fwtrans.source import Origin

    Origins = tuple[Origin, ...]


class Exits(NamedTuple):
    """How packets come back from a chain: the states at its end and returns, by what is known there of the mark's bits.

    `falls` says what is known of the bits at the chain's end. `lacks` tells that some packets leave by more chains than
    one, for which the caller could have named no end.
    """

    states: tuple[tuple[BitClass, State], ...] = ()
    falls: BitClass = None
    lacks: bool = False

    @property
    def after(self) -> State | None:
        """Return what is known of all packets that come back; None where no packet does."""
        found: State | None = None
        for _, state in self.states:
            found = joined_states(found, state)
        return found

    @property
    def classes(self) -> tuple[BitClass, ...]:
        """Return what may be known of the bits at an exit."""
        return tuple(found for found, _ in self.states)


class Visited(NamedTuple):
    """A chain that has been walked: its new name, None where nothing is left of it, and how packets come back."""

    name: str | None
    exits: Exits


class ChainWalk:
    """Goes through the rules of one chain for packets of one state."""

    def __init__(self, interpreter: Interpreter, chain: Chain, state: State, leaving: Leaving | None) -> None:
        self.interpreter = interpreter
        self.chain = chain
        self.leaving = leaving
        self.lacks = False
        self._state: State | None = state
        self._states: dict[BitClass, State] = {}

    def run(self) -> tuple[tuple[Rule, ...], Exits]:
        """Return what is left of the rules, and how packets come back."""
        rules: list[Rule] = []
        facts = self._state.facts if self._state is not None else {}
        for at, rule in rules_for(self.chain, 0, facts):
            if self._state is None:
                break
            left = self._rule(at, rule, self._state)
            if left is not None:
                rules.append(left)
        falls: BitClass = None
        if self._state is not None:
            falls = self.class_of(self._state)
            ending = self._leave(self._state)
            if ending is not None:
                rules.append(ending)
        if len(rules) == len(self.chain.rules) and all(map(is_, rules, self.chain.rules)):
            return self.chain.rules, Exits(tuple(self._states.items()), falls, self.lacks)
        return tuple(rules), Exits(tuple(self._states.items()), falls, self.lacks)

    def class_of(self, state: State) -> BitClass:
        """Return what is known of the bits that decide where packets come back to."""
        return class_of(state.facts, self.interpreter.mask) if self.interpreter.mask else None

    def _leave(self, state: State) -> Rule | None:
        """Return the end of packets that leave the chain here; where they just come back, note in what state."""
        found = self.class_of(state)
        ending = self.leaving.ending(found) if self.leaving is not None else None
        if ending is None:
            self._come_back(found, state)
        return ending

    def _come_back(self, found: BitClass, state: State) -> None:
        joined = joined_states(self._states.get(found), state)
        assert joined is not None  # noqa: S101 -- a state joined with anything is a state
        self._states[found] = joined

    def _rule(self, at: int, rule: Rule, state: State) -> Rule | None:
        walked = walk_steps(self.interpreter.decider, rule, state, learn=self.interpreter.learn)
        verdict: Verdict | None = None
        said_by: Origins = ()
        onward: State | None = None
        if walked.held is not None:
            verdict, said_by, onward = self._verdict(at, rule.verdict, walked.held)
        self._state = joined_states(walked.failed, onward)
        steps = walked.steps if verdict is not None else without_last_tests(walked.steps)
        if verdict is None and not steps:
            return None
        if steps == rule.steps and (verdict is rule.verdict or verdict == rule.verdict):
            return rule
        origins = tuple(dict.fromkeys((*rule.origins, *said_by))) if said_by else rule.origins
        return replace(rule, steps=steps, verdict=verdict, origins=origins)

    def _verdict(self, at: int, verdict: Verdict | None, held: State) -> tuple[Verdict | None, Origins, State | None]:
        """Return what is left of a verdict, who says so if not the rule, and the state of packets that go on behind it."""
        if verdict is None:
            return None, (), held
        if isinstance(verdict, verdicts.Jump):
            found = self.interpreter.jumped(self, at + 1, verdict.chain, held)
            return _going(verdict, found.name), (), found.exits.after
        if isinstance(verdict, verdicts.Return):
            return *_said(self._leave(held), verdict), None
        if isinstance(verdict, verdicts.Goto):
            return *self._goto(verdict, held), None
        if isinstance(verdict, verdicts.Dispatch):
            left, onward = self._dispatch(verdict, held)
            return left, (), onward
        return verdict, (), None

    def _goto(self, verdict: verdicts.Goto, held: State) -> tuple[Verdict | None, Origins]:
        found = self.interpreter.called(verdict.chain, held, self.leaving)
        self.lacks = self.lacks or found.exits.lacks
        if found.name is None:
            return _said(self._leave(found.exits.after or held), verdicts.Return())
        for bits, state in found.exits.states:
            self._come_back(bits, state)
        return _going(verdict, found.name), ()

    def _dispatch(self, verdict: verdicts.Dispatch, held: State) -> tuple[Verdict | None, State | None]:
        left, visited = self.interpreter.dispatched(verdict, held)
        onward: State | None = held
        for found in visited:
            onward = joined_states(onward, found.exits.after)
        if any(isinstance(value, (verdicts.Return, verdicts.Goto)) for value in self.interpreter.map_values(verdict)):
            self._come_back(None, onward or held)
        return left, onward


def _said(ending: Rule | None, otherwise: Verdict) -> tuple[Verdict | None, Origins]:
    return (otherwise, ()) if ending is None else (ending.verdict, ending.origins)


def _going(verdict: verdicts.Jump | verdicts.Goto, name: str | None) -> Verdict | None:
    """Return the verdict that leads to a chain; none where that has no name."""
    if name is None:
        return None
    return verdict if name == verdict.chain else replace(verdict, chain=name)
