"""Regions are exactly the difference: no more, no less, none empty; boxes are exactly their set, and disjoint."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.ir.bits import BitSet
from fwtrans.read import read_inputs
from fwtrans.semantics.boxes import boxes
from fwtrans.semantics.changes import changes
from fwtrans.semantics.equivalence import compare
from fwtrans.semantics.outcome import Limits
from fwtrans.semantics.regions import regions
from fwtrans.semantics.session import Session
from fwtrans.source import SourceFile
from tests.random_dumps import random_dump

if TYPE_CHECKING:
    from fwtrans.ir.ruleset import Ruleset
    from fwtrans.semantics.bdd import Node
    from fwtrans.semantics.boxes import Box

HEAD = "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
SEEDS = range(60)


def ruleset(text: str) -> Ruleset:
    sink = DiagnosticSink()
    found = read_inputs([SourceFile("dump", text)], sink, FileAccess(()))
    assert found is not None, sink.found
    return found.ruleset


def dump(*rules: str) -> Ruleset:
    return ruleset(HEAD + "".join(f"{rule}\n" for rule in rules) + "COMMIT\n")


def changed(source: Random, text: str) -> str:
    """Return a dump with one or two of its rules gone, doubled, swapped or ended in another way."""
    lines = text.split("\n")
    for _ in range(source.randint(1, 2)):
        at = [number for number, line in enumerate(lines) if line.startswith("-A ")]
        if not at:
            return text
        place = source.choice(at)
        other = place + 1 if place + 1 in at else place
        kind = source.randrange(4)
        if kind == 0:
            del lines[place]
        elif kind == 1:
            lines[place], lines[other] = lines[other], lines[place]
        elif kind == 2:
            lines[place] = lines[place].replace("-j ACCEPT", "-j DROP")
        else:
            lines[place] = lines[place].replace("--dport 22", "--dport 22:25").replace("--dport 80", "--dport 81")
    return "\n".join(lines)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("family", ["ip", "ip6"])
def test_regions_are_the_whole_difference(seed: int, family: str) -> None:
    source = Random(seed)  # noqa: S311 -- a test that can be repeated
    text = random_dump(source, family)
    old, new = ruleset(text), ruleset(changed(source, text))
    found = regions(old, new)
    proved = compare(old, new, limits=Limits(differences=1))
    if found.undecided or proved.undecided:
        return
    assert found.exact
    assert all(part.boxes.boxes for region in found.regions for part in region.parts)
    assert all(part.confirmed for region in found.regions for part in region.parts)
    if proved.equal:
        # another pairing of limits may make two sides equal that differ by the limits' names
        assert all(region.kind.value == "stateful" for region in found.regions) or not found.regions
    else:
        assert found.regions


def paths_of(found: object) -> set[str]:
    return {region.path.name for region in found.regions}  # type: ignore[attr-defined]


def test_a_packet_belongs_to_the_last_changed_rule_that_it_meets() -> None:
    log = '-A INPUT -p tcp -m tcp --dport 22 -j LOG --log-prefix "a"'
    old = dump(log, "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT")
    new = dump(log.replace('"a"', '"b"'), "-A INPUT -p tcp -m tcp --dport 22:23 -j ACCEPT")
    found = regions(old, new)
    told = [(region.kind.value, region.change and region.change.sited.number) for region in found.regions]
    assert told == [("verdict", 1), ("log", 0), ("log", 0)]


def test_a_rule_that_moved_without_effect_makes_no_region() -> None:
    rules = ("-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT", "-A INPUT -p udp -m udp --dport 53 -j ACCEPT")
    found = regions(dump(*rules), dump(*rules[::-1]))
    assert found.equal
    assert all(change.moved for change in found.changes.rules)


def test_a_rule_that_moved_with_effect_is_told() -> None:
    rules = ("-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT", "-A INPUT -s 10.0.0.0/8 -j DROP")
    found = regions(dump(*rules), dump(*rules[::-1]))
    assert [(region.passed_before, region.passes_now) for region in found.regions] == [(True, False)]


def test_a_policy_is_a_changed_rule() -> None:
    text = HEAD + "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n"
    found = regions(ruleset(text), ruleset(text.replace("INPUT DROP", "INPUT ACCEPT")))
    assert [region.change.sited.number for region in found.regions if region.change] == [-1]
    assert [part.way.text for region in found.regions for part in region.parts] == ["to the host"]


def test_context_names_equal_rules_that_take_something_away() -> None:
    before = ("-A INPUT -s 192.0.2.0/24 -j DROP", "-A INPUT -p udp -j ACCEPT")
    found = regions(dump(*before), dump(*before, "-A INPUT -p tcp -j ACCEPT"))
    assert [[sited.number for sited in region.context] for region in found.regions] == [[0]]


def test_changes_match_by_meaning_and_not_by_place() -> None:
    rules = [f"-A INPUT -p tcp -m tcp --dport {port} -j ACCEPT" for port in range(20, 30)]
    found = changes(dump(*rules), dump("-A INPUT -i lo -j ACCEPT", *rules))
    assert [(change.old, change.sited.number) for change in found.rules] == [(None, 0)]


def test_a_comment_or_a_counter_is_no_change() -> None:
    rule = "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT"
    other = "-A INPUT -p tcp -m tcp --dport 22 -m comment --comment x -j ACCEPT"
    assert changes(dump(rule), dump(other)).rules == ()


# --- boxes ---


@pytest.mark.parametrize("seed", range(20))
def test_boxes_are_the_set_and_disjoint(seed: int) -> None:
    found = ruleset(random_dump(Random(seed), "ip"))  # noqa: S311 -- a test that can be repeated
    session = Session(found, found, Limits().nodes)
    for compared in session.compared:
        packets = compared.old.through & compared.possible
        cut = boxes(session.variables, packets, 5000)
        rebuilt = [_rebuilt(session, box) for box in cut.boxes]
        united = session.bdd.false
        for one in rebuilt:
            assert united & one == session.bdd.false
            united = united | one
        assert not cut.complete or united == packets


def _rebuilt(session: Session, box: Box) -> Node:
    found = session.bdd.true
    for field, values in box.values.items():
        if isinstance(values, BitSet):
            found = found & session.variables.in_cubes(field, values.cubes)
        else:
            found = found & session.variables.in_values(field, values)
    for unknown, answer in box.answers.items():
        variable = session.bdd.variables[session.variables.unknowns[unknown]]
        found = found & (variable if answer else ~variable)
    return found


LOGGED = "-A INPUT -m limit --limit 2/min -j LOG --log-prefix x"


@pytest.mark.parametrize(
    ("rule", "same"),
    [(LOGGED, True), (LOGGED.replace("2/min", "3/min"), False), (LOGGED.replace("-m limit", "-p tcp -m limit"), False)],
)
def test_a_limit_in_a_chain_is_the_one_of_the_same_rule_in_the_chain_s_place(rule: str, same: bool) -> None:
    called = ruleset(
        HEAD.replace("INPUT DROP", "INPUT ACCEPT")
        + ":LOGGING - [0:0]\n-A INPUT -j LOGGING\n"
        + f"{LOGGED.replace('INPUT', 'LOGGING')}\n-A LOGGING -j DROP\nCOMMIT\n"
    )
    found = regions(called, dump(rule))
    assert found.equal is same
    assert found.exact
