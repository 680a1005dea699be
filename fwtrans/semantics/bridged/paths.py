"""The parts of a bridged packet's way, each as iptables and as nftables has it.

A packet between guests passes three bridges under iptables, and is judged at three hooks by nftables. The ways are as many
as pairs of guests, but they are made of parts, and it is enough that the parts are equal, once for each guest:

    out     what a guest sends: iptables on the guest's firewall bridge; nftables' prerouting by the guest's port
    middle  over the host's own bridge to what is no guest: iptables there; nftables' forward
    in      what a guest gets: iptables on the host's own bridge and on the guest's firewall bridge; nftables' forward and
            postrouting. From the host: the guest's firewall bridge; nftables' output and postrouting

That holds because the first does not see where the packet goes: neither side has the field. Of those that a guest gets
packets from, one stands for all that no rule of either side tells apart. What one part hands to the next is compared with
it: marks, and the connection's mark as the last writer leaves it. The connection's state is taken to be the same at all hops.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.ir.fields import Family
from fwtrans.ir.match import FieldTest, negated, number
from fwtrans.ir.names import NamePattern, NameSet
from fwtrans.ir.ruleset import Hook
from fwtrans.semantics.bridged.hops import (
    arrival_hop,
    departure_hop,
    forward_hop,
    frame_of,
    iptables_hops,
    output_hop,
)
from fwtrans.semantics.bridged.senders import Sender, told_apart
from fwtrans.semantics.bridged.topology import FIREWALL_BRIDGES, HELD_NAMES, chains_at, guest_port, names_tested
from fwtrans.semantics.domain import fixed_values
from fwtrans.semantics.packet import HookVisit
from fwtrans.semantics.path import Hop, Path, visit_path
from fwtrans.semantics.visits import visits_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from fwtrans.ir.ruleset import Ruleset
    from fwtrans.semantics.bridged.hops import Known
    from fwtrans.semantics.bridged.topology import GuestPort

_FAMILIES = {Family.IP: "IPv4", Family.IP6: "IPv6"}
_BEFORE_ROUTING = (Hook.PREROUTING, Hook.FORWARD, Hook.POSTROUTING)
_FROM_FORWARD = (Hook.FORWARD, Hook.POSTROUTING)
# Stand for a port, a bridge and a hardware address that no rule names: a locally administered one.
SOME_PORT, OTHER_PORT, SOME_BRIDGE = "port0", "port1", "bridge0"
SOME_HARDWARE = 0x020000000001
_LINK_FIELDS = (known.IIFNAME, known.OIFNAME)
_BRIDGE_FIELDS = (known.IBRNAME, known.OBRNAME)
_PORT_FIELDS = (known.PORT_IN, known.PORT_OUT)
_NO_IP = negated(number(known.ETHER_TYPE, 0x0800, 0x86DD))
_ON_A_BRIDGE = ((known.HAS_ETHERNET, 1),)
_FORWARDED = (*_ON_A_BRIDGE, (known.BRIDGED, 1))
_SOME_NAME = NameSet.exact("").complement()
_HAS_PORTS = tuple(
    FieldTest(field, _SOME_NAME) for field in (known.PORT_IN, known.PORT_OUT, known.IIFNAME, known.OIFNAME)
)
_NOT_INVALID = number(known.CT_STATE, 1, 2, 3, 4)
_OWN_HOOKS = frozenset({Hook.INPUT, Hook.OUTPUT})
_PORT_HOOKS = frozenset({Hook.PREROUTING, Hook.INPUT, Hook.FORWARD, Hook.POSTROUTING})
_NO_FIREWALL_BRIDGE = NameSet.prefix(FIREWALL_BRIDGES).complement()
_NOT_BY_FIREWALL_BRIDGE = (
    FieldTest(known.IIFNAME, _NO_FIREWALL_BRIDGE),
    FieldTest(known.OIFNAME, _NO_FIREWALL_BRIDGE),
)


class Names(NamedTuple):
    """Ports and bridges that are no guest's, one for each that a rule can tell from others.

    `of_guests` are the bridges that rules for bridged packets tell apart: each guest may hang on any of them.
    """

    ports: tuple[str, ...]
    bridges: tuple[str, ...]
    of_guests: tuple[str, ...]


def names_of(old: Ruleset, new: Ruleset) -> Names:
    """Return the ports and bridges to look at: those that either side names, and one of each that neither does."""
    ports, bridges, of_guests = set[NamePattern](), set[NamePattern](), set[NamePattern]()
    for table in (*old.tables, *new.tables):
        on_bridge = table.family is Family.BRIDGE
        ports |= names_tested(table, _LINK_FIELDS if on_bridge else _PORT_FIELDS)
        asked = _BRIDGE_FIELDS if on_bridge else _LINK_FIELDS
        bridges |= names_tested(table, asked)
        bridged = table if on_bridge else replace(table, chains=tuple(chains_at(table, _BEFORE_ROUTING).values()))
        of_guests |= names_tested(bridged, asked)
    some_bridge = _unnamed(SOME_BRIDGE, bridges)
    return Names(
        tuple(sorted({_unnamed(SOME_PORT, ports), *_free_names(ports)})),
        tuple(sorted({some_bridge, *_free_names(bridges)})),
        tuple(sorted({some_bridge, *_free_names(of_guests)})),
    )


def _unnamed(wanted: str, patterns: Iterable[NamePattern]) -> str:
    """Return a name that stands for those that no pattern is for; `bridge0` is none where a rule asks for `br+`."""
    prefixes = tuple(pattern.text for pattern in patterns if pattern.is_prefix and pattern.text)
    tried = (wanted, *(f"{letter}-{wanted}" for letter in "abcdefghijklmnopqrstuvwxyz"))
    return next((name for name in tried if not name.startswith(prefixes)), wanted)


def _free_names(patterns: Iterable[NamePattern]) -> set[str]:
    found = {pattern.text + "0" * pattern.is_prefix for pattern in patterns if pattern.text}
    return {name for name in found if not name.startswith(HELD_NAMES) and guest_port(name) is None}


def out_paths(names: Names, guests: Sequence[GuestPort]) -> Iterator[Path]:
    """Yield what each guest sends."""
    for guest, bridge in product(guests, names.of_guests):
        shown = f"from {guest.name}{_on(bridge)}"
        for family, name in _FAMILIES.items():
            old = iptables_hops(family, guest.bridge, guest.name, guest.inner, _BEFORE_ROUTING)
            yield Path(f"{name} {shown}", old, (arrival_hop(frame_of(family), bridge, guest.name, SOME_HARDWARE),))
        sent = forward_hop((), guest.bridge, guest.name, guest.inner)
        arrival = arrival_hop((), bridge, guest.name, SOME_HARDWARE)
        yield Path(f"other frames {shown}", (sent,), (arrival,), (_NO_IP,))


def _on(bridge: str) -> str:
    return "" if bridge == SOME_BRIDGE else f" on {bridge}"


def in_paths(old: Ruleset, new: Ruleset, names: Names, guests: Sequence[GuestPort]) -> Iterator[Path]:
    """Yield what each guest gets: from the host, from each kind of guest, and from each kind of other port."""
    senders = told_apart(old, new, guests, names.ports)
    for guest, bridge in product(guests, names.of_guests):
        for family, name in _FAMILIES.items():
            frame = frame_of(family)
            got = iptables_hops(family, guest.bridge, guest.inner, guest.name, _FROM_FORWARD)
            own = _own_hops(frame, bridge, guest)
            # invalid ones that the host sends are answers of a bridge, which its own rules have let out
            yield Path(f"{name} to {guest.name}{_on(bridge)}", (own[0], *got), own, (_NOT_INVALID,))
            for sender in senders:
                # a guest's packet has met the host's PREROUTING when the guest's own rules judged it
                hooks = _BEFORE_ROUTING if sender.guest is None else _FROM_FORWARD
                over = iptables_hops(family, bridge, sender.outer, guest.outer, hooks)
                shown = f"{name} from {sender.name} to {guest.name}{_on(bridge)}"
                yield Path(shown, (*over, *got), _to_guest(frame, bridge, sender, guest))
        yield from _other_frames(bridge, guest, senders)


def _other_frames(bridge: str, guest: GuestPort, senders: Sequence[Sender]) -> Iterator[Path]:
    got, own = forward_hop((), guest.bridge, guest.inner, guest.name), _own_hops((), bridge, guest)
    yield Path(f"other frames to {guest.name}{_on(bridge)}", (own[0], got), own, (_NO_IP,))
    for sender in senders:
        over = forward_hop((), bridge, sender.outer, guest.outer)
        shown = f"other frames from {sender.name} to {guest.name}{_on(bridge)}"
        yield Path(shown, (over, got), _to_guest((), bridge, sender, guest), (_NO_IP,))


def _own_hops(frame: Known, bridge: str, guest: GuestPort) -> tuple[Hop, Hop]:
    return output_hop(frame, bridge, guest.name), departure_hop(frame, bridge, guest.name)


def _to_guest(frame: Known, bridge: str, sender: Sender, guest: GuestPort) -> tuple[Hop, ...]:
    first = () if sender.guest is not None else (arrival_hop(frame, bridge, sender.name, SOME_HARDWARE),)
    forward = forward_hop(frame, bridge, sender.name, guest.name)
    return (*first, forward, departure_hop(frame, bridge, guest.name))


def middle_paths(old: Ruleset, new: Ruleset, names: Names, guests: Sequence[GuestPort]) -> Iterator[Path]:
    """Yield what passes a bridge of the host to a port that is no guest's: from others, and from guests directly on it."""
    for bridge in names.bridges:
        for port_in in names.ports:
            for port_out in names.ports:
                ports = (port_in, port_out)
                yield from _over(bridge, ports, ports, _BEFORE_ROUTING)
                other = (forward_hop((), bridge, *ports),)
                shown = f"other frames {port_in} to {port_out} over {bridge}"
                yield Path(shown, other, _bridge_hops((), bridge, ports), (_NO_IP,))
    for sender, port, bridge in product(told_apart(old, new, guests), names.ports, names.of_guests):
        yield from _over(bridge, (sender.outer, port), (sender.name, port), _FROM_FORWARD)


