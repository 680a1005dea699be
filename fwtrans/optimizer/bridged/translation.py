"""A ruleset for iptables and br_netfilter as one for the IP families and the bridge family.

The whole of it: read for bridged packets, split by case, REJECT said where the kernel can, the accept mark made into
verdicts. The result means the same, but for the differences that are meant and named; `compare_bridged` proves it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fwtrans.ir.fields import Family
from fwtrans.optimizer.bridged.accept_marks import without_accept_mark
from fwtrans.optimizer.bridged.answers import dropping_where_mute
from fwtrans.optimizer.bridged.arrivals import answering_on_arrival
from fwtrans.optimizer.bridged.changed_sets import changed_on_one_side
from fwtrans.optimizer.bridged.hardware import hardware_addresses
from fwtrans.optimizer.bridged.own_answers import letting_own_answers_out
from fwtrans.optimizer.bridged.roles import Role
from fwtrans.optimizer.bridged.split import bridge_table, local_table, stops_between
from fwtrans.semantics.bridged.address_types import host_broadcasts
from fwtrans.semantics.bridged.reading import for_bridged_packets, for_local_packets
from fwtrans.semantics.bridged.topology import guest_ports, has_firewall_bridges

if TYPE_CHECKING:
    from fwtrans.ir.host import Host
    from fwtrans.ir.ruleset import Ruleset
    from fwtrans.source import Origin

_WITH_FIREWALL_BRIDGES = (Role.OUT, Role.MIDDLE, Role.IN)
_WITHOUT = (Role.BRIDGED,)


@dataclass(frozen=True, slots=True)
class Bridged:
    """The ruleset without bridge ports in the IP families.

    `unanswered` are guests whose REJECTs are drops, with the reason; `leaks` the lines at which the host's rules read the
    accept mark that a guest's packet brings along; `torn` the sets that rules of one side change and those of the other ask.
    """

    ruleset: Ruleset
    unanswered: tuple[tuple[str, str], ...]
    leaks: tuple[Origin, ...]
    torn: tuple[str, ...] = ()


def bridged_translation(ruleset: Ruleset, host: Host, *, close_mark_leak: bool = False) -> Bridged:
    """Return the ruleset with what a bridge forwards judged by the bridge family."""
    guests = guest_ports(ruleset) if has_firewall_bridges(ruleset) else ()
    roles = _WITH_FIREWALL_BRIDGES if has_firewall_bridges(ruleset) else _WITHOUT
    broadcasts = host_broadcasts(host.addresses)
    hardware = {**host.hardware, **hardware_addresses(ruleset)}
    reading = for_bridged_packets(ruleset, broadcasts)
    name = next((table.name for table in ruleset.tables), "fwtrans")
    made = bridge_table(reading.ruleset, guests, roles, name)
    routed = ruleset if guests else for_local_packets(ruleset)
    local = [local_table(table) for table in routed.tables if table.family is not Family.BRIDGE]
    marked = without_accept_mark(made.table, local, close_leak=close_mark_leak)
    letting_out = letting_own_answers_out(marked.bridge, made.own)
    stopped = bool(guests) and stops_between(reading.ruleset, guests)
    answers = answering_on_arrival(letting_out, guests, hardware, made.own, stopped=stopped)
    bridge = dropping_where_mute(answers.table)
    torn = changed_on_one_side(marked.local, bridge)
    return Bridged(replace(ruleset, tables=(*marked.local, bridge)), answers.declined, marked.leaks, torn)
