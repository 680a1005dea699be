"""The rules that are not ours, each family with the program that owns it: read, taken out of the way, put back.

| owner | rules are read with | taken out by | put back by |
| --- | --- | --- | --- |
| iptables-legacy, ip6tables-legacy | `-save -c` | loading the same tables without rules | `-restore -c` |
| ebtables-legacy | `--atomic-save` for each table | `--atomic-init`, `--atomic-commit` | `--atomic-commit` |
| arptables-legacy | `-L` | flushing | the same rules one by one |
| the nft variants of all four | `-save` | switching the nft table off (dormant) | switching it on |
| ipset | `save` | nothing: without rules sets do nothing | `restore`, where they differ |

Reading makes nothing: a table that the kernel does not have is not asked for, because asking loads it.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.backend.loader.image import TableName
from fwtrans.backend.loader.programs import Done, find, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fwtrans.backend.loader.client import NftClient

NFT_TABLES = ("raw", "mangle", "nat", "filter", "security", "broute")
_BUILT_IN = frozenset({"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING", "BROUTING"})
_BRIDGE_TABLES = ("filter", "nat", "broute")
BRIDGE_SETTINGS = ("bridge-nf-call-iptables", "bridge-nf-call-ip6tables", "bridge-nf-call-arptables")
_PATIENT = ("-w", "10")
"""Seconds to wait for whoever else changes legacy rules: there is one lock for all of them."""
_BRIDGE_FOLDER = Path("/proc/sys/net/bridge")

_NAMES_FILES = {
    "iptables-legacy": Path("/proc/net/ip_tables_names"),
    "ip6tables-legacy": Path("/proc/net/ip6_tables_names"),
    "arptables-legacy": Path("/proc/net/arp_tables_names"),
}


class Family(NamedTuple):
    """The four programs' common names: what `collect` calls a dump, and the nft family that stands for it."""

    program: str
    nft: str


FAMILIES = (
    Family("iptables", "ip"),
    Family("ip6tables", "ip6"),
    Family("ebtables", "bridge"),
    Family("arptables", "arp"),
)


@dataclass(frozen=True, slots=True)
class OldRules:
    """What one owner has: its dump and, for ebtables-legacy, the kernel's own form of each table."""

    owner: str
    dump: str
    tables: tuple[str, ...]
    binary: tuple[tuple[str, bytes], ...] = ()

    @property
    def has_rules(self) -> bool:
        """Tell whether it does anything: a rule, or a policy that is not ACCEPT."""
        return any(line.startswith("-A ") or _is_policy(line) for line in without_counters(self.dump))


class ToolFailed(Exception):  # noqa: N818 -- it is an answer
    """A program that owns rules could not do what it was asked; the text says which and why."""


def read_old_rules(nft_tables: Iterable[TableName]) -> tuple[OldRules, ...]:
    """Return what every owner has that has a table at all; `nft_tables` are those that the kernel has."""
    owned = frozenset(nft_tables)
    every = [read() for read in LEGACY.values()] + [nft_variant(family, owned) for family in FAMILIES]
    return tuple(rules for rules in every if rules is not None)


def nft_variant(family: Family, nft_tables: frozenset[TableName]) -> OldRules | None:
    """Return what the nft variant of a program has, None where it has no table."""
    tables = tuple(name for name in NFT_TABLES if TableName(family.nft, name) in nft_tables)
    if not tables:
        return None
    dump = _ask([f"{family.program}-nft-save", *(["-c"] if family.nft.startswith("ip") else [])])
    return OldRules(f"{family.program}-nft", dump.text, tables)


def tables_of_iptables(client: NftClient) -> frozenset[TableName]:
    """Return the nft tables that belong to the nft variants: told by their names and those of their base chains."""
    bases: dict[TableName, list[str]] = {}
    for chain in client.base_chains():
        bases.setdefault(chain.table, []).append(chain.name)
    families = {family.nft for family in FAMILIES}
    return frozenset(
        table
        for table in client.tables()
        if table.family in families and table.name in NFT_TABLES and set(bases.get(table, ())) <= _BUILT_IN
        if bases.get(table) or table in client.dormant_tables()
    )


def take_out(rules: OldRules) -> None:
    """Leave the owner's tables without rules, every policy ACCEPT. Each table is one step for the kernel."""
    match rules.owner:
        case "iptables-legacy" | "ip6tables-legacy":
            _ask([f"{rules.owner}-restore", *_PATIENT], given="".join(_empty_tables(rules.dump)).encode())
        case "ebtables-legacy":
            for table in rules.tables:
                with tempfile.TemporaryDirectory(prefix="fwtrans-") as folder:
                    file = str(Path(folder, table))
                    _ask(["ebtables-legacy", "-t", table, "--atomic-file", file, "--atomic-init"])
                    _ask(["ebtables-legacy", "-t", table, "--atomic-file", file, "--atomic-commit"])
        case "arptables-legacy":
            _empty_arp(rules.dump)


