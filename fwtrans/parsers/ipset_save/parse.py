"""Reads `ipset save` output, files for `ipset restore`, and ipset commands of scripts.

    create office hash:net family inet            Create(name="office", type="hash:net", ...)
    add office 192.0.2.0/24 timeout 300    ->     ElementCommand(ADD, "office", (AddressPart(...),), ...)

Every line is carried out on a model of the kernel's sets, so that what `add` means is known (its set's type may have
come by `swap`) and the sets at the end are. Plain lines of an element alone take a short way past the shapes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Diagnostic, DiagnosticSink, Refused
from fwtrans.parsers.ipset_save.commands import CommandReader, read_known_options
from fwtrans.parsers.ipset_save.shapes import command_terminal
from fwtrans.parsers.ipset_save.state import Sets
from fwtrans.parsers.ipset_save.syntax import (
    NO_OPTIONS,
    Command,
    Create,
    ElementAction,
    ElementCommand,
    IpsetDump,
    Remark,
    SetCommand,
)
from fwtrans.parsers.ipset_save.values import Names
from fwtrans.parsers.ipset_save.words import PlacedWord, plain_words, split_line
from fwtrans.source import SourceFile, Span

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fwtrans.parsers.shell_script import ScriptCommand

MOST_ERRORS = 200
"""After so many the rest of a file is left unread: it is another format, or it has one mistake in all its lines."""

_ADD = ElementAction.ADD
_LISTING = ("Name: ", "<ipsets>", "<ipset ")


def parse_ipset_save(
    source: SourceFile, sink: DiagnosticSink, names: Names | None = None, *, exist: bool = False
) -> IpsetDump:
    """Read a dump. `exist` is for files that are loaded with `ipset -exist restore`."""
    reading = _Reading(sink, names or Names())
    reading.sets.tolerant = exist
    before = len(sink.found)
    for number, line in enumerate(source.lines, 1):
        if reading.add_plainly(line, source, number):
            continue
        reading.read_line(line, source, number)
        if reading.is_listing or len(sink.found) - before >= MOST_ERRORS:
            break
    return reading.result()


def parse_ipset_commands(
    commands: Iterable[ScriptCommand], sink: DiagnosticSink, names: Names | None = None
) -> IpsetDump:
    """Read the ipset calls of a script or an interfaces file, in the order in which they are run."""
    reading = _Reading(sink, names or Names())
    for command in commands:
        words = [PlacedWord(word.value, word.start, word.end, word.line) for word in (command.place, *command.words)]
        line = command.words[0].line if command.words else command.place.line
        reading.may_fail = command.may_fail
        reading.sets.tolerant = command.only_if_absent
        reading.read_words(words[1:] or words, command.source, line, alone=not command.only_if_absent)
    return reading.result()


class _Reading:
    """One reading: the commands so far, the sets, and how to read the elements of each."""

    def __init__(self, sink: DiagnosticSink, names: Names) -> None:
        self.sink = sink
        self.sets = Sets(names)
        self.reader = CommandReader(names, self.sets.live)
        self.commands: list[Command] = []
        self.broken: set[str] = set()
        self.may_fail = False
        self.is_listing = False

    def result(self) -> IpsetDump:
        return IpsetDump(tuple(self.commands), self.sets.result())

    def add_plainly(self, line: str, source: SourceFile, number: int) -> bool:
        """Take a line `add NAME ELEMENT OPTIONS` as `ipset save` prints it; False leaves it to the long way.

        Any mistake does that too, so that only the long way has to say what is wrong.
        """
        words = plain_words(line)
        if len(words) < 3 or words[0] != "add":
            return False
        target = self.sets.live.get(words[1])
        if target is None:
            return False
        try:
            parts = target.read_element(words[2])
            options = NO_OPTIONS
            if len(words) > 3:
                found = read_known_options(words, target)
                if found is None:
                    return False
                options = found
        except Refused:
            return False
        cell, cells = target.cell_of(parts), target.cells
        if cell is None or cell in cells or len(cells) >= target.limit:
            return False
        command = cells[cell] = ElementCommand(_ADD, words[1], parts, options, source, number)
        self.commands.append(command)
        return True

    def read_line(self, line: str, source: SourceFile, number: int) -> None:
        text = line.strip(" \t\r")
        if not text or text.startswith("#") or text == "COMMIT":
            self.commands.append(Remark(text, source, number))
            return
        if text.startswith(_LISTING):
            self._listing(text, source, number)
            return
        try:
            words = split_line(line)
        except Refused as refusal:
            start = int(refusal.option)
            self._report(refusal, Span(source, number, start, len(line.rstrip("\r"))))
            return
        alone = bool(words) and words[0].value.rpartition("/")[2] == "ipset"
        self.read_words(words[alone:], source, number, alone=alone)

    def read_words(self, words: list[PlacedWord], source: SourceFile, line: int, *, alone: bool) -> None:
        """Read a command that is one of a file, or (`alone`) a run of ipset of its own.

        In a file -exist holds for all that follows (seen on ipset 7.17, which keeps it in its session).
        """
        values = [word.value for word in words]
        reader = self.reader
        try:
            command = reader.read(values, source, line)
        except Refused as refusal:
            if not self._follows_from_another(values) and not self._is_forgiven(refusal):
                self._report(refusal, _place(words, refusal.option, source, line, reader.blamed))
            return
        self.sets.tolerant = reader.said_exist or (self.sets.tolerant and not alone)
        try:
            self._carry_out(command)
        except Refused as refusal:
            if not self._is_forgiven(refusal):
                self._report(refusal, _place(words, refusal.option, source, line, None))
            return
        self.commands.append(command)

    def _carry_out(self, command: Command) -> None:
        match command:
            case ElementCommand():
                self.sets.change(command)
            case Create():
                self.sets.create(command)
            case SetCommand():
                self.sets.apply(command)
            case Remark():
                pass

    def _is_forgiven(self, refusal: Refused) -> bool:
        """Tell whether a script reckons with it: `ipset destroy old 2>/dev/null`. What fails then changes nothing."""
        return self.may_fail and refusal.code == "FWT124"

    def _follows_from_another(self, words: list[str]) -> bool:
        """Tell whether a refused command names a set whose `create` was refused: that is said once, not per element."""
        terminal = command_terminal(words[0]) if len(words) > 1 else None
        if terminal == "CREATE":
            self.broken.update(word for word in words[1:3] if word not in self.sets.live)
            return False
        return terminal in {"ADD", "DELETE"} and words[1] in self.broken

    def _listing(self, text: str, source: SourceFile, number: int) -> None:
        self.is_listing = True
        self.sink.add(
            Diagnostic(
                code="FWT126",
                message="this is what `ipset list` prints; it does not say which sets it can be loaded into",
                span=Span(source, number, 0, len(text)),
                hints=("run `ipset save` and give its output",),
            )
        )

    def _report(self, refusal: Refused, span: Span) -> None:
        self.sink.add(
            Diagnostic(
                code=refusal.code,
                message=refusal.message,
                span=span,
                notes=(refusal.note,) if refusal.note else (),
                hints=(refusal.hint,) if refusal.hint else (),
            )
        )


def _place(words: list[PlacedWord], piece: str, source: SourceFile, line: int, blamed: int | None) -> Span:
    """Return the columns of the piece that a refusal names: in the blamed word, in one behind it, or in any."""
    if not words:
        return Span(source, line, 0, 0)
    first = 0 if blamed is None else blamed
    if piece:
        for word in words[first:] if blamed is not None else words[1:]:
            offset = word.value.find(piece)
            if offset >= 0:
                plain = len(word.value) == word.end - word.start
                start = word.start + offset if plain else word.start
                return Span(source, word.line or line, start, start + len(piece) if plain else word.end)
    blamed_word = words[first]
    return Span(source, blamed_word.line or line, blamed_word.start, blamed_word.end)
