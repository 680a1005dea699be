"""Where many rules know a frame's type, they do not ask for it; where one verdict is left, they ask a set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwtrans.ir.match import MemberTest
from fwtrans.ir.verdict import Dispatch
from fwtrans.optimizer.typed_keys import FEWEST_RULES, PASS
from tests.optimizer.guests import read
from tests.optimizer.proofs import proved_change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.ir.ruleset import Table

NAME = "reject-by-ether.type-ether.daddr"
ONE_VERDICT = tuple(
    f"{kind} . 02:00:00:00:00:0{guest} : jump {kind}-class" for guest in range(5) for kind in ("ip", "ip6")
)
SEVERAL = (*ONE_VERDICT, "ip6 . 02:00:00:00:00:0a : drop")
FEW_KEYS = ("ip . 02:00:00:00:00:01 : jump ip-class", "ip . 02:00:00:00:00:02 : jump ip-class", *ONE_VERDICT[1::2])


def text_of(elements: Sequence[str], asking: Sequence[str], name: str = NAME) -> str:
    look_up = f"ether type . ether daddr vmap @{name}"
    chains = "\n".join(
        f"chain asks{number} {{ udp dport {number + 1} drop; {look_up}; }}" for number in range(len(asking))
    )
    ways = "; ".join(f"{way} goto asks{number}" for number, way in enumerate(asking))
    return f"""table bridge fw {{
        map {name} {{ type ether_type . ether_addr : verdict; elements = {{ {", ".join(elements)} }} }}
        chain ip-class {{ tcp dport 22 reject; }}
        chain ip6-class {{ tcp dport 23 reject; }}
        {chains}
        chain out {{ type filter hook prerouting priority 5; policy accept; {ways}; {look_up}; }}
    }}"""


def ways(kind: str, many: int = FEWEST_RULES) -> list[str]:
    return [f'ether type {kind} iifname "tap{number}"' for number in range(many)]


def test_what_is_no_type_of_a_frame_is_not_left_out() -> None:
    text = text_of(ONE_VERDICT, ways("ip")).replace("ether type . ether daddr", "meta protocol . ether daddr")
    before = read(text)
    assert PASS.run(before).ruleset is before


def changed(elements: Sequence[str], asking: Sequence[str], name: str = NAME) -> Table | None:
    """Return the table as the pass leaves it, proved, or None where it changes nothing."""
    after = proved_change(PASS, read(text_of(elements, asking, name)))
    return None if after is None else after.tables[0]


def asked(table: Table) -> dict[str, str]:
    """Return by chain what its last rule asks."""
    found = {}
    for chain in table.chains:
        rule = chain.rules[-1]
        tests = [step.set_name for step in rule.steps if isinstance(step, MemberTest)]
        found[chain.name] = rule.verdict.map_name if isinstance(rule.verdict, Dispatch) else "".join(tests)
    return found


def test_one_verdict_is_a_set() -> None:
    table = changed(ONE_VERDICT, ways("ip"))
    assert table is not None
    found = asked(table)
    assert {found[f"asks{number}"] for number in range(FEWEST_RULES)} == {"reject-ip"}
    assert found["out"] == NAME
    (item,) = table.sets
    assert (len(item.fields), len(item.elements)) == (1, 5)


def test_several_verdicts_are_a_map_without_the_type() -> None:
    table = changed(SEVERAL, [*ways("ip"), *ways("ip6")])
    assert table is not None
    assert set(asked(table).values()) == {"", "reject-ip", "reject-ip6-by-ether.daddr", NAME}
    assert [(item.name, len(item.elements)) for item in table.maps] == [(NAME, 11), ("reject-ip6-by-ether.daddr", 6)]


@pytest.mark.parametrize(
    ("elements", "asking", "name"),
    [
        (ONE_VERDICT, ways("ip", FEWEST_RULES - 1), NAME),
        (ONE_VERDICT, ways("{ ip, ip6 }"), NAME),
        (FEW_KEYS, ways("ip"), NAME),
        (ONE_VERDICT, ways("ip"), "mine"),
    ],
    ids=["few rules", "two types", "few keys", "a map of somebody else"],
)
def test_what_does_not_pay_stays(elements: Sequence[str], asking: Sequence[str], name: str) -> None:
    assert changed(elements, asking, name) is None
