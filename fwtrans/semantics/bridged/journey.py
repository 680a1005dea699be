"""A packet from one end to another on a host with bridges: the hook visits of its whole way.

Ends: a guest's port (`tap100i0`, `veth200i0`), a guest's first card (`vm100`, `ct200`), `host`, `outside` (the bridge's
uplink), any bridge port with its bridge (`vmbr1/eth0`), and `nfvm`, a guest without a firewall. A guest that the rules do
not know has no firewall either.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.ir.fields import Family
from fwtrans.ir.ruleset import Hook
from fwtrans.semantics.bridged.hops import arrival_hop, departure_hop, forward_hop, frame_of, iptables_hops
from fwtrans.semantics.packet import HookVisit
from fwtrans.semantics.path import Hop

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fwtrans.semantics.bridged.topology import GuestPort

_BRIDGE, _UPLINK, _NO_FIREWALL = "vmbr0", "eth0", "tap9999i0"
_BRIDGED_HOOKS = (Hook.PREROUTING, Hook.FORWARD, Hook.POSTROUTING)
_CARD = re.compile(r"(vm|ct)(\d+)(?:i(\d+))?")
_PORT_OF = {"vm": "tap", "ct": "veth"}


class End(NamedTuple):
    """Where a packet starts or ends: a port of a bridge, with its guest if that has a firewall; or the host (no port)."""

    port: str
    bridge: str
    guest: GuestPort | None = None

    @property
    def is_host(self) -> bool:
        """Tell whether this is the host itself."""
        return not self.port

    @property
    def outer(self) -> str:
        """Return the port by which iptables sees the end on its bridge: a guest's firewall bridge stands between."""
        return self.guest.outer if self.guest is not None else self.port


def read_end(text: str, guests: Sequence[GuestPort]) -> End | None:
    """Return the end that a word names, None where it names none."""
    bridge, slash, name = text.rpartition("/")
    bridge = bridge if slash else _BRIDGE
    if name == "host" and not slash:
        return End("", bridge)
    name = {"outside": _UPLINK, "nfvm": _NO_FIREWALL}.get(name, name)
    card = _CARD.fullmatch(name)
    if card is not None:
        own = [guest for guest in guests if guest.vmid == int(card[2]) and card[3] is None]
        name = own[0].name if own else f"{_PORT_OF[card[1]]}{card[2]}i{card[3] or 0}"
    guest = next((guest for guest in guests if guest.name == name), None)
    known_kind = slash or guest is not None or card is not None or re.fullmatch(r"(tap|veth|eth|en|bond|vlan)\w*", name)
    return End(name, bridge, guest) if name and known_kind else None


def journey(family: Family, start: End, goal: End, *, by_iptables: bool) -> tuple[Hop, ...]:
    """Return the hook visits of a packet, under br_netfilter with firewall bridges, or by nftables without them."""
    hops = _by_iptables(family, start, goal) if by_iptables else _by_nftables(family, start, goal)
    return tuple(hops)


def _by_iptables(family: Family, start: End, goal: End) -> Iterator[Hop]:
    if start.guest is not None:
        guest = start.guest
        yield from iptables_hops(family, guest.bridge, guest.name, guest.inner, _BRIDGED_HOOKS)
    if not start.is_host and not goal.is_host and start.bridge == goal.bridge:
        yield from iptables_hops(family, start.bridge, start.outer, goal.outer, _BRIDGED_HOOKS)
    else:
        yield from _routed(family, start, goal, start.outer)
    if goal.guest is not None:
        guest = goal.guest
        yield from iptables_hops(family, guest.bridge, guest.inner, guest.name, _BRIDGED_HOOKS)


def _by_nftables(family: Family, start: End, goal: End) -> Iterator[Hop]:
    frame = frame_of(family)
    if not start.is_host:
        yield arrival_hop(frame, start.bridge, start.port)
    if not start.is_host and not goal.is_host and start.bridge == goal.bridge:
        yield forward_hop(frame, start.bridge, start.port, goal.port)
    else:
        if not start.is_host:
            ports = ((known.IIFNAME, start.port), (known.IBRNAME, start.bridge))
            yield Hop(HookVisit(Family.BRIDGE, Hook.INPUT), (*frame, *ports))
        yield from _routed(family, start, goal, "")
        if not goal.is_host:
            ports = ((known.OIFNAME, goal.port), (known.OBRNAME, goal.bridge))
            yield Hop(HookVisit(Family.BRIDGE, Hook.OUTPUT), (*frame, *ports))
    if not goal.is_host:
        yield departure_hop(frame, goal.bridge, goal.port)


def _routed(family: Family, start: End, goal: End, port_in: str) -> Iterator[Hop]:
    """Yield the visits of a packet that the host's own network stack sees."""
    came = ((known.IIFNAME, start.bridge), (known.PORT_IN, port_in), (known.HAS_ETHERNET, 1))
    goes = ((known.OIFNAME, goal.bridge), (known.PORT_OUT, ""), (known.BRIDGED, 0))
    if not start.is_host:
        yield Hop(HookVisit(family, Hook.PREROUTING), came)
    if goal.is_host:
        yield Hop(HookVisit(family, Hook.INPUT), came)
        return
    yield (
        Hop(HookVisit(family, Hook.OUTPUT), goes)
        if start.is_host
        else Hop(HookVisit(family, Hook.FORWARD), (*came, *goes))
    )
    yield Hop(HookVisit(family, Hook.POSTROUTING), goes)
