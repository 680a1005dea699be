"""Which comparison two rulesets want: hook by hook, or along the ways of packets that a bridge forwards.

iptables under br_netfilter judges a bridged packet in the hooks of the IP families, nftables in those of the bridge family.
Where one side does the one and the other side the other, hooks cannot be compared, only ways.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.fields import Family
from fwtrans.optimizer.bridged.hardware import hardware_addresses
from fwtrans.semantics.bridged.address_types import host_broadcasts
from fwtrans.semantics.bridged.equality import Setting, compare_bridged
from fwtrans.semantics.bridged.topology import asks_for_ports, guest_ports
from fwtrans.semantics.equivalence import compare
from fwtrans.semantics.outcome import Limits

if TYPE_CHECKING:
    from fwtrans.ir.host import Host
    from fwtrans.ir.ruleset import Ruleset
    from fwtrans.semantics.bridged.reading import Intended
    from fwtrans.semantics.outcome import Comparison


class Compared(NamedTuple):
    """A comparison, and the differences that are meant: none where rulesets are compared hook by hook."""

    comparison: Comparison
    intended: tuple[Intended, ...] = ()


_DEFAULT = Limits()


def compare_on(host: Host, old: Ruleset, new: Ruleset, limits: Limits = _DEFAULT) -> Compared:
    """Return whether two rulesets do the same on a host."""
    if asks_for_bridge_ports(old) and not asks_for_bridge_ports(new):
        hardware = {**host.hardware, **hardware_addresses(old)}
        setting = Setting(
            guests=guest_ports(old), hardware=hardware, broadcasts=host_broadcasts(host.addresses), limits=limits
        )
        return Compared(*compare_bridged(old, new, setting))
    return Compared(compare(old, new, limits=limits))


def asks_for_bridge_ports(ruleset: Ruleset) -> bool:
    """Tell whether rules of the IP families ask for ports of bridges: then bridged packets pass them."""
    return any(asks_for_ports(table) for table in ruleset.tables if table.family is not Family.BRIDGE)
