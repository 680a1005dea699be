"""What a shell's `[ ... ]` comes to where all its words are known: no file is looked at, and nothing is run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fwtrans.parsers.shell_expand import Unreadable, expand
from fwtrans.parsers.shell_lists import is_bash
from fwtrans.parsers.shell_programs import find_call, firewall_program, is_always_true

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.parsers.shell_expand import Variables
    from fwtrans.parsers.shell_outline import SimpleCommand
    from fwtrans.parsers.shell_words import Passage, RawWord

_NUMBER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_OCTAL = re.compile(r"\b0[0-9]")
_COMPARES = {
    "-eq": int.__eq__, "-ne": int.__ne__, "-lt": int.__lt__, "-le": int.__le__, "-gt": int.__gt__, "-ge": int.__ge__,
}  # fmt: skip
_BINARY = {"=", "!=", "==", *_COMPARES}
_PATTERN = re.compile(r"[*?\[\\]")
_CHANGES = frozenset({"export", "readonly", "declare", "typeset", "local", "set", "unset", "cd", "shift", "trap"})
_TWO, _THREE, _FOUR = 2, 3, 4


def truth(commands: Sequence[SimpleCommand], variables: Variables, passage: Passage) -> bool | None:
    """Return whether a list of commands, as an `if` asks it, succeeds; None where only running it would tell."""
    status: bool | None = None
    for number, command in enumerate(commands):
        if number and command.before not in {"&&", "||"}:
            return None
        if number and status is (command.before == "||"):
            continue
        found = None if command.inside or command.after in {"|", "|&", "&"} else status_of(command, variables, passage)
        if found is None:
            return None
        if command.words[0].bare in _CHANGES:  # it is not carried out here
            return None
        status = found is not command.negated
    return status


def status_of(command: SimpleCommand, variables: Variables, passage: Passage) -> bool | None:
    """Return whether a simple command succeeds; None where that is not known."""
    words = command.words
    if not words:
        return None
    program = words[0].bare
    if program in {"true", ":"}:
        return True
    if program == "false":
        return False
    if program == "[[":
        return None if command.redirections else _double_brackets(words[1:], variables, passage)
    if program in {"[", "test"}:
        try:
            values = [found.value for word in words[1:] for found in expand(word, variables, passage)]
        except Unreadable:
            return None
        if program == "[" and values[-1:] != ["]"]:
            return None
        return known_test(values[:-1] if program == "[" else values, bash=is_bash(passage))
    call = find_call(words, variables, passage)
    return True if call is not None and call.problem is None and is_always_true(call) else None


def known_test(values: Sequence[str], *, bash: bool) -> bool | None:
    """Return what `test` says of its words; None where it asks for more than these."""
    if len(values) <= 1:
        return bool(values) and values[0] != ""
    if len(values) == _THREE and values[1] in _BINARY:
        return _binary(values[0], values[1], values[2], bash=bash)
    if values[0] == "!" and len(values) <= _FOUR:
        found = known_test(values[1:], bash=bash)
        return None if found is None else not found
    return _unary(*values) if len(values) == _TWO else None


def _unary(operator: str, value: str) -> bool | None:
    if operator in {"-n", "-z"}:
        return (value != "") is (operator == "-n")
    # where iptables itself is not there, the script does nothing worth translating
    return True if operator in {"-x", "-f", "-e"} and firewall_program(value) is not None else None


def _binary(left: str, operator: str, right: str, *, bash: bool) -> bool | None:
    if operator in {"=", "!="}:
        return (left == right) is (operator == "=")
    if operator == "==":  # an error in dash, which fails, too
        return left == right if bash or left != right else None
    compare = _COMPARES.get(operator)
    if compare is None or not (_NUMBER.fullmatch(left) and _NUMBER.fullmatch(right)):
        return None
    if bash and _OCTAL.search(f"{left} {right}"):  # `[[` reads them as arithmetic does, `[` as decimal numbers
        return None
    return bool(compare(int(left), int(right)))


def _double_brackets(words: Sequence[RawWord], variables: Variables, passage: Passage) -> bool | None:
    """Read what stands in [[ ]], where no variable is cut into words and the right side may be a pattern."""
    if not words or words[-1].bare != "]]" or variables.caseless:
        return None
    try:
        values = [
            "".join(found.value for found in expand(word, variables, passage, split=False)) for word in words[:-1]
        ]
    except Unreadable:
        return None
    if len(values) > 1 and _PATTERN.search(values[-1]):
        return None
    return known_test(values, bash=True)
