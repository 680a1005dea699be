"""`-j CT`: how a packet's connection is going to be tracked; raw only.

The target hangs a template on the packet, which connection tracking takes up behind the raw table: the zone to look in,
and for a new connection that no helper expected its helper, its timeouts and its events. The first CT rule that a packet
meets wins, with `notrack` and `ct zone set` as well (net/netfilter/xt_CT.c and nft_ct.c, Linux 6.1). Without a zone the
template has zone 0, which keeps later rules from doing anything.

nftables' `ct helper set` and `ct event set` do nothing until the connection is there: they must stand in a chain between
connection tracking (-200) and mangle (-150), not in raw's own. See `fwtrans.lower.late_conntrack`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir.effect import Assign, NoTrack, SetHelper
from fwtrans.ir.fields import CT_EVENT, CT_STATE, CT_STATUS, CT_ZONE, CT_ZONE_ORIGINAL, CT_ZONE_REPLY
from fwtrans.ir.match import bits, number
from fwtrans.lower.extensions.base import BOTH, Outcome, Place, Target, Use, no_exact_form
from fwtrans.lower.extensions.targets.placement import RAW
from fwtrans.lower.values import bad_value, read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step

# The bits of the kernel's enum ip_conntrack_events.
_EVENTS = {
    "new": 0, "related": 1, "destroy": 2, "reply": 3, "assured": 4, "protoinfo": 5, "helper": 6, "mark": 7,
    "natseqinfo": 8, "secmark": 9,
}  # fmt: skip
_HELPER_BYTES = 15
_TRANSPORTS = {6: "tcp", 17: "udp"}
_ZONES = {"--zone": (), "--zone-orig": ("original",), "--zone-reply": ("reply",)}
_NEW = 3
# A template counts when a connection is made, and no later: until its first packet has got through.
UNCONFIRMED = bits(CT_STATUS, 8, 0)
_ONE_RULE = "no packet meets two CT rules of which one sets a helper or events: only the first would count in iptables"


def _zone(use: Use) -> Assign:
    """Return the zone that the template has: the last number given, for the directions that were named.

    Both directions named are the same as none named, which is both.
    """
    directions: set[str] = set()
    zone = 0
    for option in use.options:
        if option.name in _ZONES:
            directions.update(_ZONES[option.name])
            text = option.values[0]
            if text.lower() == "mark":
                raise no_exact_form(
                    f"CT {option.name} mark",
                    "nftables takes a zone from a number or from a map, and not from the packet's mark",
                    option=option.name,
                )
            zone = read_number(text, option.name, high=0xFFFF)
    if not zone or len(directions) != 1:
        return Assign(CT_ZONE, 0, zone)
    return Assign(CT_ZONE_ORIGINAL if "original" in directions else CT_ZONE_REPLY, 0, zone)


def _events(text: str) -> int:
    mask = 0
    for word in text.split(","):
        if word not in _EVENTS:
            raise bad_value(word, "a conntrack event: " + ", ".join(_EVENTS), "--ctevents")
        mask |= 1 << _EVENTS[word]
    return mask


def _helper(use: Use, place: Place) -> SetHelper:
    name = use.value("--helper")
    protocol = place.protocol
    if protocol is None:
        raise Refused("FWT116", "`CT --helper` needs one protocol: `-p tcp` or `-p udp`", option="--helper")
    if protocol not in _TRANSPORTS:
        raise no_exact_form("CT --helper", "nft knows helpers of tcp and udp only", option="--helper")
    if len(name.encode()) > _HELPER_BYTES:
        name = name.encode()[:_HELPER_BYTES].decode("utf-8", "ignore")
    return SetHelper(name, place.family.value, _TRANSPORTS[protocol])


def _lower(use: Use, place: Place) -> Outcome:
    zone = _zone(use)
    events = _events(use.value("--ctevents")) if use.has("--ctevents") else 0
    if use.has("--expevents"):
        _check_expectation_events(use)
    if use.has("--notrack"):
        # the kernel asks for nothing else then, and does not look at the other options
        return Outcome((NoTrack(),))
    _refuse_unknown_to_nft(use)
    late: list[Step] = []
    if events:
        place.assume("nothing listens for expectation events of the connections of CT --ctevents: iptables sent none")
        late.append(Assign(CT_EVENT, 0, events))
    if use.value("--helper"):
        # a connection that a helper expected (related) keeps what the expectation gives it
        late.extend((number(CT_STATE, _NEW), _helper(use, place)))
    if not late:
        return Outcome((zone,))
    place.assume(_ONE_RULE)
    early: tuple[Step, ...] = () if zone == Assign(CT_ZONE, 0, 0) else (zone,)
    return Outcome((*early, UNCONFIRMED, *late))


def _refuse_unknown_to_nft(use: Use) -> None:
    if use.value("--timeout"):
        raise no_exact_form(
            "CT --timeout",
            "the dump names a timeout policy and does not hold it; nftables must be given its seconds",
            option="--timeout",
            hint="`nfct timeout list` shows the policy",
        )
    if use.has("--expevents"):
        raise no_exact_form(
            "CT --expevents", "nftables has no mask for the events of expectations", option="--expevents"
        )


def _check_expectation_events(use: Use) -> None:
    for word in use.value("--expevents").split(","):
        if word != "new":
            raise bad_value(word, "an expectation event: new", "--expevents")


EXTENSION = Target(
    name="CT",
    families=BOTH,
    options=(
        Option(name="--notrack", arity=0),
        Option(name="--helper"),
        Option(name="--timeout"),
        Option(name="--ctevents"),
        Option(name="--expevents"),
        Option(name="--zone"),
        Option(name="--zone-orig"),
        Option(name="--zone-reply"),
    ),
    lower=_lower,
    in_context=True,
    tables=RAW,
)