def _over(bridge: str, old: tuple[str, str], new: tuple[str, str], hooks: Sequence[Hook]) -> Iterator[Path]:
    shown = f"{new[0]} to {new[1]} over {bridge}"
    for family, name in _FAMILIES.items():
        yield Path(
            f"{name} {shown}", iptables_hops(family, bridge, *old, hooks), _bridge_hops(frame_of(family), bridge, new)
        )


def _bridge_hops(frame: Known, bridge: str, ports: tuple[str, str]) -> tuple[Hop, ...]:
    # what a guest's own rules at prerouting do is another part of the way
    first = () if guest_port(ports[0]) else (arrival_hop(frame, bridge, ports[0], SOME_HARDWARE),)
    return (*first, forward_hop(frame, bridge, *ports), departure_hop(frame, bridge, ports[1]))


def answered_paths(names: Names, guests: Iterable[GuestPort], hardware: Mapping[str, int]) -> Iterator[Path]:
    """Yield what each guest gets at its own hardware address, where nftables can answer when the packet comes in."""
    for guest, bridge in product(guests, names.of_guests):
        for family, name in _FAMILIES.items():
            frame = frame_of(family)
            old = iptables_hops(family, guest.bridge, guest.inner, guest.name, _FROM_FORWARD)
            arrival = arrival_hop(frame, bridge, SOME_PORT, hardware[guest.name])
            shown = f"{name} to the hardware address of {guest.name}{_on(bridge)}"
            yield Path(shown, old, (arrival, *_own_hops(frame, bridge, guest)), (_NOT_INVALID,))
            over = iptables_hops(family, bridge, guest.outer, guest.outer, _FROM_FORWARD)
            forward = _to_guest(frame, bridge, Sender(guest.outer, guest.name, guest), guest)
            yield Path(f"{shown}, over the host's bridge", (*over, *old), (arrival, *forward))
            # where rules tell ports that are no guest's, what one of them does comes before an answer as well
            for port in names.ports if len(names.ports) > 1 else ():
                over = iptables_hops(family, bridge, port, guest.outer, _BEFORE_ROUTING)
                ways = (
                    arrival_hop(frame, bridge, port, hardware[guest.name]),
                    forward_hop(frame, bridge, port, guest.name),
                    departure_hop(frame, bridge, guest.name),
                )
                yield Path(f"{shown}, from {port} over the host's bridge", (*over, *old), ways)


