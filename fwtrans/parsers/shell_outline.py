"""The simple commands of a shell text in order, each with what it hangs on: `&&`, a pipe, an `if` around it.

    [ -x /sbin/iptables ] && iptables -F        two commands, the second behind `&&`
    for port in 22 80; do iptables -A x; done   one command, inside of `for`

No meaning is given here; shell_script.py carries the commands out as far as that can be done without a shell.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.parsers.shell_words import Operator, RawWord, Unclosed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fwtrans.parsers.shell_words import Token

_OPENING = {"if": "fi", "while": "done", "until": "done", "for": "done", "select": "done", "case": "esac", "{": "}"}
_PARTS = frozenset({"then", "elif", "else"})
_BETWEEN = frozenset({"then", "else", "elif", "do", "time"})
_CLOSING = frozenset({"fi", "done", "esac", "}"})
_CASE_ENDS = frozenset({";;", ";&", ";;&"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
FUNCTION = "function"


class Opener(NamedTuple):
    """A construct that is open: the word that began it, and where that stands.

    `before` and `negated` are what stands in front of it. `part` counts the parts of an `if` or `case` that have begun, 0
    is what an `if` asks; `kinds` are the words that begin the others, `patterns` those of a case's parts, `subject` what
    a case asks. `falls` tells of `;&` and `;;&`, behind which another part is run. A function has a `name`.
    """

    word: str
    offset: int
    before: str = ""
    negated: bool = False
    part: int = 0
    kinds: tuple[str, ...] = ()
    subject: tuple[RawWord, ...] = ()
    patterns: tuple[tuple[RawWord, ...], ...] = ()
    falls: bool = False
    name: str = ""


@dataclass(slots=True)
class SimpleCommand:
    """One command. `before` is the operator that leads to it ("" for none that matters), `after` the one behind it.

    `inside` is the outermost construct around it, None at the top level. Without words it is the end of a construct
    (`is_end`, and `closed` is the construct), or assigns a loop's variable (`loop_variable`). `loop_words` are the words behind `in` that a `for` takes
    one by one, None where it has none or something else stands among them.
    """

    words: list[RawWord] = field(default_factory=list)
    redirections: list[tuple[Operator, RawWord | None]] = field(default_factory=list)
    inside: tuple[Opener, ...] = ()
    before: str = ""
    after: str = ""
    negated: bool = False
    is_end: bool = False
    closed: Opener | None = None
    loop_variable: str = ""
    loop_words: tuple[RawWord, ...] | None = None

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing is in it yet."""
        return not (self.words or self.redirections or self.is_end or self.loop_variable)


class Outline(NamedTuple):
    """The commands, what is not closed (nothing behind that could be read), and the functions' names and places."""

    commands: tuple[SimpleCommand, ...]
    unclosed: Unclosed | None
    functions: tuple[tuple[str, int], ...]


def outline(tokens: Iterable[Token]) -> Outline:
    """Return the simple commands of a text."""
    reader = _Reader(list(tokens))
    return reader.read()


