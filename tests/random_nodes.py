"""Random configurations of Proxmox VE nodes: options, aliases, sets, groups, rules and guests that pve-firewall takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.lower.pve.macros import MACRO_NAMES
from fwtrans.source import SourceFile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

_POLICIES = ("ACCEPT", "DROP", "REJECT")
_SWITCH = (0, 1)
_LEVELS = ("nolog", "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
_GROUPS = ("ops", "web-1", "k8s_n")
_SETS = ("lan", "blk2", "longsetname-abcdefghijkl")
_ALIASES = {"office": "10.0.0.0/8", "beta": "203.0.113.5", "host6": "2001:db8::9"}
_PLACES = (
    *(
        "10.0.0.0/8",
        "192.168.7.0/24",
        "203.0.113.5",
        "10.1.2.3-10.1.2.9",
        "0.0.0.0/0",
        "10.0.0.1,10.0.0.7,192.0.2.0/25",
    ),
    *("2001:db8::/32", "fe80::/10", "2001:db8::1", "2001:db8::1-2001:db8::ff", "::/0", "172.16.0.1/12"),
)
_MEMBERS = ("10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "192.0.2.0/24", "2001:db8::/32", "2001:db8:1::/48")
_PROTOCOLS = ("tcp", "tcp", "udp", "udp", "icmp", "icmpv6", "sctp", "esp", "gre", "vrrp")
_PORTS = ("22", "80,443", "1000:2000", "5,6:9,77", "1:65535")
_CLUSTER_OPTIONS: Mapping[str, Sequence[object]] = {
    "policy_in": _POLICIES,
    "policy_out": _POLICIES,
    "policy_forward": ("ACCEPT", "DROP"),
    "ebtables": _SWITCH,
    "log_ratelimit": ("enable=0", "enable=1,burst=3,rate=1/minute", "enable=1,rate=10/second"),
}
_HOST_OPTIONS: Mapping[str, Sequence[object]] = {
    "enable": (0, 1, 1, 1),
    "log_level_in": _LEVELS,
    "log_level_out": _LEVELS,
    "nosmurfs": _SWITCH,
    "tcpflags": _SWITCH,
    "ndp": _SWITCH,
    "nf_conntrack_allow_invalid": _SWITCH,
    "smurf_log_level": _LEVELS,
    "tcp_flags_log_level": _LEVELS,
    "protection_synflood": _SWITCH,
    "nf_conntrack_helpers": ("ftp", "ftp,sip,tftp"),
    "log_nf_conntrack": _SWITCH,
}
_GUEST_OPTIONS: Mapping[str, Sequence[object]] = {
    "policy_in": _POLICIES,
    "policy_out": _POLICIES,
    "dhcp": _SWITCH,
    "ndp": _SWITCH,
    "radv": _SWITCH,
    "macfilter": _SWITCH,
    "ipfilter": _SWITCH,
    "ips": _SWITCH,
    "ips_queues": ("0", "0:3"),
    "log_level_in": _LEVELS,
    "log_level_out": _LEVELS,
    "layer2_protocols": ("ARP,IPv4,IPv6",),
}
_VNET_OPTIONS: Mapping[str, Sequence[object]] = {"policy_forward": ("ACCEPT", "DROP"), "log_level_forward": _LEVELS}
CLUSTER_LINKS = """nodelist {
  node {
    name: pve1
    nodeid: 1
    ring0_addr: 172.16.1.2
  }
  node {
    name: pve2
    nodeid: 2
    ring0_addr: 172.16.1.11
  }
}
"""


class _Names(NamedTuple):
    """What rules can refer to."""

    groups: Sequence[str]
    sets: Sequence[str]
    aliases: Sequence[str]


def random_node(source: Random) -> tuple[SourceFile, ...]:
    """Return the sources of a node with up to six guests."""
    names = _Names(*(source.sample(tuple(all_of), source.randrange(4)) for all_of in (_GROUPS, _SETS, _ALIASES)))
    files = {
        "cluster.fw": _cluster(source, names),
        "host.fw": _options(source, _HOST_OPTIONS) + _rules(source, names, "vmbr0", source.randrange(8)),
        "corosync.conf": CLUSTER_LINKS,
    }
    for number in range(source.randrange(1, 7)):
        files |= _guest(source, names, number)
    return tuple(SourceFile(f"node/{name}", text) for name, text in files.items())


def with_forwards(source: Random, node: Sequence[SourceFile]) -> tuple[SourceFile, ...]:
    """Return a node with FORWARD rules and firewalls of vnets besides; its bridges are vnets here."""
    names = _Names((), (), ())
    texts = {item.name: item.text for item in node}
    for name in ("node/cluster.fw", "node/host.fw"):
        texts[name] += "".join(_forwarding(source, names) for _ in range(source.randrange(6)))
    for name in source.sample(("vmbr0", "vmbr1", "zone7"), source.randrange(4)):
        first = f"enable: {source.choice((1, 1, 1, 0))}\n"
        rules = "".join(_forwarding(source, names) for _ in range(source.randrange(6)))
        texts[f"node/sdn/firewall/{name}.fw"] = f"{_options(source, _VNET_OPTIONS, first)}[RULES]\n\n{rules}"
    return tuple(SourceFile(name, text) for name, text in texts.items())


def _forwarding(source: Random, names: _Names) -> str:
    rule = _rule(source, names, "")
    for word in ("IN", "OUT"):
        rule = rule.replace(f"{word} ", "FORWARD ", 1) if rule.removeprefix("|").startswith(f"{word} ") else rule
    return rule.replace("REJECT", "DROP", 1) + "\n"


def _options(source: Random, choices: Mapping[str, Sequence[object]], first: str = "") -> str:
    chosen = [f"{name}: {source.choice(values)}\n" for name, values in choices.items() if source.random() < 0.4]
    return "".join(["[OPTIONS]\n\n", first, *chosen, "\n"])


def _cluster(source: Random, names: _Names) -> str:
    parts = [_options(source, _CLUSTER_OPTIONS, "enable: 1\n")]
    if names.aliases:
        parts.append("[ALIASES]\n\n" + "".join(f"{name} {_ALIASES[name]}\n" for name in names.aliases) + "\n")
    parts += [_set(source, name, names) for name in names.sets]
    if source.random() < 0.5:
        parts.append("[IPSET management]\n\n10.0.0.0/24\n\n")
    if source.random() < 0.4:
        parts.append("[IPSET blacklist]\n\n198.18.0.0/15\n2001:db8:bad::/48\n\n")
    plain = names._replace(groups=())
    for name in names.groups:
        lines = [_rule(source, plain, "") + "\n" for _ in range(source.randrange(6))]
        parts.append(f"[group {name}]\n\n" + "".join(lines) + "\n")
    return "".join(parts) + _rules(source, names, "vmbr0", source.randrange(8))


def _set(source: Random, name: str, names: _Names) -> str:
    members = (*_MEMBERS, *(f"dc/{alias}" for alias in names.aliases))
    lines = [("!" if source.random() < 0.2 else "") + source.choice(members) + "\n" for _ in range(source.randrange(6))]
    return f"[IPSET {name}]\n\n" + "".join(lines) + "\n"


def _guest(source: Random, names: _Names, number: int) -> dict[str, str]:
    guest = 100 + 7 * number
    is_machine = source.random() < 0.6
    networks = "".join(_network(source, is_machine, number, card) for card in range(source.randrange(1, 3)))
    files = {f"{'qemu-server' if is_machine else 'lxc'}/{guest}.conf": networks}
    if source.random() < 0.9:
        parts = [_options(source, _GUEST_OPTIONS, f"enable: {source.choice((1, 1, 1, 0))}\n")]
        if source.random() < 0.3:
            parts.append("[ALIASES]\n\nown 10.1.2.77\n\n")
        if source.random() < 0.3:
            parts.append("[IPSET ipfilter-net0]\n\n10.1.2.5\n2001:db8::5\n\n")
        if source.random() < 0.3:
            parts.append("[IPSET mine]\n\n10.3.0.0/16\n!10.3.3.0/24\n\n")
        files[f"{guest}.fw"] = "".join(parts) + _rules(source, names, "net0", source.randrange(12))
    return files


def _network(source: Random, is_machine: bool, guest: int, card: int) -> str:
    address = f"BC:24:11:{guest:02X}:{card:02X}:{source.randrange(256):02X}"
    bridge, tag = source.choice(("vmbr0", "vmbr1")), source.choice(("", ",tag=10", ""))
    firewall = source.choice((",firewall=1", ",firewall=1", ""))
    if is_machine:
        return f"net{card}: virtio={address},bridge={bridge}{firewall}{tag}\n"
    own = f"hwaddr={address},ip=10.1.2.{guest + 3}/24{tag},type=veth"
    return f"net{card}: name=eth{card},bridge={bridge}{firewall},{own}\n"


def _rules(source: Random, names: _Names, interface: str, count: int) -> str:
    return "[RULES]\n\n" + "".join(_rule(source, names, interface) + "\n" for _ in range(count))


def _rule(source: Random, names: _Names, interface: str) -> str:
    """Return one rule; of a group, which has no interface, where none is given."""
    bound = f" -i {interface}" if interface else ""
    if names.groups and source.random() < 0.1:
        return f"GROUP {source.choice(names.groups)}" + (bound if source.random() < 0.4 else "")
    action = source.choice(_POLICIES)
    macro = source.choice(MACRO_NAMES) if source.random() < 0.35 else ""
    words = [source.choice(("IN", "OUT")), f"{macro}({action})" if macro else action]
    if bound and source.random() < 0.15:
        words.append(bound.strip())
    words += [f"-source {_place(source, names)}"] if source.random() < 0.4 else []
    words += [f"-dest {_place(source, names)}"] if source.random() < 0.3 else []
    if not macro and source.random() < 0.7:
        words += _transport(source)
    words += [f"-log {source.choice(_LEVELS)}"] if source.random() < 0.3 else []
    words += ['# comment \N{LATIN SMALL LETTER E WITH ACUTE} "x" $(id)'] if source.random() < 0.2 else []
    return ("|" if source.random() < 0.05 else "") + " ".join(words)


def _place(source: Random, names: _Names) -> str:
    known = [*_PLACES, *(f"+{name}" for name in names.sets), *(f"dc/{name}" for name in names.aliases), *names.aliases]
    return source.choice(known)


def _transport(source: Random) -> list[str]:
    protocol = source.choice(_PROTOCOLS)
    words = [f"-p {protocol}"]
    if protocol in {"tcp", "udp", "sctp"}:
        words += [f"-dport {source.choice(_PORTS)}"] if source.random() < 0.8 else []
        words += [f"-sport {source.choice(('53', '20,21', '1024:65535'))}"] if source.random() < 0.2 else []
    if protocol == "icmp" and source.random() < 0.6:
        words.append(f"-icmp-type {source.choice(('echo-request', 'any', 'timestamp-request', '8'))}")
    if protocol == "icmpv6" and source.random() < 0.6:
        words.append(f"-icmp-type {source.choice(('echo-request', 'neighbor-solicitation', 'packet-too-big', '128'))}")
    return words