def any_bridge_paths() -> Iterator[Path]:
    """Yield what any bridge forwards from any port to any other, for rulesets whose fields are named as iptables does.

    Ports and bridges are not said: whatever they are, both sides must do the same.
    """
    for family, name in _FAMILIES.items():
        frame = frame_of(family)
        old = (
            Hop(HookVisit(family, Hook.PREROUTING), _ON_A_BRIDGE),
            Hop(HookVisit(Family.BRIDGE, Hook.FORWARD), frame),
            Hop(HookVisit(family, Hook.FORWARD), _FORWARDED),
            Hop(HookVisit(family, Hook.POSTROUTING), _FORWARDED),
        )
        yield Path(f"{name} over a bridge", old, _three_hooks(frame), _HAS_PORTS)
    forward = Hop(HookVisit(Family.BRIDGE, Hook.FORWARD))
    yield Path("other frames over a bridge", (forward,), _three_hooks(()), (*_HAS_PORTS, _NO_IP))


def _three_hooks(frame: Known) -> tuple[Hop, ...]:
    return (
        Hop(HookVisit(Family.BRIDGE, Hook.PREROUTING), (*frame, (known.PORT_OUT, ""))),
        Hop(HookVisit(Family.BRIDGE, Hook.FORWARD), frame),
        Hop(HookVisit(Family.BRIDGE, Hook.POSTROUTING), (*frame, (known.PORT_IN, ""))),
    )


def local_paths(old: Ruleset, new: Ruleset, names: Names, guests: Sequence[GuestPort] = ()) -> Iterator[Path]:
    """Yield what is routed, or goes to or comes from the host: by a bridge port or not, and never by a firewall bridge.

    What the host sends to a guest is told by `in_paths`.
    """
    to_others = FieldTest(known.OIFNAME, NameSet.exact(*(guest.name for guest in guests)).complement())
    for visit in dict.fromkeys((*visits_of(old), *visits_of(new))):
        if visit.family is Family.BRIDGE:
            if visit.hook in _OWN_HOOKS:
                yield visit_path(visit)._replace(facts=(to_others,) if guests and visit.hook is Hook.OUTPUT else ())
            continue
        ports = ("", *names.ports) if visit.hook in _PORT_HOOKS else ("",)
        for port in ports:
            values = ((known.PORT_IN, port), (known.PORT_OUT, ""), (known.BRIDGED, 0))
            hop = Hop(visit, tuple(pair for pair in values if pair[0] not in fixed_values(visit)))
            shown = f"{visit.family.value} {visit.hook.value}" + (f" by port {port}" if port else "")
            yield Path(shown, (hop,), (hop,), _NOT_BY_FIREWALL_BRIDGE)
