"""The case tables of the targets, case by case: what each becomes, and with which code the rest is refused.

What is printed is loaded as well: in a namespace of its own, all cases by one script.
"""

from __future__ import annotations

import subprocess
from functools import cache

import pytest

from fwtrans.diagnostics import Refused
from fwtrans.ir.fields import DPORT, ETHER_SADDR, IP6_SADDR, IP_SADDR, L4PROTO
from fwtrans.ir.sets import NamedSet
from tests.lower.extensions.printing import printed
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
        assert printed(case.text, SETS).rules == case.expected
        return
    with pytest.raises(Refused) as found:
        lower_target(case.text, sets=SETS)
    assert found.value.code == case.code, found.value.message
    assert found.value.message


# The kernel at hand may have no queue in nf_tables and no SELinux: a rule that is refused for that alone is right.
NOT_IN_KERNEL = {"target-NFQUEUE": "queue", "target-SECMARK": "secmark"}
GOOD = [case for case in CASES if not case.code]


@cache
def loading() -> dict[str, tuple[bool, str]]:
    script = ["ip link set lo up"]
    for index, case in enumerate(GOOD):
        text = printed(case.text, SETS).text
        script.append(f"echo '@ {index}'; nft -f - 2>&1 <<'END'\n{text}\nEND\necho \"= $?\"; nft flush ruleset")
    done = subprocess.run(
        ["unshare", "-n", "bash", "-c", "\n".join(script)], capture_output=True, text=True, check=True
    )
    found: dict[str, tuple[bool, str]] = {}
    for part in done.stdout.split("@ ")[1:]:
        number, _, rest = part.partition("\n")
        said, _, code = rest.rpartition("= ")
        found[GOOD[int(number)].place] = (code.strip() == "0", said)
    return found


@pytest.mark.netns
@pytest.mark.parametrize("case", GOOD, ids=[case.place for case in GOOD])
def test_what_a_case_prints_loads(case: Case) -> None:
    loaded, said = loading()[case.place]
    missing = NOT_IN_KERNEL.get(case.place.partition(".")[0])
    if missing is not None and not loaded:
        assert "No such file or directory" in said
        assert missing in said
        return
    assert loaded, said
