"""Chains of rules for services become look-ups by protocol and port, and those of guests one with the port in the key."""

from __future__ import annotations

from ipaddress import ip_interface
from typing import TYPE_CHECKING

from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.ir.fields import Family
from fwtrans.ir.host import Host
from fwtrans.ir.ruleset import Hook
from fwtrans.optimizer import service_ports, service_search
from fwtrans.optimizer.bridged.translation import bridged_translation
from fwtrans.optimizer.followed import MOST_FOLLOWED, Ways
from fwtrans.optimizer.pipeline import run_passes
from fwtrans.optimizer.registry import PASSES
from fwtrans.optimizer.steps import hook_costs
from fwtrans.read import read_inputs
from fwtrans.source import SourceFile
from tests.optimizer.dearest_ways import dearest, most_at
from tests.optimizer.texts import after, assert_equal, assert_loads, read_nft
from tests.optimizer.worst_ways import NEW

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pytest

    from fwtrans.ir.ruleset import Ruleset, Table
    from fwtrans.optimizer.pipeline import Optimized

SERVICES = (22, 25, 53, 80, 110, 143, 443, 993)
GROUP = (
    "chain group { tcp dport 22 ip saddr 10.0.0.0/8 accept; tcp dport 113 reject with tcp reset; icmp type 8 accept; }"
)
POLICY = (
    "chain policy { ip daddr 224.0.0.0/4 drop; icmp type 11 accept; udp dport { 135, 445 } drop; udp sport 53 drop; }"
)


def ruleset(*chains: str, base: str = "jump host") -> str:
    hook = f"chain input {{ type filter hook input priority 0; policy accept; {base}; }}"
    return "table ip fw {\n" + "\n".join([*chains, hook]) + "\n}\n"


def chain(name: str, rules: Iterable[str]) -> str:
    return f"chain {name} {{ {'; '.join(rules)}; }}"


def services(ports: Iterable[int]) -> list[str]:
    return [f"tcp dport {port} accept" for port in ports]


def steps(text: str) -> int:
    return max(item.worst.steps for item in hook_costs(read_nft(text)))


HOST = ruleset(GROUP, POLICY, chain("host", ["jump group", *services(SERVICES), "jump policy", "drop"]))


def test_a_packet_finds_what_is_left_for_its_port() -> None:
    found = after(service_search.PASS, HOST)
    assert "tcp . 443 : accept" in found
    assert "tcp . 113 : goto service-" in found
    assert steps(HOST) > 15
    assert steps(found) <= 6
    assert_loads(found)


def test_what_ends_as_the_policy_does_is_gone() -> None:
    found = after(service_search.PASS, HOST)
    assert "135" not in found
    assert "th sport 53" not in found


def test_what_few_packets_are_turned_away_by_is_one_rule_for_all_others() -> None:
    answers = chain("answers", ["ip saddr 224.0.0.0/4 drop", "meta l4proto tcp reject with tcp reset", "reject"])
    for few, is_aside in (("ip daddr 127.0.0.0/8", True), ("ip daddr 0.0.0.0/7", False), ("udp sport 53", False)):
        rules = [*services(SERVICES), f"{few} goto answers", "ip saddr 10.0.0.0/8 accept", "drop"]
        found = after(service_search.PASS, ruleset(answers, chain("host", rules)))
        assert (f"{few} goto answers" in found) is is_aside
        assert_loads(found)


def test_a_rule_in_front_of_another_for_the_same_port_stays_in_front() -> None:
    rules = ["tcp dport 22 ip saddr 10.0.0.1 drop", "ip saddr 10.0.0.0/8 accept", *services(SERVICES), "drop"]
    found = after(service_search.PASS, ruleset(chain("host", rules)))
    leaf = found.split("tcp . 22 : goto ")[1].split(",")[0].split()[0]
    assert found.split(f"chain {leaf} {{")[1].split("}")[0].split("\n")[1:3] == [
        "\t\tip saddr 10.0.0.1 drop",
        "\t\taccept",
    ]


def test_limits_stay_one() -> None:
    limited = ["limit rate 3/second ip saddr 10.0.0.0/8 accept", "ip saddr 11.0.0.0/8 drop"]
    found = after(service_search.PASS, ruleset(chain("host", [*services(SERVICES), *limited, "tcp dport 22 drop"])))
    assert_loads(found)


def test_few_rules_are_no_search() -> None:
    few = ruleset(chain("host", ["tcp dport 22 accept", "udp dport 53 accept", "drop"]))
    assert "vmap" not in after(service_search.PASS, few)


def test_what_was_found_is_not_searched_once_more() -> None:
    """A way to a leaf costs what the leaf costs; else a chain that is nothing but such ways looks dearer than itself."""
    leaf = chain(
        "leaf", [*(f"ip saddr 10.0.0.{number} ip daddr 10.0.1.{number} return" for number in range(9)), "drop"]
    )
    ways = ["udp dport 547 goto leaf", "meta l4proto icmp goto leaf", "drop"]
    guest = ruleset(leaf, chain("guest", ways), base='iifname vmap { "t1" : goto guest }')
    before = read_nft(guest)
    assert service_search.PASS.run(before).ruleset == before


def test_a_port_that_is_written_is_no_key() -> None:
    rules = ["tcp dport 22 tcp dport set 2222", *services(SERVICES), "drop"]
    assert "vmap" not in after(service_search.PASS, ruleset(chain("host", rules)))


