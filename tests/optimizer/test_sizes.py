"""What a ruleset's size depends on: on how many sets of rules there are, not on how many guests have them.

Counted is what is printed, without log rules and the chains that hold nothing else: a log's prefix names its guest.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import pytest

from fwtrans.cli.inputs import FileAccess, read_paths
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.translate import Settings, translate

if TYPE_CHECKING:
    from pathlib import Path

SETS = 12
_OPEN = pytest.mark.xfail(
    reason="leaves of one guest become a class, those of two do not; hardware addresses stand in a rule", strict=True
)
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
    """Return one of the sets of rules: each has something that no other has; every fourth guest logs."""
    lines = [f"IN ACCEPT -source 10.{number}.0.0/16 -p tcp -dport {port}" for port in range(22, 24 + number)]
    lines += [f"OUT DROP -p udp -dport {1000 + number}", "IN ACCEPT -p icmp -icmp-type echo-request"]
    options = ["enable: 1", "policy_in: DROP", f"policy_out: {'ACCEPT' if number % 2 else 'DROP'}"]
    if number % 3 == 0:
        options.append("ipfilter: 1")
    return "\n".join(["[OPTIONS]", *options, "[RULES]", *lines, ""])


def node(folder: Path, guests: int, logging: int = 8) -> Path:
    """Write the configuration of a node: guests with sets of rules in turn, the first of which log."""
    (folder / "qemu-server").mkdir(parents=True)
    (folder / "cluster.fw").write_text("[OPTIONS]\nenable: 1\n")
    (folder / "host.fw").write_text("[OPTIONS]\nenable: 1\n")
    for guest in range(guests):
        number = 100 + guest
        net = f"virtio=BC:24:11:00:{number // 256:02X}:{number % 256:02X},bridge=vmbr0,firewall=1"
        rules = rules_of(guest % SETS)
        if guest < logging:
            rules = rules.replace("policy_in", "log_level_in: info\npolicy_in")
        (folder / f"{number}.fw").write_text(rules)
        (folder / "qemu-server" / f"{number}.conf").write_text(f"name: vm{number}\nnet0: {net}\n")
    return folder


@_OPEN
def test_a_set_of_rules_counts_once(tmp_path: Path) -> None:
    few, many = printed(node(tmp_path / "few", 24)), printed(node(tmp_path / "many", 40))
    assert few.counts == many.counts


@_OPEN
def test_one_more_guest_changes_elements_only(tmp_path: Path) -> None:
    assert printed(node(tmp_path / "before", 24)) == printed(node(tmp_path / "after", 25))


@_OPEN
@pytest.mark.lab_long
def test_a_thousand_guests(tmp_path: Path) -> None:
    few, many = printed(node(tmp_path / "few", 24)), printed(node(tmp_path / "many", 1000))
    assert few.counts == many.counts
    assert few.keyed.keys() == many.keyed.keys()


@pytest.mark.lab_long
def test_two_hundred_guests_with_rules_of_their_own(shared: Path) -> None:
    folder = shared / "pve-corpus" / "s200"
    rules, chains = printed(*(folder / name for name in ("iptables-save", "ipset-save", "ebtables-save"))).counts
    assert rules <= 3500
    assert chains <= 900
