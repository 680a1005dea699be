"""Differences that come from judging a bridged packet once instead of on every bridge that it passes: meant, and named.

iptables under br_netfilter judges a packet between two guests with firewall bridges three times. What the lab sees of that
is not only the verdict: a refusal can die on the way back, a dropped packet leaves a connection behind.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from fwtrans.lab.probe import Kind, verdict_of
from fwtrans.lab.topology import HOST

if TYPE_CHECKING:
    from fwtrans.lab.judge import Difference
    from fwtrans.lab.probe import Probe, Step

_BROADCAST = "255.255.255.255"
REFUSAL_ARRIVES = "a refusal that was lost between several evaluations arrives"
REFUSAL_GOES_BACK = "a refusal goes back the way the packet came, where iptables routes it"
HOST_IS_NOT_REFUSED = "a REJECT of what the host itself sends to a guest directly on its bridge is a drop"
FIREWALL_BRIDGE_ANSWERS_ARP = "no firewall bridge answers ARP for the host's address"
GROUP_PAST_FORWARD = (
    "a guest's packet to a group that its own rules drop is not heard by the host on the firewall bridge"
)
REFUSED_ON_ARRIVAL = "what is refused is stopped on arrival, before it could be flooded or logged elsewhere"


def intended(probe: Probe, difference: Difference) -> str:
    """Return the name of an intended difference, nothing where it is none."""
    old, new, what = difference.old, difference.new, set(difference.what)
    if old is None or new is None:
        return ""
    target = probe.target if old.sender == probe.source else probe.source
    before, after = verdict_of(old, target), verdict_of(new, target)
    if probe.kind in {Kind.ARP_REQUEST, Kind.NEIGHBOUR_SOLICITATION}:
        less = set(old.answers) - set(new.answers)
        only_bridges = less and all(" from fwbr" in answer for answer in less) and set(new.answers) <= set(old.answers)
        return FIREWALL_BRIDGE_ANSWERS_ARP if what == {"answers"} and only_bridges else ""
    if what == {"arrival"} and _is_to_group(probe) and set(old.seen_at) - set(new.seen_at) == {HOST}:
        # The firewall bridge hands the host a copy, which passes INPUT there before FORWARD drops the rest.
        return GROUP_PAST_FORWARD if set(new.seen_at) < set(old.seen_at) and probe.source != HOST else ""
    if before == after == "refused" and what <= {"answers", "shapes"} and _kinds(old) == _kinds(new):
        return REFUSAL_GOES_BACK
    if before == "lost" and after == "refused" and what <= {"answers", "shapes"}:
        return REFUSAL_ARRIVES
    if before == "lost" and after == "refused" and target not in old.seen_at and set(new.seen_at) <= set(old.seen_at):
        return REFUSED_ON_ARRIVAL
    if old.sender == HOST and before == "refused" and after == "lost" and "arrival" not in what:
        return HOST_IS_NOT_REFUSED
    return ""


def _is_to_group(probe: Probe) -> bool:
    address = probe.target_address
    return bool(address) and (address == _BROADCAST or ip_address(address).is_multicast)


def _kinds(step: Step) -> set[str]:
    return {answer.partition(" at ")[0] for answer in step.answers}
