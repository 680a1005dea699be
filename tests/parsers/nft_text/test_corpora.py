"""Whole rulesets: the corpora beside the repository, and a nftables.conf as people write it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwtrans.diagnostics import DiagnosticSink
from fwtrans.ir.verify import verify
from fwtrans.lower.nft.ruleset import lower_nft
from fwtrans.parsers.nft_text.parse import parse_nft_text
from fwtrans.source import SourceFile
from tests.growth import assert_grows_with
from tests.parsers.nft_text.nft_namespace import launcher, listed
from tests.parsers.nft_text.test_agreement import ir_of, same
from tests.places import FIXTURES

if TYPE_CHECKING:
    from pathlib import Path

HAND_WRITTEN = (FIXTURES / "corpus" / "nft-hand-written" / "nftables.conf").read_text(encoding="utf-8")
BIG = ["proxmox-firewall-corpus/10/ruleset.nft", "ideal/plain-10.nft", "ideal/corpus-10.nft"]


def in_shared(shared: Path, name: str) -> str:
    path = shared / name
    if not path.is_file():
        pytest.skip(f"{path} is missing: the corpora lie beside the repository")
    return path.read_text(encoding="utf-8")


def agrees(text: str, folder: Path) -> None:
    lab = launcher()
    if lab is None:
        pytest.skip("no lab kernel: neither ../shared/lab/run-uml nor FWTRANS_LAB_UML")
    (found,) = listed([text], folder, lab)
    assert found.status == 0, found.errors
    from_listing = ir_of(found.text)
    same(ir_of(found.json, as_json=True), from_listing)
    same(ir_of(text), from_listing)


@pytest.mark.netns
def test_a_hand_written_file_is_read_as_it_is_listed(tmp_path: Path) -> None:
    agrees(HAND_WRITTEN, tmp_path)


@pytest.mark.netns
@pytest.mark.parametrize("name", BIG)
def test_a_corpus_is_read_as_it_is_listed(name: str, shared: Path, tmp_path: Path) -> None:
    agrees(in_shared(shared, name), tmp_path)


def test_the_biggest_corpus_is_read_whole(shared: Path) -> None:
    source = SourceFile("ruleset.nft", in_shared(shared, "proxmox-firewall-corpus/500/ruleset.nft"))
    sink = DiagnosticSink()
    items = parse_nft_text(source, sink)
    assert not sink.found
    assert sum("rule" in item.get("add", {}) for item in items) == source.text.count("\n\t\t") - sum(
        line.startswith(("\t\ttype", "\t\tflags", "\t\tauto-merge", "\t\telements", "\t\t\t", "\t\ttimeout"))
        for line in source.lines
    )
    ruleset = lower_nft(source, items, sink)
    assert ruleset is not None
    assert not verify(ruleset)


def with_elements(count: int) -> SourceFile:
    elements = ",\n".join(f"\t\t\t10.{index >> 8 & 255}.{index & 255}.{index >> 16}" for index in range(count))
    text = f"table ip t {{\n\tset s {{\n\t\ttype ipv4_addr\n\t\telements = {{ {elements} }}\n\t}}\n}}\n"
    return SourceFile("set.nft", text)


def test_fifty_thousand_elements_are_read() -> None:
    sink = DiagnosticSink()
    items = parse_nft_text(with_elements(50_000), sink)
    assert not sink.found
    assert len(items[1]["add"]["set"]["elem"]) == 50_000


def test_reading_elements_grows_with_their_number() -> None:
    small, large = with_elements(2_000), with_elements(20_000)
    assert_grows_with(
        10, lambda: parse_nft_text(small, DiagnosticSink()), lambda: parse_nft_text(large, DiagnosticSink())
    )
