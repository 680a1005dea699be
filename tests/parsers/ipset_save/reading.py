"""What the tests of the ipset reader share: one call that reads, and the cases recorded from the real ipset."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.diagnostics import DiagnosticSink
from fwtrans.lower.wellknown import PROTOCOLS, SERVICES
from fwtrans.parsers.ipset_save.parse import _Reading, parse_ipset_save
from fwtrans.parsers.ipset_save.values import Names
from fwtrans.source import SourceFile
from tests.places import FIXTURES

if TYPE_CHECKING:
    from collections.abc import Hashable

    from fwtrans.parsers.ipset_save.syntax import IpsetDump, IpsetSet

NAMES = Names(PROTOCOLS, SERVICES)
CASES = FIXTURES / "ipset" / "restore.cases"
_LETTERS = {"<TAB>": "\t", "<CR>": "\r", "<VT>": "\v"}


class RestoreCase(NamedTuple):
    """One line of restore.cases."""

    script: str
    verdict: str
    codes: tuple[str, ...]

    @property
    def ipset_takes_it(self) -> bool:
        return self.verdict in {"OK", "STRICT"}


def read(text: str) -> tuple[IpsetDump, list[str]]:
    """Return the dump, and the code of each finding."""
    sink = DiagnosticSink()
    dump = parse_ipset_save(SourceFile("test", text), sink, NAMES)
    return dump, [item.code for item in sink.found]


def read_well(text: str) -> IpsetDump:
    """Return the dump of a text that has no fault."""
    sink = DiagnosticSink()
    dump = parse_ipset_save(SourceFile("test", text), sink, NAMES)
    assert not sink.found, sink.found
    return dump


def only_set(text: str) -> IpsetSet:
    """Return the one set that is left."""
    (found,) = read_well(text).sets
    return found


def cells(text: str) -> dict[str, set[Hashable]]:
    """Return what the kernel would hold, by set."""
    reading = _Reading(DiagnosticSink(), NAMES)
    source = SourceFile("test", text)
    for number, line in enumerate(source.lines, 1):
        reading.read_line(line, source, number)
    assert not reading.sink.found, reading.sink.found
    return {
        name: set(item.cells) or {member.parts for member in item.members.values()}
        for name, item in reading.sets.live.items()
    }


def restore_cases() -> list[RestoreCase]:
    """Return the recorded cases."""
    found = []
    for line in CASES.read_text(encoding="utf-8").split("\n"):
        if not line or line.startswith("#"):
            continue
        script, _, verdict = line.rpartition(" ; ")
        for name, letter in _LETTERS.items():
            script = script.replace(name, letter)
        word, *codes = verdict.split()
        found.append(RestoreCase(script.replace(" | ", "\n") + "\n", word, tuple(codes)))
    return found
