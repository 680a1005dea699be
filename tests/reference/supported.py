"""What docs/reference/supported.md says: every extension of the registries, and what its case table shows of it.

The page claims nothing by hand. An extension is exact where all its legal cases are translated, partly where some are
refused (each reason is told), refused where all are; what a translation rests on is told as well.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.ir.fields import Family
from fwtrans.lower.extensions.registry import MATCHES, TARGETS, find_match, find_target
from fwtrans.source import SourceFile
from fwtrans.translate import Settings, translate
from tests.lower.extensions.second_half import IPSETS, MORE_IPSETS
from tests.lower.extensions.test_targets_iptables import SETS as TARGET_SETS
from tests.places import FIXTURES
from tests.reference.bridge_samples import ARPTABLES_SAMPLES, EBTABLES_SAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fwtrans.diagnostics import Diagnostic

ALIASES = {"icmpv6": "icmp6", "ipv6-icmp": "icmp6"}
"""Other names of one extension, which iptables takes too; they are not in the manual page."""

_BUILT_IN = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
}
_HEAD = """# What is supported

Written by a test from the registries and the case tables (`pytest tests/reference --update-golden`); not by hand.

- **exact**: nftables does the same for every packet
- **assuming**: the same as long as what is said holds; each assumption is printed with the result too
- **partly**: some uses are refused, with the reason; nothing is left out in silence
- **refused**: named, with the reason, at its place in the input
"""


@dataclass(slots=True)
class Found:
    """What the cases of one extension show."""

    translated: int = 0
    refusals: dict[str, None] = field(default_factory=dict)
    assumptions: dict[str, None] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """Return the word for the table."""
        if self.refusals:
            return "partly" if self.translated else "refused"
        return "assuming" if self.assumptions else "exact"


def page() -> str:
    """Return the whole page."""
    matches = [name for name in MATCHES if name not in ALIASES]
    parts = [
        _HEAD,
        "## Matches (`-m`)\n\n" + _table((name, _families("match", name), _cases(name)) for name in matches),
        "## Targets (`-j`)\n\n"
        + _table((name, _families("target", name), _cases(f"target-{name}")) for name in TARGETS),
        "`ACCEPT`, `DROP`, `RETURN`, `QUEUE` and jumps to chains (`-j`, `-g`) are exact.\n",
        "## ebtables\n\n" + _table((name, "bridge", _sample("ebtables", rule)) for name, rule in EBTABLES_SAMPLES),
        "## arptables\n\n" + _table((name, "arp", _sample("arptables", rule)) for name, rule in ARPTABLES_SAMPLES),
    ]
    return "\n".join(parts)


def _table(rows: Iterable[tuple[str, str, Found]]) -> str:
    lines = ["| name | family | | what is refused, and why; what is assumed |", "|---|---|---|---|"]
    for name, families, found in rows:
        notes = [*found.refusals, *(f"assuming {text}" for text in found.assumptions)]
        shown = "<br>".join(note.replace("|", "\\|") for note in notes)
        lines.append(f"| `{name}` | {families} | {found.status} | {shown} |")
    return "\n".join(lines) + "\n"


def _families(kind: str, name: str) -> str:
    find = find_match if kind == "match" else find_target
    names = {Family.IP: "IPv4", Family.IP6: "IPv6"}
    return ", ".join(shown for family, shown in names.items() if find(name, family) is not None)


def _cases(name: str) -> Found:
    """Return what the legal lines of a case table come to."""
    found = Found()
    lines = (FIXTURES / "extensions" / f"{name}.cases").read_text(encoding="utf-8").splitlines()
    for line in lines:
        if not line or line.startswith("#"):
            continue
        text, _, outcome = line.rsplit(" ;", 2)
        if outcome.strip() == "OK" or outcome.strip().startswith("FAIL FWT2"):
            _note(found, *_translate_case(text.strip(), targets=name.startswith("target-")))
    return found


def _translate_case(text: str, *, targets: bool) -> tuple[list[Diagnostic], tuple[str, ...]]:
    sixth = text.startswith("ip6:")
    table, chain, rule = _placed(text.removeprefix("ip6:").strip())
    dump = "\n".join(
        [f"*{table}", *(f":{name} ACCEPT [0:0]" for name in _BUILT_IN[table]), f"-A {chain} {rule}", "COMMIT", ""]
    )
    if targets:
        ipsets = "\n".join(part.strip().removeprefix("ipset ") for part in TARGET_SETS.split(";")) + "\n"
    else:
        ipsets = IPSETS + MORE_IPSETS
    return _run("ip6tables-save" if sixth else "iptables-save", dump, ipsets if "set" in rule.lower() else "")


def _placed(text: str) -> tuple[str, str, str]:
    """Return table, chain and the rest of a rule, wherever in it `-t` and `-A` stand."""
    table, text = _taken(text, "-t", "filter")
    chain, text = _taken(text, "-A", "FORWARD")
    return table, chain, text


def _taken(text: str, option: str, default: str) -> tuple[str, str]:
    words = shlex.split(text)
    if option not in words:
        return default, text
    value = words[words.index(option) + 1]
    return value, text.replace(f"{option} {value} ", "", 1)


def _run(name: str, dump: str, ipsets: str = "") -> tuple[list[Diagnostic], tuple[str, ...]]:
    sources = [SourceFile(name, dump), *([SourceFile("ipset-save", ipsets)] if ipsets else [])]
    sink = DiagnosticSink()
    result = translate(sources, Settings(verify=False), sink, FileAccess())
    return list(sink.errors), result.assumptions


def _note(found: Found, errors: list[Diagnostic], assumptions: tuple[str, ...]) -> None:
    faults = [f"{error.code} {error.message}" for error in errors if error.code[3] not in "25"]
    assert not faults, f"a legal case was not understood: {faults}"
    if errors:
        found.refusals |= dict.fromkeys(error.message for error in errors)
    else:
        found.translated += 1
        found.assumptions |= dict.fromkeys(assumptions)


def _sample(program: str, rule: str) -> Found:
    chain = "INPUT" if program == "arptables" else "FORWARD"
    table = "filter"
    if rule.startswith("-t "):
        _, table, rest = rule.split(" ", 2)
        chain, rule = rest.split(" ", 1)
    found = Found()
    _note(found, *_run(f"{program}-save", f"*{table}\n:{chain} ACCEPT\n-A {chain} {rule}\n"))
    return found


def names_of_page(kind: str) -> Iterator[str]:
    """Yield the names that the page has rows for."""
    if kind == "match":
        yield from (name for name in MATCHES if name not in ALIASES)
    else:
        yield from TARGETS
