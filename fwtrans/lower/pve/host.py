"""The node's own chains PVEFW-HOST-IN and PVEFW-HOST-OUT, and what stands in its raw table."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.lower.pve.chains import Chains, LeftOut
from fwtrans.lower.pve.commands import Compilation, Where, add_rule, applies
from fwtrans.lower.pve.filters import add_input_filters, add_neighbour_discovery, add_policy, add_state_filters
from fwtrans.lower.pve.groups import add_group_rule
from fwtrans.lower.pve.scope import CLUSTER_SETS, SetName
from fwtrans.lower.pve.standard import REJECT
from fwtrans.parsers.pve.syntax import RuleOption

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwtrans.lower.pve.check import CheckedRule
    from fwtrans.lower.pve.node import Node
    from fwtrans.lower.pve.scope import Address
    from fwtrans.source import Origin

HOST_IN, HOST_OUT = "PVEFW-HOST-IN", "PVEFW-HOST-OUT"
PREROUTING = "PVEFW-PREROUTING"
_ACCEPT = "RETURN"
"""Chains of other software that stand behind PVE's shall still see what PVE accepts."""
_TARGETS = {"ACCEPT": _ACCEPT, "REJECT": REJECT}
_MANAGEMENT_PORTS = ("8006", "5900:5999", "3128", "22", "60000:60050")
_LOCAL_PORTS = ("8006", "22", "5900:5999", "3128")
_COROSYNC = "-p udp --dport 5404:5405"

# Protocol and port of each conntrack helper, and the IP versions that the kernel has it for.
_HELPERS: dict[str, tuple[str, str, frozenset[int]]] = {
    "amanda": ("udp", "10080", frozenset({4, 6})),
    "ftp": ("tcp", "21", frozenset({4, 6})),
    "irc": ("tcp", "6667", frozenset({4})),
    "netbios-ns": ("udp", "137", frozenset({4})),
    "pptp": ("tcp", "1723", frozenset({4})),
    "sane": ("tcp", "6566", frozenset({4, 6})),
    "sip": ("udp", "5060", frozenset({4, 6})),
    "snmp": ("udp", "161", frozenset({4})),
    "tftp": ("udp", "69", frozenset({4, 6})),
}


class _Peer(NamedTuple):
    """Another node of the cluster on a link that this node has too."""

    address: str
    own: str
    origin: Origin


def add_host_chains(compilation: Compilation, local: Address) -> None:
    """Make both chains and hang them into PVEFW-INPUT and PVEFW-OUTPUT. `local` is the cluster's network."""
    peers = tuple(_peers(compilation.node, compilation.version))
    _add_input(compilation, peers)
    _add_output(compilation, peers, local)
    origin = compilation.node.host.options.origin("enable")
    compilation.chains.rule("PVEFW-OUTPUT", "", f"-j {HOST_OUT}", origin)
    compilation.chains.rule("PVEFW-INPUT", "", f"-j {HOST_IN}", origin)


def _add_input(compilation: Compilation, peers: tuple[_Peer, ...]) -> None:
    chains, node = compilation.chains, compilation.node
    options, cluster = node.host.options, node.cluster.options
    level = options.log_level("log_level_in")
    chains.create(HOST_IN)
    chains.rule(HOST_IN, "-i lo", "-j ACCEPT")
    add_state_filters(compilation, HOST_IN, allow_invalid=False)
    add_neighbour_discovery(compilation, HOST_IN, options, f"-j {_ACCEPT}", advertises=True)
    add_input_filters(compilation, HOST_IN, options, level)
    chains.rule(HOST_IN, "-p igmp", f"-j {_ACCEPT}")
    for rule in (*node.host.rules, *node.cluster.rules):
        where = Where(HOST_IN, node.scope(), incoming=rule.value(RuleOption.INTERFACE))
        _add_rule(compilation, rule, where, "IN")
    management = node.cluster.sets.get("management")
    origin = management.section.origin if management is not None and management.section is not None else None
    name = SetName(CLUSTER_SETS, "management").for_version(compilation.version)
    for ports in _MANAGEMENT_PORTS:
        chains.rule(HOST_IN, f"-m set --match-set {name} src -p tcp --dport {ports}", f"-j {_ACCEPT}", origin)
    _add_multicast(compilation, HOST_IN)
    for peer in peers:
        chains.rule(HOST_IN, f"-d {peer.own} -s {peer.address} {_COROSYNC}", f"-j {_ACCEPT}", peer.origin)
    policy, stands = cluster.text("policy_in", "DROP"), cluster.origin("policy_in")
    add_policy(compilation, HOST_IN, policy, _ACCEPT, level, 0, stands)


