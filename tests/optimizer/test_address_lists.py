"""Lists of hardware addresses that lead to chains are named sets, and rules stay as they are when a guest is added."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.pprint import print_rule
from fwtrans.ir.ruleset import Ruleset
from fwtrans.ir.verify import verify
from fwtrans.optimizer.address_lists import PASS, name_address_lists
from fwtrans.semantics.equivalence import compare
from tests.optimizer.guests import only_table, read

if TYPE_CHECKING:
    from fwtrans.ir.ruleset import Table

SCATTERED = ("bc:24:11:00:00:01", "bc:24:11:00:00:21", "bc:24:11:00:0a:01")


def text(*rules: str) -> str:
    base = "chain arriving { type filter hook prerouting priority 5; policy accept; " + "; ".join(rules) + "; }"
    return f"table bridge fw {{\nchain a {{ tcp dport 1 drop; }}\n{base}\n}}\n"


def changed(*rules: str) -> Table:
    before = only_table(text(*rules))
    after = name_address_lists(before)
    assert verify(Ruleset((after,))) == ()
    assert compare(Ruleset((before,)), Ruleset((after,))).equal
    assert name_address_lists(after) == after
    return after


def leading(*addresses: str) -> str:
    return f"ether type ip6 ether daddr {{ {', '.join(addresses)} }} jump a"


def test_a_list_becomes_a_set_that_all_rules_share() -> None:
    after = changed(leading(*SCATTERED), leading(*SCATTERED).replace("ip6", "ip"))
    assert [print_rule(rule).count("ether.daddr in @addresses;") for rule in after.chains[-1].rules] == [1, 1]
    assert [(item.name, len(item.elements)) for item in after.sets] == [("addresses", 3)]


def test_neighbouring_addresses_are_written_out() -> None:
    after = changed("ether daddr bc:24:11:00:00:01-bc:24:11:00:00:09 jump a")
    assert [len(item.elements) for item in after.sets] == [9]
    assert all(low == high for element in after.sets[0].elements for low, high in element.key)


def test_few_addresses_large_ranges_and_plain_verdicts_stay() -> None:
    after = changed(
        leading(*SCATTERED[:2]),
        "ether daddr bc:24:11:00:00:00-bc:24:11:ff:ff:ff jump a",
        f"ether daddr {{ {', '.join(SCATTERED)} }} drop",
    )
    assert after.sets == ()


def test_one_more_guest_changes_the_set_only() -> None:
    few, many = (changed(leading(*addresses)) for addresses in (SCATTERED, (*SCATTERED, "bc:24:11:99:99:99")))
    assert few.chains == many.chains
    assert [len(item.elements) for item in (*few.sets, *many.sets)] == [3, 4]


def test_as_a_pass() -> None:
    found = PASS.run(read(text(leading(*SCATTERED)))).ruleset
    assert PASS.run(found).ruleset is found
