"""Ten changes seeded into a real configuration of fifty guests: each gives its own line and nothing else."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, NamedTuple

import pytest
from typer.testing import CliRunner

from fwtrans.cli.app import build
from fwtrans.cli.inputs import FileAccess, read_paths
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.read_pve import dumps_of_pve
from fwtrans.review import review_sides

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fwtrans.report.review.model import Review

NEW = ", new connections"


class Seed(NamedTuple):
    """A change: the file, what stands there, what is put there instead; how many rules pve-firewall makes of it in a chain."""

    file: str
    old: str
    new: str
    rules: int = 1


@pytest.fixture
def input_folder(shared: Path) -> Path:
    return shared / "pve-corpus" / "s50" / "input"


@pytest.fixture
def reviewed(input_folder: Path, tmp_path: Path) -> Callable[..., Review]:
    def seeded(*seeds: Seed, files: dict[str, str] | None = None) -> Review:
        place = tmp_path / "input"
        shutil.copytree(input_folder, place)
        for seed in seeds:
            text = (place / seed.file).read_text(encoding="utf-8")
            assert text.count(seed.old) == 1
            (place / seed.file).write_text(text.replace(seed.old, seed.new), encoding="utf-8")
        for name, text in (files or {}).items():
            (place / name).write_text(text, encoding="utf-8")
        sink = DiagnosticSink()
        paths = str(input_folder), str(place)
        found = review_sides(read_paths([paths[0]], sink), read_paths([paths[1]], sink), sink, FileAccess(paths))
        assert found is not None, sink.found
        assert found.exact
        assert found.by_rule
        assert all(witness.confirmed for entry in found.entries for witness in entry.witnesses)
        assert all(cut.boxes for entry in found.entries for cut in entry.cuts)
        return found

    return seeded


def told(found: Review) -> list[tuple[str, str, str]]:
    return [(entry.category.value, entry.where, entry.region) for entry in found.entries]


def test_one_rule_widened(reviewed: Callable[..., Review]) -> None:
    rule = "OUT ACCEPT -p udp -dport 51820 -dest vpn_pool"
    found = reviewed(Seed("100.fw", rule, rule.replace("51820", "51820:51830")))
    assert told(found) == [("newly allowed", "from guest 100", f"udp 51821-51830 to 10.99.0.0/20{NEW}")]
    entry = found.entries[0]
    assert entry.before[0].location.endswith("/100.fw:19")
    assert entry.now[0].text == rule.replace("51820", "51820:51830")
    assert entry.size == "4,096 destination addresses, 10 ports"


def test_a_group_changed(reviewed: Callable[..., Review]) -> None:
    rule = "IN SSH(REJECT)\n"
    found = reviewed(Seed("cluster.fw", rule, f"{rule}IN ACCEPT -source 10.20.0.0/16 -p tcp -dport 8443\n"))
    what = f"tcp 8443 from 10.20.0.0/16{NEW}"
    assert told(found) == [
        ("newly allowed", "to 39 guests with group ops", what),
        ("newly allowed", "to the host", what),
    ]


def test_an_alias_moved(reviewed: Callable[..., Review]) -> None:
    found = reviewed(Seed("cluster.fw", "monitor 10.10.0.5", "monitor 10.10.0.9"))
    assert [line[:2] for line in told(found)] == [
        ("newly allowed", "to 12 guests"),
        ("newly allowed", "to the host"),
        ("newly denied", "to 12 guests"),
        ("newly denied", "to the host"),
    ]
    assert [(entry.category.value, entry.guests) for entry in found.entries[0].also] == [
        ("logged differently", ("113", "192"))
    ]
    assert {entry.cause for entry in found.entries} == {"10.10.0.5 became 10.10.0.9"}
    assert all("10.10.0.9" in text for entry in found.entries[:2] for text in entry.what)
    assert all("10.10.0.5" in text for entry in found.entries[2:4] for text in entry.what)


def test_a_nomatch_dropped(reviewed: Callable[..., Review]) -> None:
    found = reviewed(Seed("cluster.fw", "!203.0.113.128/25 # guest wifi\n", ""))
    assert [line[:2] for line in told(found)] == [("newly allowed", "to 41 guests"), ("newly allowed", "to the host")]
    assert {entry.cause for entry in found.entries} == {"set admins: +203.0.113.128/25"}
    assert all("from 203.0.113.128/25" in text for entry in found.entries for text in entry.what)
    assert [(item.kind, item.action, item.before, item.now) for item in found.structure] == [
        ("set", "changed", ("203.0.113.0/25",), ("203.0.113.0/24",))
    ]


def test_a_policy_flipped(reviewed: Callable[..., Review]) -> None:
    found = reviewed(Seed("100.fw", "policy_out: REJECT", "policy_out: ACCEPT"))
    assert told(found) == [("newly allowed", "from guest 100", f"everything that no earlier rule decides{NEW}")]
    assert found.entries[0].cause == "rule changed: policy_out: REJECT -> policy_out: ACCEPT"


def test_a_guest_added(reviewed: Callable[..., Review], input_folder: Path) -> None:
    machine = (input_folder / "qemu-server" / "100.conf").read_text(encoding="utf-8").replace("2B:A2:72", "99:99:99")
    rules = "[OPTIONS]\n\nenable: 1\n\n[RULES]\n\nIN SSH(ACCEPT)\nIN HTTP(ACCEPT) -source 10.0.0.0/8\n"
    found = reviewed(files={"999.fw": rules, "qemu-server/999.conf": machine})
    what = "everything that its own rules do not allow"
    assert told(found) == [("newly denied", "from guest 999", what), ("newly denied", "to guest 999", what)]
    assert {entry.cause for entry in found.entries} == {"guest 999 is new"}


def test_a_hardware_address_changed(reviewed: Callable[..., Review]) -> None:
    found = reviewed(Seed("qemu-server/103.conf", "BC:24:11:0F:9F:B6", "BC:24:11:0F:9F:EE"))
    assert told(found) == [
        ("newly allowed", "from guest 103", "from hardware address bc:24:11:0f:9f:ee"),
        ("newly denied", "from guest 103", "from hardware address bc:24:11:0f:9f:b6"),
    ]
    assert found.entries[0].families == ("IPv4", "IPv6", "frames")


def test_a_macro_added(reviewed: Callable[..., Review]) -> None:
    found = reviewed(Seed("116.fw", "IN MDNS(DROP)\n", "IN MDNS(DROP)\nIN Mail(ACCEPT)\n"))
    assert told(found) == [("newly allowed", "to guest 116", f"tcp 25; tcp 465; tcp 587{NEW}")]
    assert found.entries[0].cause == "rule added: IN Mail(ACCEPT)"


def test_a_log_level_changed(reviewed: Callable[..., Review]) -> None:
    rule = "IN DROP -source 198.51.100.20-198.51.100.40 -log warning"
    found = reviewed(Seed("cluster.fw", rule, rule.replace("warning", "err")))
    assert [line[:2] for line in told(found)] == [("logged differently", "to the host")]
    assert found.entries[0].region.startswith("from 198.51.100.20-198.51.100.40: `:0:4:PVEFW-HOST-IN: DROP: `")


def test_a_reordering_without_effect_is_silent(reviewed: Callable[..., Review]) -> None:
    one, other = "OUT NTP(ACCEPT) -dest dc_lan\n", "OUT ACCEPT -p icmp\n"
    found = reviewed(Seed("116.fw", one + other, other + one))
    assert found.equal
    assert (found.entries, found.structure) == ((), ())


# The ten changes of above, each as a change of two directories of dumps too; the file that is empty is the guest's that is added.
SEEDS = {
    "a rule widened": Seed("100.fw", "-dport 51820 -dest vpn_pool", "-dport 51820:51830 -dest vpn_pool"),
    "a group changed": Seed(
        "cluster.fw", "IN SSH(REJECT)\n", "IN SSH(REJECT)\nIN ACCEPT -source 10.20.0.0/16 -p tcp -dport 8443\n"
    ),
    "an alias moved": Seed("cluster.fw", "monitor 10.10.0.5", "monitor 10.10.0.9"),
    "a nomatch dropped": Seed("cluster.fw", "!203.0.113.128/25 # guest wifi\n", ""),
    "a policy flipped": Seed("100.fw", "policy_out: REJECT", "policy_out: ACCEPT"),
    "a guest added": Seed("999.fw", "", "[OPTIONS]\n\nenable: 1\n\n[RULES]\n\nIN SSH(ACCEPT)\n"),
    "a hardware address changed": Seed("qemu-server/103.conf", "BC:24:11:0F:9F:B6", "BC:24:11:0F:9F:EE"),
    "a macro added": Seed("116.fw", "IN MDNS(DROP)\n", "IN MDNS(DROP)\nIN Mail(ACCEPT)\n", rules=3),
    "a log level changed": Seed(
        "cluster.fw",
        "IN DROP -source 198.51.100.20-198.51.100.40 -log warning",
        "IN DROP -source 198.51.100.20-198.51.100.40 -log err",
    ),
    "a reordering": Seed(
        "116.fw", "OUT NTP(ACCEPT) -dest dc_lan\nOUT ACCEPT -p icmp\n", "OUT ACCEPT -p icmp\nOUT NTP(ACCEPT) -dest dc_lan\n"
    ),
}  # fmt: skip


def dumped(configuration: Path, place: Path) -> Path:
    """Write what pve-firewall would load as a directory of dumps."""
    dumps, _ = dumps_of_pve(read_paths([str(configuration)], DiagnosticSink()), (None, None), DiagnosticSink())
    place.mkdir()
    for name, source in zip(("iptables", "ip6tables", "ipset", "ebtables"), dumps, strict=True):
        (place / f"{name}-save").write_text(source.text, encoding="utf-8")
    return place


def sides(old: Path, new: Path) -> Review:
    sink = DiagnosticSink()
    paths = str(old), str(new)
    found = review_sides(read_paths([paths[0]], sink), read_paths([paths[1]], sink), sink, FileAccess(paths))
    assert found is not None, sink.found
    assert found.exact
    return found


@pytest.mark.parametrize("seed", SEEDS.values(), ids=SEEDS)
def test_a_change_of_dumps_is_told_as_that_of_the_configuration(
    reviewed: Callable[..., Review], input_folder: Path, tmp_path: Path, seed: Seed
) -> None:
    """The lines are the same: only the rules' own texts and files, and the words of what came from a name, are the dumps'."""
    if not seed.old:
        machine = (
            (input_folder / "qemu-server" / "100.conf").read_text(encoding="utf-8").replace("2B:A2:72", "99:99:99")
        )
        expected = reviewed(files={seed.file: seed.new, "qemu-server/999.conf": machine})
    else:
        expected = reviewed(seed)
    found = sides(dumped(input_folder, tmp_path / "old"), dumped(tmp_path / "input", tmp_path / "new"))
    assert sorted(line[:2] for line in told(found)) == sorted(line[:2] for line in told(expected) * seed.rules)
    assert len({entry.cause for entry in found.entries}) <= 3


def test_guests_that_are_gone_are_one_line_for_each_direction(
    reviewed: Callable[..., Review],
) -> None:
    found = reviewed(
        Seed("103.fw", "enable: 1", "enable: 0"),
        Seed("106.fw", "enable: 1", "enable: 0"),
    )
    what = "everything that its rules denied"
    assert told(found) == [
        ("newly allowed", "from guests 103 and 106", what),
        ("newly allowed", "to guests 103 and 106", what),
    ]
    assert {entry.cause for entry in found.entries} == {"2 guests are gone"}


def test_a_dump_says_the_same_as_its_configuration(shared: Path) -> None:
    place = shared / "pve-corpus" / "s50"
    paths = str(place), str(place / "input")
    sink = DiagnosticSink()
    found = review_sides(read_paths([paths[0]], sink), read_paths([paths[1]], sink), sink, FileAccess(paths))
    assert found is not None
    assert found.equal
    assert found.structure == ()


def test_two_changes_at_once_are_two_lines(reviewed: Callable[..., Review]) -> None:
    found = reviewed(
        Seed("100.fw", "policy_out: REJECT", "policy_out: ACCEPT"),
        Seed("100.fw", "-dport 51820 -dest vpn_pool", "-dport 51820:51830 -dest vpn_pool"),
    )
    assert {entry.cause.partition(":")[0] for entry in found.entries} == {"rule changed"}
    assert len(found.entries) == 2


@pytest.fixture
def node(shared: Path, tmp_path: Path) -> Path:
    """A node with both firewalls, to be changed: pve-firewall's input, and what proxmox-firewall has made of it."""
    place = tmp_path / "node"
    shutil.copytree(shared / "proxmox-firewall-corpus" / "10", place)
    return place


