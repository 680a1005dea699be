"""Reading by shape gives what reading line by line gives; and a shape comes to the grammar once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fwtrans.parsers.iptables_save import classify, reader
from fwtrans.parsers.iptables_save.reader import LineReader
from fwtrans.parsers.iptables_save.unparse import unparse_dump
from fwtrans.parsers.iptables_save.words import split_line
from tests.parsers.iptables_save.line_strategies import LINES
from tests.parsers.iptables_save.option_table import OPTIONS
from tests.parsers.iptables_save.reading import in_table, read, read_well
from tests.places import SHARED

if TYPE_CHECKING:
    from pathlib import Path

    from fwtrans.diagnostics import Diagnostic

CORPUS = sorted(
    path
    for pattern in ("*-corpus/*/ip*tables-save", "*-corpus/*/input/foreign.v[46]")
    for path in (SHARED.glob(pattern) if SHARED.is_dir() else ())
)
EVERY_LINE_UP_TO = 400
EVERY_NTH_LINE = 37


def family_of(path: Path) -> str:
    return "ip6" if path.name in {"ip6tables-save", "foreign.v6"} else "ip"


def shown(found: list[Diagnostic]) -> list[tuple[str, str, int, int]]:
    return [(item.code, item.message, item.span.line, item.span.start) for item in found if item.span is not None]


def test_the_corpora_are_here(shared: Path) -> None:
    assert shared.is_dir()
    assert len(CORPUS) >= 80


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: f"{path.parts[-2]}-{path.name}")
def test_a_dump_of_the_corpora_is_read_the_same_without_shapes(path: Path, lab_long: bool) -> None:
    text = path.read_text(encoding="utf-8")
    lines = text.split("\n")
    if len(lines) > EVERY_LINE_UP_TO and not lab_long:
        rules = 0
        kept = []
        for line in lines:
            rules += line.startswith("-A")
            if not line.startswith("-A") or rules % EVERY_NTH_LINE == 0:
                kept.append(line)
        text = "\n".join(kept)
    family = family_of(path)
    assert read_well(text, family).tables == read_well(text, family, reuse_shapes=False).tables


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: f"{path.parts[-2]}-{path.name}")
def test_a_dump_of_the_corpora_is_printed_back_letter_by_letter(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert unparse_dump(read_well(text, family_of(path))) == text


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(LINES, min_size=1, max_size=8), st.sampled_from(["ip", "ip6"]))
def test_lines_are_read_the_same_without_shapes(lines: list[str], family: str) -> None:
    # each line twice: the second time its shape is known
    text = in_table(":u - [0:0]", *(line for line in lines for _ in range(2)))
    dump, found = read(text, family)
    again, found_again = read(text, family, reuse_shapes=False)
    assert shown(found) == shown(found_again)
    assert (dump is None) == (again is None)
    if dump is not None and again is not None:
        assert dump.tables == again.tables


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(LINES, st.sampled_from(["ip", "ip6"]))
def test_what_is_read_is_printed_and_read_again(line: str, family: str) -> None:
    dump, _ = read(in_table(":u - [0:0]", line), family)
    if dump is None:
        return
    text = unparse_dump(dump)
    assert unparse_dump(read_well(text, family)) == text


def test_forgetting_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        f"-A FORWARD -p {name} -m comment --comment {name} -j {to}"
        for name in ("tcp", "udp", "all")
        for to in ("u", "LOG")
    ]
    text = in_table(":u - [0:0]", *(lines * 3))
    expected = read_well(text).tables
    monkeypatch.setattr(classify, "MEMORY_LIMIT", 3)
    monkeypatch.setattr(reader, "SHAPE_LIMIT", 2)
    assert read_well(text).tables == expected


def parsed(lines: list[str]) -> int:
    """Return how many lines were given to the grammar."""
    lines_reader = LineReader(OPTIONS, "ip", in_file=True)
    for line in lines:
        words, raws = split_line(line)
        lines_reader.template(words, raws)
    return lines_reader.parsed


def test_a_shape_comes_to_the_grammar_once() -> None:
    assert parsed([f"-A {chain} -s 10.0.0.{number} -j {chain}x" for chain in ("a", "b") for number in range(100)]) == 1
    assert (
        parsed(["-A a -p tcp --dport 1", "-A a -p tcp --dport 2", "-A a -p udp --dport 2", "-A a -p 17 --dport 2"]) == 2
    )
    assert (
        parsed(["-A a -j x", "-A a -j ACCEPT", "-A a -j DROP", "-A a -g x", "-A a ! -s 1 -j x", "-A a -s ! 1 -j x"])
        == 6
    )
    assert parsed(['-A a -m comment --comment "-j" -j x', "-A a -m comment --comment -j -j x"]) == 1


def test_a_big_dump_has_few_shapes(shared: Path) -> None:
    text = (shared / "pve-corpus" / "s200" / "iptables-save").read_text(encoding="utf-8")
    rules = [line for line in text.split("\n") if line.startswith("-A")]
    assert len(rules) > 6000
    assert parsed(rules) < 150
