"""What a ruleset's size depends on: on how many sets of rules there are, not on how many guests have them.

Counted is what is printed, without log rules and the chains that hold nothing else: a log's prefix names its guest.
"""

from __future__ import annotations

import json
import random
import re
import shutil
from typing import TYPE_CHECKING, NamedTuple

import pytest

from fwtrans.cli.inputs import FileAccess, read_paths
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.optimizer.policy_members import MOST_LISTS
from fwtrans.translate import Settings, translate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SETS = 12
_CHAIN = re.compile(r"^\tchain (\S+) \{\n(.*?)^\t\}", re.MULTILINE | re.DOTALL)
_KEYED = re.compile(r"^\t(?:set|map) (\S+) \{\n(.*?)^\t\}", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r' comment "[^"]*"')
_LOG = re.compile(r"\blog(?: |$)")


class Printed(NamedTuple):
    """Chains with their rules, and sets and maps without elements; logs aside."""

    chains: dict[str, tuple[str, ...]]
    keyed: dict[str, str]

    @property
    def counts(self) -> tuple[int, int]:
        """Return how many rules and chains there are."""
        return sum(map(len, self.chains.values())), len(self.chains)


def printed(*paths: Path) -> Printed:
    sink = DiagnosticSink()
    sources = read_paths([str(path) for path in paths], sink)
    text = translate(sources, Settings(verify=False, optimize=True), sink, FileAccess(list(map(str, paths)))).output
    assert text, sink.errors
    return split(text)


def split(text: str) -> Printed:
    chains: dict[str, tuple[str, ...]] = {}
    # the tables of several families may have chains of the same name
    for number, table in enumerate(_COMMENT.sub("", text).split("\ntable ")):
        for name, body in _CHAIN.findall(table):
            lines = tuple(line.strip() for line in body.splitlines() if line.strip())
            rules = tuple(line for line in lines if not _LOG.search(re.sub(r'"[^"]*"', "", line)))
            if rules or not lines:
                chains[f"{number} {name}"] = rules
    keyed = {name: body.partition("elements")[0] for name, body in _KEYED.findall(text)}
    return Printed(chains, keyed)


def rules_of(number: int) -> str:
    """Return one of the sets of rules: each has something that no other has, and every fourth logs."""
    lines = [f"IN ACCEPT -source 10.{number}.0.0/16 -p tcp -dport {port}" for port in range(22, 24 + number)]
    lines += [f"OUT DROP -p udp -dport {1000 + number}", "IN ACCEPT -p icmp -icmp-type echo-request"]
    options = ["enable: 1", "policy_in: DROP", f"policy_out: {'ACCEPT' if number % 2 else 'DROP'}"]
    if number % 3 == 0:
        options.append("ipfilter: 1")
    if number % 4 == 0:
        options.append("log_level_in: info")
    return "\n".join(["[OPTIONS]", *options, "[RULES]", *lines, ""])


def drawn_rules(draw: random.Random) -> str:
    """Return a set of rules as people may write it."""
    lines = []
    for _ in range(draw.randint(3, 12)):
        which = f"{draw.choice(['IN', 'IN', 'OUT'])} {draw.choice(['ACCEPT', 'ACCEPT', 'DROP', 'REJECT'])}"
        source = draw.choice(
            ["", f" -source 10.{draw.randint(0, 20)}.0.0/16", f" -source 192.0.2.{draw.randint(1, 250)}"]
        )
        service = draw.choice(
            [
                f" -p {draw.choice(['tcp', 'udp'])} -dport {draw.choice(['22', '80,443', '8000:8100', str(draw.randint(1024, 60000))])}",
                " -p icmp -icmp-type echo-request",
                " -p tcp -sport 20 -dport 1024:65535",
                "",
            ]
        )  # fmt: skip
        lines.append(f"{which}{source}{service}")
    options = [
        f"policy_in: {draw.choice(['DROP', 'REJECT', 'ACCEPT'])}",
        f"policy_out: {draw.choice(['DROP', 'ACCEPT'])}",
    ]
    options += [option for option in ("ipfilter: 1", "macfilter: 0", "dhcp: 1", "radv: 1") if draw.random() < 0.25]
    return "\n".join(["[OPTIONS]", "enable: 1", *options, "[RULES]", *lines, ""])


def node(folder: Path, texts: Sequence[str]) -> Path:
    """Write the configuration of a node whose guests have these rules."""
    (folder / "qemu-server").mkdir(parents=True)
    (folder / "cluster.fw").write_text("[OPTIONS]\nenable: 1\n")
    (folder / "host.fw").write_text("[OPTIONS]\nenable: 1\n")
    for number, rules in enumerate(texts, 100):
        net = f"virtio=BC:24:11:00:{number // 256:02X}:{number % 256:02X},bridge=vmbr0,firewall=1"
        (folder / f"{number}.fw").write_text(rules)
        (folder / "qemu-server" / f"{number}.conf").write_text(f"name: vm{number}\nnet0: {net}\n")
    return folder


def in_turn(guests: int) -> list[str]:
    """Return the rules of guests that have the sets in turn."""
    return [rules_of(guest % SETS) for guest in range(guests)]


