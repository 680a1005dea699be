"""Targets of arptables: marks are hexadecimal with and without 0x, and options belong to their target."""

from __future__ import annotations

import subprocess

import pytest

from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.ir.effect import Assign
from fwtrans.ir.fields import MARK
from fwtrans.read import read_inputs
from fwtrans.source import SourceFile
from tests.namespaces import assert_inside, namespace

ONES = 0xFFFFFFFF
MARKS = {
    "--set-mark 17": Assign(MARK, 0, 0x17),
    "--set-mark 0x17": Assign(MARK, 0, 0x17),
    "--set-mark 010": Assign(MARK, 0, 0x10),
    "--and-mark 1f": Assign(MARK, 0x1F, 0),
    "--or-mark 10": Assign(MARK, ONES & ~0x10, 0x10),
}


def dump_of(rule: str) -> str:
    return f"*filter\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n-A INPUT -j MARK {rule}\n"


def read(rule: str) -> tuple[list[object], list[str]]:
    sink = DiagnosticSink()
    reading = read_inputs((SourceFile("arptables-save", dump_of(rule)),), sink, FileAccess())
    chains = reading.ruleset.tables[0].chains if reading is not None else ()
    return [step for chain in chains for rule_ in chain.rules for step in rule_.steps], [
        item.code for item in sink.errors
    ]


@pytest.mark.parametrize("rule", MARKS)
def test_a_mark_is_hexadecimal(rule: str) -> None:
    assert read(rule) == ([MARKS[rule]], [])


@pytest.mark.parametrize("rule", ["--set-mark 17/ff", "--set-mark x", "--or-mark 123456789", "--and-mark -1"])
def test_what_is_no_mark_is_refused(rule: str) -> None:
    assert read(rule)[1] == ["FWT112"]


@pytest.mark.parametrize(
    ("rule", "code"),
    [("-s 10.0.0.1 --set-mark 1", "FWT116"), ("-j DROP --mangle-ip-s 10.0.0.1", "FWT116"), ("-s 10.0.0.1 -s 10.0.0.2", "FWT111")],
)  # fmt: skip
@pytest.mark.netns
def test_what_arptables_refuses_is_refused(rule: str, code: str) -> None:
    dump = dump_of("--set-mark 1").replace("-j MARK --set-mark 1", rule)
    sink = DiagnosticSink()
    read_inputs((SourceFile("arptables-save", dump),), sink, FileAccess())
    assert [item.code for item in sink.errors] == [code]
    with namespace():
        assert_inside()
        done = subprocess.run(["arptables-nft-restore"], input=dump, text=True, capture_output=True, check=False)
    assert done.returncode


@pytest.mark.netns
def test_arptables_prints_what_it_reads_without_0x() -> None:
    def saved(rule: str) -> str:
        with namespace():
            assert_inside()
            subprocess.run(["arptables-nft-restore"], input=dump_of(rule), text=True, check=True)
            text = subprocess.run(["arptables-nft-save"], text=True, capture_output=True, check=True).stdout
        return next(line for line in text.splitlines() if line.startswith("-A")).removeprefix("-A INPUT -j MARK ")

    assert [saved(rule) for rule in ("--set-mark 17", "--set-mark 0x17", "--set-mark 010")] == [
        "--set-mark 17", "--set-mark 17", "--set-mark 10",
    ]  # fmt: skip
