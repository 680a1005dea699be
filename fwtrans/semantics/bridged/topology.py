"""Guest ports and firewall bridges: what stands between a guest and the network on a Proxmox host.

    guest -- tap101i0 [fwbr101i0] fwln101i0 ==== fwpr101p0 [vmbr0] eth0 -- outside

PVE puts a bridge of its own before each guest port that has a firewall, so that a bridged packet passes iptables' FORWARD
once for each bridge. The names follow from the port's own. With Open vSwitch the outer end is a port of OVS, which
netfilter's bridge hooks never see; a guest of which a ruleset says no more than its port is the same to us.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.ir.match import FieldTest
from fwtrans.ir.names import NamePattern, NameSet
from fwtrans.ir.sets import keys_of
from fwtrans.ir.walk import chain_ways, flat_steps, map_targets

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from fwtrans.ir.fields import Field
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain, Hook, Ruleset, Table

FIREWALL_BRIDGES = "fwbr"
INNER_ENDS = "fwln"
OUTER_ENDS = "fwpr"
HELD_NAMES = (FIREWALL_BRIDGES, INNER_ENDS, OUTER_ENDS)

# PVE's chain that says "accepted" by a bit of the mark; other marks may be for others to read (tc, routing).
ACCEPT_MARK_CHAIN = "PVEFW-SET-ACCEPT-MARK"

_GUEST_PORT = re.compile(r"(?:tap|veth)(\d+)i(\d+)")
_PORT_FIELDS = frozenset({known.PORT_IN, known.PORT_OUT})
_BRIDGE_FIELDS = _PORT_FIELDS | {known.BRIDGED}
_LINK_FIELDS = frozenset({known.IIFNAME, known.OIFNAME})


class GuestPort(NamedTuple):
    """The host's end of a guest's network card."""

    vmid: int
    number: int
    name: str

    @property
    def bridge(self) -> str:
        """Return the firewall bridge that the port hangs on."""
        return f"{FIREWALL_BRIDGES}{self.vmid}i{self.number}"

    @property
    def inner(self) -> str:
        """Return the other port of the firewall bridge."""
        return f"{INNER_ENDS}{self.vmid}i{self.number}"

    @property
    def outer(self) -> str:
        """Return the port of the guests' bridge that leads to the firewall bridge."""
        return f"{OUTER_ENDS}{self.vmid}p{self.number}"


def guest_port(name: str) -> GuestPort | None:
    """Return what a name says, if it is one that PVE gives to guest ports."""
    found = _GUEST_PORT.fullmatch(name)
    return GuestPort(int(found[1]), int(found[2]), name) if found else None


def guest_ports(ruleset: Ruleset) -> tuple[GuestPort, ...]:
    """Return the guest ports that rules name, in order."""
    names = {pattern.text for pattern in port_patterns(ruleset) if not pattern.is_prefix}
    return tuple(sorted(found for name in names if (found := guest_port(name)) is not None))


def has_firewall_bridges(ruleset: Ruleset) -> bool:
    """Tell whether rules are made for firewall bridges: some ask for their inner ends."""
    return any(pattern.text.startswith(INNER_ENDS) for pattern in port_patterns(ruleset))


def asks_for_ports(table: Table) -> bool:
    """Tell whether a table of an IP family has rules for bridge ports, or for what a bridge forwards from any to any."""
    return any(
        isinstance(step, FieldTest) and step.field in _BRIDGE_FIELDS
        for rule in _rules(table)
        for step in flat_steps(rule.steps)
    )


def names_tested(table: Table, fields: Iterable[Field]) -> set[NamePattern]:
    """Return the name patterns that rules and the keys of their maps ask of the fields."""
    wanted = set(fields)
    found = {
        pattern
        for rule in _rules(table)
        for field, values in _names_tested(rule)
        if field in wanted
        for pattern in values.patterns
    }
    for named in table.keyed:
        found.update(part for part in keys_of(named, wanted) if isinstance(part, NamePattern))
    return found


def chains_at(table: Table, hooks: Collection[Hook]) -> dict[str, Chain]:
    """Return the chains that packets of the hooks come to, by their names."""
    chains = {chain.name: chain for chain in table.chains}
    waiting = [chain.name for chain in table.chains if chain.base is not None and chain.base.hook in hooks]
    found = {name: chains[name] for name in waiting}
    while waiting:
        for name, is_map in chain_ways(chains[waiting.pop()]):
            for target in map_targets(table, name) if is_map else (name,):
                if target not in found:
                    found[target] = chains[target]
                    waiting.append(target)
    return found


def port_patterns(ruleset: Ruleset) -> Iterator[NamePattern]:
    """Yield the patterns by which rules ask for the ports of bridges."""
    for table in ruleset.tables:
        on_bridge = table.family.value == "bridge"
        yield from names_tested(table, _LINK_FIELDS if on_bridge else _PORT_FIELDS)


def _rules(table: Table) -> Iterator[Rule]:
    return (rule for chain in table.chains for rule in chain.rules)


def _names_tested(rule: Rule) -> Iterator[tuple[Field, NameSet]]:
    for step in flat_steps(rule.steps):
        if isinstance(step, FieldTest) and isinstance(step.values, NameSet):
            yield step.field, step.values
