"""The case tables of the targets, case by case: what is accepted, and with which code the rest is refused."""

from __future__ import annotations

import pytest

from fwtrans.diagnostics import Refused
from fwtrans.ir.fields import DPORT, ETHER_SADDR, IP6_SADDR, IP_SADDR, L4PROTO
from fwtrans.ir.sets import NamedSet
from tests.lower.extensions.target_cases import Case, read_cases
from tests.lower.extensions.target_uses import lower_target

CASES = read_cases()

# What `ipset create` of test_targets_iptables.py makes, as lower/ipset.py lowers it.
SETS = {
    item.name: item
    for item in (
        NamedSet("people", (IP_SADDR,), takes_packets=True),
        NamedSet("guests", (IP_SADDR,), timeout=600, size=1000, takes_packets=True),
        NamedSet("services", (IP_SADDR, L4PROTO, DPORT), takes_packets=True),
        NamedSet("pairs", (IP_SADDR, L4PROTO, DPORT, IP_SADDR), takes_packets=True),
        NamedSet("cards", (ETHER_SADDR,), takes_packets=True),
        NamedSet("six", (IP6_SADDR,), takes_packets=True),
        NamedSet("networks", (IP_SADDR,)),
        NamedSet("masked", (IP_SADDR,)),
        NamedSet("numbers", (L4PROTO, DPORT)),
    )
}


@pytest.mark.parametrize("case", CASES, ids=[case.place for case in CASES])
def test_what_a_case_says_of_the_target(case: Case) -> None:
    if not case.code:
        lower_target(case.text, sets=SETS)
        return
    with pytest.raises(Refused) as found:
        lower_target(case.text, sets=SETS)
    assert found.value.code == case.code, found.value.message
    assert found.value.message
