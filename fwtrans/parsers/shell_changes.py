"""Variables that a script sets in other ways than by `NAME=value`: nobody can say what they hold.

    ((PORT++))    X=$((PORT += 1))    ${PORT:=22}    let PORT=23    printf -v PORT 23    mapfile PORT    PORTS=(22 80)

They are looked for in the whole text, wherever the change stands: better one variable too many than an old value.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fwtrans.parsers.shell_start import assigns
from fwtrans.parsers.shell_words import Kind, Operator, RawWord

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fwtrans.parsers.shell_expand import Variables
    from fwtrans.parsers.shell_outline import SimpleCommand
    from fwtrans.parsers.shell_words import Token

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_ASSIGNED = re.compile(
    rf"({_NAME})(?:\[[^\]]*\])?\s*(?:=(?!=)|(?:[-+*/%&|^]|<<|>>)=|\+\+|--)|(?:\+\+|--)\s*({_NAME})", re.ASCII
)
_DEFAULT = re.compile(rf"\$\{{({_NAME}):?=", re.ASCII)
_ELEMENT = re.compile(rf"({_NAME})\[[^\]]*\]\+?=.*", re.ASCII | re.DOTALL)
_WHOLE_NAME = re.compile(_NAME, re.ASCII)
_ARRAY = re.compile(rf"({_NAME})\+?=", re.ASCII)
_READERS = frozenset({"mapfile", "readarray"})
_DECLARING = frozenset({"declare", "typeset", "local", "export", "readonly"})
_IN_FRONT = frozenset({"then", "do", "else", "elif", "if", "while", "until", "{", "!", "time", "builtin", "command"})
_LEAVING = frozenset({"return", "break", "continue"})
_TWO = 2
_BRACED = re.compile(rf"\$\{{({_NAME})\}}")
_QUOTED_VALUE = re.compile(r"""=(?:'[^'`$]*'|"(?:[^"`$]|\$(?!\())*")?""")
_OTHER_KINDS = re.compile(r"[-+][A-Za-z]*[nialucA][A-Za-z]*")


def changed_names(found: Sequence[Token], text: str) -> Iterator[tuple[str, int]]:
    """Yield each such variable, and where it is changed."""
    line: list[RawWord] = []
    for index, token in enumerate(found):
        if isinstance(token, Operator):
            before = found[index - 1] if index else None
            if token.text == "(" and before is not None and before.end == token.start:
                yield from _bracket(before, text, token.start)
            if not token.is_redirection:
                yield from _command(line, text)
                line = []
        elif isinstance(token, RawWord):
            line.append(token)
            yield from _pieces(token)
    yield from _command(line, text)


def puts_back(name: str, at: SimpleCommand, commands: Sequence[SimpleCommand]) -> bool:
    """Tell whether a variable that a command of a function sets is as before at the end of its list of commands.

    old=$IFS; IFS=:; set $1; IFS=$old
    """
    around = _parts_around(at)
    offsets = [offset for offset, _ in around]
    kept = ""
    is_set = False
    for command in commands:
        if [offset for offset, _ in _parts_around(command)][: len(offsets)] != offsets:
            continue
        words = [word.bare for word in command.words]
        if is_set and words[:1] and words[0] in _LEAVING:
            return False
        for word in command.words:
            found = assigns(word)
            pieces = [piece for piece in word.pieces if piece.text]
            variable = pieces[1].text if len(pieces) == _TWO and pieces[1].kind is Kind.VARIABLE else ""
            is_plain = len(command.words) == 1 and _parts_around(command) == around and not command.before
            if found is None:
                continue
            if is_plain and variable == name and not is_set:
                kept = found[1]
            elif found[1] == name:
                if not (is_plain and kept):
                    return False
                is_set = variable != kept
            elif found[1] == kept:
                return False
    return bool(kept) and not is_set


def evaluated_name(words: Sequence[RawWord], variables: Variables) -> str:
    r"""Return the one variable that an `eval` sets, "" where it may do something else.

    eval "$name=''"       eval "${name}_list=\"$VALUE\""
    """
    if len(words) != _TWO:
        return ""
    left, rest = "", ""
    for piece in words[1].pieces:
        value: str | None = piece.text
        if piece.kind is Kind.VARIABLE:
            value = variables.values.get(piece.text)
        elif piece.kind is Kind.COMPUTED:
            plain = _BRACED.fullmatch(piece.text)
            value = variables.values.get(plain[1]) if plain else None
        if rest or value is None:
            rest += piece.text if piece.kind is Kind.TEXT else " "
        else:
            left, equals, value = (left + value).partition("=")
            rest = equals + value
    return left if _WHOLE_NAME.fullmatch(left) and _QUOTED_VALUE.fullmatch(rest) else ""


def _parts_around(command: SimpleCommand) -> list[tuple[int, int]]:
    return [(opener.offset, opener.part) for opener in command.inside]


def _bracket(before: Token, text: str, start: int) -> Iterator[tuple[str, int]]:
    """Look into `((...))`, and at the name of an array in front of `(`."""
    if isinstance(before, Operator) and before.text == "(":
        end = text.find("))", start)
        yield from _assigned(text[start : end if end >= 0 else len(text)], start)
    elif isinstance(before, RawWord) and before.bare is not None and (array := _ARRAY.fullmatch(before.bare)):
        yield array[1], before.start


def _pieces(word: RawWord) -> Iterator[tuple[str, int]]:
    for piece in word.pieces:
        if piece.kind is not Kind.COMPUTED:
            continue
        yield from ((found[1], word.start) for found in _DEFAULT.finditer(piece.text))
        if piece.text.startswith("$(("):
            yield from _assigned(piece.text, word.start)
    bare = word.bare
    if bare is not None and (element := _ELEMENT.fullmatch(bare)):
        yield element[1], word.start


def _command(words: list[RawWord], text: str) -> Iterator[tuple[str, int]]:
    """Look at one command that takes names of variables for its words."""
    while words and words[0].bare in _IN_FRONT:
        words = words[1:]
    if len(words) < 2 or (program := words[0].bare) is None:
        return
    if program == "let":
        yield from _assigned(text[words[1].start : words[-1].end], words[1].start)
    given = [(word.bare or "", word.start) for word in words[1:]]
    if program == "printf" and given[0][0] == "-v" and len(given) > 1:
        yield from _names(given[1:2])
    elif program in _READERS or (program in _DECLARING and any(_OTHER_KINDS.fullmatch(word) for word, _ in given)):
        yield from _names(given)


def _names(given: list[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    """Take both names of `declare -n OTHER=NAME`, which are one variable."""
    for word, start in given:
        yield from ((name, start) for name in re.split(r"[=\[]", word, maxsplit=1) if _WHOLE_NAME.fullmatch(name))


def _assigned(text: str, start: int) -> Iterator[tuple[str, int]]:
    for found in _ASSIGNED.finditer(text):
        yield found[1] or found[2], start