def put_back(rules: OldRules, prefix: Sequence[str] = ()) -> None:
    """Load the owner's dump in place of what it has now."""
    match rules.owner:
        case "ebtables-legacy":
            for table, content in rules.binary:
                with tempfile.TemporaryDirectory(prefix="fwtrans-") as folder:
                    file = Path(folder, table)
                    file.write_bytes(content)
                    words = ["ebtables-legacy", "-t", table, "--atomic-file", str(file), "--atomic-commit"]
                    _ask(words, prefix=prefix)
        case "arptables-legacy":
            _fill_arp(rules.dump, prefix)
        case "iptables-legacy" | "ip6tables-legacy":
            _ask([f"{rules.owner}-restore", *_PATIENT, "-c"], given=_encoded(rules.dump), prefix=prefix)
        case "iptables-nft" | "ip6tables-nft":
            _ask([f"{rules.owner}-restore", "-c"], given=_encoded(rules.dump), prefix=prefix)
        case _:
            _ask([f"{rules.owner}-restore"], given=_encoded(rules.dump), prefix=prefix)


def dump_of(owner: str, prefix: Sequence[str] = ()) -> str:
    """Return what an owner has now, in the form of its dump."""
    if owner == "ebtables-legacy":
        return _bridge_dump(_ask_bridge_tables(prefix), prefix)
    if owner == "arptables-legacy":
        return _arp_dump(prefix)
    return _ask([f"{owner}-save"], prefix=prefix).text


def without_counters(dump: str) -> tuple[str, ...]:
    """Return the lines of a dump that say what is filtered: no counters, times, comments, in an order that is the dump's."""
    lines = []
    for line in dump.splitlines():
        text = re.sub(r"^\[\d+:\d+\] ", "", line.rstrip())
        text = re.sub(r" \[\d+:\d+\]$", "", text)
        text = re.sub(r" , pcnt = \d+ -- bcnt = \d+$| -c \d+ \d+(?= |$)", "", text)
        if text and not text.startswith("#"):
            lines.append(text)
    return tuple(lines)


def tables_of(dump: str) -> dict[str, tuple[str, ...]]:
    """Return the lines of each table: the order of tables tells only which was loaded first."""
    found: dict[str, list[str]] = {}
    own: list[str] = []
    for line in without_counters(dump):
        if line.startswith("*"):
            own = found.setdefault(line, [])
        elif line != "COMMIT":
            own.append(line)
    return {name: tuple(own) for name, own in found.items()}


# --- sets ---


def read_sets() -> str:
    """Return all sets, nothing where there is no ipset or the kernel has none."""
    if find("ipset") is None:
        return ""
    done = run(["ipset", "save"])
    return done.text if done.status == 0 else ""


def sets_that_differ(saved: str) -> bool:
    """Tell whether the sets are others than in the dump, apart from what counts and runs out by itself."""
    return _set_lines(saved) != _set_lines(read_sets())


def put_sets_back(saved: str, prefix: Sequence[str] = ()) -> None:
    """Load a dump of sets in place of those that are there; no rule may use one of them then."""
    if find("ipset") is None:
        if saved:
            raise ToolFailed("ipset is not installed any more")
        return
    _ask(["ipset", "destroy"], prefix=prefix)
    if saved:
        _ask(["ipset", "restore"], given=_encoded(saved), prefix=prefix)


def _set_lines(dump: str) -> list[str]:
    text = re.sub(r" (?:packets|bytes) \d+|(?<=^add )(.*) timeout \d+", r"\1", dump, flags=re.MULTILINE)
    return sorted(line.strip() for line in text.splitlines())


# --- bridge settings ---


def read_bridge_settings() -> dict[str, str]:
    """Return whether bridged packets pass iptables; nothing where br_netfilter is not loaded."""
    found = {}
    for name in BRIDGE_SETTINGS:
        try:
            found[name] = (_BRIDGE_FOLDER / name).read_text(encoding="ascii").strip()
        except OSError:
            continue
    return found


def write_bridge_settings(values: dict[str, str]) -> None:
    """Set them; raises ToolFailed."""
    for name, value in values.items():
        try:
            (_BRIDGE_FOLDER / name).write_text(value, encoding="ascii")
        except OSError as fault:
            raise ToolFailed(f"net.bridge.{name} cannot be set to {value}: {fault.strerror}") from None


# --- owners ---


def _legacy(owner: str) -> OldRules | None:
    tables = _table_names(owner)
    if not tables:
        return None
    return OldRules(owner, _ask([f"{owner}-save", "-c"]).text, tables)


def _arp_legacy() -> OldRules | None:
    tables = _table_names("arptables-legacy")
    return OldRules("arptables-legacy", _arp_dump(), tables) if tables else None


