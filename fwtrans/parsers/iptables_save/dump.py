"""Reads iptables-save and files for iptables-restore: tables, chains, rules, as iptables-restore 1.8.9 understands them.

    *filter
    :INPUT DROP [0:0]
    -A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
    COMMIT

Beside -A such a file may hold every other command; they are carried out in order. A table that is given again replaces
what was there before. Errors are collected, and then there is no dump.
"""

from __future__ import annotations

import gc
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Diagnostic
from fwtrans.parsers.iptables_save.commands import apply_command
from fwtrans.parsers.iptables_save.general import BUILT_IN
from fwtrans.parsers.iptables_save.reader import LineReader, diagnostic_of
from fwtrans.parsers.iptables_save.shapes import frame_rule
from fwtrans.parsers.iptables_save.spans import word_span
from fwtrans.parsers.iptables_save.syntax import Command, IptablesDump
from fwtrans.parsers.iptables_save.tables import Table, refuse_unknown_table
from fwtrans.parsers.iptables_save.values import read_counters
from fwtrans.parsers.iptables_save.words import BadLine, has_other_blanks, refuse_what_overflows, split_line
from fwtrans.source import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fwtrans.diagnostics import DiagnosticSink
    from fwtrans.parsers.iptables_save.options import OptionTable
    from fwtrans.source import SourceFile

    IsTarget = Callable[[str], bool]

_LONG = 500  # no shorter line has too many words for iptables-restore, or one too long
_SHOWN = 60
_NOT_TEXT = re.compile("[\0\ud800-\udfff]")
_LEFT_OUT = re.compile(r"# (?:Table `[^']*' (?:is|contains) incompatible|Warning: \S+-legacy tables present)")
"""What iptables-nft-save 1.8.9 writes where nft has made tables that it cannot show, or the legacy tools have rules."""


def parse_dump(
    source: SourceFile,
    family: str,
    options: OptionTable,
    sink: DiagnosticSink,
    *,
    first: int = 1,
    last: int | None = None,
    reuse_shapes: bool = True,
) -> IptablesDump | None:
    """Return the tables of a dump; None if anything in it is not understood, which the sink then tells.

    `first` and `last` choose lines where a file holds the dumps of both families (`sections`). With `reuse_shapes` off
    every line is given to the grammar; the result is the same.
    """
    if refuse_what_is_no_text(source, sink):
        return None
    known = len(sink.errors)
    lines = LineReader(options, family, in_file=True, reuse=reuse_shapes)
    reader = _DumpReader(source, sink, lines, lambda name: options.target_options(name, family) is not None)
    with _collector_paused():
        reader.read(first, len(source.lines) if last is None else last)
    if len(sink.errors) > known:
        return None
    return IptablesDump(source, family, tuple(table.frozen(everything=False) for table in reader.tables.values()))


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Spare the search for cycles: millions of nodes are made and none is part of one. It would take half the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def refuse_what_is_no_text(source: SourceFile, sink: DiagnosticSink) -> bool:
    """Report the first byte that no text has; tell whether there was one."""
    found = _NOT_TEXT.search(source.text)
    if found is None:
        return False
    line = source.text.count("\n", 0, found.start()) + 1
    column = found.start() - (source.text.rfind("\n", 0, found.start()) + 1)
    what = "a NUL byte" if found.group() == "\0" else "a byte that is not UTF-8"
    sink.add(Diagnostic(code="FWT100", message=f"input holds {what}", span=Span(source, line, column, column + 1)))
    return True