class _Reader:
    """Goes through the tokens with a stack of what is open."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.at = 0
        self.stack: list[Opener] = []
        self.done: list[SimpleCommand] = []
        self.functions: list[tuple[str, int]] = []
        self.current = SimpleCommand()

    def read(self) -> Outline:
        unclosed = None
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            self.at += 1
            match token:
                case Operator():
                    self._operator(token)
                case RawWord():
                    self._word(token)
                case Unclosed():
                    unclosed = token
        self._finish("")
        if unclosed is None and self.stack:
            unclosed = Unclosed(self.stack[-1].word, self.stack[-1].offset, self.stack[-1].offset + 1)
        return Outline(tuple(self.done), unclosed, tuple(self.functions))

    def _next(self) -> Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def _finish(self, operator: str) -> None:
        """End the current command at an operator, and begin the next."""
        command = self.current
        command.after = operator
        command.inside = tuple(self.stack)
        kept = operator if operator in {"&&", "||", "|", "|&"} else ""
        if command.is_empty:
            # a line's end behind `&&` changes nothing; behind nothing at all it begins anew
            kept = kept or command.before
        else:
            self.done.append(command)
        self.current = SimpleCommand(before="|" if kept == "|&" else kept)

    def _operator(self, operator: Operator) -> None:
        if operator.is_redirection:
            target = self._next()
            if isinstance(target, RawWord):
                self.at += 1
                self.current.redirections.append((operator, target))
            else:
                self.current.redirections.append((operator, None))
        elif operator.text == "(":
            self._bracket(operator)
        elif operator.text == ")":
            self._finish(";")
            self._close("(")
        else:
            self._finish(operator.text)
            if operator.text in _CASE_ENDS and self.stack and self.stack[-1].word == "case":
                self._change(falls=self.stack[-1].falls or operator.text != ";;")
                self._pattern()

    def _bracket(self, operator: Operator) -> None:
        """Tell `name ()`, which begins a function, from `(`, which begins a subshell."""
        after = self._next()
        if len(self.current.words) == 1 and isinstance(after, Operator) and after.text == ")":
            self.at += 1
            self.functions.append((self.current.words[0].bare or "", self.current.words[0].start))
            self.current = SimpleCommand()
            self._function(operator.start, self.functions[-1][0])
        else:
            self._open(Opener("(", operator.start))

    def _function(self, offset: int, name: str) -> None:
        """Take the body of a function for a construct of its own, whatever brackets it has."""
        while isinstance(token := self._next(), Operator) and token.text == "\n":
            self.at += 1
        if isinstance(token, Operator):  # a subshell, which is one wherever it stands
            return
        # a body of another kind, `f() for ...`, is left open: nobody writes it, and it is no command at this place
        self.stack.append(Opener(FUNCTION, offset, name=name))
        self.at += isinstance(token, RawWord) and token.bare == "{"

    def _open(self, opener: Opener) -> None:
        self.stack.append(opener)
        self.current = SimpleCommand()

    def _close(self, word: str) -> None:
        """Leave the construct that a word closes; what follows hangs on an end whose status nobody knows."""
        for depth in range(len(self.stack) - 1, -1, -1):
            opener = self.stack[depth].word
            if opener == word or _OPENING.get(opener) == word or (opener == FUNCTION and word == "}"):
                self.current.closed = self.stack[depth]
                del self.stack[depth:]
                break
        self.current.is_end = True

    def _word(self, word: RawWord) -> None:
        bare = word.bare
        if not self.current.is_empty or bare is None:
            self.current.words.append(word)
        elif bare == "!":
            self.current.negated = True
        elif bare in _BETWEEN:
            self.current = SimpleCommand()
            if bare in _PARTS and self.stack and self.stack[-1].word == "if":
                self._change(part=self.stack[-1].part + 1, kinds=(*self.stack[-1].kinds, bare))
        elif bare in _CLOSING:
            self._close(bare)
        elif bare == FUNCTION:
            name = self._next()
            if isinstance(name, RawWord):
                self.at += 1
                self.functions.append((name.bare or "", name.start))
            self._skip_brackets()
            self._function(word.start, (name.bare or "") if isinstance(name, RawWord) else "")
        elif bare in _OPENING:
            before, negated = self.current.before, self.current.negated
            self._open(Opener(bare, word.start, before, negated))
            if bare in {"for", "select"}:
                self.current.before, self.current.negated = before, negated
                self._loop_variable()
            elif bare == "case":
                self._subject()
        else:
            self.current.words.append(word)

    def _skip_brackets(self) -> None:
        while isinstance(token := self._next(), Operator) and token.text in "()":
            self.at += 1

    def _loop_variable(self) -> None:
        """Read `for NAME in WORDS`, up to the line's end or semicolon."""
        token = self._next()
        if isinstance(token, RawWord) and token.bare and _NAME.fullmatch(token.bare):
            self.current.loop_variable = token.bare
        head: list[Token] = []
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            if isinstance(token, Operator) and token.text in {";", "\n"}:
                self.current.loop_words = _words_of_loop(head)
                return
            if isinstance(token, RawWord) and token.bare == "do":
                self._finish(";")
                return
            head.append(token)
            self.at += 1

    def _change(self, **fields: object) -> None:
        """Change what is known of the innermost construct."""
        self.stack[-1] = self.stack[-1]._replace(**fields)  # type: ignore[arg-type] # mypy holds all fields against one type; `_replace` refuses names that are none

    def _subject(self) -> None:
        """Read what a case asks, up to `in`, and the first pattern."""
        subject: list[RawWord] = []
        while isinstance(token := self._next(), RawWord | Operator):
            self.at += 1
            if isinstance(token, RawWord) and token.bare == "in" and subject:
                self._change(subject=tuple(subject))
                self._pattern()
                return
            if isinstance(token, RawWord):
                subject.append(token)

    def _pattern(self) -> None:
        """Read `start|stop)` of a case; `esac` in place of a pattern is left to be read."""
        words: list[RawWord] = []
        while isinstance(token := self._next(), RawWord | Operator):
            if isinstance(token, RawWord) and token.bare == "esac" and not words:
                return
            self.at += 1
            if isinstance(token, RawWord):
                words.append(token)
            elif token.text == ")":
                opener = self.stack[-1]
                self._change(part=opener.part + 1, patterns=(*opener.patterns, tuple(words)))
                return


def _words_of_loop(head: list[Token]) -> tuple[RawWord, ...] | None:
    """Return the words of `NAME in WORDS`."""
    words = tuple(token for token in head if isinstance(token, RawWord))
    if len(words) < len(head) or len(words) < 2 or words[1].bare != "in":
        return None
    return words[2:]