def with_twins(folder: Path, source: Path, times: int) -> Path:
    """Copy a node's configuration, each guest so many times and none of them logging."""
    shutil.copytree(source, folder)
    for rules in folder.glob("[0-9]*.fw"):
        plain = re.sub(r"^log_level_\w+:.*\n", "", rules.read_text(), flags=re.MULTILINE)
        rules.chmod(0o600)
        rules.write_text(re.sub(r" -log \S+", "", plain))
    facts = json.loads((source / "vms.json").read_text())
    guests = [(kind, name, about) for kind in ("qemu", "lxc") for name, about in facts[kind].items()]
    for number, (kind, name, about) in enumerate(guests * (times - 1), 9001):
        net = {
            key: re.sub(
                r"(?i)(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", f"BC:24:1{key[-1]}:99:{number % 9000 // 256:02X}:{number % 256:02X}", value
            )
            for key, value in about.items()
            if key.startswith("net")
        }  # fmt: skip
        facts[kind][str(number)] = net
        lines = "".join(f"{key}: {value}\n" for key, value in net.items())
        (folder / {"qemu": "qemu-server", "lxc": "lxc"}[kind] / f"{number}.conf").write_text(lines)
        if (folder / f"{name}.fw").exists():
            shutil.copy(folder / f"{name}.fw", folder / f"{number}.fw")
    (folder / "vms.json").chmod(0o600)
    (folder / "vms.json").write_text(json.dumps(facts))
    return folder


def test_a_set_of_rules_counts_once(tmp_path: Path) -> None:
    few, many = printed(node(tmp_path / "few", in_turn(24))), printed(node(tmp_path / "many", in_turn(40)))
    assert few.counts == many.counts


def test_one_more_guest_changes_elements_only(tmp_path: Path) -> None:
    """One that does not log: the 26th is of the second set of rules."""
    assert printed(node(tmp_path / "before", in_turn(25))) == printed(node(tmp_path / "after", in_turn(26)))


def test_lists_of_ranges_that_guests_share_are_no_elements_of_theirs(tmp_path: Path) -> None:
    """A set of ranges under ports takes the kernel the longer to change the more there are in it."""
    texts = [
        f"[OPTIONS]\nenable: 1\n[RULES]\nIN ACCEPT -source 10.{number}.0.0-10.{number}.200.7 -p tcp -dport 22\n"
        for number in range(MOST_LISTS)
    ]
    few = printed(node(tmp_path / "few", texts * 2))
    assert not any("interval" in body and " . " in body for body in few.keyed.values())
    assert few == printed(node(tmp_path / "one more", [*texts * 2, texts[1]]))
    assert few == printed(node(tmp_path / "many", texts * 5))


@pytest.mark.parametrize(
    "seed", [1, 2, pytest.param(3, marks=pytest.mark.lab_long), pytest.param(4, marks=pytest.mark.lab_long)]
)
def test_whatever_the_rules_are(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 -- nothing is secret here
    texts = [drawn_rules(draw) for _ in range(SETS)]
    before, more = texts * 2, draw.choices(texts, k=15)
    few = printed(node(tmp_path / "few", before))
    assert few == printed(node(tmp_path / "one more", [*before, more[0]]))
    assert few == printed(node(tmp_path / "many", [*before, *more]))


@pytest.mark.lab_long
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_thousand_guests_whatever_their_rules_are(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 -- nothing is secret here
    texts = [drawn_rules(draw) for _ in range(SETS)]
    few, many = texts * 2, draw.choices(texts, k=976)
    assert printed(node(tmp_path / "few", few)).counts == printed(node(tmp_path / "many", [*few, *many])).counts


def test_twins_of_all_guests_of_a_node(tmp_path: Path, shared: Path) -> None:
    source = shared / "pve-corpus" / "s10" / "input"
    assert printed(with_twins(tmp_path / "two", source, 2)) == printed(with_twins(tmp_path / "three", source, 3))


@pytest.mark.lab_long
def test_twins_of_two_hundred_guests(tmp_path: Path, shared: Path) -> None:
    source = shared / "pve-corpus" / "s200" / "input"
    once, twice = (
        printed(with_twins(tmp_path / name, source, times)).counts for name, times in (("one", 1), ("two", 2))
    )
    assert twice[0] - once[0] <= 7, "elements stand in sets where the kernel would follow each way for too long"
    assert twice[1] == once[1]


@pytest.mark.lab_long
@pytest.mark.parametrize("guests", [200, 1000])
def test_more_guests_make_no_more_rules(tmp_path: Path, guests: int) -> None:
    """Where many log, their look-ups come to share chains, which makes some rules less."""
    few, many = (printed(node(tmp_path / name, in_turn(number))) for name, number in (("few", 24), ("many", guests)))
    assert all(after <= before for before, after in zip(few.counts, many.counts, strict=True))


@pytest.mark.lab_long
def test_two_hundred_guests_with_rules_of_their_own(shared: Path) -> None:
    folder = shared / "pve-corpus" / "s200"
    rules, chains = printed(*(folder / name for name in ("iptables-save", "ipset-save", "ebtables-save"))).counts
    assert rules <= 3500
    assert chains <= 900


@pytest.mark.lab_long
def test_five_hundred_guests_are_a_twentieth_of_what_a_chain_for_each_makes(shared: Path) -> None:
    """Proxmox's own nftables firewall has 1,058 chains, 4,022 sets and 18,614 rules for them, logs aside."""
    found = printed(shared / "proxmox-firewall-corpus" / "500" / "input")
    rules, chains = found.counts
    assert rules <= 18_614 // 20
    assert chains <= 1_058 // 20
    assert len(found.keyed) <= 4_022 // 20
