"""Random rulesets through the whole optimiser: what is printed is proved, loads, and each pass alone is proved as well.

Half of them are iptables dumps, which take the way of `translate --optimize`; the others are nftables chains with much in
common, so that passes find work.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.ir.fields import Family
from fwtrans.ir.verify import verify
from fwtrans.optimize import optimize_ruleset
from fwtrans.optimizer.registry import PASSES
from fwtrans.read import read_inputs
from fwtrans.source import SourceFile
from fwtrans.translate import Settings, translate
from tests.optimizer.random_lists import random_lists
from tests.optimizer.texts import assert_equal, assert_loads, printed, read_nft
from tests.random_dumps import random_dump

if TYPE_CHECKING:
    from fwtrans.ir.ruleset import Ruleset

pytestmark = pytest.mark.netns

SEEDS = st.integers(min_value=0, max_value=2**32 - 1)


def is_proved_and_loads(seed: int) -> None:
    """Take one ruleset all the way."""
    source = Random(seed)  # noqa: S311 -- hypothesis names the ruleset
    if source.random() < 0.5:
        each_pass_alone(translated(source))
        return
    before = random_lists(source)
    optimized = optimize_ruleset(before)
    assert not optimized.refused, [(stage.name, stage.faults) for stage in optimized.refused]
    text = printed(optimized.ruleset)
    assert_equal(before, read_nft(text))
    if before.tables[0].family is not Family.BRIDGE:  # not every kernel has connection tracking and reject there
        assert_loads(text)
    each_pass_alone(before)


def is_refused(line: str) -> bool:
    """Tell whether a line is one that iptables or the translation refuses, with a reason."""
    return "-m string" in line or ("tcp-reset" in line and " -p tcp " not in line.replace("! -p", "!-p"))


def translated(source: Random) -> Ruleset:
    """Translate a dump, optimised; load that; return the dump's own meaning."""
    family = source.choice(("ip", "ip", "ip6"))
    name = "iptables-save" if family == "ip" else "ip6tables-save"
    lines = random_dump(source, family, rules=25).splitlines(keepends=True)
    dump = SourceFile(name, "".join(line for line in lines if not is_refused(line)))
    sink = DiagnosticSink()
    found = translate([dump], Settings(optimize=True), sink, FileAccess())
    assert not sink.errors, (dump.text, sink.errors)
    assert not [item for item in sink.found if item.code == "FWT403"], (dump.text, sink.found)
    assert_loads(found.output)
    reading = read_inputs([dump], DiagnosticSink(), FileAccess())
    assert reading is not None
    return reading.ruleset


def each_pass_alone(before: Ruleset) -> None:
    """Prove what each pass makes of the ruleset itself."""
    known = set(verify(before))
    for item in PASSES:
        found = item.run(before).ruleset
        if found != before:
            assert set(verify(found)) <= known, item.name
            assert_equal(before, found)


@settings(max_examples=60, derandomize=True)
@given(SEEDS)
def test_sixty_random_rulesets(seed: int) -> None:
    is_proved_and_loads(seed)


@pytest.mark.lab_long
@settings(max_examples=1000, derandomize=True)
@given(SEEDS)
def test_a_thousand_random_rulesets(seed: int) -> None:
    is_proved_and_loads(seed)
