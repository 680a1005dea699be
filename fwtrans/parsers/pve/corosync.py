"""Reads corosync.conf, of which PVE's firewall takes the addresses of all nodes and the transport.

PVE reads it word by word, as `name {`, `}` and `key: value`; ends of lines mean nothing but for comments. It stops at
the first mistake, and then changes no rule at all, so a mistake here is an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Diagnostic
from fwtrans.parsers.pve.complaints import shortened
from fwtrans.parsers.pve.syntax import Corosync, CorosyncNode, Token
from fwtrans.source import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwtrans.diagnostics import DiagnosticSink
    from fwtrans.source import SourceFile

_WORD = re.compile(r"[^ \t\n\r\f\v]+")
_SEVERAL = frozenset({"node", "interface"})
"""The sections that may stand several times in one."""
_LINK = re.compile(r"(?:ring|link)([0-9]{1,3})_addr")


@dataclass(slots=True)
class _Section:
    name: str
    line: int
    values: dict[str, str] = field(default_factory=dict)
    within: set[str] = field(default_factory=set)


def parse_corosync(source: SourceFile, sink: DiagnosticSink) -> Corosync | None:
    """Return the nodes and totem's settings; None where PVE would stop."""
    reading = _Reading()
    words = list(_words(source))
    index = 0
    while index < len(words):
        line, token = words[index]
        behind = words[index + 1][1].text if index + 1 < len(words) else None
        mistake, used = reading.take(line, token.text, behind)
        if mistake:
            _complain(source, sink, line, token, mistake)
            return None
        index += used
    if reading.stack:
        end = Token("", 0)
        _complain(source, sink, reading.stack[-1].line, end, f"section `{shortened(reading.stack[-1].name)}` is not closed")  # fmt: skip
        return None
    nodes: dict[str, CorosyncNode] = {}  # the last one of a name counts
    for section in reading.nodes:
        name = section.values.get("name") or section.values.get("ring0_addr", "")
        if not name:
            _complain(source, sink, section.line, Token("node", 0), "the node has no name")
            return None
        nodes[name] = CorosyncNode(source, section.line, name, section.values.get("nodeid", ""), _links(section))
    return Corosync(source, tuple(nodes.values()), tuple(reading.totem.items()))


def _complain(source: SourceFile, sink: DiagnosticSink, line: int, token: Token, message: str) -> None:
    span = Span(source, line, token.start, max(token.end, token.start + 1))
    note = "PVE stops here: it changes no rule at all until this is put right"
    sink.add(Diagnostic(code="FWT170", message=message, span=span, notes=(note,)))


def _words(source: SourceFile) -> Iterator[tuple[int, Token]]:
    for number, line in enumerate(source.lines, 1):
        for found in _WORD.finditer(line.partition("#")[0]):
            yield number, Token(found.group(), found.start())


def _links(section: _Section) -> tuple[tuple[int, str], ...]:
    found = ((_LINK.fullmatch(key), value) for key, value in section.values.items())
    return tuple(sorted((int(match[1]), value) for match, value in found if match is not None))


@dataclass(slots=True)
class _Reading:
    """What has been read. `stack` are the sections that are open."""

    stack: list[_Section] = field(default_factory=list)
    outermost: set[str] = field(default_factory=set)
    nodes: list[_Section] = field(default_factory=list)
    totem: dict[str, str] = field(default_factory=dict)

    def take(self, line: int, word: str, behind: str | None) -> tuple[str, int]:
        """Take one thing. Return what is wrong with it, if anything, and how many words it had."""
        if behind == "{":
            section = _Section(word, line)
            within = self.stack[-1].within if self.stack else self.outermost
            if word in within and word not in _SEVERAL:
                return f"section `{shortened(word)}` is given twice", 1
            within.add(word)
            if word == "node" and self.stack and self.stack[-1].name == "nodelist":
                self.nodes.append(section)
            self.stack.append(section)
            return "", 2
        if word == "}":
            if not self.stack:
                return "there is no section that `}` could close", 1
            self.stack.pop()
            return "", 1
        if not word.endswith(":"):
            return f"`:` is missing behind `{shortened(word)}`", 1
        if behind is None:
            return f"`{shortened(word)}` has no value", 1
        key = word[:-1]
        if self.stack:
            self.stack[-1].values[key] = behind
            if self.stack[-1].name == "totem":
                self.totem[key] = behind
        return "", 2
