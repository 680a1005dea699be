"""Translations that differ in their target become one rule with a map."""

from __future__ import annotations

from fwtrans.optimizer import nat_maps
from tests.optimizer.texts import after, assert_loads, elements_of, rules_of

HEAD = "type nat hook prerouting priority dstnat; policy accept;"


def mapped(*rules: str) -> str:
    text = "table ip nat {\n chain forward { " + HEAD + "\n  " + "\n  ".join(rules) + "\n }\n}\n"
    found = after(nat_maps.PASS, text)
    assert_loads(found)
    return found


def test_targets_by_address() -> None:
    found = mapped(*(f"ip daddr 192.0.2.{n} dnat to 10.0.0.{n}" for n in range(1, 13)))
    assert rules_of(found) == ["dnat to ip daddr map @forward-dnat-by-ip.daddr"]
    assert elements_of(found, "forward-dnat-by-ip.daddr")[0] == "192.0.2.1 : 10.0.0.1"


def test_the_first_rule_for_a_key_counts() -> None:
    rules = [f"ip daddr 192.0.2.{n} dnat to 10.0.0.{n}" for n in range(1, 13)]
    found = mapped(*rules, "ip daddr 192.0.2.5 dnat to 10.0.0.99")
    assert "192.0.2.5 : 10.0.0.5" in elements_of(found, "forward-dnat-by-ip.daddr")
    assert "10.0.0.99" not in found


def test_what_all_ask_for_stays_in_the_rule() -> None:
    found = mapped(
        *(f'iifname "wan" meta l4proto tcp ip daddr 192.0.2.{n} dnat to 10.0.0.{n}:80' for n in range(1, 13))
    )
    assert rules_of(found)[0].startswith(
        'iifname "wan" meta l4proto tcp dnat to ip daddr map @forward-dnat-by-ip.daddr'
    )


def test_another_port_is_another_rule() -> None:
    rules = [f"ip daddr 192.0.2.{n} tcp dport 80 dnat to 10.0.0.{n}:{8000 + n}" for n in range(1, 13)]
    assert len(rules_of(mapped(*rules))) == 12


def test_few_are_cheaper_as_rules() -> None:
    assert len(rules_of(mapped(*(f"ip daddr 192.0.2.{n} dnat to 10.0.0.{n}" for n in range(1, 4))))) == 3