def _arp_dump(prefix: Sequence[str] = ()) -> str:
    """Return what `arptables-legacy-save` ought to print.

    It and `arptables-legacy-restore` (arptables 0.0.5) are scripts that call `arptables`, which in Debian is the nft variant:
    the first shows its rules, and the second flushes them.
    """
    bases: list[str] = []
    own: list[str] = []
    rules: list[str] = []
    chain = ""
    for line in _ask(["arptables-legacy", "-L", "-n"], prefix=prefix).text.splitlines():
        if found := re.match(r"Chain (\S+) \((?:policy (\w+))?", line):
            chain = found[1]
            (bases if found[2] else own).append(f":{chain} {found[2] or '-'}")
        elif line.strip():
            rules.append(f"-A {chain} {line.strip()}")
    return "\n".join(["*filter", *bases, *own, *rules, "", ""])


def _empty_arp(dump: str, prefix: Sequence[str] = ()) -> None:
    for chain in re.findall(r"^:(\S+) (?:ACCEPT|DROP)", dump, re.MULTILINE):
        _ask(["arptables-legacy", "-P", chain, "ACCEPT"], prefix=prefix)
    _ask(["arptables-legacy", "-F"], prefix=prefix)
    _ask(["arptables-legacy", "-X"], prefix=prefix)


def _fill_arp(dump: str, prefix: Sequence[str] = ()) -> None:
    """Make the rules what the dump says; policies last, for nothing is there at first that would let packets pass."""
    _empty_arp(dump, prefix)
    chains = [line[1:].split() for line in dump.splitlines() if line.startswith(":")]
    commands = [["-N", chain] for chain, policy in chains if policy == "-"]
    commands += [line.split() for line in dump.splitlines() if line.startswith("-A ")]
    commands += [["-P", chain, policy] for chain, policy in chains if policy != "-"]
    for command in commands:
        _ask(["arptables-legacy", *command], prefix=prefix)


def _table_names(owner: str) -> tuple[str, ...]:
    try:
        return tuple(_NAMES_FILES[owner].read_text(encoding="ascii").split())
    except OSError:
        return ()


def _bridge_legacy() -> OldRules | None:
    tables = _ask_bridge_tables()
    if not tables:
        return None
    binary = []
    for table in tables:
        with tempfile.TemporaryDirectory(prefix="fwtrans-") as folder:
            file = Path(folder, table)
            _ask(["ebtables-legacy", "-t", table, "--atomic-file", str(file), "--atomic-save"])
            binary.append((table, file.read_bytes()))
    return OldRules("ebtables-legacy", _bridge_dump(tables), tables, tuple(binary))


def _ask_bridge_tables(prefix: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the tables of ebtables-legacy. Only modules say which there are, and asking for one would load it.

    A kernel without modules has all that it will ever have, so there it may be asked.
    """
    if find("ebtables-legacy") is None:
        return ()
    modules = Path("/proc/modules")
    if modules.exists():
        loaded = modules.read_text(encoding="ascii").split()
        tables: Iterable[str] = [name for name in _BRIDGE_TABLES if f"ebtable_{name}" in loaded]
    else:
        tables = _BRIDGE_TABLES
    return tuple(name for name in tables if run(["ebtables-legacy", "-t", name, "-L"], prefix=prefix).status == 0)


def _bridge_dump(tables: Iterable[str], prefix: Sequence[str] = ()) -> str:
    """Return what `ebtables-legacy-save` would print. It finds tables among loaded modules only, so it is not asked."""
    parts = []
    for table in tables:
        chains, rules, chain = [], [], ""
        for line in _ask(["ebtables-legacy", "-t", table, "-L"], prefix=prefix).text.splitlines():
            if found := re.match(r"Bridge chain: (.*?), entries: .* policy: (.*)", line):
                chain = found[1]
                chains.append(f":{chain} {found[2]}")
            elif line.strip() and not line.startswith("Bridge table: "):
                rules.append(f"-A {chain} {line.rstrip()}")
        parts.append("\n".join([f"*{table}", *chains, *rules, "", ""]))
    return "".join(parts)


LEGACY: dict[str, Callable[[], OldRules | None]] = {
    "iptables-legacy": lambda: _legacy("iptables-legacy"),
    "ip6tables-legacy": lambda: _legacy("ip6tables-legacy"),
    "ebtables-legacy": _bridge_legacy,
    "arptables-legacy": _arp_legacy,
}
"""Each legacy owner's reader, which returns None where the kernel has no table of it."""


def _empty_tables(dump: str) -> Iterable[str]:
    for line in dump.splitlines():
        if line.startswith(("*", "COMMIT")):
            yield f"{line}\n"
        elif line.startswith(":") and line.split()[1] != "-":
            yield f"{line.split()[0]} ACCEPT [0:0]\n"


def _is_policy(line: str) -> bool:
    words = line.split()
    return line.startswith(":") and len(words) > 1 and words[1] not in {"ACCEPT", "-", "RETURN"}


def _encoded(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _ask(words: Sequence[str], *, given: bytes = b"", prefix: Sequence[str] = ()) -> Done:
    done = run(words, given=given, prefix=prefix)
    if done.status:
        raise ToolFailed(f"`{' '.join(words)}`: {done.error or f'exit status {done.status}'}")
    return done
