"""An iptables ruleset as it is for bridged packets, with the few things that one evaluation does not keep.

PVE's guests are judged three times by iptables, each time with a bridge in between; nftables judges them once, by bridge
hooks. What that changes on purpose is said here by name, so that every report can list it and nothing is hidden. The
rest must be equal, and is proved to be.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.ir.effect import Assign, Nat
from fwtrans.ir.fields import Family
from fwtrans.ir.match import FieldTest
from fwtrans.ir.rule import is_pure
from fwtrans.semantics.bridged.address_types import asks_for_types, without_fib
from fwtrans.semantics.bridged.topology import has_firewall_bridges

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Chain, Ruleset, Table
    from fwtrans.source import Origin

ZONES = frozenset({known.CT_ZONE, known.CT_ZONE_ORIGINAL, known.CT_ZONE_REPLY})
IP_FAMILIES = frozenset({Family.IP, Family.IP6})


class Intended(NamedTuple):
    """A difference that is meant, by name, said for people, with the rules that it concerns."""

    name: str
    text: str
    origins: tuple[Origin, ...] = ()


# What one evaluation instead of three brings with it, whatever the rules are.
ALWAYS = (
    Intended(
        "reset-arrives",
        "a TCP reset that answers an unreplied SYN between guests arrives, and so do the answers of REJECT: of three evaluations the later ones saw them as invalid",
    ),
    Intended(
        "no-leftover-connection",
        "a packet that the rules of the receiving guest drop leaves no confirmed connection behind, whose reverse would pass as established",
    ),
    Intended(
        "guest-to-host-by-firewall-bridge",
        "a guest's packet that reached the host by the firewall bridge itself, where the host answers ARP too (arp_ignore=0), is judged by the guest's rules",
    ),
    Intended(
        "host-reject-is-drop",
        "a REJECT of a packet that the host sends or routes to a guest that sits directly on a bridge is a drop",
    ),
    Intended(
        "own-invalid-passes",
        "packets that the host itself sends to a guest in state invalid pass, because a bridge's answers to rejected packets look like that",
    ),
    Intended(
        "answer-goes-back",
        "the answer to a rejected packet leaves by the port that the packet came by, not by the host's routes",
    ),
    Intended(
        "small-fragments-lost",
        "IPv6 packets in fragments of less than 1280 bytes are lost: a bridge puts them together and does not take them apart again",
    ),
    Intended(
        "own-fragments-pass",
        "later fragments of packets that the host itself sends or routes to a guest directly on a bridge pass; the first, which has the ports, is judged",
    ),
    Intended(
        "vlan-tracked",
        "frames with a VLAN tag pass connection tracking, which iptables skipped: a guest with a tag that is still on a firewall bridge does not see a TCP reset that answers an unreplied SYN",
    ),
    Intended(
        "vlan-fragments-arrive",
        "packets in fragments to and from a guest with a VLAN tag arrive, where br_netfilter on a VLAN-aware bridge lost them",
    ),
    Intended(
        "vlan-reject-is-drop",
        "a REJECT of a packet that comes in with a VLAN tag, to a guest directly on a bridge, is a drop",
    ),
    Intended(
        "guest-without-rules",
        "a guest that no rule names is not judged; on a firewall bridge the rules for all guests applied to it (a card with a firewall whose guest has it switched off)",
    ),
    Intended("malformed-judged", "malformed IP packets are judged by the rules, where br_netfilter dropped them"),
)
LIMITS_ONCE = Intended(
    "limits-once", "limits in PREROUTING are charged once for a packet between guests, not at each of three bridges"
)
LIMITS_APART = Intended(
    "limits-apart",
    "a limit that packets of the host and bridged ones share is counted for each of them apart: tables of two families have no object in common",
)
NO_ZONES = Intended("one-zone", "connection tracking zones of bridges are gone: there is one evaluation, in one zone")
NO_NAT = Intended(
    "no-nat-on-bridges",
    "packets that a bridge only forwards are not translated (NAT); routed ones and those of the host are",
)
NO_CLAMP = Intended(
    "no-clamp-on-bridges",
    "TCP segment sizes are not clamped to the route for packets that a bridge only forwards: its ports share one MTU",
)
REJECT_ON_ARRIVAL = Intended(
    "reject-on-arrival",
    "a REJECT towards a guest is answered when the packet comes in by the guest's hardware address; a flooded packet is dropped instead",
)
REJECT_IS_DROP = Intended(
    "reject-is-drop", "a REJECT towards a guest is a drop, because nothing answers when the packet comes in"
)
REJECT_OF_BRIDGED = "a REJECT of a packet that a bridge forwards is a drop: the kernel cannot answer there"
MARK_LEAK_CLOSED = Intended(
    "mark-leak-closed", "a guest's packet no longer keeps the accept mark of its own rules when the host judges it"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """The ruleset for bridged packets, what is assumed of them, and the differences that are meant."""

    ruleset: Ruleset
    assumptions: tuple[str, ...]
    intended: tuple[Intended, ...]


def for_bridged_packets(ruleset: Ruleset, broadcasts: tuple[int, ...]) -> Reading:
    """Return a ruleset without what bridged packets do not meet any more."""
    reader = _Reader(keeps_zones=not has_firewall_bridges(ruleset))
    tables = tuple(reader.table(table, broadcasts) for table in ruleset.tables)
    return Reading(replace(ruleset, tables=tables), tuple(reader.assumptions), tuple(reader.intended()))


def for_local_packets(ruleset: Ruleset) -> Ruleset:
    """Return a ruleset without the zones that it gives by bridge port: the bridge gives them before the packet comes up."""

    def is_by_port(rule: Rule) -> bool:
        steps = rule.steps
        has_zone = any(isinstance(step, Assign) and step.field in ZONES for step in steps)
        return has_zone and any(isinstance(step, FieldTest) and step.field is known.PORT_IN for step in steps)

    tables = tuple(
        replace(
            table,
            chains=tuple(
                replace(chain, rules=tuple(rule for rule in chain.rules if not is_by_port(rule)))
                for chain in table.chains
            ),
        )
        for table in ruleset.tables
    )
    return replace(ruleset, tables=tables)


class _Reader:
    """Collects what is left out, with the rules that asked for it."""

    def __init__(self, *, keeps_zones: bool) -> None:
        self._keeps_zones = keeps_zones
        self.assumptions: dict[str, None] = {}
        self._left_out: dict[Intended, dict[Origin, None]] = {}

    def intended(self) -> Iterable[Intended]:
        """Yield the differences that the rules bring with them."""
        return (kind._replace(origins=tuple(origins)) for kind, origins in self._left_out.items())

    def table(self, table: Table, broadcasts: tuple[int, ...]) -> Table:
        """Return one table; those of the link layer stay as they are."""
        if table.family not in IP_FAMILIES:
            return table
        if asks_for_types(table) and table.family is Family.IP:
            shown = ", ".join(".".join(str(address >> bits & 255) for bits in (24, 16, 8, 0)) for address in broadcasts)
            self.assumptions[f"the host's networks have no broadcast address but {shown or 'that of all networks'}"] = (
                None
            )
        table = without_fib(table, broadcasts)
        chains = tuple(found for chain in table.chains if (found := self._chain(chain)) is not None)
        return replace(table, chains=chains)

    def _chain(self, chain: Chain) -> Chain | None:
        if chain.base is not None and chain.base.kind == "nat":
            self._note(NO_NAT, chain.rules)
            return None
        return replace(chain, rules=tuple(found for rule in chain.rules if (found := self._rule(rule)) is not None))

    def _rule(self, rule: Rule) -> Rule | None:
        kept = tuple(step for step in rule.steps if not self._is_left_out(step, rule))
        if len(kept) == len(rule.steps):
            return rule
        if rule.verdict is None and all(map(is_pure, kept)):
            return None
        return replace(rule, steps=kept)

    def _is_left_out(self, step: Step, rule: Rule) -> bool:
        if isinstance(step, Assign) and step.field in ZONES and not self._keeps_zones:
            return self._note(NO_ZONES, (rule,))
        if isinstance(step, Assign) and step.source is not None and step.source.field is known.RT_MTU:
            return self._note(NO_CLAMP, (rule,))
        return isinstance(step, Nat) and self._note(NO_NAT, (rule,))

    def _note(self, kind: Intended, rules: Iterable[Rule]) -> bool:
        origins = [origin for rule in rules for origin in rule.origins]
        if origins:
            self._left_out.setdefault(kind, {}).update(dict.fromkeys(origins))
        return True
