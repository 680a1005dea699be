"""Random Proxmox VE nodes: each is translated, proved equal in its fast shape, and holds nothing of firewall bridges."""

from __future__ import annotations

import random
import re

import pytest

from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.translate import Settings, translate
from tests.random_nodes import random_node, with_forwards

HELD = re.compile(r"\b(physdev|fwbr|fwln|fwpr)\w*")
NODES = 24
LONG = 600


def check(seed: int, settings: Settings) -> None:
    sink = DiagnosticSink()
    draw = random.Random(seed)  # noqa: S311 -- a repeatable choice
    sources = random_node(draw)
    if settings.pve_nftables:
        sources = with_forwards(draw, sources)
    result = translate(sources, settings, sink, FileAccess())
    assert [item.message for item in sink.found if item.code in {"FWT400", "FWT401", "FWT402", "FWT403"}] == []
    assert not sink.errors, sink.errors
    assert result.output
    assert not HELD.findall(re.sub(r'"(?:[^"\\]|\\.)*"', "", result.output))


@pytest.mark.parametrize("seed", range(NODES))
def test_a_random_node_is_translated_and_proved(seed: int) -> None:
    check(seed, Settings(optimize=True, close_mark_leak=seed % 4 == 3))


@pytest.mark.parametrize("seed", range(NODES))
def test_what_the_nftables_backend_forwards_is_proved_too(seed: int) -> None:
    check(seed, Settings(optimize=True, pve_nftables=True))


@pytest.mark.lab_long
@pytest.mark.parametrize("seed", range(NODES, LONG))
def test_many_forwards_are_proved(seed: int) -> None:
    check(seed, Settings(optimize=True, pve_nftables=True))


@pytest.mark.lab_long
@pytest.mark.parametrize("seed", range(NODES, LONG))
def test_many_random_nodes_are_translated_and_proved(seed: int) -> None:
    check(seed, Settings(optimize=True, close_mark_leak=seed % 4 == 3))
