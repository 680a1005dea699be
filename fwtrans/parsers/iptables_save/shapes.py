"""From the shape of a line to its template, by the grammar. Each shape comes here once.

Token values are positions in the words as the classifier left them, so that the tree says where in a line each literal
stands and the template can be filled with those of another line.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from fwtrans.parsers.grammar import TOKENS, load_grammar
from fwtrans.parsers.iptables_save.general import COMMANDS, LISTING
from fwtrans.parsers.iptables_save.syntax import Command
from fwtrans.parsers.iptables_save.template import OptionSlot, Template, UseSlot, part_of_options, part_of_use
from fwtrans.parsers.iptables_save.words import BadLine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lark import Lark, Token, Tree

    from fwtrans.parsers.iptables_save.steps import Step

_STARTS = ("frame_line", "command_line")

_COMMANDS = {
    "append": Command.APPEND,
    "insert": Command.INSERT,
    "delete": Command.DELETE,
    "delete_number": Command.DELETE,
    "replace": Command.REPLACE,
    "check": Command.CHECK,
    "new_chain": Command.NEW_CHAIN,
    "delete_chain": Command.DELETE_CHAIN,
    "rename_chain": Command.RENAME_CHAIN,
    "set_policy": Command.POLICY,
    "flush": Command.FLUSH,
    "zero": Command.ZERO,
    "list": Command.LIST,
}
_INCOMPLETE = {
    "REPLACE": "`{}` needs a rule number behind the chain",
    "RENAME_CHAIN": "`{}` needs the new name behind the old one",
    "SET_POLICY": "`{}` needs a policy behind the chain",
}
_WITHOUT_COUNTERS = frozenset({Command.DELETE, Command.CHECK})


class Mistake(NamedTuple):
    """Why the grammar has no place for a shape. `text` quotes the words at `positions`."""

    code: str
    text: str
    positions: tuple[int, ...]
    word: int | None

    def of(self, words: Sequence[str]) -> BadLine:
        """Return the error of a line of this shape."""
        return BadLine(self.code, self.text.format(*(words[at] for at in self.positions)), word=self.word)


class ShapeError(Exception):
    """Carries a `Mistake` out of the walk over a tree."""

    def __init__(self, mistake: Mistake) -> None:
        super().__init__(mistake.text)
        self.mistake = mistake


def grammar() -> Lark:
    """Return the grammar of lines."""
    return load_grammar("iptables_save", start=_STARTS, lexer=TOKENS)


def template_of(shape: Sequence[Step], limit: int) -> Template | Mistake:
    """Return the template of a shape, or why there is none. Each of its parts remembers `limit` nodes."""
    from lark import UnexpectedToken  # noqa: PLC0415 -- lark takes 50 ms, which importing a reader must not

    tokens = _tokens(shape)
    try:
        tree = grammar().parse(cast("Any", tokens), start="command_line")
        return _Walk(shape, limit).template(tree)
    except UnexpectedToken as error:
        return _unexpected(tokens, error.token, shape)
    except ShapeError as error:
        return error.mistake


@cache
def frame_rule(terminals: tuple[str, ...]) -> str:
    """Return the grammar's rule of a line that frames rules (`*filter`, `:INPUT ACCEPT [0:0]`, `COMMIT`), or nothing."""
    from lark import Token, Tree, UnexpectedToken  # noqa: PLC0415 -- see template_of

    tokens = [Token(terminal, "") for terminal in terminals]
    try:
        tree = grammar().parse(cast("Any", tokens), start="frame_line")
    except UnexpectedToken:
        return ""
    return str(tree.data) if isinstance(tree, Tree) else ""


def _tokens(shape: Sequence[Step]) -> list[Token]:
    from lark import Token  # noqa: PLC0415 -- see template_of

    tokens = []
    position = 0
    for step in shape:
        for offset, terminal in enumerate(step.terminals):
            tokens.append(Token(terminal, step.name, start_pos=position + offset))
        position += step.take
    return tokens