def _add_output(compilation: Compilation, peers: tuple[_Peer, ...], local: Address) -> None:
    chains, node = compilation.chains, compilation.node
    options, cluster = node.host.options, node.cluster.options
    level = options.log_level("log_level_out")
    chains.create(HOST_OUT)
    chains.rule(HOST_OUT, "-o lo", "-j ACCEPT")
    add_state_filters(compilation, HOST_OUT, allow_invalid=False)
    add_neighbour_discovery(
        compilation, HOST_OUT, options, f"-j {_ACCEPT}", advertises=options.flag("radv", default=False)
    )
    chains.rule(HOST_OUT, "-p igmp", f"-j {_ACCEPT}")
    for rule in (*node.host.rules, *node.cluster.rules):
        where = Where(HOST_OUT, node.scope(), outgoing=rule.value(RuleOption.INTERFACE))
        _add_rule(compilation, rule, where, "OUT")
    if local.version == compilation.version:
        for ports in _LOCAL_PORTS:
            chains.rule(HOST_OUT, f"-d {local.text} -p tcp --dport {ports}", f"-j {_ACCEPT}", local.origin)
    _add_multicast(compilation, HOST_OUT)
    for peer in peers:
        chains.rule(HOST_OUT, f"-s {peer.own} -d {peer.address} {_COROSYNC}", f"-j {_ACCEPT}", peer.origin)
    policy, stands = cluster.text("policy_out", "ACCEPT"), cluster.origin("policy_out")
    add_policy(compilation, HOST_OUT, policy, _ACCEPT, level, 0, stands)


def _add_rule(compilation: Compilation, rule: CheckedRule, where: Where, direction: str) -> None:
    """Add one rule of the host or the cluster; one that cannot be made is left out alone."""
    if not applies(rule, compilation.version):
        return
    try:
        if rule.kind == "group":
            add_group_rule(compilation, rule, where, direction, _ACCEPT)
        elif rule.kind == direction.lower():
            add_rule(compilation, rule, where, _TARGETS, named=True)
    except LeftOut as left:
        compilation.tell("FWT176", str(left), rule, "PVE leaves the rule out")


def _add_multicast(compilation: Compilation, chain: str) -> None:
    corosync = compilation.node.config.corosync
    if corosync is not None and corosync.transport == "udp":
        compilation.chains.rule(chain, f"-m addrtype --dst-type MULTICAST {_COROSYNC}", f"-j {_ACCEPT}")


def _peers(node: Node, version: int) -> Iterator[_Peer]:
    """Yield the addresses of the other nodes, by node name and link, on links that this node has an address of too."""
    corosync, facts = node.config.corosync, node.config.node
    if corosync is None or facts is None:
        return
    nodes = sorted(corosync.nodes, key=lambda each: each.name)
    own = {link: address for each in nodes if each.name == facts.node_name for link, address in each.links}
    for each in nodes:
        for link, address in sorted(each.links):
            if each.name != facts.node_name and _is_of(address, version) and _is_of(own.get(link, ""), version):
                yield _Peer(address, own[link], each.origin)


def _is_of(address: str, version: int) -> bool:
    try:
        return ip_address(address).version == version
    except ValueError:
        return False


def add_raw_chain(chains: Chains, node: Node, version: int) -> None:
    """Make the raw table's chain where the limit of SYN packets or helpers are on."""
    options = node.host.options
    if options.flag("protection_synflood", default=False):
        chains.create(PREROUTING)
        rate = options.number("protection_synflood_rate", 200)
        burst = options.number("protection_synflood_burst", 1000)
        expire = options.number("nf_conntrack_tcp_timeout_syn_recv", 60) * 1000
        mask = {4: 32, 6: 64}[version]
        match = (
            f"-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -m hashlimit --hashlimit-above {rate}/sec"
            f" --hashlimit-burst {burst} --hashlimit-mode srcip --hashlimit-name syn --hashlimit-htable-size 2097152"
            f" --hashlimit-srcmask {mask} --hashlimit-htable-expire {expire}"
        )
        chains.rule(PREROUTING, match, "-j DROP", options.origin("protection_synflood"))
    helpers = options.text("nf_conntrack_helpers")
    for helper in helpers.split(",") if helpers else ():
        protocol, port, versions = _HELPERS[helper]
        if PREROUTING not in chains:
            chains.create(PREROUTING)
        if version in versions:
            match = f"-p {protocol} -m {protocol} --dport {port}"
            chains.rule(PREROUTING, match, f"-j CT --helper {helper}", options.origin("nf_conntrack_helpers"))
