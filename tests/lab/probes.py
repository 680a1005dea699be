"""Random packets, as frames for a kernel and as fields for the concrete evaluator."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.ir.fields import Family
from fwtrans.ir.ruleset import Hook
from fwtrans.semantics.concrete import Decision, evaluate
from fwtrans.semantics.packet import HookVisit, Packet
from tests.lower.extensions import frames
from tests.random_dumps import PORTS

if TYPE_CHECKING:
    from random import Random

    from fwtrans.ir.fields import Field
    from fwtrans.ir.ruleset import Ruleset

HOST = {"ip": "10.9.0.1", "ip6": "fd00:9::1"}
# In the networks that rules name, at their ends, and beside them. The host itself sends nothing to itself.
SOURCES = {
    "ip": (
        "10.9.0.2", "10.9.0.3", "10.9.0.77", "10.9.0.78", "10.9.0.127", "10.9.0.128", "10.9.1.0", "192.0.2.7", "192.0.2.8",
        "198.51.100.63", "198.51.100.64", "198.51.100.127", "198.51.100.128", "203.0.113.15", "203.0.113.16",
    ),
    "ip6": (
        "fd00:9::2", "fd00:9::77", "fd00:9::78", "fd00:9:0:1::5", "fd00:9:0:1:8000::", "fd00:9:0:2::1", "2001:db8::7",
        "2001:db8::8", "2001:db8:1:7fff::1", "2001:db8:1:8000::1", "2001:db8:2:ffff::1", "2001:db8:3::1",
    ),
}  # fmt: skip
_PORTS = sorted({port + by for port in PORTS for by in (-1, 0, 1)})


class Probe(NamedTuple):
    """A packet: the frame's source address is its name. `values` are those at prerouting."""

    name: str
    frame: str
    family: str
    is_local: bool
    values: dict[Field, int | str]


def random_probe(source: Random, family: str, number: int) -> Probe:
    """Return a packet for the host, or for another network behind it."""
    here = source.choice(SOURCES[family])
    is_local = source.random() < 0.5
    there = HOST[family] if is_local else source.choice([item for item in SOURCES[family] if item != here])
    icmp = 1 if family == "ip" else 58
    protocol = source.choice((6, 6, 6, 17, 17, 17, icmp, icmp, 99))
    values: dict[Field, int | str] = {
        known.L4PROTO: protocol, known.IIFNAME: "v1", known.OIFNAME: "", known.MARK: 0, known.HAS_TRANSPORT: 1,
        known.HAS_CONNTRACK: 0, known.CT_STATE: 4,
    }  # fmt: skip
    payload = _payload(source, here, there, protocol, values)
    tos, hops = source.choice((0, 0, 0xB8, 0x28, 0x10)), source.choice((2, 3, 62, 63, 64, 65))
    if family == "ip":
        # Later fragments for the host would wait for the first one. At offset 1 iptables' tcp match drops the packet on
        # the spot (xt_tcpudp.c), as it does with headers cut short, which a translation takes for granted not to come.
        fragment = 0 if is_local or source.random() < 0.8 else source.choice((0x2000, 0x4000, 0x2002, 0x0010))
        packet = frames.ipv4(
            payload, source=here, destination=there, protocol=protocol, tos=tos, ttl=hops, fragment=fragment, identification=number,
        )  # fmt: skip
        values |= {known.NFPROTO: 2, known.ETHER_PROTOCOL: 0x0800, known.IP_TOS: tos, known.IP_TTL: hops}
        values |= {known.IP_FRAGMENT: fragment, known.IP_LENGTH: len(packet), known.IP_ID: number}
        values[known.IP_HEADER_LENGTH] = 5
        if fragment & 0x1FFF:
            values[known.HAS_TRANSPORT] = 0
        ends = known.IP_SADDR, known.IP_DADDR
    else:
        packet = frames.ipv6(
            payload, source=here, destination=there, next_header=protocol, traffic_class=tos, hop_limit=hops
        )  # fmt: skip
        values |= {known.NFPROTO: 10, known.ETHER_PROTOCOL: 0x86DD, known.IP6_CLASS: tos, known.IP6_HOPLIMIT: hops}
        values |= {known.IP6_LENGTH: len(payload), known.IP6_NEXT_HEADER: protocol}
        ends = known.IP6_SADDR, known.IP6_DADDR
    values |= {ends[0]: int(ip_address(here)), ends[1]: int(ip_address(there)), known.PACKET_LENGTH: len(packet)}
    name = f"02f0{number:08x}"
    frame = "020000000001" + name + ("0800" if family == "ip" else "86dd") + packet.hex()
    return Probe(name, frame, family, is_local, values)


def _payload(source: Random, here: str, there: str, protocol: int, values: dict[Field, int | str]) -> bytes:
    sport, dport = source.choice((*_PORTS, 40000)), source.choice(_PORTS)
    data = bytes(source.choice((0, 1, 8, 12, 20, 33, 40)))
    if protocol in {6, 17, 99}:
        values |= {known.SPORT: sport, known.DPORT: dport}
    if protocol == 6:
        values[known.TCP_FLAGS] = source.choice((0, 2, 2, 2, 16, 18, 4, 20, 1, 0x3F, 0xC2))
        return frames.tcp(here, there, sport, dport, flags=int(values[known.TCP_FLAGS]))
    if protocol in {17, 99}:
        return frames.udp(here, there, sport, dport, data)
    kind, code = source.choice((0, 3, 8, 11) if protocol == 1 else (1, 3, 128, 129)), source.choice((0, 0, 1))
    if protocol == 1:
        values |= {known.ICMP_TYPE: kind, known.ICMP_CODE: code}
        return frames.icmp(kind, code)
    values |= {known.ICMP6_TYPE: kind, known.ICMP6_CODE: code}
    return frames.icmp6(here, there, kind, code)


def expected_mark(ruleset: Ruleset, probe: Probe) -> int | None:
    """Return the mark with which the packet comes through, None where a rule stops it."""
    family = Family(probe.family)
    first = evaluate(ruleset, HookVisit(family, Hook.PREROUTING), Packet(probe.values))
    if first.decision is not Decision.ACCEPT:
        return None
    values = dict(first.values)
    if not probe.is_local:
        # ip_forward and ip6_forward count down before the hook
        hops = known.IP_TTL if family is Family.IP else known.IP6_HOPLIMIT
        values |= {hops: int(values[hops]) - 1, known.OIFNAME: "w1"}
    hook = Hook.INPUT if probe.is_local else Hook.FORWARD
    second = evaluate(ruleset, HookVisit(family, hook), Packet(values))
    return int(second.values[known.MARK]) if second.decision is Decision.ACCEPT else None