def compared(place: Path) -> Review:
    sink = DiagnosticSink()
    paths = str(place / "input"), str(place / "ruleset.nft")
    found = review_sides(read_paths([paths[0]], sink), read_paths([paths[1]], sink), sink, FileAccess(paths))
    assert found is not None
    assert found.exact
    return found


# Each was looked up in both rulesets: what it says is so, and there is no other difference.
KNOWN = {
    "arp-sender-checked", "arp-without-address", "corosync-open", "dhcp-behind-filters", "dhcp-first", "dhcp-unmarked",
    "drop-of-windows-noise", "icmp-errors-first", "invalid-passes", "log-lines", "mac-filter-established", "mark-leak",
    "neighbour-discovery-first", "no-flag-check", "no-link-local", "no-smurf-check", "other-protocols-dropped",
    "reject-is-drop", "router-advertisements", "tagged-judged",
}  # fmt: skip


def test_proxmox_firewall_against_pve_firewall(node: Path) -> None:
    found = compared(node)
    assert {entry.explained for entry in found.entries} == KNOWN
    assert len(found.entries) <= 45
    rejected = next(entry for entry in found.entries if entry.explained == "reject-is-drop")
    assert (rejected.where, rejected.witnesses[0].values["dport"]) == ("to 10 guests", "43")
    assert "reject-is-drop" not in {name for name, _ in found.intended}
    unfiltered = next(entry for entry in found.entries if entry.explained == "mac-filter-established")
    assert unfiltered.witnesses[0].values["mac-src"] != "bc:24:11:00:00:64"


