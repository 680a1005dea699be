"""What a script hands to `iptables-restore` in its own text, as the calls of iptables that come to the same.

    iptables-restore <<EOF        cat <<EOF | iptables-restore        (echo '*filter'; echo COMMIT) | iptables-restore

A table begins with `-F` and `-X` unless `--noflush` is given; `:CHAIN DROP` is `-P`, `:CHAIN -` is `-N`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.parsers.iptables_save.words import split_line
from fwtrans.parsers.shell_expand import expand

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fwtrans.parsers.shell_expand import Variables
    from fwtrans.parsers.shell_outline import SimpleCommand
    from fwtrans.parsers.shell_programs import Call
    from fwtrans.parsers.shell_words import Operator, Passage, RawWord, ShellWord

_PROGRAM = re.compile(r"(ip6?tables)(?:-legacy|-nft)?-restore")
_COUNTERS = re.compile(r"\[[0-9]+:[0-9]+\]")
_FLUSHING = frozenset({"-c", "--counters", "-w", "--wait"})
_KEEPING = frozenset({"-n", "--noflush"})
_BUILT_IN = frozenset({"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"})
_VARIABLE = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")
_COMPUTED = re.compile(r"[\\`$]")
# Programs that say a document: a function or an alias of that name may say something else.
_SAYING = frozenset({"cat", "echo"})
# `-t nat`, `-tnat`, `-wtnat`, `--table=nat` and what it may be shortened to: iptables-restore refuses the whole document.
_TABLE = re.compile(r"-[46nvwx]*t|--t(?:a(?:b(?:le?)?)?)?(?:=|$)")
_HEAD = 2


class RestoredCall(NamedTuple):
    """One call: the program, its words, the table, and how many words its line has in front of them."""

    program: str
    words: tuple[ShellWord, ...]
    table: str
    before: int
    may_fail: bool = False


class _Line(NamedTuple):
    """A line that the program reads, and the place in the script that it comes from."""

    text: str
    place: ShellWord


def restored_calls(
    call: Call, command: SimpleCommand, written: Sequence[SimpleCommand], variables: Variables, passage: Passage
) -> tuple[RestoredCall, ...] | None:
    """Return the calls; None where the rules come from elsewhere, or only a shell could tell what they are.

    Raises Unreadable at a word of `echo` that is not known.
    """
    program = _PROGRAM.fullmatch(call.program)
    options = [word.value for word in call.words]
    if program is None or call.problem is not None or not set(options) <= _FLUSHING | _KEEPING:
        return None
    if not _SAYING.isdisjoint(variables.redefined):
        return None
    lines = _read(command, written, variables, passage)
    if lines is None or not any(line.text.strip() for line in lines):
        return None
    return _calls(lines, program[1], flushes=not _KEEPING.intersection(options))


def _read(
    command: SimpleCommand, written: Sequence[SimpleCommand], variables: Variables, passage: Passage
) -> list[_Line] | None:
    """Return the lines that a command reads, where they stand in the script."""
    if any("<" in operator.text for operator, _ in command.redirections):
        return _document(command.redirections, variables, passage) if command.before != "|" else None
    at = next((number for number, each in enumerate(written) if each.words[:1] == command.words[:1]), 0)
    if command.before != "|" or not at:
        return None
    feeding = written[at - 1]
    if [word.bare for word in feeding.words] == ["cat"] and feeding.before != "|":
        return _document(feeding.redirections, variables, passage)
    if feeding.words and feeding.before != "|" and not (feeding.redirections or feeding.inside != command.inside):
        return _said([replace(feeding, after="")], len(feeding.inside), variables, passage)
    if feeding.closed is None or feeding.closed.word != "(" or feeding.redirections or feeding.closed.before == "|":
        return None
    inside = [each for each in written[:at] if any(opener.offset == feeding.closed.offset for opener in each.inside)]
    return _said(inside, len(feeding.inside) + 1, variables, passage)


def _said(commands: Sequence[SimpleCommand], depth: int, variables: Variables, passage: Passage) -> list[_Line] | None:
    """Return what a list of `echo` says; None where another command stands among them."""
    lines: list[_Line] = []
    for command in commands:
        if command.words[:1] and command.words[0].bare == ":" and len(command.words) == 1:
            continue
        is_plain = not (command.before or command.redirections or command.after in {"&", "|", "|&", "&&", "||"})
        if not command.words or command.words[0].bare != "echo" or not is_plain or len(command.inside) != depth:
            return None
        said = [found.value for word in command.words[1:] for found in expand(word, variables, passage)]
        text = " ".join(said)
        if "\\" in text or {"-n", "-e", "-E"}.intersection(said[:1]):  # shells do not agree on these
            return None
        first = command.words[0]
        place = passage.place(first.start, command.words[-1].end, "")
        lines.extend(_Line(part, place) for part in text.split("\n"))
    return lines


def _document(
    redirections: Sequence[tuple[Operator, RawWord | None]], variables: Variables, passage: Passage
) -> list[_Line] | None:
    """Return the lines of a here-document with its variables put in, or those of `<<< "$RULES"`."""
    reading = [found for found in redirections if "<" in found[0].text]
    if len(reading) != 1 or reading[0][1] is None:
        return None
    operator, delimiter = reading[0][0], reading[0][1]
    if operator.text == "<<<":
        text = "".join(found.value for found in expand(delimiter, variables, passage, split=False))
        place = passage.place(delimiter.start, delimiter.end, "")
        return [_Line(part, place) for part in text.split("\n")]
    if operator.text not in {"<<", "<<-"}:
        return None
    return _lines_below(operator, delimiter, variables, passage)


def _lines_below(operator: Operator, delimiter: RawWord, variables: Variables, passage: Passage) -> list[_Line] | None:
    end_line = "".join(piece.text for piece in delimiter.pieces)
    is_literal = any(piece.quoted for piece in delimiter.pieces)
    at = passage.text.find("\n", delimiter.end) + 1
    start = _line_start(passage.text, operator.start)
    beside = passage.text[start : operator.start], passage.text[delimiter.end : at]
    if any("<<" in text for text in beside) or not at:  # two documents, one behind the other
        return None
    lines: list[_Line] = []
    for written in passage.text[at:].split("\n"):
        line = written.lstrip("\t") if operator.text == "<<-" else written
        if line == end_line:
            return lines
        text = line if is_literal else _with_values(line, variables)
        if text is None:
            return None
        start = at + len(written) - len(line)
        lines.append(_Line(text, passage.place(start, at + len(written), "")))
        at += len(written) + 1
    return None


def _line_start(text: str, at: int) -> int:
    """Return where the line begins that the shell reads there, which a backslash joins with the one before."""
    start = text.rfind("\n", 0, at) + 1
    while start > 1 and text[start - 2] == "\\":
        start = text.rfind("\n", 0, start - 1) + 1
    return start


def _with_values(line: str, variables: Variables) -> str | None:
    """Put values into a line of a document; None where one is not known, or where a shell would compute something."""
    if _COMPUTED.search(_VARIABLE.sub("", line)):
        return None
    names = {found[1] or found[2] for found in _VARIABLE.finditer(line)}
    if not names <= variables.values.keys() or any("\n" in variables.values[name] for name in names):
        return None
    return _VARIABLE.sub(lambda found: variables.values[found[1] or found[2]], line)


def _calls(lines: Sequence[_Line], program: str, *, flushes: bool) -> tuple[RestoredCall, ...] | None:
    table = ""
    made: list[RestoredCall] = []
    for line in lines:
        text = line.text.strip()
        if not text or text[:1] == "#":
            continue
        if not table:
            if text[:1] != "*":
                return None
            table = text[1:].strip()
            made.extend(_call(program, [word], table, line) for word in ("-F", "-X") if flushes)
        elif text == "COMMIT":
            table = ""
        elif text[:1] == ":":
            made.extend(_chain(program, text[1:].split(), table, line, flushes=flushes))
        else:
            words, _ = split_line(text)
            before = 1 if words and _COUNTERS.fullmatch(words[0]) else 0
            if any(map(_TABLE.match, words)) or any(word[:1] == "*" for word in words[:1]):
                return None
            made.append(_call(program, words[before:], table, line, before - 1))
    return None if table else tuple(made)  # without COMMIT nothing is loaded


def _chain(program: str, words: Sequence[str], table: str, line: _Line, *, flushes: bool) -> Iterator[RestoredCall]:
    """Yield what `:CHAIN POLICY` does; one that is there already is only emptied, where tables are not."""
    name, policy = [*words, "", ""][:_HEAD]
    if policy not in {"-", ""}:
        yield _call(program, ["-P", name, policy], table, line)
    elif name not in _BUILT_IN:
        yield _call(program, ["-N", name], table, line)._replace(may_fail=not flushes)
        if not flushes:
            yield _call(program, ["-F", name], table, line)


def _call(program: str, words: Sequence[str], table: str, line: _Line, before: int = 0) -> RestoredCall:
    return RestoredCall(program, tuple(line.place._replace(value=word) for word in words), table, before)