class _DumpReader:
    """Where the reader stands in a dump."""

    def __init__(self, source: SourceFile, sink: DiagnosticSink, lines: LineReader, is_target: IsTarget) -> None:
        self.source = source
        self.sink = sink
        self.lines = lines
        self.is_target = is_target
        self.tables: dict[str, Table] = {}
        self.table: Table | None = None
        self.comments: list[tuple[int, str]] = []
        self.is_outside_told = False
        self.is_other_format = False
        self.other_blanks = has_other_blanks(source.text)

    def read(self, first: int, last: int) -> None:
        """Read the lines from `first` to `last`."""
        lines = self.source.lines
        for number in range(first, last + 1):
            line = lines[number - 1]
            try:
                if line[:1] == "-" or line[:1] == "[":
                    self.rule_line(line, number)
                else:
                    self.other_line(line.strip(" \t\r"), line, number)
            except BadLine as error:
                self.sink.add(diagnostic_of(error, self.source, number))
                if self.is_other_format:
                    return
        self.finish(last)

    def rule_line(self, line: str, number: int) -> None:
        """Read a command, most often -A."""
        table = self.table
        if table is None:
            self.refuse_outside(line)
            return
        if line[-1] == "\r":
            line = line[:-1]
        words, raws = split_line(line, other_blanks=self.other_blanks)
        if len(line) > _LONG:
            refuse_what_overflows(line, words)
        template = self.lines.template(words, raws)
        if template.command is Command.APPEND and template.chain_at is not None:
            table.append(words[template.chain_at], template.rule(words, raws, number), template.chain_word)
            return
        command = template.command_line(words, raws, number, table.name)
        if command is not None:
            apply_command(table, command, "FWT109")

    def other_line(self, text: str, line: str, number: int) -> None:
        """Read a line that is no command: the frame of a table, a comment, or a mistake."""
        begin = text[:1]
        if begin == "#":
            self.comment(text, number)
        elif begin == "*" or (begin == ":" and self.table is not None) or (text == "COMMIT" and self.table is not None):
            self.frame_line(text, number)
        elif begin:
            self.rule_line(line, number)

    def frame_line(self, text: str, number: int) -> None:
        """Read `*filter`, `:INPUT ACCEPT [0:0]` or `COMMIT`. No quotes here, and iptables ignores words too many.

        It also reads nothing behind a `-`: `:LOGGING - DROP [0:0]` loads, and the chain has no policy.
        """
        words = [word for word in text[1:].replace("\t", " ").split(" ") if word]
        if text[0] == "*":
            rule = frame_rule(("TABLE",) * bool(words))
        elif text[0] == ":":
            policy = "NO_POLICY" if words[1:2] == ["-"] else "POLICY"
            rule = frame_rule(("CHAIN", policy, "COUNTERS")[: len(words)])
        else:
            rule = frame_rule(("COMMIT",))
        if rule == "table_line":
            self.begin_table(words[0], number)
        elif rule == "chain_line" and self.table is not None:
            behind_policy = words[2:3] if policy == "POLICY" else [word for word in words[2:3] if word[0] == "["]
            counters = read_counters(behind_policy, 2) if behind_policy else None
            self.declare(self.table, words, counters, number)
        elif rule == "commit_line" and self.table is not None:
            self.end_table(self.table, number)
        else:
            raise BadLine(
                "FWT102",
                f"`{text}` is not whole; expected a table's name, or a chain with its policy",
                word=0,
                hint=f"a user chain has `-` there: `:{words[0]} -`" if words else "",
            )

    def declare(self, table: Table, words: list[str], counters: tuple[int, int] | None, number: int) -> None:
        """Take over a chain. What a new one of the user's has for a policy iptables-nft does not read."""
        name, policy = words[:2]
        if policy != "-" and name not in table.chains:
            message = f"`{name}` is no built-in chain of `{table.name}` and has no policy: `{policy}` does nothing"
            self.sink.add(self.unread_policy(message, name, policy, number))
            policy, counters = "-", None
        table.declare(name, policy, counters, number)

    def unread_policy(self, message: str, name: str, policy: str, number: int) -> Diagnostic:
        """Return the finding at the policy behind a chain's name."""
        line = self.source.line(number)
        start = line.index(policy, line.index(name) + len(name))
        note = "iptables-nft-restore passes over it; iptables-legacy-restore loads no such file"
        return Diagnostic(
            code="FWT140",
            message=message,
            span=Span(self.source, number, start, start + len(policy)),
            notes=(note,),
            hints=("write `-` there, and what is to happen at the chain's end as its last rule",),
        )

    def begin_table(self, name: str, number: int) -> None:
        """Begin an empty table, whatever stood in it before."""
        if self.table is not None:
            self.sink.add(self.no_commit(self.table, number))
        if name not in BUILT_IN:
            self.table = None
            self.is_outside_told = True
            refuse_unknown_table(name, 0)
        before = self.tables.pop(name, None)
        self.table = self.tables[name] = Table(name, number, self.is_target)
        if before is not None:
            self.take_over(before, self.table, number)

    def end_table(self, table: Table, number: int) -> None:
        """End the open table."""
        table.end = number
        table.comments += self.comments
        self.comments = []
        self.table = None
        self.is_outside_told = False

    def take_over(self, before: Table, table: Table, number: int) -> None:
        """Keep what a table that is given again keeps: the policies. Its rules are flushed, and that is told."""
        for name, chain in table.chains.items():
            chain.policy = before.chains[name].policy
        count = sum(len(chain.rules) for chain in before.chains.values())
        message = f"table `{table.name}` is given again, which flushes its {count} rules from line {before.line} on"
        self.sink.add(Diagnostic(code="FWT118", message=message, span=word_span(self.source, number, 0)))

    def comment(self, text: str, number: int) -> None:
        """Keep a comment; tell if it says that the dump is not whole."""
        self.comments.append((number, text))
        if _LEFT_OUT.match(text):
            message = f"the tool that made the dump left something out: {text.lstrip('# ')}"
            self.sink.add(Diagnostic(code="FWT119", message=message, span=word_span(self.source, number, None)))

    def refuse_outside(self, line: str) -> None:
        """Refuse a line outside of all tables, but only the first of several."""
        if self.is_outside_told:
            return
        self.is_outside_told = True
        if not self.tables:
            self.is_other_format = True
            shown = line.strip()[:_SHOWN]
            raise BadLine(
                "FWT101", f"`{shown}` begins no iptables dump; expected `*filter` or another table", word=None
            )
        raise BadLine("FWT102", "line stands behind COMMIT and before the next table", word=None)

    def no_commit(self, table: Table, number: int) -> Diagnostic:
        """Return the error of a table without its end."""
        message = f"table `{table.name}`, begun in line {table.line}, has no COMMIT"
        return Diagnostic(code="FWT107", message=message, span=word_span(self.source, number, None))

    def finish(self, last: int) -> None:
        """See to what the last line leaves open."""
        if self.table is not None:
            while last > 1 and not self.source.line(last):
                last -= 1
            self.sink.add(self.no_commit(self.table, last))
        elif self.comments and self.tables:
            list(self.tables.values())[-1].comments += self.comments