def test_a_longer_prefix_inside_an_exception_of_a_set(node: Path) -> None:
    """nft's sets hold the same with it: it is inside 10.20.0.0/16, and what is excepted is a set of its own."""
    place = node / "input" / "100.fw"
    text = place.read_text(encoding="utf-8")
    place.write_text(text.replace("!10.20.7.0/24\n", "!10.20.7.0/24\n10.20.7.128/25\n"), encoding="utf-8")
    found = compared(node)
    assert {entry.explained for entry in found.entries} == KNOWN | {"nomatch"}
    assert [
        (entry.category.value, entry.where, entry.witnesses[0].values["dport"])
        for entry in found.entries
        if entry.explained == "nomatch"
    ] == [("newly denied", "to guest 100", "9000")]


def test_ping_from_addresses_of_one_family_opens_that_of_the_other(node: Path) -> None:
    """proxmox-firewall leaves the addresses out of the rule of the other family, and not the rule."""
    rules, printed = node / "input" / "101.fw", node / "ruleset.nft"
    rules.write_text(rules.read_text().replace("IN Ping(ACCEPT)", "IN Ping(ACCEPT) -source 10.0.0.0/8"))
    before, chain, rest = printed.read_text().partition("chain guest-101-in {")
    printed.write_text(
        f"{before}{chain}{rest.replace('icmp type echo-request', 'icmp type echo-request ip saddr 10.0.0.0/8', 1)}"
    )
    found = compared(node)
    assert {entry.explained for entry in found.entries} == KNOWN | {"ping-opens-both"}
    (ping,) = (entry for entry in found.entries if entry.explained == "ping-opens-both")
    assert (ping.category.value, ping.where) == ("newly allowed", "to guest 101")
    assert ping.witnesses[0].values["icmp-type"] == "128"


def test_verify_names_what_is_known_between_the_two_firewalls(node: Path) -> None:
    found = CliRunner().invoke(build(), ["verify", str(node / "input"), str(node / "ruleset.nft")])
    assert found.exit_code == 1
    assert set(re.findall(r"^\d+\. [a-z ]+ \[([a-z-]+)\]", found.stdout, re.MULTILINE)) == KNOWN
    assert len(re.findall(r"^\d+\. ", found.stdout, re.MULTILINE)) <= 45
