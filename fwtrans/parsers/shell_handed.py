"""Functions that are handed over by name: `each() { func=$1; ...; $func $2; }`, called as `each show "$LIST"`.

What such a variable may hold can be told where one function sets it, from one of its own parameters, and every call of
that function in the script has a plain name there. Otherwise it may hold the name of any function.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fwtrans.parsers.shell_outline import FUNCTION
from fwtrans.parsers.shell_start import assigns
from fwtrans.parsers.shell_words import Kind

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from fwtrans.parsers.shell_outline import SimpleCommand
    from fwtrans.parsers.shell_words import RawWord

_PARAMETER = re.compile(r"\$([1-9])|\$\{([1-9])\}")
_SETTING_PARAMETERS = frozenset({"set", "shift"})


def handed_functions(
    program: RawWord, commands: Sequence[SimpleCommand], functions: Container[str], text: str
) -> frozenset[str] | None:
    """Return the functions whose names the program's word may hold; None where nobody can say."""
    pieces = [piece for piece in program.pieces if piece.text]
    if len(pieces) != 1 or pieces[0].kind is not Kind.VARIABLE:
        return None
    found = _setting(pieces[0].text, commands, text)
    if found is None:
        return None
    function, number = found
    names = set(_handed(function, number, commands, text))
    if not names or not all(name is not None and name in functions for name in names):
        return None
    return frozenset(name for name in names if name is not None)


def _setting(name: str, commands: Sequence[SimpleCommand], text: str) -> tuple[str, int] | None:
    """Return the function that sets a variable, and from which of its parameters, if nothing else sets it."""
    found: set[tuple[str, int]] = set()
    for command in commands:
        if command.loop_variable == name or any(word.bare == name for word in command.words):
            return None
        for word in command.words:
            assigned = assigns(word)
            if assigned is None or assigned[1] != name:
                continue
            value = text[word.start : word.end].partition("=")[2].strip('"')
            parameter = _PARAMETER.fullmatch(value)
            around = _function_around(command)
            if parameter is None or assigned[2] or not around:
                return None
            found.add((around, int(parameter[1] or parameter[2])))
    if len(found) != 1:
        return None
    (function, number), *_ = found
    changes = any(
        _function_around(command) == function and command.words and command.words[0].bare in _SETTING_PARAMETERS
        for command in commands
    )
    return None if changes else (function, number)


def _function_around(command: SimpleCommand) -> str:
    return next((opener.name for opener in reversed(command.inside) if opener.word == FUNCTION), "")


def _handed(function: str, number: int, commands: Sequence[SimpleCommand], text: str) -> Iterator[str | None]:
    """Yield the word at one place of each call of a function, None where that is not plain or its name stands elsewhere.

    A word in front that may become none or several would move the others, so all up to that place have to be plain.
    """
    mentioned = re.compile(rf"(?<![\w-]){re.escape(function)}(?![\w-])")
    calls = 0
    for command in commands:
        if command.words and command.words[0].bare == function:
            calls += 1
            words = [word.bare for word in command.words[1 : number + 1]]
            yield words[-1] if len(words) == number and all(words) else None
    if len(mentioned.findall(re.sub(r"(?m)^\s*#.*$", "", text))) != calls + 1:  # its definition is the one more
        yield None
