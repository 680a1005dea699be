"""A packet at a hook, as the evaluators see it, made into a probe that can be sent to that hook.

What a packet cannot bring along (a mark, a helper, the answer of a limit) is left to what the rules make of it: a probe
then goes another way than it was meant to, which is a question to the kernel all the same.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from fwtrans.ir import fields as known
from fwtrans.ir.fields import Family
from fwtrans.ir.ruleset import Hook
from fwtrans.lab.boundaries import OTHER_INTERFACE
from fwtrans.lab.frames import ICMP, ICMP6, TCP, UDP
from fwtrans.lab.probe import Follow, Kind, Probe
from fwtrans.lab.topology import HOST

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from fwtrans.ir.fields import Field
    from fwtrans.semantics.packet import HookVisit, Packet

    Values = Mapping[Field, int | str]

_INVALID, _ESTABLISHED, _RELATED = 0, 1, 2
_SCTP = 132
_LONGEST_HEADER = 32
_EXTENSION_HEADERS = {0, 43, 44, 60, 135, 139, 140}
"""What is no protocol of a packet but a header on the way to it."""
_LOOPBACK = "lo"
_NO_NAME = {"", _LOOPBACK}
_SECOND = OTHER_INTERFACE


def realise(visit: HookVisit, packet: Packet, name: str, source: Random) -> Probe | None:
    """Return a probe that brings the packet to the hook of a host that routes; None where none can."""
    if visit.family not in {Family.IP, Family.IP6}:
        return None
    if visit.family is Family.IP6 and packet.values.get(known.L4PROTO) in _EXTENSION_HEADERS:
        return None
    ends = _ends(visit.hook, packet.values, source)
    return between(ends, packet, name, source) if ends is not None else None


def between(ends: tuple[str, str], packet: Packet, name: str, source: Random) -> Probe:
    """Return a probe from one endpoint to another that is such a packet."""
    values = packet.values
    is_v6 = _number(values, known.NFPROTO, 2) == 10 or known.IP6_SADDR in values
    here = _address(values, is_v6=is_v6, of_source=True)
    there = _address(values, is_v6=is_v6, of_source=False)
    probe = Probe(
        id=name, source=ends[0], target=ends[1], source_address=here, target_address=there, ipv6=is_v6,
        kind=Kind.PROTOCOL, protocol=_number(values, known.L4PROTO, TCP) or 253,
        tos=_number(values, known.IP6_CLASS if is_v6 else known.IP_TOS, 0),
        hops=_hops(values, ends, is_v6=is_v6),
        source_mac=_mac(values), size=_size(values, is_v6=is_v6),
    )  # fmt: skip
    return _with_state(_with_transport(probe, values, source), values)


def _number(values: Values, which: Field, default: int) -> int:
    found = values.get(which, default)
    return int(found)


def _ends(hook: Hook, values: Values, source: Random) -> tuple[str, str] | None:
    comes = str(values.get(known.IIFNAME, ""))
    goes = str(values.get(known.OIFNAME, ""))
    if _LOOPBACK in {comes, goes}:
        return HOST, HOST
    if hook is Hook.INPUT:
        return comes or _SECOND, HOST
    if hook is Hook.OUTPUT:
        return HOST, goes or _SECOND
    if hook is Hook.FORWARD:
        return comes or _SECOND, goes or _SECOND
    if hook is Hook.PREROUTING:
        return comes or _SECOND, source.choice((HOST, _SECOND))
    if hook is Hook.POSTROUTING:
        return comes or source.choice((HOST, _SECOND)), goes or _SECOND
    return None


def _address(values: Values, *, is_v6: bool, of_source: bool) -> str:
    if is_v6:
        which, default = (
            (known.IP6_SADDR, 0x20010DB8 << 96 | 16) if of_source else (known.IP6_DADDR, 0x20010DB800010000 << 64 | 32)
        )
        return str(IPv6Address(_number(values, which, default)))
    which, default = (known.IP_SADDR, 0xC000020A) if of_source else (known.IP_DADDR, 0xC6336414)
    return str(IPv4Address(_number(values, which, default)))


def _hops(values: Values, ends: tuple[str, str], *, is_v6: bool) -> int:
    """Return the hop count to send with: forwarding takes one before the rules see the packet."""
    hops = _number(values, known.IP6_HOPLIMIT if is_v6 else known.IP_TTL, 64)
    if HOST not in ends:
        hops += 1
    return min(max(hops, 1), 255)


def _mac(values: Values) -> str:
    number = _number(values, known.ETHER_SADDR, 0)
    if not number or number >> 40 & 1:
        return ""
    return ":".join(f"{number >> shift & 255:02x}" for shift in range(40, -1, -8))


def _size(values: Values, *, is_v6: bool) -> int:
    """Return how much payload makes the packet as long as it should be; no less than the probe's number takes."""
    own = 40 if is_v6 else 20
    lengths = (
        _number(values, known.PACKET_LENGTH, 0),
        _number(values, known.IP6_LENGTH, 0) + own if known.IP6_LENGTH in values else 0,
        _number(values, known.IP_LENGTH, 0),
        _number(values, known.UDP_LENGTH, 0) + own if known.UDP_LENGTH in values else 0,
    )
    wanted = next((length for length in lengths if length not in {0, 60}), 0)
    headers = own + (20 if _number(values, known.L4PROTO, TCP) == TCP else 8)
    return min(max(wanted - headers, 8), 1400) if wanted else 24


