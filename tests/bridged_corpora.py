"""Nodes of the corpora beside what is printed for them and read back, each made once in a run of tests."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.cli.inputs import FileAccess, read_paths
from fwtrans.comparing import compare_on
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.read import read_inputs
from fwtrans.source import SourceFile
from fwtrans.translate import Settings, translate
from tests.places import SHARED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fwtrans.comparing import Compared
    from fwtrans.ir.host import Host
    from fwtrans.ir.ruleset import Ruleset
    from fwtrans.report.translation import Translation

CORPORA = SHARED / "pve-corpus"
NAMES = tuple(sorted(path.parent.name for path in CORPORA.glob("*/iptables-save")))


class Node(NamedTuple):
    """A node's rules as iptables has them, what is known of it, and the same in nftables as read back."""

    host: Host
    old: Ruleset
    new: Ruleset
    printed: Translation
    sink: DiagnosticSink


def compared(node: Node, new: Ruleset | None = None) -> Compared:
    """Return the comparison of a node's two rulesets, or of the first with another one."""
    return compare_on(node.host, node.old, node.new if new is None else new)


def translated(sources: Sequence[SourceFile], settings: Settings | None = None) -> Node:
    """Return sources beside their translation, which must be without errors."""
    sink, silent = DiagnosticSink(), DiagnosticSink()
    result = translate(sources, settings or Settings(verify=False), sink, FileAccess())
    assert not sink.errors, sink.errors
    old = read_inputs(sources, silent, FileAccess())
    new = read_inputs([SourceFile("printed", result.output)], silent, FileAccess())
    assert old is not None
    assert new is not None
    return Node(old.host, old.ruleset, new.ruleset, result, sink)


@cache
def node(name: str, *, optimized: bool = False) -> Node:
    """Return a node of the corpora, read from its configuration: there its addresses are known."""
    return translated(read_folder(CORPORA / name / "input"), Settings(verify=False, optimize=optimized))


def read_folder(folder: Path) -> tuple[SourceFile, ...]:
    """Return the sources of a folder."""
    sink = DiagnosticSink()
    found = read_paths([str(folder)], sink)
    assert not sink.found, sink.found
    return found


def pve_node(cluster: str, host: str, guests: dict[int, tuple[str, str]]) -> tuple[SourceFile, ...]:
    """Return the sources of a configuration: cluster.fw, host.fw, and for each guest its .fw and its network line."""
    sources = [SourceFile("n/cluster.fw", cluster), SourceFile("n/host.fw", host)]
    for vmid, (rules, network) in guests.items():
        sources += [
            SourceFile(f"n/{vmid}.fw", rules),
            SourceFile(f"n/qemu-server/{vmid}.conf", f"memory: 512\nnet0: {network}\n"),
        ]
    return tuple(sources)
