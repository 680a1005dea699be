"""Reads ebtables-save and arptables-save, legacy and nft, and command lines of both programs.

Each line's words are sorted into tokens by the dialect's arity, and the grammar says which lines there are. Lines of one
shape (the sequence of tokens) are given to the grammar once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from fwtrans.diagnostics import Diagnostic, DiagnosticSink, Refused
from fwtrans.parsers.ebtables_save.syntax import BridgeChain, BridgeDump, BridgeRule, BridgeTable
from fwtrans.parsers.grammar import TOKENS, load_grammar
from fwtrans.parsers.iptables_save.syntax import OptionUse
from fwtrans.parsers.iptables_save.words import BadLine, split_line, word_columns
from fwtrans.source import Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.parsers.ebtables_save.dialect import Dialect
    from fwtrans.parsers.shell_script import ScriptCommand
    from fwtrans.source import SourceFile

_STARTS = ("table_line", "chain_line", "commit_line", "command_line")
_COMMANDS = {
    "-A": "APPEND", "--append": "APPEND", "-I": "INSERT", "--insert": "INSERT", "-D": "DELETE", "--delete": "DELETE",
    "-N": "NEW_CHAIN", "--new-chain": "NEW_CHAIN", "-P": "SET_POLICY", "--policy": "SET_POLICY", "-F": "FLUSH",
    "--flush": "FLUSH", "-X": "DELETE_CHAIN", "--delete-chain": "DELETE_CHAIN",
}  # fmt: skip
# How many values options have that say how the program works, nothing of packets: the lock of its tables, and modprobe's path.
_ABOUT_THE_CALL = {"--concurrent": 0, "-M": 1, "--modprobe": 1}
_REPEATABLE = {"--log", "--log-ip", "--log-ip6", "--log-arp"}
_TAKES_CHAIN = {"APPEND", "INSERT", "DELETE", "NEW_CHAIN", "SET_POLICY", "FLUSH", "DELETE_CHAIN"}


class _Token(NamedTuple):
    kind: str
    text: str
    word: int


def parse_bridge_dump(source: SourceFile, dialect: Dialect, sink: DiagnosticSink) -> BridgeDump | None:
    """Return the dump, or None where a line could not be read (the sink holds each)."""
    before = len(sink.errors)
    reading = _Reading(source, dialect)
    for number, line in enumerate(source.lines, 1):
        text = line.rstrip("\r")
        stripped = text.strip()
        if not stripped or stripped.startswith("#"):
            reading.comments.append((number, stripped))
            continue
        try:
            reading.line(text, number)
        except Refused as refused:
            sink.add(_diagnostic(source, number, text, refused))
    if len(sink.errors) > before:
        return None
    return reading.result()


def parse_bridge_commands(
    commands: Sequence[ScriptCommand], dialect: Dialect, sink: DiagnosticSink
) -> BridgeDump | None:
    """Return what the calls of a script leave behind, or None where one could not be read."""
    before = len(sink.errors)
    reading = _Reading(commands[0].source, dialect)
    for command in commands:
        words = [word.value for word in command.words]
        try:
            reading.words(["", *words], command.place.line)
        except Refused as refused:
            blamed = refused.word if isinstance(refused, BadLine) else None
            word = command.words[blamed - 1] if blamed and blamed <= len(command.words) else command.place
            span = Span(command.source, word.line, word.start, word.end)
            sink.add(Diagnostic(code=refused.code, message=refused.message, span=span))
    return None if len(sink.errors) > before else reading.result()


def _diagnostic(source: SourceFile, number: int, text: str, refused: Refused) -> Diagnostic:
    columns = word_columns(text)
    word = refused.word if isinstance(refused, BadLine) else None
    start, end = columns[word] if word is not None and word < len(columns) else (0, max(len(text), 1))
    return Diagnostic(
        code=refused.code,
        message=refused.message,
        span=Span(source, number, start, end),
        hints=(refused.hint,) if refused.hint else (),
    )


def bridge_word_span(source: SourceFile, line: int, word: int) -> Span:
    """Return the columns of a word for a caret."""
    columns = word_columns(source.line(line))
    start, end = columns[word] if 0 <= word < len(columns) else (0, max(len(source.line(line)), 1))
    return Span(source, line, start, end)


@dataclass(slots=True)
class _Table:
    line: int
    chains: dict[str, tuple[str, list[BridgeRule], int]] = field(default_factory=dict)


@dataclass(slots=True)
class _Reading:
    source: SourceFile
    dialect: Dialect
    tables: dict[str, _Table] = field(default_factory=dict)
    comments: list[tuple[int, str]] = field(default_factory=list)
    current: str = "filter"
    known_shapes: set[tuple[str, ...]] = field(default_factory=set)

    def result(self) -> BridgeDump:
        if self.comments and self.comments[-1] == (len(self.source.lines), ""):
            self.comments.pop()  # what follows the last newline is no line
        tables = tuple(
            BridgeTable(
                name,
                tuple(
                    BridgeChain(chain, policy, tuple(rules), line)
                    for chain, (policy, rules, line) in table.chains.items()
                ),
                table.line,
            )
            for name, table in self.tables.items()
        )
        return BridgeDump(self.source, self.dialect.program, tables, tuple(self.comments))

    def line(self, text: str, number: int) -> None:
        words, _ = split_line(text)
        if words and words[0] in {
            self.dialect.program,
            f"{self.dialect.program}-legacy",
            f"{self.dialect.program}-nft",
        }:
            words[0] = ""
        self.words(words, number)

    def words(self, words: list[str], number: int) -> None:
        """Read one line that is split already; an empty first word stands for the program's name."""
        start, tokens = self._tokens(words)
        shape = (start, *(token.kind for token in tokens))
        if shape not in self.known_shapes:
            self._check(start, tokens)
            self.known_shapes.add(shape)
        if start == "table_line":
            self._open(tokens[0].text[1:], number)
        elif start == "chain_line":
            self._chains(number)[tokens[0].text[1:]] = (tokens[1].text, [], number)
        elif start == "command_line":
            self._command(tokens, number)

    def _check(self, start: str, tokens: list[_Token]) -> None:
        from lark import Token, UnexpectedInput  # noqa: PLC0415 -- lark is slow to import and may not be needed

        grammar: Any = load_grammar("ebtables_save", start=_STARTS, lexer=TOKENS)
        try:
            grammar.parse([Token(token.kind, token.text) for token in tokens], start=start)
        except UnexpectedInput as fault:
            found = getattr(fault, "token", None)
            text = str(found) if found is not None else ""
            word = next((token.word for token in tokens if token.text == text), 0)
            what = f"`{text}` cannot stand here" if text else "the line ends too early"
            raise BadLine("FWT102", what, word=word) from None

    # --- words to tokens ---

    def _tokens(self, words: list[str]) -> tuple[str, list[_Token]]:
        first = words[0]
        if not first and len(words) == 1:
            raise BadLine("FWT102", "a call without a command", word=0)
        if first.startswith("*"):
            return "table_line", [_Token("TABLE", word, index) for index, word in enumerate(words)]
        if first == "COMMIT":
            return "commit_line", [_Token("COMMIT", first, 0)]
        if first.startswith(":") and len(words) > 1:
            return "chain_line", self._chain_tokens(words)
        return "command_line", self._command_tokens(words)

    def _chain_tokens(self, words: list[str]) -> list[_Token]:
        """Read `:INPUT ACCEPT`; ebtables-nft-restore takes `: INPUT ACCEPT` for the same."""
        at = 1
        if words[0] == ":" and len(words) > 2:
            words, at = [f":{words[1]}", *words[2:]], 2
        policy = "NO_POLICY" if words[1] == "-" else "POLICY"
        if policy == "POLICY" and words[1] not in {"ACCEPT", "DROP", "RETURN"}:
            raise BadLine("FWT112", f"`{words[1]}` is not a policy: ACCEPT, DROP or RETURN", word=at)
        rest = [_Token("COUNTERS", word, index) for index, word in enumerate(words[2:], at + 1)]
        return [_Token("CHAIN", words[0], 0), _Token(policy, words[1], at), *rest]

    def _command_tokens(self, words: list[str]) -> list[_Token]:
        places = list(range(len(words)))  # the words as they were written that these are, or are parts of
        try:
            tokens = self._sorted(words, places)
        except BadLine as bad:
            bad.word = bad.word if bad.word is None else places[bad.word]
            raise
        return [token._replace(word=places[token.word]) for token in tokens]

    def _sorted(self, words: list[str], places: list[int]) -> list[_Token]:
        tokens: list[_Token] = []
        index = 0
        while index < len(words):
            word = words[index]
            parts = self.dialect.unglued(word)
            if parts:
                words[index : index + 1] = parts
                places.insert(index, places[index])
            elif not word:
                index += 1
            elif word in _ABOUT_THE_CALL:
                index += 1 + _ABOUT_THE_CALL[word]
            elif word.startswith("[") and not tokens:
                tokens.append(_Token("COUNTERS", word, index))
                index += 1
            elif word in {"-t", "--table"}:
                tokens.extend(self._with_values("TABLE_OPTION", "TABLE", words, index, 1))
                index += 2
            elif word in _COMMANDS:
                index = self._command_word(words, index, tokens)
            elif word == "!":
                tokens.append(_Token("NOT", word, index))
                index += 1
            elif word in {"-j", "--jump"}:
                tokens.extend(self._with_values("JUMP", "EXTENSION", words, index, 1))
                index += 2
            elif word in {"-c", "--set-counters"}:
                tokens.extend(self._with_values("SET_COUNTERS", "NUMBER", words, index, 2))
                index += 3
            else:
                index = self._option(words, index, tokens)
        return tokens

    def _command_word(self, words: list[str], index: int, tokens: list[_Token]) -> int:
        kind = _COMMANDS[words[index]]
        tokens.append(_Token(kind, words[index], index))
        index += 1
        if index < len(words) and not words[index].startswith("-"):
            # `-N chain -P DROP` gives a policy without repeating the chain
            last = tokens[-2].kind if len(tokens) > 1 else ""
            tokens.append(
                _Token("POLICY" if kind == "SET_POLICY" and last == "CHAIN" else "CHAIN", words[index], index)
            )
            index += 1
        if kind in {"INSERT", "DELETE"} and index < len(words) and words[index].isdigit():
            tokens.append(_Token("NUMBER", words[index], index))
            index += 1
        if kind == "SET_POLICY" and index < len(words) and tokens[-1].kind == "CHAIN":
            tokens.append(_Token("POLICY", words[index], index))
            index += 1
        return index

    def _option(self, words: list[str], index: int, tokens: list[_Token]) -> int:
        option = self.dialect.find(words[index])
        if option is None:
            raise BadLine("FWT103", f"unknown option `{words[index]}`", word=index)
        tokens.append(_Token("OPTION", words[index], index))
        index += 1
        if option.arity and index < len(words) and words[index] == "!":
            tokens.append(_Token("NOT", "!", index))
            index += 1
        if option.name == "--log-prefix" and index == len(words):
            return index
        for _ in range(option.arity):
            if index >= len(words):
                raise BadLine("FWT106", f"`{option.name}` needs a value", word=index - 1)
            tokens.append(_Token("VALUE", words[index], index))
            index += 1
        return index

    def _with_values(self, kind: str, value: str, words: list[str], index: int, count: int) -> list[_Token]:
        if index + count >= len(words):
            raise BadLine("FWT106", f"`{words[index]}` needs {'a value' if count == 1 else 'two values'}", word=index)
        rest = [_Token(value, words[index + step], index + step) for step in range(1, count + 1)]
        return [_Token(kind, words[index], index), *rest]

    # --- tokens to chains ---

    def _open(self, name: str, number: int) -> None:
        if name not in self.dialect.built_in:
            raise BadLine("FWT102", f"{self.dialect.program} has no table `{name}`", word=0)
        self.current = name
        self.tables[name] = _Table(number)

    def _chains(self, number: int) -> dict[str, tuple[str, list[BridgeRule], int]]:
        if self.current not in self.tables:
            chains = {name: ("ACCEPT", list[BridgeRule](), number) for name in self.dialect.built_in[self.current]}
            self.tables[self.current] = _Table(number, chains)
        return self.tables[self.current].chains

    def _command(self, tokens: list[_Token], number: int) -> None:
        table = next((token for token in tokens if token.kind == "TABLE"), None)
        before = self.current
        if table is not None:
            if table.text not in self.dialect.built_in:
                raise BadLine("FWT102", f"{self.dialect.program} has no table `{table.text}`", word=table.word)
            self.current = table.text
        try:
            self._carry_out(tokens, number)
        finally:
            if table is not None:
                self.current = before

    def _carry_out(self, tokens: list[_Token], number: int) -> None:
        command = next(token for token in tokens if token.kind in _TAKES_CHAIN)
        name = next((token for token in tokens if token.kind == "CHAIN"), None)
        chains = self._chains(number)
        if command.kind == "FLUSH":
            for chain, (_, rules, _) in chains.items():
                if name is None or chain == name.text:
                    rules.clear()
            return
        if name is None and command.kind == "DELETE_CHAIN":
            self._delete_chains(
                [chain for chain in chains if chain not in self.dialect.built_in[self.current]], command
            )
            return
        if name is None:
            raise BadLine("FWT102", f"`{command.text}` needs a chain", word=command.word)
        if command.kind == "NEW_CHAIN":
            policy = next((token.text for token in tokens if token.kind == "POLICY"), self.dialect.user_policy)
            chains.setdefault(name.text, (policy, [], number))
            return
        found = chains.get(name.text)
        if found is None:
            raise BadLine("FWT109", f"there is no chain `{name.text}` in table {self.current}", word=name.word)
        if command.kind == "SET_POLICY":
            policy = next(token.text for token in tokens if token.kind == "POLICY")
            chains[name.text] = (policy, found[1], found[2])
        elif command.kind == "DELETE_CHAIN":
            self._delete_chains([name.text], name)
        else:
            self._rule_command(command, tokens, found[1], number)

    def _delete_chains(self, names: list[str], place: _Token) -> None:
        """Delete chains; one that rules go to stays, and then ebtables fails."""
        chains = self.tables[self.current].chains
        targets = {rule.target for _, rules, _ in chains.values() for rule in rules}
        for name in names:
            if name in self.dialect.built_in[self.current]:
                raise BadLine("FWT114", f"`{name}` is a built-in chain and cannot be deleted", word=place.word)
            if name in targets:
                raise BadLine("FWT114", f"chain `{name}` cannot be deleted: rules go to it", word=place.word)
        for name in names:
            del chains[name]

    def _rule_command(self, command: _Token, tokens: list[_Token], rules: list[BridgeRule], number: int) -> None:
        rule = self._rule(tokens, number)
        position = next((int(token.text) for token in tokens if token.kind == "NUMBER"), None)
        if command.kind == "APPEND":
            rules.append(rule)
        elif command.kind == "INSERT":
            rules.insert((position or 1) - 1, rule)
        elif position is not None and 0 < position <= len(rules):
            del rules[position - 1]
        else:
            self._delete(rules, rule, command)

    def _delete(self, rules: list[BridgeRule], wanted: BridgeRule, command: _Token) -> None:
        meaning = _meaning(wanted)
        for index, rule in enumerate(rules):
            if _meaning(rule) == meaning:
                del rules[index]
                return
        raise BadLine("FWT114", "there is no such rule to delete", word=command.word)

    def _rule(self, tokens: list[_Token], number: int) -> BridgeRule:
        options: list[OptionUse] = []
        target, target_word = "", 0
        counters: tuple[int, int] | None = None
        negated = False
        for index, token in enumerate(tokens):
            if token.kind == "NOT":
                if options and tokens[index - 1].kind == "OPTION":
                    if options[-1].negated:
                        raise BadLine("FWT110", f"`{options[-1].name}` is negated twice", word=token.word)
                    options[-1] = options[-1]._replace(negated=True)
                else:
                    negated = True
            elif token.kind == "OPTION":
                option = self.dialect.find(token.text)
                assert option is not None  # noqa: S101 -- the classifier found it
                options.append(OptionUse(option.name, (), negated, token.word))
                negated = False
            elif token.kind == "VALUE":
                options[-1] = options[-1]._replace(values=(*options[-1].values, token.text))
            elif token.kind == "EXTENSION":
                if not token.text:
                    raise BadLine("FWT106", "`-j` needs a target", word=token.word)
                target, target_word = token.text, token.word
            elif token.kind == "COUNTERS":
                counters = _counters(token)
            elif token.kind == "SET_COUNTERS":
                counters = (_number(tokens[index + 1]), _number(tokens[index + 2]))
        self._refuse_repeated(tokens, options)
        for use in options:
            option = self.dialect.find(use.name)
            if use.negated and option is not None and not option.negatable:
                raise BadLine("FWT110", f"`{use.name}` cannot be negated", word=use.word)
        return BridgeRule(tuple(options), target, number, target_word, counters)

    def _refuse_repeated(self, tokens: list[_Token], options: list[OptionUse]) -> None:
        """Refuse what stands twice, as arptables and ebtables-legacy do: of some options ebtables-nft takes the last."""
        jumps = [(token.text, token.word) for token in tokens if token.kind == "JUMP"]
        seen: set[str] = set()
        for name, word in (*((use.name, use.word) for use in options if use.name not in _REPEATABLE), *jumps):
            if name in seen:
                raise BadLine("FWT111", f"`{name}` stands twice", word=word)
            seen.add(name)


def _meaning(rule: BridgeRule) -> tuple[object, ...]:
    plain = spelled_options(rule)
    return tuple(sorted(plain)), rule.target


def spelled_options(rule: BridgeRule) -> list[tuple[str, tuple[str, ...], bool]]:
    """Return the options without their places: what makes two rules the same."""
    return [use[:3] for use in rule.options]


def _counters(token: _Token) -> tuple[int, int]:
    packets, _, count = token.text.strip("[]").partition(":")
    if not (packets.isdigit() and count.isdigit()):
        raise BadLine("FWT102", f"`{token.text}` is not [packets:bytes]", word=token.word)
    return int(packets), int(count)


def _number(token: _Token) -> int:
    if not token.text.isdigit():
        raise BadLine("FWT112", f"`{token.text}` is not a counter", word=token.word)
    return int(token.text)
