"""Loops over the tables that the kernel has, which begin many old scripts and only empty them.

cat /proc/net/ip_tables_names | while read table; do iptables -t $table -F; iptables -t $table -X; done
for table in $(cat /proc/net/ip_tables_names); do iptables -t $table -F; done

Which tables these are only a running host knows. Where the script has made no rule before, it does not matter.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.parsers.shell_constructs import Construct
    from fwtrans.parsers.shell_outline import SimpleCommand
    from fwtrans.parsers.shell_programs import Call

_NAMES = re.compile(r"/proc/(?:self/)?net/ip6?_tables_names")
_NAMES_READ = re.compile(rf"[\"']?(?:\$\(|`)\s*(?:cat\s+|<\s*){_NAMES.pattern}(?:\s+2>\s*/dev/null)?\s*(?:\)|`)[\"']?")
_SHOWING = frozenset({"-n", "--numeric", "-v", "--verbose", "-x", "--exact", "-w", "--wait", "--line-numbers"})
_OF_A_CHAIN = frozenset({"-F", "--flush", "-X", "--delete-chain", "-Z", "--zero", "-L", "--list", "-S", "--list-rules"})
_TABLE = frozenset({"-t", "--table"})
_POLICY = frozenset({"-P", "--policy"})
_HARMLESS = frozenset({"read", "test", "[", "[[", "echo", "printf", "logger", ":", "true"})


def goes_over_tables(construct: Construct, piped: SimpleCommand | None, text: str) -> bool:
    """Tell whether a loop goes over the tables that the kernel has. `piped` is the command in front of it."""
    read = [word for operator, word in construct.end.redirections if operator.text == "<"]
    if construct.opener.word == "for":
        head = construct.parts[0][0]
        words = head.loop_words or ()
        return len(words) == 1 and _NAMES_READ.fullmatch(text[words[0].start : words[0].end]) is not None
    if construct.opener.before != "|":
        return len(read) == 1 and read[0] is not None and _NAMES.fullmatch(read[0].bare or "") is not None
    words = tuple(piped.words) if piped is not None and not piped.before and not read else ()
    return len(words) == 2 and words[0].bare == "cat" and _NAMES.fullmatch(words[1].bare or "") is not None


def only_empties(call: Call | None) -> bool:
    """Tell whether a command in such a loop makes nothing: it empties or lists chains, reads, tests, or says something."""
    if call is None:
        return False
    if not call.is_firewall:
        return call.program in _HARMLESS and not call.hides_firewall
    return _leaves_no_rule([word.value for word in call.words], _OF_A_CHAIN)


def makes_no_rule(words: Sequence[str]) -> bool:
    """Tell whether a call of iptables that stands before such a loop leaves nothing that the loop would take away."""
    return _leaves_no_rule(words, _OF_A_CHAIN | _POLICY)


def _leaves_no_rule(words: Sequence[str], commands: frozenset[str]) -> bool:
    """Look at each word; a word that is not known here may be anything, so it counts as a rule."""
    at, asked = 0, 0
    while at < len(words):
        word = words[at]
        at += 1
        if word in _TABLE:
            at += 1
        elif word in commands:
            asked += 1
            for _ in range(2 if word in _POLICY else 1):
                at += at < len(words) and words[at][:1] != "-"
        elif word not in _SHOWING:
            return False
    return asked == 1
