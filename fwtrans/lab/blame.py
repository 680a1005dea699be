"""Which rule decides about a probe, as far as a ruleset's text tells: for the report, never for the verdict.

The concrete evaluator is asked for the probe's first packet that the ruleset sees. Translations and what limits answer are
not followed; where that matters, the rule that is named may be another than the one that decided in the kernel.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from fwtrans.ir import fields as known
from fwtrans.ir.fields import Family, Field
from fwtrans.ir.ruleset import Hook
from fwtrans.lab.frames import ICMP, ICMP6, TCP, UDP
from fwtrans.lab.probe import Follow, Kind, Probe
from fwtrans.lab.topology import HOST
from fwtrans.semantics.concrete import Decision, Outcome, evaluate
from fwtrans.semantics.packet import HookVisit, Packet

if TYPE_CHECKING:
    from fwtrans.ir.ruleset import Ruleset
    from fwtrans.semantics.concrete import Passed

ESTABLISHED = 1
_INVALID, _RELATED, _NEW, _UNTRACKED = 0, 2, 3, 4
_UNICAST, _LOCAL, _MULTICAST = 1, 2, 5
"""Types of addresses, as the kernel numbers them (RTN_)."""
_PROTOCOLS = {Kind.TCP: TCP, Kind.UDP: UDP, Kind.SCTP: 132}
_SYN, _ACK, _ENDING = 0x02, 0x10, 0x05
_ASKING = {False: {8, 13, 15, 17}, True: {128, 139}}
"""ICMP messages that start a connection, for IPv4 and IPv6 (nf_conntrack_proto_icmp.c, nf_conntrack_proto_icmpv6.c)."""
_UNTRACKED_ICMP6 = {*range(130, 138), 143}


def deciding_rule(ruleset: Ruleset, probe: Probe) -> str:
    """Return where the rule stands that ends the packet's way, or the last that let it pass."""
    family = Family.IP6 if ":" in probe.source_address else Family.IP
    values = {**packet_of(probe), **_address_types(probe)}
    said = "no rule"
    for hook in _hooks(probe):
        values = {**values, **_interfaces(probe, hook)}
        found = evaluate(ruleset, HookVisit(family, hook), Packet(values), lambda _unknown: True)
        values = dict(found.values)
        said = _said(found, hook) or said
        if found.decision is not Decision.ACCEPT:
            break
    return said


def _said(found: Outcome, hook: Hook) -> str:
    if found.decided_by is not None:
        return place_of(found.decided_by)
    return f"policy at {hook.value}" if found.decision is not Decision.ACCEPT else ""


def place_of(decided_by: Passed) -> str:
    """Return where a rule stands that decided."""
    origins = decided_by.rule.origins
    return origins[0].location if origins else f"{decided_by.chain.name}, a rule without a place"


def _hooks(probe: Probe) -> tuple[Hook, ...]:
    if probe.source == HOST:
        return (Hook.OUTPUT, Hook.POSTROUTING)
    return (Hook.PREROUTING, Hook.INPUT) if probe.target == HOST else (Hook.PREROUTING, Hook.FORWARD, Hook.POSTROUTING)


def _interfaces(probe: Probe, hook: Hook) -> dict[Field, int | str]:
    comes = "" if hook in {Hook.OUTPUT, Hook.POSTROUTING} else probe.source
    goes = probe.target if hook in {Hook.FORWARD, Hook.OUTPUT, Hook.POSTROUTING} else ""
    return {known.IIFNAME: comes, known.OIFNAME: goes}


def _address_types(probe: Probe) -> dict[Field, int | str]:
    """Return what the routing tables say of the addresses: the host's own, a group, or another's."""
    found: dict[Field, int | str] = {}
    for side, address, end in (
        ("saddr", probe.source_address, probe.source),
        ("daddr", probe.target_address, probe.target),
    ):
        kind = _MULTICAST if address and ip_address(address).is_multicast else _LOCAL if end == HOST else _UNICAST
        found |= {known.fib((side, *more), "type"): kind for more in ((), ("iif",), ("oif",))}
    return found


def packet_of(probe: Probe) -> dict[Field, int | str]:
    """Return the packet that the ruleset is to judge: the last step of a known connection, the first of a new one."""
    is_v6 = ":" in probe.source_address
    here, there = probe.source_address, probe.target_address
    kind, protocol = probe.kind, _PROTOCOLS.get(probe.kind, probe.protocol)
    state = _first_state(probe, is_v6=is_v6)
    if probe.settled:
        is_related = probe.follow[probe.settled - 1] is Follow.RELATED
        state = _RELATED if is_related else ESTABLISHED
        if is_related:
            here, there, kind = there, here, Kind.ICMP
    if kind in {Kind.ECHO, Kind.ICMP}:
        protocol = ICMP6 if is_v6 else ICMP
    values: dict[Field, int | str] = {
        known.NFPROTO: 10 if is_v6 else 2, known.ETHER_PROTOCOL: 0x86DD if is_v6 else 0x0800, known.L4PROTO: protocol,
        known.HAS_TRANSPORT: 1, known.HAS_CONNTRACK: int(state not in {_INVALID, _UNTRACKED}), known.HAS_ETHERNET: 1, known.CT_STATE: state, known.MARK: 0,
        known.CT_MARK: 0, known.CT_STATUS: 0, known.PORT_IN: "", known.PORT_OUT: "", known.BRIDGED: 0,
    }  # fmt: skip
    fields = (
        (known.IP6_SADDR, known.IP6_DADDR, known.IP6_CLASS, known.IP6_HOPLIMIT)
        if is_v6
        else (known.IP_SADDR, known.IP_DADDR, known.IP_TOS, known.IP_TTL)
    )
    values.update(zip(fields, (int(ip_address(here)), int(ip_address(there)), probe.tos, probe.hops), strict=True))
    if kind in _PROTOCOLS:
        values |= {known.SPORT: probe.sport, known.DPORT: probe.dport}
    if kind is Kind.TCP:
        values[known.TCP_FLAGS] = probe.flags
    if kind in {Kind.ECHO, Kind.ICMP}:
        types = (known.ICMP6_TYPE, known.ICMP6_CODE) if is_v6 else (known.ICMP_TYPE, known.ICMP_CODE)
        values |= {types[0]: probe.icmp_type, types[1]: probe.icmp_code}
    return values


def _first_state(probe: Probe, *, is_v6: bool) -> int:
    """Return the state of a packet of which nobody knows a connection: TCP begins with a SYN, or is picked up by an ACK."""
    if probe.kind is Kind.TCP:
        begins = not probe.flags & _ENDING and bool(probe.flags & _SYN) != bool(probe.flags & _ACK)
        return _NEW if begins else _INVALID
    if probe.kind is Kind.ICMP and is_v6 and probe.icmp_type in _UNTRACKED_ICMP6:
        return _UNTRACKED
    if probe.kind is Kind.ICMP and probe.icmp_type not in _ASKING[is_v6]:
        return _INVALID
    return _NEW
