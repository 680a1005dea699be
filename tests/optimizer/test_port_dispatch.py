"""Runs of rules that lead to ports' chains become look-ups, and nothing else does."""

from __future__ import annotations

from fwtrans.ir.pprint import print_rule
from fwtrans.ir.ruleset import Ruleset
from fwtrans.optimizer.port_dispatch import PASS, dispatch_ports
from fwtrans.semantics.equivalence import compare
from tests.optimizer.guests import dealt, only_table, read, ruleset_text


def rules_of(*rules: str) -> list[str]:
    chains = "chain a { tcp dport 1 accept; }\nchain b { udp dport 2 drop; }"
    base = "chain prerouting { type filter hook prerouting priority -150; policy accept; " + "; ".join(rules) + "; }"
    before = only_table(f"table bridge fw {{\n{chains}\n{base}\n}}\n")
    after = dispatch_ports(before)
    assert compare(Ruleset((before,)), Ruleset((after,))).equal
    assert dispatch_ports(after) == after
    return [print_rule(rule) for rule in after.chains[-1].rules]


def test_a_run_becomes_one_look_up() -> None:
    found = rules_of("iifname t1 jump a", "iifname t2 goto b", "iifname t3 drop", "tcp dport 9 drop")
    assert found[0] == "=> Dispatch(key=[iifname], map_name='prerouting-ports')"
    assert len(found) == 2


def test_two_rules_are_cheaper_than_a_look_up() -> None:
    assert len(rules_of("iifname t1 jump a", "iifname t2 goto b")) == 2


def test_a_port_that_comes_again_ends_the_run() -> None:
    found = rules_of(
        "iifname t1 jump a", "iifname t2 jump b", "iifname t3 jump a", "iifname t1 jump b", "iifname t4 drop"
    )
    assert len(found) == 3


def test_lists_of_ports_are_look_ups_already() -> None:
    assert len(rules_of("iifname { t1, t2, t3 } jump a", "iifname t4 jump b", "udp dport 1 drop")) == 2
    assert len(rules_of("iifname { t1, t2, t3 } jump a", "iifname { t3, t4 } jump b")) == 2


def test_patterns_and_further_tests_stay_rules() -> None:
    rules = ("iifname t1 jump a", 'iifname "t2*" jump b', "iifname != t3 jump a", "iifname t5 tcp dport 1 jump b")
    assert len(rules_of(*rules)) == 4


def test_ports_in_and_out_are_two_runs() -> None:
    rules = [f"iifname t{number} jump a" for number in range(3)] + [f"oifname t{number} jump a" for number in range(3)]
    assert len(rules_of(*rules)) == 2


def test_many_guests_are_one_rule() -> None:
    ruleset = read(ruleset_text(dealt(40), by_map=False).replace("ether type { ip, ip6 } ", ""))
    found = PASS.run(ruleset).ruleset.tables[0]
    base = found.chain("prerouting")
    assert base is not None
    assert len(base.rules) == 3
    assert compare(ruleset, Ruleset((found,))).equal
