"""A map's elements that lead one way are a set where the kernel would follow them for too long, and only there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwtrans.ir.match import MemberTest
from fwtrans.ir.verdict import Dispatch, Goto
from fwtrans.optimizer import many_ways, pipeline
from fwtrans.optimizer.base import Pass, Passed
from fwtrans.optimizer.followed import MOST_FOLLOWED, Ways
from fwtrans.optimizer.many_ways import MANY, PASS
from fwtrans.optimizer.twins import counted_with_twins
from tests.optimizer.guests import read
from tests.optimizer.proofs import proved_change

if TYPE_CHECKING:
    from fwtrans.ir.ruleset import Ruleset, Table

# So many addresses stand in the map that each guest's way leads to.
WIDE = 40


def node(guests: int, others: int = 2, *, entry: str = "oif-entry", tests: str = "") -> Ruleset:
    """Return a bridge on which many guests are of one class, and some go their own way."""
    ports = [f'"tap{number}" : goto class-a' for number in range(guests)]
    ports += [f'"tap{1000 + number}" : goto class-b' for number in range(others)]
    wide = ", ".join(f"10.0.{number}.1 : goto leaf" for number in range(WIDE))
    return read(f"""table bridge fw {{
        map {entry} {{ type ifname : verdict; elements = {{ {", ".join(ports)} }} }}
        map wide {{ type ipv4_addr : verdict; elements = {{ {wide} }} }}
        chain leaf {{ tcp dport 22 drop; udp dport 53 drop; }}
        chain class-a {{ tcp dport 1 drop; ip saddr vmap @wide; }}
        chain class-b {{ udp dport 1 drop; }}
        chain to {{ type filter hook forward priority 5; policy accept; {tests} oifname vmap @{entry}; }}
    }}""")


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a table be followed for too long by some hundred rules and elements."""
    monkeypatch.setattr(many_ways, "MOST_FOLLOWED", 400)


def only(ruleset: Ruleset) -> Table:
    (table,) = ruleset.tables
    return table


def test_every_way_counts() -> None:
    behind_a = 2 + WIDE * (1 + 2)
    table = only(node(3))
    assert Ways(table).all == 1 + 3 * (1 + behind_a) + 2 * (1 + 1)
    assert Ways(table, many=3).all == 1 + (3 + 2) + (2 + WIDE + 2) + 2
    assert Ways(table, many=WIDE + 1).all == Ways(table).all
    a_thousand = counted_with_twins(table, 20)
    assert Ways(table, counted=a_thousand).all == 1 + 83 * (1 + behind_a) + 83 * (1 + 1), "all have twins"
    other = only(node(2, 1))
    assert Ways(other, counted=counted_with_twins(other, 20)).all == 1 + 20 * (1 + behind_a) + (1 + 1)
    single = only(node(1, 1))
    assert Ways(single, counted=counted_with_twins(single, 20)).all == Ways(single).all


def test_rules_that_lead_one_way_count_as_what_becomes_of_them() -> None:
    """Guests are found by a list of rules until it is a map, which is after they have become classes."""
    rules = "; ".join(f'oifname "tap{number}" jump class' for number in range(WIDE))
    ports = ", ".join(f'"tap{number}" : jump log-{number}' for number in range(WIDE))
    logs = "\n".join(f'chain log-{number} {{ log prefix "{number}"; }}' for number in range(WIDE))
    table = only(
        read(f"""table bridge fw {{
            map logs {{ type ifname : verdict; elements = {{ {ports} }} }}
            {logs}
            chain class {{ tcp dport 22 accept; oifname vmap @logs; }}
            chain to {{ type filter hook forward priority 5; policy accept; {rules}; }}
        }}""")
    )
    behind = 2 + WIDE + WIDE
    assert Ways(table).all == WIDE * (1 + behind)
    assert Ways(table, MANY).all == WIDE + behind


@pytest.mark.usefixtures("short")
def test_a_class_of_many_guests_is_followed_once() -> None:
    found = proved_change(PASS, node(40))
    assert found is not None
    table = only(found)
    (to,) = (chain for chain in table.chains if chain.base is not None)
    first, last = to.rules
    assert first.verdict == Goto("class-a")
    (test,) = first.steps
    assert isinstance(test, MemberTest)
    (made,) = (item for item in table.sets if item.name == test.set_name)
    assert len(made.elements) == 40
    assert isinstance(last.verdict, Dispatch)
    (rest,) = (item for item in table.maps if item.name == last.verdict.map_name)
    assert {element.value for element in rest.elements} == {Goto("class-b")}
    assert Ways(table).all < Ways(only(node(40))).all / 10


@pytest.mark.usefixtures("short")
def test_a_map_of_one_class_is_gone() -> None:
    found = proved_change(PASS, node(40, others=0))
    assert found is not None
    assert [item.name for item in only(found).maps] == ["wide"]


@pytest.mark.usefixtures("short")
def test_what_two_guests_have_is_parted_as_for_many() -> None:
    """How many guests are alike may change later; the rules do not."""
    two, many = (proved_change(PASS, node(guests)) for guests in (2, MANY - 1))
    assert two is not None
    assert many is not None
    assert [chain.rules for chain in only(two).chains] == [chain.rules for chain in only(many).chains]


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(
    "before",
    [
        node(1, others=1),
        node(40, entry="somebodys-map"),
        node(40, tests="meta mark set 1"),
    ],
    ids=["few", "of-people", "writes-first"],
)
def test_what_is_left(before: Ruleset) -> None:
    assert PASS.run(before).ruleset is before


def test_what_is_followed_quickly_stays() -> None:
    before = node(40)
    assert Ways(only(before)).all > 1000
    assert PASS.run(before).ruleset is before


def test_no_pass_may_make_a_table_that_is_followed_for_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = node(2), node(MANY - 1)
    greedy = Pass("greedy", "makes more ways", lambda ruleset: Passed(many if ruleset is few else ruleset))
    assert Ways(only(many)).all < MOST_FOLLOWED
    assert pipeline.run_passes(few, [greedy], prove=False).ruleset is many
    monkeypatch.setattr(pipeline, "MOST_FOLLOWED", Ways(only(few)).all)
    found = pipeline.run_passes(few, [greedy], prove=False)
    assert found.ruleset is few
    assert any("at every change" in reason for stage in found.stages for reason in stage.declined)
    lighter = Pass("lighter", "makes fewer ways", lambda ruleset: Passed(few if ruleset is many else ruleset))
    assert pipeline.run_passes(many, [lighter], prove=False).ruleset is few
