"""The hook visits of a packet on its way over a Proxmox host: as iptables has them, and as nftables' bridge hooks do.

iptables with br_netfilter, for a packet that a bridge forwards: PREROUTING, FORWARD and POSTROUTING of the IP family with
the bridge as interface and the ports as physdev, ebtables' FORWARD in between. A frame that carries no IP meets ebtables
only. nftables: prerouting, forward and postrouting of the bridge family, of which prerouting knows no port out and
postrouting no port in; output and postrouting for what the host itself sends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir import fields as known
from fwtrans.ir.fields import Family
from fwtrans.ir.ruleset import Hook
from fwtrans.semantics.packet import HookVisit
from fwtrans.semantics.path import Hop

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fwtrans.ir.fields import Field

Known = tuple[tuple["Field", int | str], ...]

_CARRIED: dict[Family, tuple[int, int]] = {Family.IP: (2, 0x0800), Family.IP6: (10, 0x86DD)}


def frame_of(family: Family) -> Known:
    """Return what a bridge sees of an untagged packet of an IP family."""
    protocol, ether_type = _CARRIED[family]
    return (
        (known.NFPROTO, protocol),
        (known.ETHER_PROTOCOL, ether_type),
        (known.ETHER_TYPE, ether_type),
        (known.HAS_VLAN, 0),
    )


def iptables_hops(family: Family, bridge: str, port_in: str, port_out: str, hooks: Iterable[Hook]) -> tuple[Hop, ...]:
    """Return the visits of a bridged packet under br_netfilter, ebtables' FORWARD before that of the IP family."""
    found: list[Hop] = []
    for hook in hooks:
        values: list[tuple[Field, int | str]] = [(known.HAS_ETHERNET, 1), (known.PORT_IN, port_in)]
        if hook is not Hook.POSTROUTING:
            values.append((known.IIFNAME, bridge))
        if hook is not Hook.PREROUTING:
            values += [(known.OIFNAME, bridge), (known.PORT_OUT, port_out), (known.BRIDGED, 1)]
        if hook is Hook.FORWARD:
            found.append(forward_hop(frame_of(family), bridge, port_in, port_out))
        found.append(Hop(HookVisit(family, hook), tuple(values)))
    return tuple(found)


def forward_hop(frame: Known, bridge: str, port_in: str, port_out: str) -> Hop:
    """Return the visit of the bridge family's forward hook."""
    ports = ((known.IIFNAME, port_in), (known.OIFNAME, port_out))
    return Hop(
        HookVisit(Family.BRIDGE, Hook.FORWARD), (*frame, *ports, (known.IBRNAME, bridge), (known.OBRNAME, bridge))
    )


def arrival_hop(frame: Known, bridge: str, port_in: str, hardware: int | None = None) -> Hop:
    """Return the visit of the bridge family's prerouting hook, of a frame to a hardware address where one is given."""
    to = () if hardware is None else ((known.ETHER_DADDR, hardware),)
    return Hop(
        HookVisit(Family.BRIDGE, Hook.PREROUTING), (*frame, *to, (known.IIFNAME, port_in), (known.IBRNAME, bridge))
    )


def output_hop(frame: Known, bridge: str, port_out: str) -> Hop:
    """Return the visit of the bridge family's output hook: what the host itself sends or routes to a port."""
    return Hop(HookVisit(Family.BRIDGE, Hook.OUTPUT), (*frame, (known.OIFNAME, port_out), (known.OBRNAME, bridge)))


def departure_hop(frame: Known, bridge: str, port_out: str) -> Hop:
    """Return the visit of the bridge family's postrouting hook."""
    return Hop(HookVisit(Family.BRIDGE, Hook.POSTROUTING), (*frame, (known.OIFNAME, port_out), (known.OBRNAME, bridge)))