def guests(sets: Iterable[tuple[str, Iterable[int]]]) -> str:
    found = list(sets)
    chains = [chain(f"guest-{name}", [*services(ports), "drop"]) for name, ports in found]
    entry = ", ".join(f'"{name}" : goto guest-{name}' for name, _ in found)
    return ruleset(*chains, base=f"iifname vmap {{ {entry} }}")


def test_guests_with_other_services_share_a_chain() -> None:
    text = guests([("t1", SERVICES), ("t2", SERVICES[2:]), ("t3", (*SERVICES, 8006))])
    searched = after(service_search.PASS, text)
    found = after(service_ports.PASS, searched)
    assert found.count("chain ") == 2
    assert '"t3" . tcp . 8006 : accept' in found
    assert '"t2" . tcp . 22' not in found
    assert_loads(found)


def test_the_port_is_the_one_that_the_map_is_asked_with() -> None:
    """What a map was declared with does not tell: both ports are names of interfaces."""
    text = guests([("t1", SERVICES), ("t2", SERVICES[2:])]).replace("iifname vmap", "oifname vmap @ways")
    entry = text[text.index("@ways") + 5 : text.index(";", text.index("@ways"))].strip()
    named = f"map ways {{ type ifname : verdict; elements = {entry}; }}\n"
    text = text.replace(f"@ways {entry}", "@ways").replace("chain guest-t1", f"{named}chain guest-t1")
    text = text.replace("input", "output")
    found = after(service_ports.PASS, after(service_search.PASS, text))
    assert "oifname . meta l4proto . th dport vmap" in found
    assert "iifname" not in found
    assert_equal(read_nft(text), read_nft(found))


def test_a_chain_with_another_caller_stays() -> None:
    text = guests([("t1", SERVICES), ("t2", SERVICES[2:])]).replace(
        "iifname vmap", "udp dport 1 jump guest-t1; iifname vmap"
    )
    found = after(service_ports.PASS, after(service_search.PASS, text))
    assert "chain guest-t1" in found
    assert "chain guest-t2" in found


def test_a_class_of_very_many_guests_keeps_its_chain() -> None:
    """Else each of its services stands in the map once for each guest, and every new guest has the kernel walk over them."""
    few = guests([("t1", SERVICES), ("t2", SERVICES[2:]), ("t3", SERVICES[1:])])
    enough = service_ports.MOST_OF_A_CLASS // len(SERVICES)
    for many, is_apart in ((enough, False), (enough + 1, True)):
        ways = ", ".join(f'"c{number}" : goto guest-t1' for number in range(1, many))
        text = few.replace('"t1" : goto guest-t1', f'"t1" : goto guest-t1, {ways}')
        found = after(service_ports.PASS, after(service_search.PASS, text))
        assert ("chain guest-t1" in found and "chain guest-t2" in found) is is_apart
        assert ('"c7" . tcp . 443 : accept' not in found) is is_apart
        assert '"t2" . tcp . 443 : accept' in found
        assert_equal(read_nft(text), read_nft(found))


def test_all_classes_together_leave_the_maps_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of many services keep their chains, however many guests there are of each; the others share one."""
    text = guests([("t1", SERVICES[:4]), ("t2", SERVICES[1:4]), ("t3", range(1000, 1030)), ("t4", range(1000, 1040))])
    searched = after(service_search.PASS, text)
    assert "chain guest-t4" not in after(service_ports.PASS, searched)
    monkeypatch.setattr(service_ports, "MOST_OF_ALL", 30)
    found = after(service_ports.PASS, searched)
    assert [name in found for name in ("chain guest-t2", "chain guest-t3", "chain guest-t4")] == [False, True, True]
    assert '"t2" . tcp . 25 : accept' in found
    # what stands in maps already counts
    assert after(service_ports.PASS, found) == found
    assert_loads(found)


def bridge_table(ruleset: Ruleset) -> Table:
    return next(table for table in ruleset.tables if table.family is Family.BRIDGE)


def optimized(shared: Path, node: str) -> Optimized:
    folder = shared / "pve-corpus" / node
    names = ("iptables-save", "ip6tables-save", "ipset-save", "ebtables-save")
    sink = DiagnosticSink()
    reading = read_inputs([SourceFile(name, (folder / name).read_text()) for name in names], sink, FileAccess())
    assert reading is not None
    host = Host(addresses=(ip_interface("10.0.0.1/24"),))
    return run_passes(bridged_translation(reading.ruleset, host).ruleset, PASSES, prove=False)


def test_the_dearest_new_packet_between_guests_of_ten(shared: Path) -> None:
    """Exact, over all pairs: what guests send and what they get together."""
    found = dearest(bridge_table(optimized(shared, "s10").ruleset), NEW)
    assert found.counted == found.way.steps == 31


# out-FORWARD holds what PREROUTING, ebtables' FORWARD and FORWARD ask of what guests send, reject-in what answers for the guest
# that a packet is for (behind the other it would be followed for too long, see `followed`): bounds, whatever a packet's state.
# in-FORWARD is what the host's own bridge asks, and the rules for what guests get. One step of reject-in is the call of what
# a packet's guest logs, which no other packet takes.
def test_worst_steps_for_guests_of_two_hundred(shared: Path) -> None:
    found = optimized(shared, "s200")
    bounds = {item.chain: item.worst.steps for item in found.costs_after}
    assert max(Ways(table).all for table in found.ruleset.tables) <= MOST_FOLLOWED
    assert bounds["out-FORWARD"] <= 23
    assert bounds["reject-in"] <= 22
    assert most_at(bridge_table(found.ruleset), Hook.FORWARD, NEW, {Family.IP: (6,)}) <= 14
