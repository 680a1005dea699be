"""Words of a line to their shape, and shapes to the places of what they hold; each distinct shape is parsed once.

`add office 10.0.0.1 timeout 300` is ADD NAME ELEMENT OPTION VALUE, with an option at word 3.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, cast

from fwtrans.diagnostics import Refused
from fwtrans.parsers.grammar import TOKENS, load_grammar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

OPTION = "OPTION"
VALUE = "VALUE"
FLAG = "FLAG"
UNKNOWN = "UNKNOWN"

# In the order in which ipset tries them: any beginning of a name is enough, so `a` is add and `d` is del.
_COMMANDS = (
    ("CREATE", ("create", "new", "-N")),
    ("ADD", ("add", "-A")),
    ("DELETE", ("del", "-D")),
    ("TEST", ("test", "-T")),
    ("DESTROY", ("destroy", "x", "-X")),
    ("LIST", ("list", "-L")),
    ("SAVE", ("save", "-S")),
    ("RESTORE", ("restore", "-R")),
    ("FLUSH", ("flush", "-F")),
    ("RENAME", ("rename", "e", "-E")),
    ("SWAP", ("swap", "w", "-W")),
    ("HELP", ("help", "-h", "-H")),
    ("VERSION", ("version", "v", "-V", "-v")),
)
_EXPECTED = {
    "NAME": "the name of a set",
    "TYPE": "a set type",
    "ELEMENT": "an element",
    "VALUE": "a value",
    "OPTION": "an option",
    "$END": "the end of the line",
}


class Shape(NamedTuple):
    """Where a command holds what: `command` is the grammar's rule, `options` the words that are options.

    An option stands at `index`; its value, if it has one, at the next word.
    """

    command: str
    options: tuple[tuple[int, bool], ...]


@lru_cache(maxsize=256)
def command_terminal(word: str) -> str | None:
    """Return the terminal of a command by its name, an abbreviation of it, or its old short form."""
    name = word[2:] if len(word) > 2 and word.startswith("--") else word
    if name in {"", "-"}:
        return None
    for terminal, spellings in _COMMANDS:
        if any(spelling.startswith(name) for spelling in spellings):
            return terminal
    return None


def terminals(words: Sequence[str], fixed: tuple[str, ...], takes_value: Callable[[str], bool | None]) -> Iterator[str]:
    """Yield the terminal of each word: the fixed ones by their place, then options as the set type knows them."""
    yield from fixed[: len(words)]
    index = len(fixed)
    while index < len(words):
        valued = takes_value(words[index])
        if valued is None:
            yield UNKNOWN
        elif valued:
            yield OPTION
            index += 1
            if index < len(words):
                yield VALUE
        else:
            yield FLAG
        index += 1


@lru_cache(maxsize=4096)
def parse_shape(shape: tuple[str, ...]) -> Shape:
    """Return what Lark makes of the shape; Refused has the number of the word to blame as its `option`."""
    from lark import Token, UnexpectedInput  # noqa: PLC0415 -- see fwtrans/parsers/grammar.py

    grammar = load_grammar("ipset_save", lexer=TOKENS)
    tokens = [Token(terminal, terminal, start_pos=index) for index, terminal in enumerate(shape)]
    try:
        tree = grammar.parse(cast("str", tokens))  # the lexer passes tokens on
    except UnexpectedInput as error:
        raise _refused(shape, error) from error
    (command,) = tree.iter_subtrees()
    options = [
        (token.start_pos or 0, token.type == OPTION)
        for token in command.children
        if isinstance(token, Token) and token.type in {OPTION, FLAG}
    ]
    return Shape(str(command.data), tuple(options))


def _refused(shape: tuple[str, ...], error: Exception) -> Refused:
    token = getattr(error, "token", None)
    expected = sorted(getattr(error, "expected", None) or getattr(error, "accepts", None) or ())
    words = [_EXPECTED[name] for name in expected if name in _EXPECTED]
    at_end = token is None or token.type == "$END"
    index = len(shape) - 1 if token is None or at_end else token.start_pos
    wanted = " or ".join(words) or "nothing"
    return Refused("FWT120", f"{wanted} is missing" if at_end else f"expected {wanted}", option=str(index))
