"""The lab alone, without the prover, finds translations that are wrong in one place."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from fwtrans.cli.inputs import FileAccess, read_paths
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.lab.derive import derive, interfaces_of
from fwtrans.lab.judge import LabFailed, Question, compare, judge_all
from fwtrans.lab.kernels import candidates
from fwtrans.lab.sides import Variant, side_of
from fwtrans.lab.topology import HOST, RouterTopology
from fwtrans.read import read_inputs
from fwtrans.source import SourceFile
from tests.lab.wrong_translations import KINDS, Wrong, made_wrong
from tests.places import FIXTURES

if TYPE_CHECKING:
    from fwtrans.lab.judge import Difference

pytestmark = pytest.mark.netns

BUDGET = 600
RIGHT = Wrong("nothing is wrong", r"\Atable", lambda found: found[0])
SCRIPT = (FIXTURES / "lab" / "host.nft").read_text(encoding="utf-8")


def questions_about(script: str) -> list[Question]:
    sink = DiagnosticSink()
    dumps = read_paths([str(FIXTURES / "lab" / "host")], sink)
    other = (SourceFile("host.nft", script),)
    old, new = (read_inputs(sources, sink, FileAccess()) for sources in (dumps, other))
    assert old is not None
    assert new is not None, (script, sink.errors)
    probes = tuple(item.probe for item in derive(old.ruleset, new.ruleset, budget=BUDGET))
    topology = RouterTopology(interfaces=interfaces_of(list(probes), HOST))
    sides = (side_of("old", dumps, Variant.LEGACY, sink), side_of("new", other, Variant.LEGACY, sink))
    assert not sink.errors, sink.errors
    return [Question(side, topology, probes) for side in sides if side is not None]


@pytest.fixture(scope="module")
def judged() -> dict[str, list[Difference]]:
    """Return what the kernel says of each kind of mistake: all in one run, each side in a namespace of its own."""
    kinds = (RIGHT, *KINDS)
    scripts = [made_wrong(kind, SCRIPT, Random(seed)) for seed, kind in enumerate(kinds)]  # noqa: S311 -- a seed each
    questions = [question for script in scripts for question in questions_about(script)]
    answers = judge_all(questions, next(candidates({})), seconds=600)
    found = {}
    for place, kind in enumerate(kinds):
        old, new = answers[2 * place : 2 * place + 2]
        assert not isinstance(old, LabFailed), old
        assert not isinstance(new, LabFailed), f"{new}\n{scripts[place]}"
        found[kind.name] = compare(old, new)
    return found


def test_a_right_translation_is_treated_alike(judged: dict[str, list[Difference]]) -> None:
    assert judged[RIGHT.name] == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_wrong_translation_is_found(kind: Wrong, judged: dict[str, list[Difference]]) -> None:
    assert judged[kind.name]
