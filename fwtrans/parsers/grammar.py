"""Loads the Lark grammars of grammars/, each once a process.

    load_grammar("iptables_save", start=("command_line",), lexer=TOKENS).parse(tokens, start="command_line")

Loading takes about 15 ms, so nothing is pickled: a cache in a temporary directory would be code that somebody else could
have written there. Lark itself (50 ms) is imported when the first grammar is loaded, so that importing a reader is cheap.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lark import Lark, Token

TOKENS = "tokens"
"""Instead of a lexer: `parse` is handed an iterable of tokens."""

_PACKAGE = Path(__file__).resolve().parents[1]
_FOLDERS = (_PACKAGE / "_grammars", _PACKAGE.parent / "grammars")


@cache
def load_grammar(
    name: str, *, start: tuple[str, ...] = ("start",), lexer: str | type = "contextual", keep_all_tokens: bool = False
) -> Lark:
    """Return the LALR parser of `name`.lark; `lexer` is one of Lark's names, a class of one's own, or `TOKENS`."""
    from lark import Lark  # noqa: PLC0415 -- see the module docstring

    chosen: Any = _token_lexer() if lexer == TOKENS else lexer
    return Lark.open(
        str(grammar_path(name)), parser="lalr", start=list(start), lexer=chosen, keep_all_tokens=keep_all_tokens
    )


def grammar_path(name: str) -> Path:
    """Return where the grammar is: inside the installed package, or beside the package in a checkout."""
    for folder in _FOLDERS:
        path = folder / f"{name}.lark"
        if path.is_file():
            return path
    raise FileNotFoundError(f"grammar {name}.lark is in none of {', '.join(map(str, _FOLDERS))}")


def _token_lexer() -> type:
    """Return a lexer that passes on the tokens it is given. The class has to wait for its base class."""
    from lark.lexer import Lexer  # noqa: PLC0415 -- see the module docstring

    class TokenLexer(Lexer):
        __future_interface__ = 1  # lex() gets Lark's state, and in it what parse() was given

        def __init__(self, _configuration: object) -> None:
            """Need nothing: all that a token says was known before."""

        def lex(self, lexer_state: Any, _parser_state: Any) -> Iterator[Token]:
            return iter(lexer_state.text)

    return TokenLexer
