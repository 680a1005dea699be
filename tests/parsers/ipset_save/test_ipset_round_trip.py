"""Dumps print back as they were, and a line means the same on the short way and on the long one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwtrans.diagnostics import DiagnosticSink
from fwtrans.parsers.ipset_save.parse import _Reading
from fwtrans.parsers.ipset_save.set_types import SET_TYPES
from fwtrans.parsers.ipset_save.syntax import Command, Create, IpsetDump
from fwtrans.parsers.ipset_save.unparse import unparse
from fwtrans.source import SourceFile
from tests.parsers.ipset_save.reading import NAMES, read, read_well
from tests.parsers.ipset_save.scripts import ScriptMaker
from tests.places import FIXTURES

if TYPE_CHECKING:
    from pathlib import Path

NOWHERE = SourceFile("", "")
RECORDED = sorted((FIXTURES / "ipset").glob("*.save"))


def the_long_way(text: str) -> IpsetDump:
    """Read every line by its shape."""
    reading = _Reading(DiagnosticSink(), NAMES)
    source = SourceFile("test", text)
    for number, line in enumerate(source.lines, 1):
        reading.read_line(line, source, number)
    assert not reading.sink.found
    return reading.result()


def without_source(commands: tuple[Command, ...]) -> list[Command]:
    return [command._replace(source=NOWHERE) for command in commands]


def test_recorded_dumps_have_every_type() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in RECORDED)
    assert {command.type for command in read_well(text).commands if isinstance(command, Create)} == set(SET_TYPES)


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.name)
def test_what_ipset_saved_prints_back(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert unparse(read_well(text).commands) == text


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.name)
def test_what_ipset_saved_reads_the_same_both_ways(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    short, long = read_well(text), the_long_way(text)
    assert without_source(short.commands) == without_source(long.commands)


def test_corpus_prints_back_and_reads_the_same_both_ways(shared: Path) -> None:
    paths = sorted(shared.glob("*/*/ipset-save"))
    assert len(paths) >= 39
    for path in paths:
        text = path.read_text(encoding="utf-8")
        dump = read_well(text)
        assert unparse(dump.commands) == text
        assert without_source(dump.commands) == without_source(the_long_way(text).commands)


@pytest.mark.parametrize("seed", range(300))
def test_what_is_printed_reads_back(seed: int) -> None:
    script = ScriptMaker(seed, tuple(SET_TYPES)).script(length=12)
    dump, codes = read(script)
    printed = unparse(dump.commands)
    again, codes_again = read(printed)
    assert unparse(again.commands) == printed
    if not codes:
        assert not codes_again
        assert without_source(again.commands) == without_source(dump.commands)
        assert [(item.name, item.type) for item in again.sets] == [(item.name, item.type) for item in dump.sets]


def test_remarks_and_crlf_are_read() -> None:
    dump = read_well("# office\r\ncreate x hash:ip\r\n\r\nadd x 10.0.0.1\r\nCOMMIT\r\n")
    assert unparse(dump.commands) == "# office\ncreate x hash:ip\n\nadd x 10.0.0.1\nCOMMIT\n"


def test_exist_is_printed_where_it_stood() -> None:
    text = "create x hash:ip -exist\nadd x 10.0.0.1\nadd x 10.0.0.1\n"
    assert unparse(read_well(text).commands) == text
