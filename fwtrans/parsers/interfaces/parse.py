"""Reads interfaces(5) with all that it sources, and splits the commands of its stanzas as a shell would.

    iface vmbr1 inet static
        post-up iptables -t nat -A POSTROUTING -o $IFACE -j MASQUERADE

gives an IfaceStanza whose one command is ("post-up", "iptables", (-t, nat, ..., -o, vmbr1, ...)). Files come through the
functions that the caller hands in, so nothing here touches a disk.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from posixpath import dirname, join
from typing import cast

from fwtrans.diagnostics import Diagnostic, DiagnosticSink
from fwtrans.parsers.grammar import TOKENS, load_grammar
from fwtrans.parsers.interfaces.lines import LogicalLine, logical_lines
from fwtrans.parsers.interfaces.syntax import (
    DOWN_PHASES,
    UP_PHASES,
    IfaceStanza,
    InterfacesFile,
    MappingStanza,
    OptionLine,
    SelectionStanza,
    SourceStanza,
    Stanza,
)
from fwtrans.parsers.shell_expand import Variables
from fwtrans.parsers.shell_programs import mentions_firewall
from fwtrans.parsers.shell_script import ScriptCommand, read_commands
from fwtrans.parsers.shell_words import Passage
from fwtrans.source import SourceFile, Span

ReadFile = Callable[[str], SourceFile | None]
FindFiles = Callable[[str], "tuple[str, ...] | None"]

_PHASES = UP_PHASES | DOWN_PHASES
_GLOB = re.compile(r"[*?\[]")
_FILE_NAME = re.compile(r"[A-Za-z0-9_-]+")
_RANGE = re.compile(r"\[\d+-\d+\]")
_DEEPEST = 16
_EXPECTED = {"WORD": "a name", "TEXT": "a value", "INHERITS": "`inherits`", "$END": "the end of the line"}


def parse_interfaces(
    source: SourceFile, sink: DiagnosticSink, read_file: ReadFile, find_files: FindFiles
) -> InterfacesFile:
    """Read a file. `read_file` returns a sourced file or None; `find_files` the paths of a pattern, sorted.

    `find_files` returns None where it cannot look, for instance because only this one file came from the other host;
    that is an error then, where an empty answer is none.
    """
    return _Reader(sink, read_file, find_files).file(source, (source.name,))


@dataclass(slots=True)
class _Draft:
    """A stanza while its lines come in."""

    kind: str
    words: tuple[str, ...]
    line: LogicalLine
    lines: list[LogicalLine] = field(default_factory=list)
    options: list[OptionLine] = field(default_factory=list)


@dataclass(slots=True)
class _Reader:
    """One reading with all sourced files. `named` are the interfaces so far, for `inherits`."""

    sink: DiagnosticSink
    read_file: ReadFile
    find_files: FindFiles
    named: dict[str, _Draft] = field(default_factory=dict)

    def file(self, source: SourceFile, path: tuple[str, ...]) -> InterfacesFile:
        """Read one file; `path` are the names of those that led to it."""
        stanzas: list[Stanza] = []
        draft: _Draft | None = None
        for line in logical_lines(source):
            kind = self._kind(line)
            if kind == "option":
                if draft is None:
                    self._complain("FWT130", f"`{line.word(0)}` stands outside of a stanza", line, 0, _outside_hint(line))  # fmt: skip
                else:
                    self._add_option(draft, line)
                continue
            if draft is not None:
                stanzas.append(self._finished(draft, source))
                draft = None
            words = tuple(line.word(index) for index in range(1, len(line.words)))
            if kind in {"interface", "template", "mapping"}:
                draft = _Draft(kind, words, line)
            elif kind in {"source", "source_directory"}:
                stanzas.append(self._sourced(kind, words, line, path))
            elif kind == "rename":
                stanzas.append(MappingStanza("rename", words, (), source, line.number))
            elif kind == "selection":
                stanzas.append(SelectionStanza(line.word(0), words, source, line.number))
        if draft is not None:
            stanzas.append(self._finished(draft, source))
        return InterfacesFile(source, tuple(stanzas))

    def _kind(self, line: LogicalLine) -> str:
        """Return what a line is by the grammar; nothing where it has been complained of."""
        if line.word(0).startswith(("%", "<%", "${")):
            hint = (
                "let ifupdown2 fill the template in, and give fwtrans what comes out: `ifquery --print-mako-output -a`"
            )
            self._complain(
                "FWT130", "this is a template of ifupdown2, a program in the language of Mako", line, 0, hint
            )
            return ""
        kind, wrong, expected = _parse(line.terminals())
        if kind:
            return kind
        index = min(wrong, len(line.words) - 1)
        at_end = wrong >= len(line.words)
        message = f"{expected} is missing behind `{line.word(index)}`" if at_end else f"`{line.word(index)}` is one word too many"  # fmt: skip
        self._complain("FWT130", message, line, index)
        return ""

    def _add_option(self, draft: _Draft, line: LogicalLine) -> None:
        start = line.words[1][0]
        draft.lines.append(line)
        draft.options.append(OptionLine(line.word(0), line.passage.text[start:], line.number))

    # --- stanzas ---

    def _finished(self, draft: _Draft, source: SourceFile) -> Stanza:
        options = tuple(draft.options)
        if draft.kind == "mapping":
            return MappingStanza("mapping", draft.words, options, source, draft.line.number)
        words = list(draft.words)
        inherits = ""
        if "inherits" in words[1:]:
            inherits = words[-1]
            words = words[:-2]
        name, family, method = [*words, "", ""][:3]
        if inherits and inherits not in self.named:
            self._complain(
                "FWT130", f"there is no interface `{inherits}` before this line", draft.line, len(draft.words)
            )
        lines = [*self._inherited(inherits), *draft.lines]
        draft.lines = lines
        self.named[name] = draft
        commands = () if draft.kind == "template" else self._commands(name, family, method, lines)
        return IfaceStanza(
            name, family, method, inherits, options, commands, source, draft.line.number, draft.kind == "template"
        )

    def _inherited(self, name: str) -> list[LogicalLine]:
        draft = self.named.get(name)
        return [] if draft is None else draft.lines

    def _commands(self, name: str, family: str, method: str, lines: list[LogicalLine]) -> tuple[ScriptCommand, ...]:
        """Return the commands of a stanza, in the order of its lines."""
        found: list[ScriptCommand] = []
        environment = _environment(name, family, method, lines)
        for line in lines:
            phase = line.word(0)
            if phase not in _PHASES:
                continue
            variables = Variables(environment | _of_phase(phase))
            if _RANGE.search(name):
                variables.forget("IFACE", f"`{name}` stands for several interfaces")
            start = line.words[1][0]
            passage = _behind(line.passage, start)
            if self._has_other_backslash(passage, line):
                continue
            found.extend(read_commands(passage, self.sink, variables, line.passage.place(*line.words[0], phase)))
        return tuple(found)

    def _has_other_backslash(self, passage: Passage, line: LogicalLine) -> bool:
        r"""Complain of a backslash that the two programs take differently.

        ifupdown hands it to the shell; ifupdown2, which Proxmox VE has, puts a blank in place of every backslash of
        the file (networkinterfaces.py, process_interfaces, of 3.0.0).
        """
        if "\\" not in passage.text or not mentions_firewall(passage.text):
            return False
        place = passage.place(passage.text.index("\\"), passage.text.index("\\") + 1, "\\")
        span = Span(line.passage.source, place.line, place.start, place.end)
        message = "ifupdown2 reads a backslash inside of a line as a blank, ifupdown gives it to the shell"
        hint = "use single quotes in place of the backslash"
        self.sink.add(Diagnostic(code="FWT132", message=message, span=span, hints=(hint,)))
        return True

    # --- other files ---

    def _sourced(self, kind: str, words: tuple[str, ...], line: LogicalLine, path: tuple[str, ...]) -> SourceStanza:
        files: list[InterfacesFile] = []
        for index, word in enumerate(words, 1):
            pattern = join(dirname(path[-1]), word)
            for name in self._names(kind, pattern, line, index):
                file = self._read(name, line, index, path)
                if file is not None:
                    files.append(file)
        keyword = "source" if kind == "source" else "source-directory"
        return SourceStanza(keyword, words, tuple(files), line.passage.source, line.number)

    def _names(self, kind: str, pattern: str, line: LogicalLine, index: int) -> tuple[str, ...]:
        """Return the files that a pattern names; a directory's files need plain names, as run-parts has it."""
        if kind == "source" and not _GLOB.search(pattern):
            return (pattern,)
        names = self.find_files(pattern if kind == "source" else join(pattern, "*"))
        if names is None:
            hint = "put the files beside this one, or take the line out if there are none"
            self._complain("FWT131", f"what `{pattern}` brings in is not among the inputs", line, index, hint)
            return ()
        if kind == "source":
            return names
        return tuple(name for name in names if _FILE_NAME.fullmatch(name.rpartition("/")[2]))

    def _read(self, name: str, line: LogicalLine, index: int, path: tuple[str, ...]) -> InterfacesFile | None:
        if name in path or len(path) > _DEEPEST:
            self._complain("FWT131", f"`{name}` sources itself in the end", line, index)
            return None
        source = self.read_file(name)
        if source is None:
            hint = "give the file as well, or take the line out if it does not exist on the host either"
            self._complain("FWT131", f"`{name}` cannot be read", line, index, hint)
            return None
        return self.file(source, (*path, name))

    def _complain(self, code: str, message: str, line: LogicalLine, index: int, hint: str = "") -> None:
        place = line.passage.place(*line.words[index], "")
        span = Span(line.passage.source, place.line, place.start, place.end)
        self.sink.add(Diagnostic(code=code, message=message, span=span, hints=(hint,) if hint else ()))


