"""One rule under facts: what is left of its steps, and what is known behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fwtrans.ir import effect as does
from fwtrans.ir.ending import NEVER_END
from fwtrans.ir.fields import FieldKind
from fwtrans.ir.match import AnyOf, FieldTest, MemberTest, OpaqueTest
from fwtrans.ir.verdict import TERMINAL
from fwtrans.optimizer.clauses import is_protocol, names_protocol
from fwtrans.optimizer.facts import keeps_all
from fwtrans.optimizer.state import State, behind, joined_states

if TYPE_CHECKING:
    from fwtrans.ir.match import PureTest
    from fwtrans.ir.rule import Rule, Step
    from fwtrans.optimizer.facts import Decider

ASKING = (FieldTest, MemberTest, OpaqueTest, AnyOf)


@dataclass(slots=True)
class Walked:
    """What is left of a rule's steps, and the states in which packets come out of them.

    `held` are the packets that pass all steps (None: there are none), `failed` those that do not.
    """

    steps: tuple[Step, ...]
    held: State | None
    failed: State | None


def walk_steps(decider: Decider, rule: Rule, state: State, *, learn: bool) -> Walked:
    """Return what is left of the steps of a rule for packets of a state."""
    if not rule.steps:
        return Walked((), state, None)
    walk = _Walk(decider, state, learn, names_protocol(rule))
    # nobody asks what is known of packets that a rule ends
    last = len(rule.steps) if isinstance(rule.verdict, TERMINAL) else 0
    for number, step in enumerate(rule.steps, start=1):
        walk.ends = number == last
        if not walk.step(step):
            return Walked(without_last_tests(walk.kept), None, joined_states(walk.skipped, walk.base))
    failed = None if walk.sure else walk.failing()
    return Walked(rule.steps if walk.same else tuple(walk.kept), walk.held, failed)


def without_last_tests(steps: list[Step] | tuple[Step, ...]) -> tuple[Step, ...]:
    """Return steps up to the last one that does something, for a rule that ends with no verdict."""
    last = len(steps)
    while last and isinstance(steps[last - 1], ASKING):
        last -= 1
    return tuple(steps[:last])


class _Walk:
    """Goes through the steps. `base` is what is known whether tests have held or not."""

    __slots__ = (
        "_asked", "_decider", "_learn", "_names_protocol", "_start",
        "base", "ends", "held", "kept", "same", "skipped", "sure",
    )  # fmt: skip

    def __init__(self, decider: Decider, state: State, learn: bool, names_protocol: bool) -> None:
        self._decider = decider
        self._learn = learn
        self._names_protocol = names_protocol
        self._start = state
        self.kept: list[Step] = []
        self.ends = False
        self.held = self.base = state
        self.skipped: State | None = None
        self.sure = self.same = True
        self._asked: list[PureTest] = []

    def step(self, step: Step) -> bool:
        """Take a step in; tell whether packets come through it."""
        if isinstance(step, ASKING):
            return self._test(step)
        if isinstance(step, does.Assign):
            if _changes_nothing(step, self.held):
                self.same = False
                return True
            if step.source is not None and not self._decider.there(step.source.field, self.held.facts):
                self._may_end()
        elif not isinstance(step, NEVER_END) or (isinstance(step, does.Nat) and step.map_name):
            self._may_end()
        after = behind(step, self.held)
        if after is not self.held:
            self.base = behind(step, self.base) if self.base is not self.held else after
            self.held = after
        self.kept.append(step)
        return True

    def _test(self, step: PureTest) -> bool:
        left = self._decider.decide(step, self.held.facts)
        if left is None:
            return False
        if not left and self._names_protocol and is_protocol(step):
            self.kept.append(step)
            return True
        if len(left) == 1 and (left[0] is step or not self._learn):
            self.same = self.same and left[0] is step
            self._keep(left[0])
            return True
        self.same = False
        if self._learn:
            # an any-of that has become tests one behind the other
            self.ends = False
            return all(self._test(part) for part in left)
        for part in left:
            self._keep(part)
        return True

    def _keep(self, test: PureTest) -> None:
        self._may_end()
        self._asked.append(test)
        self.kept.append(test)
        if self._learn and not self.ends:
            facts = self._decider.learn((test,), self.held.facts)
            if facts is not self.held.facts:
                self.held = State(facts, self.held.given)

    def _may_end(self) -> None:
        self.sure = False
        self.skipped = joined_states(self.skipped, self.base)

    def failing(self) -> State | None:
        """Return what is known of packets that fail: more, where the rule does nothing but ask a single thing."""
        failed = self.skipped
        if failed is None or not self._learn or failed is not self._start or len(self.kept) != len(self._asked):
            return failed
        asked = self._asked_alone()
        if asked is None:
            return failed
        facts = self._decider.unlearn(asked, failed.facts)
        return failed if facts is failed.facts else State(facts, failed.given)

    def _asked_alone(self) -> PureTest | None:
        """Return the one test whose field is there only where all others hold: nftables need not be told these at all."""
        if len(self._asked) == 1:
            return self._asked[0]
        for test in self._asked:
            needs = (self._decider.needs(test.field) or ()) if isinstance(test, FieldTest) else ()
            if needs and all(other is test or other in needs for other in self._asked):
                return test
        return None


def _changes_nothing(step: does.Assign, state: State) -> bool:
    if step.source is not None or step.field.kind is not FieldKind.BITS:
        return False
    return keeps_all(state.facts.get(step.field), step.field.width, step.keep, step.constant)
