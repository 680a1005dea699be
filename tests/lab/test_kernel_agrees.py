# ruff: noqa: S311 -- seeds make failures repeatable
"""The kernel does with packets what the concrete evaluator says: iptables-legacy with random dumps, nft with what we print.

Which packets come through INPUT or FORWARD, and with which mark, is asked of three: iptables with the dump, nftables with
the translation, and the evaluator with the IR of the dump.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.source import SourceFile
from fwtrans.translate import Settings, translate
from tests.lab.probes import Probe, expected_mark, random_probe
from tests.random_dumps import Shape, random_dump

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(shutil.which("iptables-legacy-restore") is None, reason="needs iptables-legacy-restore"),
]

SCRIPT = Path(__file__).with_name("arrivals.py")
PROBES = 40


class Round(NamedTuple):
    """A dump, what is printed for it, the packets, and with which mark each is expected to come through."""

    seed: int
    dump: str
    script: str
    probes: tuple[Probe, ...]
    expected: dict[str, int]


def make_round(seed: int) -> Round:
    source = Random(seed)
    family = source.choice(("ip", "ip", "ip6"))
    dump = random_dump(source, family, Shape.KERNEL, rules=12)
    sink = DiagnosticSink()
    name = "iptables-save" if family == "ip" else "ip6tables-save"
    result = translate([SourceFile(name, dump)], Settings(), sink, FileAccess())
    assert not sink.errors, (dump, sink.errors)
    assert result.ruleset is not None
    probes = tuple(random_probe(source, family, number) for number in range(PROBES))
    marks = {probe.name: expected_mark(result.ruleset, probe) for probe in probes}
    return Round(seed, dump, result.output, probes, {name: mark for name, mark in marks.items() if mark is not None})


def ask_kernel(rounds: list[Round]) -> list[dict[str, dict[str, int]]]:
    order = [
        {
            "family": one.probes[0].family,
            "iptables": one.dump,
            "nft": one.script,
            "frames": [probe.frame for probe in one.probes],
        }
        for one in rounds
    ]
    done = subprocess.run(
        ["unshare", "-n", sys.executable, str(SCRIPT)],
        input=json.dumps(order), capture_output=True, text=True, check=False, timeout=1800,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers: list[dict[str, dict[str, int]]] = json.loads(done.stdout)
    return answers


def disagreements(one: Round, answer: dict[str, dict[str, int]]) -> list[str]:
    found = []
    for probe in one.probes:
        marks = [side.get(probe.name) for side in (one.expected, answer["iptables"], answer["nft"])]
        if len(set(marks)) > 1:
            shown = {field.name: value for field, value in probe.values.items()}
            found.append(f"expected {marks[0]}, iptables {marks[1]}, nft {marks[2]}: {shown}")
    return found


def check(seeds: range) -> None:
    rounds = [make_round(seed) for seed in seeds]
    answers = ask_kernel(rounds)
    wrong = [
        f"seed {one.seed}\n{one.dump}\n{one.script}\n" + "\n".join(found[:5])
        for one, answer in zip(rounds, answers, strict=True)
        if (found := disagreements(one, answer))
    ]
    assert not wrong, f"{len(wrong)} of {len(rounds)} rounds disagree\n" + "\n".join(wrong[:3])
    passed = sum(len(one.expected) for one in rounds)
    pairs = len(rounds) * PROBES
    assert pairs / 5 < passed < pairs * 4 / 5, f"{passed} of {pairs} packets pass: these rulesets say too little"
    marked = sum(mark != 0 for one in rounds for mark in one.expected.values())
    assert marked > pairs / 50, f"only {marked} of {pairs} packets were marked"


def test_eight_thousand_packets_are_judged_alike_by_the_kernel_and_the_evaluator() -> None:
    check(range(200))


@pytest.mark.lab_long
def test_many_more_packets_are_judged_alike_by_the_kernel_and_the_evaluator() -> None:
    check(range(1000, 3500))