@lru_cache(maxsize=1024)
def _parse(terminals: tuple[str, ...]) -> tuple[str, int, str]:
    """Return the grammar's rule; or nothing, the number of the word it fails at, and what should stand there."""
    from lark import Token, UnexpectedInput  # noqa: PLC0415 -- see fwtrans/parsers/grammar.py

    tokens = [Token(terminal, terminal, start_pos=index) for index, terminal in enumerate(terminals)]
    try:
        tree = load_grammar("interfaces", lexer=TOKENS).parse(cast("str", tokens))
    except UnexpectedInput as error:
        token = getattr(error, "token", None)
        expected = sorted(_EXPECTED[name] for name in getattr(error, "expected", ()) if name in _EXPECTED)
        is_end = token is None or token.type == "$END"
        wrong = len(terminals) if is_end or token is None else token.start_pos
        return "", wrong or 0, " or ".join(expected)
    return str(tree.data), 0, ""


def _of_phase(phase: str) -> dict[str, str]:
    """Return the variables that tell a command when it is run; `up` and `down` are other names for ifup."""
    mode = "start" if phase in UP_PHASES else "stop"
    return {"MODE": mode, "PHASE": {"up": "post-up", "down": "pre-down"}.get(phase, phase)}


def _environment(name: str, family: str, method: str, lines: list[LogicalLine]) -> dict[str, str]:
    """Return the variables that ifup sets for a command: interfaces(5), ENVIRONMENT VARIABLES."""
    physical = name.partition(":")[0] if ":" in name else name
    values = {
        "IFACE": name,
        "LOGICAL": name,
        "ADDRFAM": family,
        "METHOD": method,
    }
    for line in lines:
        key = line.word(0)
        if key not in _PHASES:
            variable = "IF_" + re.sub(r"[^A-Z0-9_]", "", key.upper().replace("-", "_"))
            values[variable] = line.passage.text[line.words[1][0] :]
    if physical != name:  # ifupdown sets eth0:1, ifupdown2 eth0
        del values["IFACE"], values["LOGICAL"]
    return values


def _behind(passage: Passage, start: int) -> Passage:
    """Return the passage from an offset on."""
    runs = []
    for index, (offset, line, column) in enumerate(passage.runs):
        end = passage.runs[index + 1][0] if index + 1 < len(passage.runs) else len(passage.text) + 1
        if end > start:
            moved = max(start - offset, 0)
            runs.append((max(offset - start, 0), line, column + moved))
    return Passage(passage.source, passage.text[start:], tuple(runs))


def _outside_hint(line: LogicalLine) -> str:
    return "is the line before it meant to go on? It needs a backslash at its end" if mentions_firewall(line.passage.text) or line.word(0).startswith("-") else ""  # fmt: skip