def _unexpected(tokens: Sequence[Token], token: Token, shape: Sequence[Step]) -> Mistake:
    """Say why the grammar stopped at a token."""
    at = sum(step.take for step in shape) if token.type == "$END" else _position(token)
    before = [item for item in tokens if _position(item) < at]
    previous = before[-1].type if before else ""
    command = next((item for item in before if item.type in COMMANDS), None)
    places = _Places(shape)
    if previous in {"NOT", "OLD_NOT"}:
        return _after_not(token, places, at, before[-1])
    opener = before[-2] if len(before) > 1 else None
    if opener is not None and opener.type in _INCOMPLETE:
        return Mistake("FWT106", _INCOMPLETE[opener.type], (_position(opener),), places.word(_position(opener)))
    if token.type == "$END":
        return Mistake("FWT102", "line has no command such as `-A`", (), None)
    if command is None:
        return Mistake("FWT102", "`{}` takes no rule, and parts of one stand before it", (at,), places.word(at))
    return Mistake("FWT102", "`{}` cannot stand beside `{}`", (at, _position(command)), places.word(at))


def _after_not(token: Token, places: _Places, at: int, sign: Token) -> Mistake:
    if token.type == "$END":
        return Mistake("FWT102", "nothing stands behind `!`", (), places.word(_position(sign)))
    if token.type == "NOT":
        return Mistake("FWT102", "`!` stands twice", (), places.word(at))
    return Mistake("FWT110", "`{}` cannot be negated", (at,), places.word(at))


def _position(token: Token) -> int:
    return cast("int", token.start_pos)


class _Places:
    """From positions in the sorted words to steps, and to the numbers of words in the source."""

    def __init__(self, shape: Sequence[Step]) -> None:
        self.steps: list[Step] = []
        self.words: list[int] = []
        word = 0
        for step in shape:
            shared = step.take - step.words
            for offset in range(step.take):
                self.steps.append(step)
                self.words.append(word + max(0, offset - shared))
            word += step.words
        self.words.append(word)

    def word(self, position: int) -> int:
        """Return the number of the source's word."""
        return self.words[min(position, len(self.words) - 1)]


