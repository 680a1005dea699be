"""The differences between Proxmox VE's two firewalls that are known, by name and in words of an administrator.

A difference is recognised by the rules that decide on both sides, and by the packet. The list was made from what the proof
finds between the iptables rules of pve-firewall and what proxmox-firewall makes of the same configurations; what is not on
it is shown with its rules, so nothing hides behind a name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.semantics.outcome import DifferenceKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from fwtrans.semantics.outcome import Difference, SideResult


class Known(NamedTuple):
    """A known difference: its name, and what it means."""

    name: str
    what: str


# A set in a rule of a .fw file: `-source +guest/peers`.
_SET = re.compile(r"\+(?:dc/|guest/)?([\w-]+)")


class _Sign(NamedTuple):
    """How a difference is recognised: patterns of what decides before and now, and a look at the rest."""

    known: Known
    old: str = ""
    new: str = ""
    also: Callable[[Difference], bool] = lambda _: True


def _value(item: Difference, field: known.Field) -> object:
    return item.packet.values.get(field)


def _is_dhcp(item: Difference) -> bool:
    ports = _value(item, known.SPORT), _value(item, known.DPORT)
    return ports in {(68, 67), (546, 547), (67, 68), (547, 546)}


def _is_no_ip(item: Difference) -> bool:
    return _value(item, known.NFPROTO) not in {2, 10}


def _is_tagged(item: Difference) -> bool:
    return _value(item, known.HAS_VLAN) == 1 or "tagged" in item.path.name or "VLAN" in item.path.name


def _is_of_excepted_set(item: Difference) -> bool:
    """Tell whether iptables decides by a set whose exceptions keep the same rule of nft from holding."""
    named = _SET.search(_said(item.old))
    if named is None:
        return False
    exceptions = f"/{named[1]}-nomatch"
    passed = (step for step in item.new.outcome.trace if not step.held)
    return any(exceptions in origin.text for step in passed for origin in step.rule.origins)


def _is_to_guest(item: Difference) -> bool:
    return " to " in f" {item.path.name}"


def _is_of(*kinds: DifferenceKind) -> Callable[[Difference], bool]:
    return lambda item: item.kind in kinds


def _is_accept_mark(item: Difference) -> bool:
    mark = _value(item, known.MARK)
    return isinstance(mark, int) and mark & 0x80000000 != 0


_LOGS = (DifferenceKind.LOG, DifferenceKind.LOG_ORDER, DifferenceKind.STATEFUL)
# The first that fits is taken: what a packet is comes before which check it misses.
_SIGNS = (
    _Sign(
        Known("mac-filter-established", "the MAC filter is not applied to packets of established connections; iptables' side drops such frames where they have a VLAN tag"),
        old=r"^drop (tap|veth)\S+-OUT: (net\d|hwaddr)", new=r"^accept .*established",
    ),
    _Sign(
        Known("reject-is-drop", "a REJECT towards a guest drops: the sender waits until it gives up, where it was told at once"),
        old=r"^reject ", new=r"^drop ", also=_is_to_guest,
    ),
    _Sign(
        Known("log-lines", "what is denied is logged under other names, and with a rate limit of each rule's own"),
        also=_is_of(*_LOGS),
    ),
    _Sign(
        Known("tagged-judged", "IP in frames that a guest sends or gets with a VLAN tag is judged by the guest's rules, where iptables never saw it"),
        also=_is_tagged,
    ),
    _Sign(
        Known("dhcp-unmarked", "DHCP does not get the guest's connection mark"),
        new=r"allow-dhcp", also=_is_of(DifferenceKind.FIELD),
    ),
    _Sign(
        Known("mark-leak", "a guest's packet that the guest's own rules accepted no longer gets to the node past the node's rules"),
        old=r"^accept", new=r"^(drop|reject)", also=_is_accept_mark,
    ),
    _Sign(
        Known("icmp-errors-first", "ICMP and ICMPv6 errors (unreachable, time exceeded, ...) pass before every other check: state, MAC filter, IP filter, rules"),
        new=r"^accept allow-icmp",
    ),
    _Sign(
        Known("ping-opens-both", "a rule for ping (Ping, or ICMP echo) with addresses of one family opens ping of the other family for all addresses"),
        old=r"^(drop|reject) (?!PVEFW-smurf)", new=r"^accept .*: icmp(v6)? type echo-request accept$",
    ),
    _Sign(
        Known("neighbour-discovery-first", "neighbour discovery passes by its type alone, before the rules, and in packets of either family"),
        new=r"^accept allow-ndp|^accept .*nd-(router|neighbor)-[a-z-]+[^:]*accept",
    ),
    _Sign(
        Known("router-advertisements", "a guest's router advertisements are dropped in packets of either family, and its redirects too"),
        new=r"^drop block-ra-out",
    ),
    _Sign(
        Known("dhcp-behind-filters", "a guest's DHCP requests have to pass its MAC and IP filters, where iptables accepts them before"),
        old=r"^accept", new=r"^drop guest-\d+-out", also=_is_dhcp,
    ),
    _Sign(
        Known("dhcp-first", "DHCP passes before the other checks"), new=r"^accept allow-dhcp",
    ),
    _Sign(
        Known("no-link-local", "a guest's IP filter does not let its link-local address through"),
        old=r"^accept", new=r"^drop guest-\d+-out: .*ip6 saddr != .*ipfilter",
    ),
    _Sign(
        Known("ip-filter-established", "the IP filter is not applied to packets of established connections"),
        old=r"^drop (tap|veth)\S+-OUT: .*ipfilter", new=r"^accept .*established",
    ),
    _Sign(
        Known("arp-without-address", "ARP in which no IPv4 address can be read passes the guest's IP filter"),
        old=r"^drop (tap|veth)\S+-OUT-ARP", new=r"^accept .*meta protocol arp accept",
    ),
    _Sign(
        Known("arp-sender-checked", "the sender's hardware address inside ARP is checked, not only the frame's"),
        old=r"^accept", new=r"^drop .*arp saddr ether",
    ),
    _Sign(
        Known("arp-target-checked", "ARP to a guest is checked against the guest's IP filter"),
        old=r"^accept", new=r"^drop .*arp daddr ip",
    ),
    _Sign(
        Known("other-protocols-dropped", "frames that are neither IP nor ARP are dropped as invalid, or by the guest's policy"),
        old=r"^accept", new=r"^drop (invalid-conntrack|guest-\d+-(in|out): drop)", also=_is_no_ip,
    ),
    _Sign(
        Known("corosync-open", "corosync's ports (udp 5405-5412) are open on the node to everybody"),
        new=r"^accept .*udp dport 5405-5412 accept",
    ),
    _Sign(
        Known("no-flag-check", "bad combinations of TCP flags are no longer dropped before the rules"), old=r"^drop PVEFW-logflags",
    ),
    _Sign(
        Known("no-smurf-check", "packets from broadcast addresses are no longer dropped before the rules of guests, and are told otherwise on the node"),
        old=r"PVEFW-smurf|PVEFW-smurflog",
    ),
    _Sign(
        Known("no-smurf-check", "packets from broadcast addresses are no longer dropped before the rules of guests, and are told otherwise on the node"),
        new=r"log-drop-smurfs|log-smurfs",
    ),
    _Sign(
        Known("nomatch", "exceptions of a set (nomatch) take away all that they name, also where a longer prefix puts it back"),
        new=r"nomatch",
    ),
    _Sign(
        Known("nomatch", "exceptions of a set (nomatch) take away all that they name, also where a longer prefix puts it back"),
        also=_is_of_excepted_set,
    ),
    _Sign(
        Known("invalid-passes", "packets in state invalid pass where no guest's own chain looks at them"),
        old=r"^drop .*ctstate INVALID", new=r"^accept",
    ),
    _Sign(
        Known("drop-of-windows-noise", "what iptables drops before the policy (Windows' noise, broadcasts) is rejected on the node, or judged by its rules"),
        old=r"^(drop|reject) PVEFW-(Drop|Reject|DropBroadcast|reject)", new=r"^(reject|drop) (do-reject|default-in|cluster-in|host-in|guest-\d+-in)",
    ),
    _Sign(
        Known("broadcast-by-frame", "broadcasts are told by the frame, not by the destination's kind in the routing table"),
        old=r"addrtype|PVEFW-reject", new=r"do-reject",
    ),
    _Sign(
        Known("broadcasts-judged", "broadcasts and multicasts are judged by the rules where iptables dropped them"),
        old=r"^drop PVEFW-DropBroadcast", new=r"^accept",
    ),
)  # fmt: skip


def explained(item: Difference) -> Known | None:
    """Return the known difference that this is, if both sides are Proxmox VE's and it is one."""
    old, new = _said(item.old), _said(item.new)
    return next(
        (
            sign.known
            for sign in _SIGNS
            if (not sign.old or re.search(sign.old, old))
            and (not sign.new or re.search(sign.new, new))
            and sign.also(item)
        ),
        None,
    )


def _said(side: SideResult) -> str:
    """Return verdict, chain and text of the last rule that decides."""
    places = side.decided_by[-1:]
    told = "".join(f" {place.chain}: {place.origins[0].text if place.origins else ''}" for place in places)
    return f"{side.outcome.decision.value}{told}"
