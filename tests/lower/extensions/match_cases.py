"""The case tables of the matches from addrtype to limit, and the way of one rule through the whole pipeline.

A case is `input ; nft ; OK` or `input ; ; FAIL CODE`. An input that starts with `ip6:` is for ip6tables; `-t` and `-A` say
where it stands, in FORWARD of filter otherwise. The nft rules of one input are parted by `//`, sets and objects first;
`(nothing)` stands for a rule that can never match.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from fwtrans.backend.nft.lower import Printing, lower_ruleset
from fwtrans.backend.nft.text import print_ruleset
from fwtrans.diagnostics import Diagnostic, DiagnosticSink
from fwtrans.ir.ruleset import Ruleset
from fwtrans.lower.extensions.registry import ExtensionOptions
from fwtrans.lower.iptables import lower_dump
from fwtrans.parsers.iptables_save.dump import parse_dump
from fwtrans.source import SourceFile

FIXTURES = Path(__file__).parents[3] / "fixtures" / "extensions"
NAMES = (
    "addrtype", "ah", "bpf", "cgroup", "cluster", "comment", "connbytes", "connlabel", "connlimit", "connmark",
    "conntrack", "cpu", "dccp", "devgroup", "dscp", "dst", "ecn", "esp", "eui64", "frag", "hashlimit", "hbh", "helper",
    "hl", "icmp", "icmp6", "ipcomp", "iprange", "ipv6header", "ipvs", "length", "limit", "state",
)  # fmt: skip
BUILT_IN = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
}


class Case(NamedTuple):
    """`code` is empty where the input is right; `rule` is all behind the chain's name."""

    place: str
    extension: str
    family: str
    table: str
    chain: str
    rule: str
    expected: str
    code: str


def read_cases() -> list[Case]:
    """Return every case of our tables."""
    return [case for name in NAMES for case in _read_table(name)]


def _read_table(name: str) -> list[Case]:
    cases: list[Case] = []
    for number, line in enumerate((FIXTURES / f"{name}.cases").read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        text, expected, outcome = line.rsplit(" ;", 2)
        word, _, code = outcome.strip().partition(" ")
        assert (word, bool(code)) in {("OK", False), ("FAIL", True)}, f"{name}:{number}: {outcome}"
        family = "ip6" if text.startswith("ip6:") else "ip"
        rule = text.removeprefix("ip6:").strip()
        table, rule = _take(rule, "-t", "filter")
        chain, rule = _take(rule, "-A", "FORWARD")
        cases.append(Case(f"{name}:{number}", name, family, table, chain, rule, expected.strip(), code))
    return cases


def _take(rule: str, option: str, default: str) -> tuple[str, str]:
    found = re.match(rf"{option} (\S+) (.*)", rule)
    return (found.group(1), found.group(2)) if found else (default, rule)


def dump_of(table: str, chain: str, rules: list[str]) -> str:
    """Return a dump that holds the rules, for iptables-restore and for us."""
    chains = [f":{name} ACCEPT [0:0]" for name in BUILT_IN[table]]
    return "\n".join([f"*{table}", *chains, *(f"-A {chain} {rule}" for rule in rules), "COMMIT", ""])


def without_target(rule: str) -> str:
    """Return the matches alone."""
    matches, found, _ = rule.rpartition(" -j ")
    assert found, rule
    return matches


class Translated(NamedTuple):
    """The nft script, what was found, and what it rests on."""

    script: str
    found: tuple[Diagnostic, ...]
    assumptions: tuple[str, ...]

    @property
    def codes(self) -> tuple[str, ...]:
        """Return the codes of the errors."""
        return tuple(item.code for item in self.found if item.severity.value == "error")


def translate(dump: str, family: str, *, counters: bool = False) -> Translated:
    """Send a dump through the whole pipeline. Rules are numbered by their line in their comments if they are counted."""
    source = SourceFile("case", dump)
    sink = DiagnosticSink()
    parsed = parse_dump(source, family, ExtensionOptions(), sink)
    if parsed is None:
        return Translated("", tuple(sink.found), ())
    lowered = lower_dump(parsed, {}, sink)
    printing = Printing(counters=counters, origin_id=lambda origin: str(origin.line) if counters else "")
    printed = lower_ruleset(Ruleset((lowered.table,)), sink, printing)
    return Translated(print_ruleset(printed.ruleset).text, tuple(sink.found), lowered.assumptions)


def rules_of(script: str, chain: str) -> str:
    """Return the sets, objects and rules of a script as the tables write them."""
    found: list[str] = []
    block: list[str] = []
    inside = ""
    for line in map(str.strip, script.splitlines()[1:-1]):
        if line.endswith("{") and not inside:
            inside = "chain" if line.startswith("chain ") else "object"
            ours = line == f"chain {chain} {{"
            block = [line]
        elif line == "}" and inside:
            if inside == "object":
                found.append(" ".join([*block, "}"]))
            inside = ""
        elif inside == "object":
            block.append(line)
        elif inside == "chain" and ours and not line.startswith("type "):
            found.append(line)
    return " // ".join(found) or "(nothing)"
