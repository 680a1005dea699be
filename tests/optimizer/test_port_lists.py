"""Lists of ports are named sets, the same list the same one, and rules stay as they are when a guest is added."""

from __future__ import annotations

from fwtrans.ir.pprint import print_rule
from fwtrans.ir.ruleset import Ruleset
from fwtrans.ir.verify import verify
from fwtrans.optimizer.port_lists import PASS, name_port_lists
from fwtrans.semantics.equivalence import compare
from tests.optimizer.guests import only_table, read


def text(*rules: str) -> str:
    base = "chain forward { type filter hook forward priority 5; policy accept; " + "; ".join(rules) + "; }"
    return f"table bridge fw {{\nchain a {{ tcp dport 1 accept; }}\n{base}\n}}\n"


def rules_of(*rules: str) -> tuple[list[str], list[str]]:
    """Return the rules and the names of the sets afterwards."""
    before = only_table(text(*rules))
    after = name_port_lists(before)
    assert verify(Ruleset((after,))) == ()
    assert compare(Ruleset((before,)), Ruleset((after,))).equal
    assert name_port_lists(after) == after
    return [print_rule(rule) for rule in after.chains[-1].rules], [item.name for item in after.sets]


def test_a_list_becomes_a_set_that_all_rules_share() -> None:
    found, sets = rules_of("iifname { t1, t2, t3 } jump a", "oifname { t3, t2, t1 } udp dport 1 drop")
    assert found[0] == "iifname in @ports; => Jump(chain='a')"
    assert found[1].startswith("oifname in @ports; ")
    assert sets == ["ports"]


def test_all_other_ports() -> None:
    found, _ = rules_of("iifname != { t1, t2, t3 } drop")
    assert found == ["iifname not in @ports; => Drop()"]


def test_another_list_is_another_set() -> None:
    assert rules_of("iifname { t1, t2, t3 } drop", "iifname { t1, t2, t4 } drop")[1] == ["ports", "ports-2"]


def test_two_names_and_patterns_stay() -> None:
    assert rules_of("iifname { t1, t2 } drop", 'iifname { "t1*", t2, t3, t4 } drop')[1] == []


def test_one_more_guest_changes_the_set_only() -> None:
    few, many = (
        name_port_lists(only_table(text(f"iifname {{ {', '.join(names)} }} jump a")))
        for names in (("t1", "t2", "t3"), ("t1", "t2", "t3", "t4"))
    )
    assert few.chains == many.chains


def test_as_a_pass() -> None:
    found = PASS.run(read(text("iifname { t1, t2, t3 } jump a"))).ruleset
    assert PASS.run(found).ruleset is found
