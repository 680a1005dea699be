"""What a rule logs, in a chain of the port, off the way of all other packets.

Before, in two ports' chains:        tcp dport 25 limit rate 1/second log prefix ":101:6:tap101i0-OUT: DROP: " group 0
                                     tcp dport 25 drop
After, in the class of both:         tcp dport 25 goto OUT-v4-log-DROP-drop
and for both:                        chain OUT-v4-log-DROP-drop { iifname vmap @OUT-v4-log-DROP; drop; }
and for each port:                   chain tap101i0-OUT-v4-log-DROP { limit rate 1/second log prefix ":101:..." group 0; }

A log's prefix is a constant of its rule: nftables has no map for it. So the log stays one for each prefix, reached by a map
from the port, and its chain holds nothing else: what is done to the packet then is the same for all ports. Where the next
rule asks the same and has a verdict, it moves along, so that other packets pass one rule instead of two. Without tests
there is nobody to spare, and the look-up stands where the log stood.

Names come from what the prefix and the chain say besides the port, and never from the order of ports or rules.

It declines where the rule itself returns or goes elsewhere: what falls out of a jump would come back to the wrong place.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.effect import Count, Log
from fwtrans.ir.ending import always_goes_on
from fwtrans.ir.rule import is_pure
from fwtrans.ir.stateful import StatefulTest
from fwtrans.ir.verdict import TERMINAL, Goto, Jump, Return
from fwtrans.optimizer.constants import words_of

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from fwtrans.ir.rule import Rule, Step

_LONGEST = 40
# A map's name says already which way packets go.
_DIRECTIONS = frozenset({"IN", "OUT"})
_SAYS_NOTHING = re.compile(r"class|[0-9]+|(?=.*[0-9])[0-9a-f]{6,10}")


class LogPlace(NamedTuple):
    """The place in a chain of rules from which on ports go their own ways.

    `start` is the first step that moves, and `with_next` tells whether the next rule's verdict is for the same packets.
    `verdict_stays` tells whether the rule's own verdict is for all packets that were logged, whatever their port is.
    """

    rule: int
    start: int
    with_next: bool
    verdict_stays: bool


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
    stays = all(all(map(always_goes_on, rules[rule].steps[start:])) for rules in members)
    return LogPlace(rule, start, with_next, stays)


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


def log_kind(prefix: str, ports: Container[str]) -> str:
    """Return what a prefix says besides the port and numbers: ":101:6:tap101i0-IN: policy DROP: " is a policy-DROP."""
    found = [word for word in words_of(prefix) if word not in ports and not word.isdigit() and word not in _DIRECTIONS]
    return "-".join(["log", *found])[:_LONGEST]


def chain_words(name: str, ports: Container[str]) -> str:
    """Return what a chain's name says besides the port, numbers and hashes."""
    words = [word for word in name.split("-") if word not in ports and not _SAYS_NOTHING.fullmatch(word)]
    return "-".join(words)[:_LONGEST]
