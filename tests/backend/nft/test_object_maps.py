"""A map that holds limits is printed with the limits it names, is loaded, and is read back as what it was."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fwtrans.backend.nft.json_form import print_json
from fwtrans.backend.nft.lower import Printing, lower_ruleset
from fwtrans.backend.nft.target import DEBIAN_13
from fwtrans.backend.nft.text import print_ruleset
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.ir import effect as does
from fwtrans.ir import fields as known
from fwtrans.ir.match import KeyPart
from fwtrans.ir.names import NamePattern
from fwtrans.ir.ruleset import Chain, Ruleset
from fwtrans.ir.sets import MapElement, NamedMap
from fwtrans.ir.stateful import Quota, StatefulFromMap, StatefulObject, StatefulTest
from fwtrans.lower.nft.ruleset import lower_nft
from fwtrans.parsers.nft_text.parse import parse_nft_text
from fwtrans.semantics.equivalence import compare
from fwtrans.source import Origin, SourceFile
from tests.backend.nft.listing import load
from tests.semantics.builders import DROP, TCP, base, limit, rule, table

if TYPE_CHECKING:
    from fwtrans.ir.sets import MapValue

KEY = (KeyPart(known.IIFNAME),)


def of_names(**values: MapValue) -> tuple[MapElement, ...]:
    return tuple(MapElement((NamePattern(name, is_prefix=False),), value) for name, value in values.items())


def quota(identity: str) -> StatefulTest:
    return StatefulTest(StatefulObject(identity, Quota(1_000_000)), over=True)


LIMITS = of_names(tap100i0=limit("slow", 2), tap101i0=limit("fast", 900, over=True), tap102i0=limit("slow", 2))
MAPS = (
    NamedMap("limits", (known.IIFNAME,), "limit", LIMITS),
    NamedMap("quotas", (known.IIFNAME,), "quota", of_names(tap100i0=quota("q"))),
    NamedMap("map", (known.IIFNAME,), "mark", of_names(tap100i0=1, tap101i0=2)),
)
RULES = (
    rule(StatefulFromMap(KEY, "limits"), TCP, DROP),
    rule(StatefulFromMap(KEY, "quotas"), DROP),
    rule(does.AssignFromMap(known.CT_MARK, KEY, "map")),
    rule(limit("slow", 2), DROP),
)


def whole() -> Ruleset:
    places = (replace(one, origins=(Origin(SourceFile("rules", "x\n"), 1),)) for one in RULES)
    chains: tuple[Chain, ...] = (base(*places),)
    return Ruleset((table(*chains, maps=MAPS),))


def printed() -> tuple[str, str]:
    sink = DiagnosticSink()
    lowered = lower_ruleset(whole(), sink, Printing()).ruleset
    assert not sink.errors
    return print_ruleset(lowered).text, print_json(lowered, DEBIAN_13)


def read(text: str) -> Ruleset:
    sink, source = DiagnosticSink(), SourceFile("printed", text)
    items = json.loads(text)["nftables"] if text.startswith("{") else parse_nft_text(source, sink)
    found = lower_nft(source, items, sink)
    assert not sink.errors
    assert found is not None
    return found


@pytest.mark.parametrize("form", [0, 1], ids=["text", "json"])
def test_maps_of_objects_are_read_back_equal(form: int) -> None:
    found = compare(whole(), read(printed()[form]))
    assert found.equal, found


@pytest.mark.netns
@pytest.mark.parametrize("as_json", [False, True], ids=["listed as text", "listed as json"])
def test_the_kernel_takes_maps_of_objects_and_lists_them(as_json: bool) -> None:
    loaded = load(printed()[0], list_json=as_json)
    assert not loaded.status, loaded.errors
    found = compare(whole(), read(loaded.listing))
    assert found.equal, found
