"""Steps that nftables can say only as a chain of their own, and how a rule is cut where it calls one.

Some of what a match does needs several rules ("enter the address into the next free place of four"). Its `lower` then
returns a `Call` among its steps: everything in the subroutine happens, and the rule goes on behind it. A rule of
nftables cannot go on behind a jump, so it becomes two:

    limit rate 1/second @called accept      limit rate 1/second jump rule-7       the rest in a chain, entered once
                                            chain rule-7 { jump called; accept }
    tcp dport 22 @called accept             tcp dport 22 jump called              or, where asking again is the same,
                                            tcp dport 22 accept                   a second rule that asks again
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.effect import SetOperation, SetUpdate
from fwtrans.ir.match import MemberTest
from fwtrans.ir.rule import is_pure
from fwtrans.ir.verdict import Goto, Jump, Return, Verdict
from fwtrans.lower.extensions.base import no_exact_form

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fwtrans.ir.rule import Rule, Step


@dataclass(frozen=True, slots=True)
class Subroutine:
    """A chain that is called for what a match does; it always returns. Two of one name are the same."""

    match: str
    name: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """The subroutine's rules, at this place among a rule's steps."""

    subroutine: Subroutine


class Piece(NamedTuple):
    """One rule of what a rule was cut into."""

    steps: tuple[Step, ...]
    verdict: Verdict | None


def cut(
    steps: Sequence[Step | Call],
    verdict: Verdict | None,
    enter: Callable[[Subroutine], str],
    rest: Callable[[list[Piece]], str],
) -> list[Piece]:
    """Return the rules, in order, that together do what the one with calls does.

    `enter` returns the chain's name of a subroutine, `rest` makes a chain of pieces and returns its name.
    """
    before: list[Step] = []
    for index, step in enumerate(steps):
        if not isinstance(step, Call):
            before.append(step)
            continue
        call = Piece(tuple(before), Jump(enter(step.subroutine)))
        behind = steps[index + 1 :]
        if verdict is None and not behind:
            return [call]
        if _answers_again(before, step.subroutine):
            return [call, *cut((*before, *behind), verdict, enter, rest)]
        if isinstance(verdict, (Return, Goto)):
            raise no_exact_form(
                step.subroutine.match,
                "what stands before it changes by being asked, it fills a list, and then the rule leaves the chain: "
                "several rules in place of one cannot do that",
                option=step.subroutine.match,
            )
        own = rest([Piece((), call.verdict), *cut(behind, verdict, enter, rest)])
        return [Piece(tuple(before), Jump(own))]
    return [Piece(tuple(before), verdict)]


def _answers_again(steps: Sequence[Step], called: Subroutine) -> bool:
    """Tell whether steps that held hold again after the call, and asking them twice changes nothing."""
    changes = [step for rule in called.rules for step in rule.steps if isinstance(step, SetUpdate)]
    touched = {change.set_name for change in changes}
    emptied = {change.set_name for change in changes if change.operation is SetOperation.DELETE}
    return all(
        is_pure(step) or (isinstance(step, MemberTest) and step.set_name not in (emptied if step.inside else touched))
        for step in steps
    )
