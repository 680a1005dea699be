"""A packet in words that a person reads at a glance, and as the keys of `fwtrans simulate`."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from fwtrans.ir.fields import CT_STATE, FIELDS, Field, FieldKind

if TYPE_CHECKING:
    from fwtrans.semantics.packet import Packet

# The order in which a person asks, with the key of `simulate`.
_SHOWN = (
    ("iifname", "iif"), ("oifname", "oif"), ("bridge.port_in", "physdev-in"), ("bridge.port_out", "physdev-out"),
    ("ether.saddr", "mac-src"), ("ether.daddr", "mac-dst"), ("ip.saddr", "src"), ("ip6.saddr", "src"),
    ("ip.daddr", "dst"), ("ip6.daddr", "dst"), ("l4proto", "proto"), ("th.sport", "sport"), ("th.dport", "dport"),
    ("icmp.type", "icmp-type"), ("icmp.code", "icmp-code"), ("icmp6.type", "icmp-type"), ("icmp6.code", "icmp-code"),
    ("tcp.flags", "tcp-flags"), ("mark", "mark"), ("ct.mark", "ct-mark"), ("ct.state", "state"),
)  # fmt: skip
PROTOCOL_NAMES = {1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 33: "dccp", 47: "gre", 50: "esp", 51: "ah", 58: "icmpv6", 132: "sctp", 136: "udplite"}  # fmt: skip
_FLAGS = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr")
_PORTS = {6, 17, 33, 132, 136}


def packet_values(packet: Packet) -> dict[str, str]:
    """Return the packet by `simulate`'s keys: what can be there and is not merely zero or without a name."""
    protocol = packet.values.get(FIELDS["l4proto"])
    found: dict[str, str] = {}
    for name, key in _SHOWN:
        field = FIELDS.get(name)
        if field is None or field not in packet.values or not _applies(name, packet, protocol):
            continue
        value = packet.values[field]
        if value == "" or (value == 0 and name in {"mark", "ct.mark", "ether.saddr", "ether.daddr"}):
            continue
        found[key] = value_text(field, value)
    return found


def _applies(name: str, packet: Packet, protocol: int | str | None) -> bool:
    if name.startswith("ip."):
        return packet.values.get(FIELDS["nfproto"]) == 2
    if name.startswith("ip6."):
        return packet.values.get(FIELDS["nfproto"]) == 10
    if name.startswith("th."):
        return protocol in _PORTS
    if name.startswith("icmp."):
        return protocol == 1
    if name.startswith("icmp6."):
        return protocol == 58
    if name == "tcp.flags":
        return protocol == 6
    return True


def value_text(field: Field, value: int | str) -> str:
    """Return one value in the field's own notation."""
    if isinstance(value, str):
        return value
    if field.kind is FieldKind.IPV4:
        return str(IPv4Address(value))
    if field.kind is FieldKind.IPV6:
        return str(IPv6Address(value))
    if field.kind is FieldKind.MAC:
        return ":".join(f"{value >> shift & 0xFF:02x}" for shift in range(40, -1, -8))
    if field.name == "l4proto":
        return PROTOCOL_NAMES.get(value, str(value))
    if field.name == "tcp.flags":
        return ",".join(word for bit, word in enumerate(_FLAGS) if value >> bit & 1) or "none"
    if field is CT_STATE:
        return field.symbol(value) or str(value)
    if field.kind is FieldKind.BITS and field.width == 32:
        return f"{value:#x}"
    return str(value)


def packet_text(packet: Packet) -> str:
    """Return the packet in one line: `tcp 192.0.2.10:40000 -> 198.51.100.20:443 flags syn state new iif eth0`."""
    found = packet_values(packet)
    sport, dport = found.pop("sport", ""), found.pop("dport", "")
    source, target = found.pop("src", ""), found.pop("dst", "")
    ends = f" {_end(source, sport)} -> {_end(target, dport)}" if source or target or dport else ""
    rest = "".join(f" {key} {value}" for key, value in found.items() if key != "proto")
    return f"{found.get('proto', 'frame')}{ends}{rest}"


def _end(address: str, port: str) -> str:
    shown = f"[{address}]" if ":" in address and port else address or "*"
    return f"{shown}:{port}" if port else shown
