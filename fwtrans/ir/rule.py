"""A rule: an ordered list of steps, then a verdict or none.

The order matters because iptables goes from left to right: `-m limit ... -m tcp --dport 22` charges the bucket for every
packet. Only pure tests may be moved, and only across pure tests.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeGuard

from fwtrans.ir.effect import Effect
from fwtrans.ir.match import AnyOf, FieldTest, MemberTest, OpaqueTest, PureTest
from fwtrans.ir.remembering import Remembering, remembers_hash
from fwtrans.ir.stateful import ConnectionCount, Drawn, EveryNth, Random, StatefulFromMap, StatefulTest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fwtrans.ir.verdict import Verdict
    from fwtrans.source import Origin

Step = PureTest | StatefulTest | StatefulFromMap | Effect
_NAMELESS = (ConnectionCount, Drawn, EveryNth, Random)


@remembers_hash
@dataclass(frozen=True, slots=True)
class Rule(Remembering):
    """One rule. Origins, counters and comment do not take part in equality: equal meaning is equal value."""

    steps: tuple[Step, ...]
    verdict: Verdict | None = None
    origins: tuple[Origin, ...] = field(default=(), compare=False)
    counters: tuple[int, int] | None = field(default=None, compare=False)
    comment: str = field(default="", compare=False)


def is_pure(step: Step) -> TypeGuard[PureTest]:
    """Tell whether a step changes nothing and always answers the same for one packet."""
    if isinstance(step, FieldTest):  # as most are
        return True
    if isinstance(step, MemberTest):
        return not step.dynamic
    if isinstance(step, AnyOf):
        return all(is_pure(test) for branch in step.branches for test in branch)
    return isinstance(step, OpaqueTest)


def pure_front(rule: Rule) -> tuple[PureTest, ...]:
    """Return the tests that a rule begins with, up to the first step that does something or may answer otherwise next time."""
    found: list[PureTest] = []
    for step in rule.steps:
        if not is_pure(step):
            break
        found.append(step)
    return tuple(found)


def has_memory(step: Step) -> bool:
    """Tell whether copies of a step would have to share one memory; what is kept by key is a set with a name already."""
    return isinstance(step, StatefulFromMap) or (isinstance(step, StatefulTest) and not step.key)


def counts_alone(step: Step) -> bool:
    """Tell whether a step counts, or draws, in a place that has no name in nftables: copies of it would do so apart."""
    return isinstance(step, StatefulTest) and not step.key and isinstance(step.object.kind, _NAMELESS)


def joined_origins(rules: Iterable[Rule]) -> tuple[Origin, ...]:
    """Return where a rule is from that stands for all of these."""
    return tuple(dict.fromkeys(origin for rule in rules for origin in rule.origins))


def never_matches(rule: Rule) -> bool:
    """Tell whether a test of the rule asks for nothing (`--dport` of an empty range, a mark outside its mask)."""
    return any(isinstance(step, FieldTest) and step.values.is_empty for step in rule.steps)
