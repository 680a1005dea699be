"""Matches of the case tables, each in a ruleset of its own: iptables with the rule, nft with its translation, the same packets.

All rulesets are loaded one after the other in one run of a kernel, each in a namespace of its own. What that kernel has no
match for is left out, and said.
"""

from __future__ import annotations

import shutil
import warnings
from random import Random
from typing import TYPE_CHECKING, NamedTuple

import pytest

from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.lab.derive import derive, interfaces_of
from fwtrans.lab.judge import LabFailed, Question, judge_all, lasting
from fwtrans.lab.kernels import candidates
from fwtrans.lab.sides import Variant, side_of
from fwtrans.lab.topology import HOST, RouterTopology
from fwtrans.read import read_inputs
from fwtrans.source import SourceFile
from fwtrans.translate import Settings, translate
from tests.lower.extensions.match_cases import FIXTURES
from tests.lower.extensions.second_half import read_cases

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lower.extensions.match_cases import Case

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(shutil.which("iptables-legacy-restore") is None, reason="needs iptables-legacy-restore"),
]

NAMES = sorted(path.stem for path in FIXTURES.glob("*.cases") if not path.stem.startswith("target-"))
# What depends on the moment, on chance, on what came before, or on a thing that the lab has not: answers of their own.
NOT_ASKED = {
    "bpf", "cluster", "connbytes", "connlimit", "cpu", "hashlimit", "limit", "nfacct", "quota", "rateest", "recent", "set",
    "statistic", "string", "time", "u32",
    "connlabel",  # a connection from before the rules has no room for labels (nf_connlabels_get), and the two tell it apart
}  # fmt: skip
FAMILIES = {"ip": "iptables-save", "ip6": "ip6tables-save"}
HEAD = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n"


class Asked(NamedTuple):
    """A case, what its dump and its translation are asked, each twice."""

    case: Case
    questions: tuple[Question, ...]


def cases() -> Iterator[Case]:
    for name in NAMES:
        for case in read_cases(name) if name not in NOT_ASKED else ():
            is_plain = case.rule.endswith(" -j ACCEPT") and "//" not in case.rule and case.expected != "(nothing)"
            if not case.code and is_plain and (case.table, case.chain) == ("filter", "FORWARD"):
                yield case


def asked(case: Case, budget: int) -> Asked:
    dump = SourceFile(FAMILIES[case.family], f"{HEAD}-A FORWARD {case.rule}\nCOMMIT\n")
    sink = DiagnosticSink()
    script = SourceFile("new.nft", translate([dump], Settings(verify=False), sink, FileAccess()).output)
    sides = [side_of(name, [one], Variant.LEGACY, sink) for name, one in (("old", dump), ("new", script))]
    old, new = (read_inputs([one], sink, FileAccess()) for one in (dump, script))
    assert old is not None, (case, sink.errors)
    assert new is not None, (case, sink.errors)
    probes = tuple(item.probe for item in derive(old.ruleset, new.ruleset, budget=budget))
    topology = RouterTopology(interfaces=interfaces_of(list(probes), HOST))
    return Asked(case, tuple(Question(side, topology, probes) for side in sides * 2 if side is not None))


def check(chosen: list[Case], budget: int) -> int:
    """Compare, and return how many packets were judged by both."""
    rounds = [asked(case, budget) for case in chosen]
    answers = iter(judge_all([one for item in rounds for one in item.questions], next(candidates({})), seconds=1800))
    wrong, left_out, judged = [], [], 0
    for item in rounds:
        found = [next(answers) for _ in item.questions]
        if any(isinstance(one, LabFailed) for one in found):
            left_out.append(f"{item.case.place}: {next(one for one in found if isinstance(one, LabFailed))}")
            continue
        runs = [one for one in found if not isinstance(one, LabFailed)]
        judged += len(item.questions[0].probes)
        same = lasting(runs[::2], runs[1::2])
        wrong += [f"{item.case.place} {item.case.rule}: {one}" for one in same.differences[:2]]
    if left_out:
        warnings.warn(f"{len(left_out)} rules do not load in this kernel: {left_out[:3]}", stacklevel=1)
    assert not wrong, f"{len(wrong)} of {judged}\n" + "\n".join(wrong[:5])
    assert len(left_out) < len(chosen) / 2, left_out[:5]
    return judged


@pytest.mark.filterwarnings("default")
def test_matches_of_the_case_tables_match_the_same_packets() -> None:
    chosen = Random(7).sample(list(cases()), 24)  # noqa: S311 -- the same ones in every run
    assert check(chosen, 30) > 300


@pytest.mark.lab_long
@pytest.mark.filterwarnings("default")
def test_all_matches_of_the_case_tables_match_the_same_packets() -> None:
    assert check(list(cases()), 150) > 20000
