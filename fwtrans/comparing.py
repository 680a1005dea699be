"""Which comparison two rulesets want: hook by hook, or along the ways of packets that a bridge forwards.

iptables under br_netfilter judges a bridged packet in the hooks of the IP families, nftables in those of the bridge family.
Where one side does the one and the other side the other, hooks cannot be compared, only ways. What compares is imported
when something is to be compared: who only asks which way that is, or leaves it to another process, need not load it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.fields import Family
from fwtrans.optimizer.bridged.hardware import hardware_addresses
from fwtrans.processes import usable
from fwtrans.semantics.bridged.address_types import host_broadcasts
from fwtrans.semantics.bridged.topology import asks_for_ports, guest_ports
from fwtrans.semantics.outcome import Limits

if TYPE_CHECKING:
    from fwtrans.ir.host import Host
    from fwtrans.ir.ruleset import Ruleset
    from fwtrans.semantics.bridged.reading import Intended
    from fwtrans.semantics.outcome import Comparison


class Compared(NamedTuple):
    """A comparison, and the differences that are meant: none where rulesets are compared hook by hook.

    `both_pve` says that both sides are Proxmox VE's own firewalls, whose differences have names.
    """

    comparison: Comparison
    intended: tuple[Intended, ...] = ()
    both_pve: bool = False


_DEFAULT = Limits()


def load_comparison() -> None:
    """Load what compares, for a process that has time for it now and none later."""
    from fwtrans.semantics import equivalence  # noqa: F401, PLC0415 -- see the module docstring
    from fwtrans.semantics.bridged import equality  # noqa: F401, PLC0415 -- see the module docstring


def compare_on(
    host: Host, old: Ruleset, new: Ruleset, limits: Limits = _DEFAULT, *, processes: int | None = None
) -> Compared:
    """Return whether two rulesets do the same on a host; several processes work on it where there are processors."""
    from fwtrans.semantics.bridged.equality import Setting, compare_bridged  # noqa: PLC0415 -- see the module docstring
    from fwtrans.semantics.equivalence import compare  # noqa: PLC0415 -- see the module docstring

    processes = usable() if processes is None else processes
    if are_iptables_and_nftables(new, old):
        return _turned(compare_on(host, new, old, limits, processes=processes))
    if are_iptables_and_nftables(old, new):
        hardware = {**host.hardware, **hardware_addresses(old)}
        both_pve = _is_pve_firewall(old) and _is_proxmox_firewall(new)
        if both_pve:  # the known differences are there for each guest; none of them may be cut off
            limits = replace(limits, differences=max(limits.differences, 1000), total=max(limits.total, 20_000))
        setting = Setting(
            guests=guest_ports(old), hardware=hardware, broadcasts=host_broadcasts(host.addresses), limits=limits,
            own=not _is_proxmox_firewall(new), processes=processes,
        )  # fmt: skip
        return Compared(*compare_bridged(old, new, setting), both_pve)
    return Compared(compare(old, new, limits=limits))


def _turned(found: Compared) -> Compared:
    """Return a comparison of the sides the other way round: from nftables back to iptables."""
    differences = tuple(replace(item, old=item.new, new=item.old) for item in found.comparison.differences)
    intended = tuple(item._replace(text=f"the other way round: {item.text}") for item in found.intended)
    return Compared(replace(found.comparison, differences=differences), intended)


def _is_pve_firewall(ruleset: Ruleset) -> bool:
    """Tell whether pve-firewall has made the rules."""
    return any(chain.name == "PVEFW-FORWARD" for table in ruleset.tables for chain in table.chains)


def _is_proxmox_firewall(ruleset: Ruleset) -> bool:
    """Tell whether proxmox-firewall has made the rules."""
    return any(table.name.startswith("proxmox-firewall") for table in ruleset.tables)


def are_iptables_and_nftables(old: Ruleset, new: Ruleset) -> bool:
    """Tell whether the first judges what bridges forward in the IP families and the second in a table for bridges.

    Without such a table the second may be another dump, which has no rule for bridge ports and judges bridged packets all
    the same: two dumps are compared hook by hook.
    """
    has_bridge = any(table.family is Family.BRIDGE for table in new.tables)
    return has_bridge and asks_for_bridge_ports(old) and not asks_for_bridge_ports(new)


def asks_for_bridge_ports(ruleset: Ruleset) -> bool:
    """Tell whether rules of the IP families ask for ports of bridges: then bridged packets pass them."""
    return any(asks_for_ports(table) for table in ruleset.tables if table.family is not Family.BRIDGE)
