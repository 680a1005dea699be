"""A port's connection mark is set by the rule behind, and by no rule that it would have to pass others to get to."""

from __future__ import annotations

import pytest

from fwtrans.ir.effect import AssignFromMap
from fwtrans.optimizer.joint_marks import PASS
from fwtrans.optimizer.steps import ChainCosts
from tests.optimizer.guests import read
from tests.optimizer.proofs import proved_change, shown

MARK = "ct mark set iifname map @marks"
LIMIT = "tcp flags syn add @flood { ip saddr limit rate over 3/second burst 9 packets } drop"
HELPERS = "meta l4proto . th dport vmap { tcp . 21 : jump ftp, udp . 69 : jump tftp }"
WRONG = "iifname . ether saddr != { tap1 . 02:00:00:00:00:01, tap2 . 02:00:00:00:00:02 } drop"
STATES = "ct state new,untracked"


def text_of(rules: str, entry: str, marks: str) -> str:
    return f"""table bridge fw {{
        ct helper ftp {{ type "ftp" protocol tcp; l3proto ip; }}
        ct helper tftp {{ type "tftp" protocol udp; l3proto ip; }}
        set flood {{ type ipv4_addr; flags dynamic, timeout; timeout 60s; size 4096; }}
        map marks {{ type ifname : mark; elements = {{ {marks} }} }}
        map entry {{ type ether_type . ifname : verdict; elements = {{ ip . "tap1" : goto guest, ip . "tap2" : goto guest }} }}
        chain ftp {{ ct helper set "ftp"; }}
        chain tftp {{ ct helper set "tftp"; }}
        chain wrong {{ log prefix "wrong"; drop; }}
        chain right {{ tcp dport 1 accept; drop; }}
        chain guest {{ {rules}; th dport vmap {{ 22 : accept, 53 : goto right }}; drop; }}
        chain base {{ type filter hook prerouting priority 5; policy accept; {entry}; }}
    }}"""


def marking(
    rules: str,
    entry: str = f"{STATES} ether type . iifname vmap @entry",
    marks: str = '"tap1" : 1, "tap2" : 2',
) -> int | None:
    """Return the number of the rule that sets the mark and does more, in a proved result; None where nothing changed."""
    before = read(text_of(rules, entry, marks))
    after = proved_change(PASS, before)
    if after is None:
        return None
    (old, new) = (next(chain for chain in item.tables[0].chains if chain.name == "guest") for item in (before, after))
    assert len(new.rules) == len(old.rules) - 1
    assert ChainCosts(after.tables[0]).worst("guest").any.steps <= ChainCosts(before.tables[0]).worst("guest").any.steps
    (found,) = (
        number for number, rule in enumerate(new.rules) if any(isinstance(step, AssignFromMap) for step in rule.steps)
    )
    assert isinstance(new.rules[found].steps[0], AssignFromMap)
    assert len(new.rules[found].steps) > 1
    return found


@pytest.mark.parametrize(
    ("rules", "place"),
    [
        (f"{MARK}; udp sport 68 udp dport 67 accept", 0),
        (f"{WRONG}; {MARK}; udp sport 68 udp dport 67 goto right", 1),
        (f"{LIMIT}; {HELPERS}; {MARK}; udp sport 68 accept", 2),
    ],
    ids=["the rule behind", "the rule behind, others before", "behind helpers"],
)
def test_the_rule_behind_sets_the_mark(rules: str, place: int) -> None:
    assert marking(rules) == place


@pytest.mark.parametrize(
    "rules",
    [
        f"{MARK}; {WRONG}",
        f"tcp sport 0 drop; {MARK}",
        f"{LIMIT}; {MARK}",
        f"{MARK}; {WRONG}; udp sport 68 accept",
        f'{MARK}; udp sport 68 log prefix "dhcp" accept',
    ],
    ids=["only a look-up", "a rule before that drops", "a limit", "past a rule that drops", "a rule that logs"],
)
def test_what_others_would_see_stays(rules: str) -> None:
    assert marking(rules) is None


def test_a_port_without_a_mark_goes_on_behind_the_rule() -> None:
    assert marking(f"{MARK}; udp sport 68 accept", marks='"tap1" : 1') is None


def test_any_port_may_come_by_another_way() -> None:
    entry = f"{STATES} ether type . iifname vmap @entry"
    assert marking(f"{MARK}; udp sport 68 accept", f"{entry}; tcp dport 1 goto guest") is None


@pytest.mark.parametrize(
    ("rules", "joined"),
    [
        ("ct mark set 7; udp sport 68 accept", "ct mark set 7 udp sport 68 accept"),
        ("ct mark set 7; ip saddr @block drop", "ct mark set 7 ip saddr @block drop"),
        (
            "ct mark set 7; th dport vmap { 22 : accept, 53 : drop }",
            "ct mark set 7 th dport vmap { 22 : accept, 53 : drop }",
        ),
        ('ct mark set 7; udp sport 68 log prefix "dhcp" accept', ""),
        ("ct mark set ct mark | 7; udp sport 68 accept", ""),
        ("ct mark set mark; udp sport 68 accept", ""),
    ],
)
def test_a_mark_that_is_not_looked_up_is_set_by_any_rule_behind_that_does_not_log(rules: str, joined: str) -> None:
    def written(rules: str) -> str:
        return f"""table bridge fw {{
            set block {{ type ipv4_addr; elements = {{ 192.0.2.1, 192.0.2.7 }} }}
            chain base {{ type filter hook prerouting priority 5; policy accept; ct state invalid drop; {rules}; tcp dport 9 drop; }}
        }}"""

    before = read(written(rules))
    after = proved_change(PASS, before)
    assert (after is None) == (not joined)
    if after is not None:
        assert shown(*after.tables[0].chains) == shown(*read(written(joined)).tables[0].chains)