class _Walk:
    """Gathers from a tree what a template needs."""

    def __init__(self, shape: Sequence[Step], limit: int) -> None:
        self.limit = limit
        self.places = _Places(shape)
        self.found = Template(command=None)
        self.options: list[OptionSlot] = []
        self.uses: dict[int, UseSlot] = {}
        self.uses_options: dict[int, list[OptionSlot]] = {}
        self.target: int | None = None
        self.chain_slot: UseSlot | None = None
        self.listing: int | None = None

    def template(self, tree: Tree[Token]) -> Template:
        """Return the template of a command line."""
        for child in tree.children:
            self.visit(cast("Tree[Token]", child))
        return self.finished()

    def visit(self, part: Tree[Token]) -> None:
        """Take over one part of the line."""
        name = str(part.data)
        tokens = [child for child in part.children if isinstance(child, str)]
        if name in _COMMANDS:
            self.command(_COMMANDS[name], tokens)
        else:
            take_over: Callable[[list[Token]], None] = getattr(self, name)
            take_over(tokens)
        for child in part.children:
            if not isinstance(child, str):
                self.visit(child)

    def command(self, command: Command, tokens: list[Token]) -> None:
        """Take over the command; -L does nothing beside -Z."""
        if command is not Command.LIST or self.found.command is None:
            self.found.command = command
            self.found.chain_word = self.places.word(_position(tokens[0]))
        for token in tokens[1:]:
            at = _position(token)
            if token.type == "CHAIN":
                self.found.chain_at = at
                self.found.chain_word = self.places.word(at)
            elif token.type == "NUMBER":
                self.found.number_at = at
            elif token.type in {"VALUE", "POLICY"}:
                self.found.argument_at = at

    def modifier(self, tokens: list[Token]) -> None:
        """Take over -t and `[5:6]` in front; nothing else here changes what a line means."""
        at = _position(tokens[0])
        if tokens[0].type == "TABLE_OPTION":
            self.once(self.found.table_at is None, at)
            self.found.table_at = _position(tokens[1])
        elif tokens[0].type == "COUNTERS":
            self.found.counters_at = (at,)
        elif self.places.steps[at].name in LISTING:
            self.listing = at

    def counters(self, tokens: list[Token]) -> None:
        """Take over `-c 5 6`."""
        at = _position(tokens[0])
        self.once(not self.found.counters_at, at)
        self.found.counters_at = tuple(_position(token) for token in tokens[1:])
        self.found.counters_word = self.places.word(at)

    def match(self, tokens: list[Token]) -> None:
        """Take over `-m name`."""
        step = self.places.steps[_position(tokens[0])]
        self.uses[step.owner] = UseSlot(step.name, self.places.word(_position(tokens[1])), implied=False, options=())

    def jump(self, tokens: list[Token]) -> None:
        """Take over `-j name`."""
        at, name = (_position(token) for token in tokens)
        if self.target is not None or self.chain_slot is not None:
            raise ShapeError(
                Mistake("FWT111", "a rule has one target, and `{}` is a second", (name,), self.places.word(at))
            )
        step = self.places.steps[at]
        if tokens[1].type == "CHAIN":
            self.chain_slot = UseSlot("", self.places.word(name), implied=False, options=(), chain_at=name)
        else:
            self.uses[step.owner] = UseSlot(step.name, self.places.word(name), implied=False, options=())
            self.target = step.owner

    def goto(self, tokens: list[Token]) -> None:
        """Take over `-g chain`."""
        self.jump(tokens)
        self.found.goto = True

    def option(self, tokens: list[Token]) -> None:
        """Take over an option of iptables or of an extension."""
        (option,) = (token for token in tokens if token.type == "OPTION")
        at = _position(option)
        step = self.places.steps[at]
        word = self.places.word(at)
        signs = sum(token.type in {"NOT", "OLD_NOT"} for token in tokens)
        if signs and not step.negatable:
            raise ShapeError(Mistake("FWT110", f"`{step.name}` cannot be negated", (), word))
        if signs > 1:
            raise ShapeError(Mistake("FWT102", f"`!` stands twice, before and behind `{step.name}`", (), word))
        literals = tuple(_position(token) for token in tokens if token.type == "VALUE")
        slot = OptionSlot(step.name, bool(signs), word, literals)
        if step.owner < 0:
            self.once(all(known.name != slot.name for known in self.options), at)
            self.options.append(slot)
            return
        if step.owner not in self.uses:
            self.uses[step.owner] = UseSlot(step.implies, word, implied=True, options=())
        known = self.uses_options.setdefault(step.owner, [])
        self.once(step.repeatable or all(one.name != slot.name for one in known), at)
        known.append(slot)

    def once(self, is_first: bool, at: int) -> None:
        """Refuse what iptables refuses when it comes again."""
        if not is_first:
            raise ShapeError(
                Mistake("FWT111", f"`{self.places.steps[at].name}` stands twice", (), self.places.word(at))
            )

    def finished(self) -> Template:
        """Return the template, all parts put together."""
        found = self.found
        if self.listing is not None and found.command is not Command.LIST:
            raise ShapeError(Mistake("FWT102", "`{}` belongs to `-L`", (self.listing,), self.places.word(self.listing)))
        if found.counters_word and found.command in _WITHOUT_COUNTERS:
            raise ShapeError(Mistake("FWT102", "`-c` cannot stand beside this command", (), found.counters_word))
        uses = {
            owner: use._replace(options=tuple(self.uses_options.get(owner, ()))) for owner, use in self.uses.items()
        }
        target = self.chain_slot
        if self.target is not None:
            target = uses.pop(self.target)
        found.options = part_of_options(tuple(self.options), self.limit) if self.options else None
        found.matches = tuple(part_of_use(uses[owner], self.limit) for owner in sorted(uses))
        found.target = part_of_use(target, self.limit) if target is not None else None
        found.calls = self.chain_slot is not None
        return found
