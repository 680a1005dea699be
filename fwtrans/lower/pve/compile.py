"""A node's configuration to the four dumps that it would have once pve-firewall has run.

The dumps are texts, in the words that pve-firewall itself gives to iptables-restore, ipset and ebtables-restore, so
that the readers of true dumps read these as well; each line knows the line of the configuration it was made from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.diagnostics import Diagnostic, DiagnosticSink
from fwtrans.lower.pve.bridge import bridge_lines
from fwtrans.lower.pve.chains import Chains, Line, made_text
from fwtrans.lower.pve.commands import Compilation
from fwtrans.lower.pve.filters import add_input_filters, add_standard_chains, add_state_filters
from fwtrans.lower.pve.foreign import ForeignTable, foreign_tables
from fwtrans.lower.pve.forward import add_forward_chains
from fwtrans.lower.pve.guests import add_guest_chains
from fwtrans.lower.pve.host import add_host_chains, add_raw_chain
from fwtrans.lower.pve.ipsets import ipset_lines
from fwtrans.lower.pve.node import Node, check_node
from fwtrans.lower.pve.remarks import tell_of_settings
from fwtrans.lower.pve.scope import Address, read_address
from fwtrans.parsers.pve.values import LogRateLimit, read_log_ratelimit

if TYPE_CHECKING:
    from fwtrans.lower.pve.check import CheckedRule
    from fwtrans.parsers.pve.syntax import PveConfig
    from fwtrans.source import SourceFile

_BUILT_IN = {"filter": ("INPUT", "FORWARD", "OUTPUT"), "raw": ("PREROUTING", "OUTPUT")}
_HOOKED = ("INPUT", "OUTPUT", "FORWARD", "PREROUTING")
_NO_NETWORK = "127.0.0.0/8"


class Dumps(NamedTuple):
    """What the node would show, as iptables-save, ip6tables-save, ipset save and ebtables-save."""

    ip: SourceFile
    ip6: SourceFile
    ipset: SourceFile
    ebtables: SourceFile


def compile_node(config: PveConfig, sink: DiagnosticSink, *, nftables: bool = False) -> Dumps:
    """Return the dumps. Where PVE leaves something out the sink says so, and what that means for the traffic.

    With `nftables` they have what only PVE's nftables backend makes of the configuration, too.
    """
    node = check_node(config, sink, nftables=nftables)
    enabled = _is_enabled(node)
    local = _local_network(node, sink) if enabled else read_address(_NO_NETWORK)
    tell_of_settings(node, sink, enabled=enabled, nftables=nftables)
    texts = []
    actions: dict[CheckedRule, str] = {}
    told: set[tuple[str, str]] = set()
    for version, foreign in zip((4, 6), config.foreign, strict=True):
        made: dict[str, Chains] = {"raw": Chains(), "filter": Chains()}
        if enabled:
            compilation = Compilation(version, node, Chains(_limit(node)), sink, actions, told)
            made["filter"] = _filter_chains(compilation, local)
            if nftables:
                add_forward_chains(compilation)
            add_raw_chain(made["raw"], node, version)
        texts.append(_table_lines(made, foreign_tables(foreign)))
    sets = ipset_lines(node, local) if enabled else []
    bridge = bridge_lines(node, sink) if enabled else []
    return Dumps(
        made_text("pve-firewall: iptables", texts[0]),
        made_text("pve-firewall: ip6tables", texts[1]),
        made_text("pve-firewall: ipset", sets),
        made_text("pve-firewall: ebtables", bridge),
    )


def _is_enabled(node: Node) -> bool:
    """Tell whether the data center's firewall is on. A number above 1 is a time, up to which it was on for a test."""
    return node.cluster.options.text("enable") == "1"


def _local_network(node: Node, sink: DiagnosticSink) -> Address:
    """Return the alias local_network: as defined, else the node's own network, else what PVE takes for want of one."""
    defined = node.cluster.names.aliases.get("local_network")
    if defined is not None:
        return defined
    facts = node.config.node
    if facts is not None and facts.local_network:
        return read_address(facts.local_network)
    message = f"the node's own network is not known, so {_NO_NETWORK} stands in for the alias local_network"
    note = "the host accepts management and cluster traffic from there, and lets its own go there, whatever the policies say"
    hint = "define `local_network` in [ALIASES] of cluster.fw; `pve-firewall localnet` prints it"
    sink.add(Diagnostic(code="FWT181", message=message, notes=(note,), hints=(hint,)))
    return read_address(_NO_NETWORK)


def _limit(node: Node) -> str:
    """Return what log rules are limited by: one line a second if nothing is said."""
    rate, burst = "1/sec", 0
    text = node.cluster.options.text("log_ratelimit")
    found = read_log_ratelimit(text) if text else LogRateLimit(enabled=True)
    if isinstance(found, LogRateLimit):
        if not found.enabled:
            return ""
        rate, burst = found.rate or rate, found.burst or 0
    return f"--limit {rate}{f' --limit-burst {burst}' if burst else ''}"


def _filter_chains(compilation: Compilation, local: Address) -> Chains:
    chains, node = compilation.chains, compilation.node
    host = node.host.options
    for chain in ("PVEFW-INPUT", "PVEFW-OUTPUT", "PVEFW-FORWARD"):
        chains.create(chain)
    invalid = "nf_conntrack_allow_invalid"
    add_state_filters(
        compilation, "PVEFW-FORWARD", allow_invalid=host.flag(invalid, default=False), origin=host.origin(invalid)
    )
    chains.create("PVEFW-FWBR-IN")
    add_input_filters(compilation, "PVEFW-FWBR-IN", host, host.log_level("log_level_out"))
    chains.create("PVEFW-FWBR-OUT")
    for side, direction in (("in", "IN"), ("out", "OUT")):
        match = f"-m physdev --physdev-is-bridged --physdev-{side} fwln+"
        chains.rule("PVEFW-FORWARD", match, f"-j PVEFW-FWBR-{direction}")
    add_standard_chains(compilation, host)
    if host.flag("enable", default=True):
        add_host_chains(compilation, local)
    add_guest_chains(compilation)
    if "PVEFW-IPS" in chains:
        chains.insert("PVEFW-FORWARD", "-m conntrack --ctstate RELATED,ESTABLISHED", "-j PVEFW-IPS")
    return chains


def _table_lines(made: dict[str, Chains], foreign: dict[str, ForeignTable]) -> list[Line]:
    """Return all tables: other software's rules in a chain stand before PVE's, which are put behind them."""
    lines: list[Line] = []
    for table in (*made, *(name for name in foreign if name not in made)):
        chains = made.get(table, Chains())
        other = foreign.get(table, ForeignTable((), ()))
        declared = {line.text.split()[0] for line in other.declarations}
        lines.append(Line(f"*{table}"))
        lines.extend(Line(f":{name} ACCEPT [0:0]") for name in _BUILT_IN.get(table, ()) if f":{name}" not in declared)
        lines.extend(other.declarations)
        lines.extend(Line(f":{name} - [0:0]") for name in sorted(chains.lines))
        lines.extend(other.rules)
        lines.extend(Line(f"-A {hook} -j PVEFW-{hook}") for hook in _HOOKED if f"PVEFW-{hook}" in chains)
        lines.extend(line for name in sorted(chains.lines) for line in chains.signed(name))
        lines.append(Line("COMMIT"))
    return lines
