"""The text reader against the JSON reader: one ruleset, loaded by the real nft, read three times, is one IR."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from fwtrans.diagnostics import DiagnosticSink
from fwtrans.ir.pprint import print_ruleset
from fwtrans.lower.nft.ruleset import lower_nft
from fwtrans.parsers.nft_json.parse import parse_nft_json
from fwtrans.parsers.nft_text.parse import parse_nft_text
from fwtrans.source import SourceFile
from tests.parsers.nft_text.nft_namespace import Listed, launcher, listed
from tests.parsers.nft_text.rule_cases import PLACES, Place

if TYPE_CHECKING:
    from pathlib import Path


def ir_of(text: str, *, as_json: bool = False) -> str:
    source, sink = SourceFile("ruleset", text), DiagnosticSink()
    items = parse_nft_json(source, sink) if as_json else parse_nft_text(source, sink)
    assert items is not None
    assert not sink.found, sink.found
    ruleset = lower_nft(source, items, sink)
    assert ruleset is not None, sink.found
    return without_spelling(print_ruleset(ruleset))


def without_spelling(text: str) -> str:
    """Leave out what listings change: how an unknown rule or object is spelt, and `dynamic`, which the JSON of nft 1.0.6 does not say."""
    text = re.sub(r"(?m)^  map dm\b.*\n", "", text)  # it is dynamic, and so unknown where that is said
    text = re.sub(r"(?m)^(  [a-z ]+ [\w-]+: )\{.*\}$", r"\1as it was read", text)
    text = re.sub(r"opaque<.*?>(?=;|$)|OpaqueEffect\(identity=.*?\)(?=;|$)", "opaque", text, flags=re.MULTILINE)
    return re.sub(r"(?m)^(  set .*) dynamic", r"\1", text)


_LISTED: dict[str, list[Listed]] = {}


def listings(place: Place, folder: Path) -> list[Listed]:
    if place.name not in _LISTED:
        lab = launcher()
        if place.needs_lab and lab is None:
            pytest.skip("no lab kernel: neither ../shared/lab/run-uml nor FWTRANS_LAB_UML")
        _LISTED[place.name] = listed(
            [place.ruleset(rule) for rule in place.rules], folder, lab if place.needs_lab else None
        )
    return _LISTED[place.name]


def same(left: str, right: str) -> None:
    """Compare line by line: elements of sets have no order, and a listing sorts them."""
    assert sorted(left.splitlines()) == sorted(right.splitlines())


CASES = [(place, index) for place in PLACES for index in range(len(place.rules))]


@pytest.mark.netns
@pytest.mark.parametrize(("place", "index"), CASES, ids=[f"{p.family}: {p.rules[i]}" for p, i in CASES])
def test_text_and_json_are_read_the_same(place: Place, index: int, tmp_path: Path) -> None:
    found = listings(place, tmp_path)[index]
    rule = place.rules[index]
    assert found.status == 0, found.errors
    from_listing = ir_of(found.text)
    if found.json.strip() and "no json callback" not in found.errors + found.text:
        same(ir_of(found.json, as_json=True), from_listing)
    same(ir_of(place.ruleset(rule)), from_listing)
