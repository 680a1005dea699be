"""Targets of arptables: marks are hexadecimal with and without 0x, and options belong to their target."""

from __future__ import annotations

import subprocess

import pytest

from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.ir.effect import Assign
from fwtrans.ir.fields import ARP_PTYPE, MARK
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest
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
    [("-s 10.0.0.1 --set-mark 1", "FWT116"), ("-j DROP --mangle-ip-s 10.0.0.1", "FWT116"), ("-s 10.0.0.1 -s 10.0.0.2", "FWT111"),
     ("-j MARK --and-mark 17 --or-mark 2", "FWT112"), ("-j CLASSIFY --set-class 10001:2", "FWT112")],
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


@pytest.mark.parametrize(("text", "value"), [("800", 800), ("0x800", 0x800), ("0800", None), ("010", 8)])
def test_the_type_of_addresses_is_read_as_strtol_reads_it(text: str, value: int | None) -> None:
    sink = DiagnosticSink()
    dump = dump_of("").replace("-j MARK", f"--proto-type {text} -j DROP")
    reading = read_inputs((SourceFile("arptables-save", dump),), sink, FileAccess())
    if value is None:
        assert [item.code for item in sink.errors] == ["FWT112"]
        return
    assert reading is not None
    (rule,) = next(chain.rules for chain in reading.ruleset.tables[0].chains if chain.name == "INPUT")
    assert rule.steps == (FieldTest(ARP_PTYPE, IntervalSet.single(16, value)),)


@pytest.mark.parametrize(("option", "bits"), [("--src-mac", "@nh,64,48"), ("--dst-mac", "@nh,144,48")])
def test_a_mask_with_holes_is_asked_of_the_address_in_the_message(option: str, bits: str) -> None:
    """Of the frame's own address every broadcast would do."""
    sink = DiagnosticSink()
    dump = dump_of("").replace("-j MARK", f"{option} 01:00:00:00:00:00/01:00:00:00:00:00 -j DROP")
    reading = read_inputs((SourceFile("arptables-save", dump),), sink, FileAccess())
    assert reading is not None
    rules = [rule for chain in reading.ruleset.tables[0].chains for rule in chain.rules]
    assert [step.field.name for rule in rules for step in rule.steps if isinstance(step, FieldTest)][-1] == bits