def _with_transport(probe: Probe, values: Values, source: Random) -> Probe:
    sport = _number(values, known.SPORT, 0) or 40000
    dport = _number(values, known.DPORT, 0) or source.choice((9, 7, 4242))
    common = {"sport": sport, "dport": dport}
    protocol = probe.protocol
    if protocol == TCP:
        return _replaced(probe, kind=Kind.TCP, flags=_number(values, known.TCP_FLAGS, 2), **common)
    if protocol == UDP:
        return _replaced(probe, kind=Kind.UDP, **common)
    if protocol == _SCTP:
        return _replaced(probe, kind=Kind.SCTP, **common)
    if protocol == ICMP and not probe.ipv6:
        kind, code = _number(values, known.ICMP_TYPE, 8), _number(values, known.ICMP_CODE, 0)
    elif protocol == ICMP6 and probe.ipv6:
        kind, code = _number(values, known.ICMP6_TYPE, 128), _number(values, known.ICMP6_CODE, 0)
    else:
        # a header cut short is dropped on the spot by some of iptables' matches
        return replace(probe, size=max(probe.size, _LONGEST_HEADER))
    is_echo = (kind, code) == ((128, 0) if probe.ipv6 else (8, 0))
    return _replaced(
        probe, kind=Kind.ECHO if is_echo else Kind.ICMP, icmp_type=kind, icmp_code=code,
        sport=1 + source.randrange(65535), dport=dport,
    )  # fmt: skip


def _replaced(probe: Probe, **changes: object) -> Probe:
    return replace(probe, **changes)  # type: ignore[arg-type]  # names and types are those of its fields


def _with_state(probe: Probe, values: Values) -> Probe:
    """Have a conversation go before a packet that belongs to one."""
    state = _number(values, known.CT_STATE, 3)
    if state == _ESTABLISHED and probe.kind in {Kind.TCP, Kind.UDP, Kind.ECHO, Kind.PROTOCOL}:
        flags = probe.flags if probe.flags & 0x10 and not probe.flags & 0x06 else 0x10
        return _replaced(probe, follow=(Follow.REPLY, Follow.REQUEST), settled=2, flags=flags)
    if state == _RELATED and probe.kind is Kind.ICMP:
        # the error answers a datagram that went the other way
        return _replaced(
            probe, kind=Kind.UDP, source=probe.target, target=probe.source, source_address=probe.target_address,
            target_address=probe.source_address, sport=probe.sport, dport=4242, follow=(Follow.RELATED,), settled=1,
        )  # fmt: skip
    if state == _INVALID and probe.kind is Kind.TCP and probe.flags in {2, 16}:
        return _replaced(probe, flags=0x12)
    return probe
