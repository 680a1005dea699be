"""The case tables against the real iptables: what we accept it loads, and what we call malformed it refuses.

Every case is loaded for real (not with --test), in a namespace of its own, because the kernel's modules refuse as well.
FWT200 is ours alone: iptables takes those.
"""

from __future__ import annotations

import shlex
import subprocess
from functools import cache

import pytest

from tests.lower.extensions.target_cases import Case, read_cases

CASES = read_cases()

# Targets that no kernel has any more (ULOG, CLUSTERIP), one that needs LED hardware support, one that a kernel without
# SELinux refuses, and a timeout policy that nobody made: there only the parser of iptables answers.
NOT_IN_KERNEL = ("No chain/target/match by that name", "missing kernel module", "RULE_APPEND failed (No such file")
WITHOUT_MODULE = {"ULOG", "CLUSTERIP", "LED", "SECMARK"}

# iptables-legacy asks for more than iptables-nft, whose dumps we read as well.
LEGACY_REFUSES = {"-j TRACE", "-p tcp -j TCPMSS --set-mss 1360"}

SETS = (
    "ipset create people hash:ip; ipset create guests hash:ip timeout 600 maxelem 1000; ipset create services hash:ip,port;"
    "ipset create pairs hash:ip,port,ip; ipset create six hash:ip family inet6; ipset create networks hash:net;"
    "ipset create masked hash:ip netmask 24; ipset create numbers bitmap:port range 0-65535;"
)


@cache
def answers(variant: str) -> dict[str, tuple[bool, str]]:
    """Return for each case whether the real iptables takes it, and what it says."""
    script = ["ip link set lo up", SETS]
    for index, case in enumerate(CASES):
        text = case.text
        family = "ip6tables" if text.startswith("ip6:") else "iptables"
        words = shlex.split(text.removeprefix("ip6:"))
        if "-A" not in words:
            words = ["-A", "FORWARD", *words]
        if "-t" in words:
            position = words.index("-t")
            words = [*words[position : position + 2], *words[:position], *words[position + 2 :]]
        table = words[1] if words[0] == "-t" else "filter"
        command = f"{family}-{variant} {shlex.join(words)}"
        script.append(f"echo '@ {index}'; {command} 2>&1; echo \"= $?\"; {family}-{variant} -t {table} -F 2>/dev/null")
    done = subprocess.run(
        ["unshare", "-n", "bash", "-c", "\n".join(script)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, tuple[bool, str]] = {}
    for part in done.stdout.split("@ ")[1:]:
        number, _, rest = part.partition("\n")
        said, _, code = rest.rpartition("= ")
        found[CASES[int(number)].place] = (code.strip() == "0", said.strip())
    return found


@pytest.mark.netns
@pytest.mark.parametrize("variant", ["legacy", "nft"])
@pytest.mark.parametrize("case", CASES, ids=[case.place for case in CASES])
def test_iptables_agrees(case: Case, variant: str) -> None:
    accepted, said = answers(variant)[case.place]
    expected = not case.code or case.code == "FWT200"
    if variant == "legacy" and case.text in LEGACY_REFUSES:
        expected = False
    name = case.place.removeprefix("target-").partition(".")[0]
    if expected and not accepted and (name in WITHOUT_MODULE or "--timeout long" in case.text):
        assert any(words in said for words in NOT_IN_KERNEL), said
        return
    assert accepted == expected, said
