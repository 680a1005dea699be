"""In which case a packet meets an iptables chain, and what is known about it then.

Under br_netfilter a packet that a bridge forwards passes iptables' hooks as well, with the bridge as -i and -o and the
ports as physdev. So each chain is several functions, one for each case below; which of them holds is known beforehand
wherever nftables runs a rule, so the tests that ask for it fold away.

    LOCAL     routed, or to or from the host: never a port out; a port in only where it came by a bridge
    BRIDGED   from port to port of a bridge
    OUT       from a guest's port over its firewall bridge: what the guest sends
    MIDDLE    over a bridge of the host, from one that is no guest's port (as iptables saw it) to another
    IN        over a firewall bridge to a guest's port: what the guest gets

OUT, MIDDLE and IN are the three times that PVE judges a packet between guests; BRIDGED is what other software has.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from fwtrans.ir import fields as known
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.names import NameSet
from fwtrans.ir.ruleset import Hook
from fwtrans.semantics.bridged.topology import FIREWALL_BRIDGES, INNER_ENDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import ValueSet
    from fwtrans.semantics.bridged.topology import GuestPort


class Role(Enum):
    """One of the cases."""

    LOCAL = "local"
    BRIDGED = "bridged"
    OUT = "out"
    MIDDLE = "middle"
    IN = "in"


# The same thing in a bridge table, where the packet's interfaces are the ports themselves.
BRIDGE_NAMES: dict[Field, Field] = {
    known.PORT_IN: known.IIFNAME,
    known.PORT_OUT: known.OIFNAME,
    known.IIFNAME: known.IBRNAME,
    known.OIFNAME: known.OBRNAME,
}

_YES, _NO = IntervalSet.single(1, 1), IntervalSet.single(1, 0)
_NONE, _SOME = NameSet.exact(""), NameSet.exact("").complement()
_FIREWALL_BRIDGE, _INNER_END = NameSet.prefix(FIREWALL_BRIDGES), NameSet.prefix(INNER_ENDS)
_ROUTED = _FIREWALL_BRIDGE.complement()
_PORTS_OUT_KNOWN = frozenset({Hook.FORWARD, Hook.POSTROUTING})


def facts(role: Role, hook: Hook, guests: Iterable[GuestPort] = ()) -> Mapping[Field, ValueSet]:
    """Return what holds for every packet that meets a chain of the hook in the role."""
    if role is Role.LOCAL:
        # nothing is routed over a firewall bridge: it has no address, and frames for the host come by the bridge behind it
        return {known.BRIDGED: _NO, known.PORT_OUT: _NONE, known.IIFNAME: _ROUTED, known.OIFNAME: _ROUTED}
    guest_names = NameSet.exact(*(guest.name for guest in guests))
    bridges, port_in, port_out = _ends(role, guest_names)
    found: dict[Field, ValueSet] = {known.HAS_ETHERNET: _YES, known.PORT_IN: port_in}
    if hook is not Hook.POSTROUTING:
        found[known.IIFNAME] = bridges
    if hook in _PORTS_OUT_KNOWN:
        return {**found, known.OIFNAME: bridges, known.PORT_OUT: port_out, known.BRIDGED: _YES}
    return {**found, known.PORT_OUT: _NONE, known.BRIDGED: _NO}


def _ends(role: Role, guests: NameSet) -> tuple[NameSet, NameSet, NameSet]:
    """Return the bridges, the ports in and the ports out of a role."""
    if role is Role.OUT:
        return _FIREWALL_BRIDGE, guests, _INNER_END
    if role is Role.IN:
        return _FIREWALL_BRIDGE, _INNER_END, guests
    if role is Role.MIDDLE:
        others = _SOME.difference(guests.union(_INNER_END))
        return _SOME.difference(_FIREWALL_BRIDGE), others, others
    return _SOME, _SOME, _SOME
