"""nft text to the list of objects that libnftables-json(5) has under "nftables".

Input is what `nft list ruleset` prints, a hand-written nftables.conf, or commands (`add rule ...`, `flush ruleset`).
Each object has "line", its line in the file, and "source" where that is a file that was included.

    table inet filter { chain input { tcp dport 22 accept; }; }

is [{"add": {"table": ...}}, {"add": {"chain": ...}}, {"add": {"rule": {"expr": [{"match": ...}, {"accept": null}]}}}].
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from fwtrans.diagnostics import Diagnostic, DiagnosticSink
from fwtrans.parsers.nft_text.blocks import Places, Statement, split
from fwtrans.parsers.nft_text.commands import Command, read_command
from fwtrans.parsers.nft_text.faults import BadStatement, closest
from fwtrans.parsers.nft_text.objects import object_kinds, read_base, read_part, within
from fwtrans.parsers.nft_text.shapes import ShapeReader
from fwtrans.parsers.nft_text.values import unquoted
from fwtrans.parsers.nft_text.variables import Expanded, Scope, define, expand
from fwtrans.source import SourceFile, Span

if TYPE_CHECKING:
    from collections.abc import Callable

Json = Any
DEEPEST_INCLUDE = 16
"""How deep files may include files; nft 1.0.6 stops there too."""


class Files(Protocol):
    """How the files that an input includes are reached."""

    def read(self, path: str) -> SourceFile | None:
        """Return one file, None where it cannot be read."""

    def matching(self, pattern: str) -> tuple[str, ...] | None:
        """Return the paths that a shell pattern names, sorted; None where it cannot be looked for."""


class NoFiles:
    """Nothing can be included."""

    def read(self, path: str) -> SourceFile | None:
        """Return nothing."""

    def matching(self, pattern: str) -> tuple[str, ...]:  # noqa: ARG002 -- part of the protocol
        """Return nothing."""
        return ()


def parse_nft_text(source: SourceFile, sink: DiagnosticSink, files: Files | None = None) -> list[Json]:
    """Return the objects of a ruleset; what cannot be read is in the sink, with its place, and left out."""
    reader = _Reader(sink, files or NoFiles())
    reader.file(source, Scope(), 0)
    return reader.items


_INCLUDE = re.compile(r'\s*include\s+("[^"\n]*"|\S+)\s*$')
_CHAIN_HEAD = re.compile(r'\s*chain\s+("[^"\n]*"|[A-Za-z_][-\w/.]*)\s*$')
_OBJECT_HEAD = re.compile(r'\s*(ct\s+[a-z]+|[a-z]+)\s+("[^"\n]*"|[A-Za-z_][-\w/.]*)\s*$')
_TABLE_FLAGS = re.compile(r"\s*flags\s+([a-z, ]+)$")
_COMMENT = re.compile(r'\s*comment\s+("[^"\n]*"|[A-Za-z_][-\w/.]*)\s*$')
_BASE_POLICY = re.compile(r"\s*policy\s+(\S+)\s*$")
_JUMP = re.compile(r"(jump|goto)\s*$")
_CHAIN_LEVEL = re.compile(r"\s*(type\s+\w+\s+hook|policy|comment|flags|devices|define|redefine|undefine|include)\b")


@dataclass(slots=True)
class _Reader:
    sink: DiagnosticSink
    files: Files
    items: list[Json] = field(default_factory=list)
    shapes: ShapeReader = field(default_factory=ShapeReader)
    anonymous: int = 0

    def file(self, source: SourceFile, scope: Scope, depth: int) -> None:
        places = Places(source.text)
        try:
            statements = split(source.text)
        except BadStatement as fault:
            _File(self, source, places, depth).report(fault, Statement(source.text, 0))
            return
        _File(self, source, places, depth).statements(statements, scope)


@dataclass(slots=True)
class _File:
    """One file while its statements are carried out."""

    reader: _Reader
    source: SourceFile
    places: Places
    depth: int

    # --- places ---

    def report(self, fault: BadStatement, statement: Statement, expanded: Expanded | None = None) -> None:
        start, end = fault.start, fault.end
        if expanded is not None:
            start, end = expanded.before(start), max(expanded.before(end - 1) + 1, expanded.before(start) + 1)
        start, end = statement.start + start, statement.start + end
        line, column = self.places.line(start), self.places.column(start)
        until = self.places.column(end - 1) + 1 if self.places.line(max(end - 1, 0)) == line else column + 1
        span = Span(self.source, line, column, max(until, column + 1))
        hints = (fault.hint,) if fault.hint else ()
        self.reader.sink.add(Diagnostic(code=fault.code, message=fault.message, span=span, hints=hints))

    def located(self, statement: Statement, content: dict[str, Json]) -> dict[str, Json]:
        blank = len(statement.text) - len(statement.text.lstrip())
        content["line"] = self.places.line(statement.start + blank)
        if self.depth:
            content["source"] = self.source
        return content

    def attempt(self, statement: Statement, scope: Scope, action: Callable[[str], None]) -> None:
        """Carry out a statement with its variables filled in; a fault in it is told and the next one is read."""
        expanded: Expanded | None = None
        try:
            expanded = expand(statement.text, scope)
            action(expanded.text)
        except BadStatement as fault:
            self.report(fault, statement, expanded)
        except RecursionError:
            self.report(BadStatement("FWT150", "this statement is nested too deeply"), statement)

    def general(self, statement: Statement, scope: Scope) -> bool:
        """Carry out what may stand anywhere: definitions and includes. False where it is something else."""
        word = statement.text.split(None, 1)[0]
        if word in {"define", "redefine", "undefine"}:
            self.define(statement, scope)
            return True
        if word == "include":
            self.attempt(statement, scope, lambda text: self.include(text, scope))
            return True
        return False

    def define(self, statement: Statement, scope: Scope) -> None:
        fault: BadStatement | None = None
        try:
            if not define(statement.text, scope):
                hint = "`define name = value`"
                fault = BadStatement("FWT150", "this is not how a definition is written", 0, 1, hint=hint)
        except BadStatement as found:
            fault = found
        if fault is not None:
            self.report(fault, statement)

    def include(self, text: str, scope: Scope) -> None:
        found = _INCLUDE.match(text)
        if found is None:
            raise BadStatement("FWT150", "`include` names one file", 0, len(text), hint='`include "/etc/nftables.d/*"`')
        path = unquoted(found[1])
        paths = (self.reader.files.matching(path) or ()) if set(path) & set("*?[") else (path,)
        if self.depth >= DEEPEST_INCLUDE:
            raise BadStatement("FWT154", f"`{path}` is included too deeply", found.start(1), found.end(1))
        for name in paths:
            source = self.reader.files.read(name)
            if source is None:
                raise BadStatement("FWT154", f"the included file `{name}` cannot be read", found.start(1), found.end(1))
            self.reader.file(source, scope, self.depth + 1)

    # --- the level of the file ---

    def statements(self, statements: list[Statement], scope: Scope) -> None:
        for statement in statements:
            if not self.general(statement, scope):
                self.attempt(statement, scope, lambda text, this=statement: self.command(text, this, scope))  # type: ignore[misc]

    def command(self, text: str, statement: Statement, scope: Scope) -> None:
        command = read_command(text)
        if command is None:
            return
        content = self.located(statement, dict(command.content))
        kind = command.kind
        if kind == "rule":
            content.update(self.shifted(command, self.reader.shapes.rule))
        elif kind == "element":
            content["elem"] = self.shifted(command, lambda rest: within(0, _without_braces(rest), self.reader.shapes))
        elif command.rest.strip() and statement.block is None:
            self.one_line(command, content)
        self.reader.items.append({command.verb: {kind: content}})
        if statement.block is not None:
            self.block(statement, kind, content, Scope(scope))

    def shifted(self, command: Command, read: Callable[[str], Json]) -> Json:
        try:
            return read(command.rest)
        except BadStatement as fault:
            raise BadStatement(
                fault.code, fault.message, fault.start + command.start, fault.end + command.start, hint=fault.hint
            ) from None

    def one_line(self, command: Command, content: dict[str, Json]) -> None:
        """Read `add counter ip t c packets 1 bytes 2`, where nft takes an object's body without braces."""
        if command.kind not in {"counter", "quota", "limit"}:
            end = command.start + len(command.rest.rstrip())
            message = f"`{command.rest.strip()}` does not belong behind a {command.kind}'s name"
            raise BadStatement("FWT150", message, command.start, end)
        self.shifted(command, lambda rest: read_part(command.kind, rest, content, self.reader.shapes))

    def block(self, statement: Statement, kind: str, content: dict[str, Json], scope: Scope) -> None:
        block = statement.block or []
        if kind == "table":
            self.table(block, (content["family"], content["name"]), scope)
        elif kind == "chain":
            self.chain(block, content, scope)
        else:
            self.parts(block, kind, content, scope)

    # --- tables ---

    def table(self, block: list[Statement], place: tuple[str, str], scope: Scope) -> None:
        # chains and sets may be used before their lines; nft declares them all first, too
        for statement in block:
            if self.general(statement, scope):
                continue
            self.attempt(statement, scope, lambda text, this=statement: self.in_table(text, this, place, scope))  # type: ignore[misc]

    def in_table(self, text: str, statement: Statement, place: tuple[str, str], scope: Scope) -> None:
        if statement.block is None:
            if flags := _TABLE_FLAGS.match(text):
                words = [word.strip() for word in flags[1].split(",")]
                table = self.located(statement, {"family": place[0], "name": place[1], "flags": words})
                self.reader.items.append({"add": {"table": table}})
            elif not _COMMENT.match(text):
                word = text.split(maxsplit=1)[0]
                start = len(text) - len(text.lstrip())
                hint = closest(word, {"chain", *object_kinds()})
                message = f"`{word}` does not belong into a table"
                raise BadStatement("FWT150", message, start, start + len(word), hint=hint)
            return
        found = _OBJECT_HEAD.match(text)
        kind = " ".join(found[1].split()) if found else ""
        if found is None or kind not in {"chain", *object_kinds()}:
            start = len(text) - len(text.lstrip())
            raise BadStatement("FWT150", f"`{text.strip()}` opens no block of a table", start, len(text.rstrip()))
        content = self.located(statement, {"family": place[0], "table": place[1], "name": unquoted(found[2])})
        self.reader.items.append({"add": {kind: content}})
        self.block(statement, kind, content, Scope(scope))

    def parts(self, block: list[Statement], kind: str, content: dict[str, Json], scope: Scope) -> None:
        for statement in block:
            if not self.general(statement, scope):
                self.attempt(statement, scope, lambda text: read_part(kind, text, content, self.reader.shapes))

    # --- chains ---

    def chain(self, block: list[Statement], content: dict[str, Json], scope: Scope) -> None:
        rule = {key: content[key] for key in ("family", "table")} | {"chain": content["name"]}
        for statement in block:
            if _CHAIN_LEVEL.match(statement.text):
                if not self.general(statement, scope):
                    self.attempt(statement, scope, lambda text: _chain_part(text, content))
            elif statement.block is not None:
                self.attempt(statement, scope, lambda text, this=statement: self.inner_chain(text, this, rule, scope))  # type: ignore[misc]
            else:
                self.rule(statement, rule, scope)

    def rule(self, statement: Statement, place: dict[str, Json], scope: Scope) -> None:
        def read(text: str) -> None:
            found = self.reader.shapes.rule(text)
            self.reader.items.append({"add": {"rule": self.located(statement, {**place, **found})}})

        self.attempt(statement, scope, read)

    def inner_chain(self, text: str, statement: Statement, place: dict[str, Json], scope: Scope) -> None:
        """Give the chain of `jump { ... }` a name; no name that nft takes begins with two underscores and a word."""
        name = f"__chain{self.reader.anonymous}"
        self.reader.anonymous += 1
        content = self.located(statement, {"family": place["family"], "table": place["table"], "name": name})
        self.reader.items.append({"add": {"chain": content}})
        found = self.reader.shapes.rule(f"{text.rstrip()} {name}")
        self.reader.items.append({"add": {"rule": self.located(statement, {**place, **found})}})
        self.chain(statement.block or [], content, Scope(scope))


def _without_braces(text: str) -> str:
    """Return what is between the braces, blanks instead of them, so that places stay."""
    bare = text.rstrip()
    if not bare.lstrip().startswith("{") or not bare.endswith("}"):
        start = len(text) - len(text.lstrip())
        raise BadStatement("FWT150", "elements are written between braces", start, max(len(bare), start + 1))
    return bare.replace("{", " ", 1)[:-1]


def _chain_part(text: str, content: dict[str, Json]) -> None:
    word = text.split(None, 1)[0]
    if word == "type":
        content.update(read_base(text))
    elif word == "policy":
        found = _BASE_POLICY.match(text)
        if found is None or found[1] not in {"accept", "drop"}:
            start = text.index("policy") + len("policy")
            raise BadStatement("FWT151", "a policy is `accept` or `drop`", start, max(len(text.rstrip()), start + 1))
        content["policy"] = found[1]
    elif word == "comment":
        note = _COMMENT.match(text)
        if note is None:
            raise BadStatement("FWT150", "a comment is one string", 0, len(text))
        content["comment"] = unquoted(note[1])
