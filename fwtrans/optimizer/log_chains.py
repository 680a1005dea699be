"""What a rule does from its log on, in a chain of the port, off the way of all other packets.

Before, in two ports' chains:        tcp dport 25 limit rate 1/second log prefix ":101:6:tap101i0-OUT: DROP: " group 0
                                     tcp dport 25 drop
After, in the class of both:         tcp dport 25 iifname vmap @iif-log
and for each port:                   chain tap101i0-OUT-log-1 { limit rate 1/second log prefix ":101:..." group 0; drop; }

A log's prefix is a constant of its rule: nftables has no map for it. So the log stays one for each prefix, reached by a map
from the port. Where the next rule asks the same and has a verdict, it moves along: one look-up for both. If it ends the
packet's way in the chain, the way to the log is a goto. If it calls another chain, the way is a jump and the call becomes a
goto, which comes back to the same place. A log alone is jumped to, and the next rule follows, whether it logged or not.

It declines where the rule itself returns or goes elsewhere: what falls out of a jump would come back to the wrong place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.effect import Count, Log
from fwtrans.ir.rule import is_pure
from fwtrans.ir.stateful import StatefulTest
from fwtrans.ir.verdict import TERMINAL, Goto, Jump, Return

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.ir.rule import Rule, Step


class LogPlace(NamedTuple):
    """The place in a chain of rules from which on ports go their own ways.

    `start` is the first step that moves, and `with_next` tells whether the next rule moves along. `comes_back` tells
    whether a packet may go on with the rule behind them.
    """

    rule: int
    start: int
    with_next: bool
    comes_back: bool


def can_move(rule: Rule) -> bool:
    """Tell whether the rule means the same at the end of a chain that is jumped to."""
    return rule.verdict is None or isinstance(rule.verdict, (*TERMINAL, Jump))


def first_own_step(steps: Sequence[Step], logs: int) -> int:
    """Return where the part of a rule begins that goes with the log at `logs`: at its limit, if it has one."""
    start = logs
    for at in range(logs - 1, -1, -1):
        if isinstance(steps[at], (StatefulTest, Log, Count)):
            start = at
        elif not is_pure(steps[at]):
            break
    return start


def log_place(members: Sequence[Sequence[Rule]], rule: int, logs: int) -> LogPlace:
    """Return the place for the rule of that number, whose step `logs` differs between members."""
    start = min(first_own_step(rules[rule].steps, logs) for rules in members)
    with_next = all(_next_moves(rules, rule, start) for rules in members)
    comes_back = not with_next or isinstance(members[0][rule + 1].verdict, Jump)
    return LogPlace(rule, start, with_next, comes_back)


def _next_moves(rules: Sequence[Rule], number: int, start: int) -> bool:
    """Tell whether the next rule asks what this one has asked before its log, and decides."""
    if number + 1 >= len(rules):
        return False
    this, following = rules[number], rules[number + 1]
    asked, rest = this.steps[:start], this.steps[start:]
    return (
        this.verdict is None
        and following.steps == asked
        and isinstance(following.verdict, (*TERMINAL, Return, Goto, Jump))
        and all(is_pure(step) for step in asked)
        and all(isinstance(step, (StatefulTest, Log, Count)) or is_pure(step) for step in rest)
    )
