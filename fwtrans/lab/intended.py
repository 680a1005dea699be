"""Differences that come from judging a bridged packet once instead of on every bridge that it passes: meant, and named.

iptables under br_netfilter judges a packet between two guests with firewall bridges three times. What the lab sees of that
is not only the verdict: a refusal can die on the way back, the firewall bridge itself can answer or hand the host a copy. The
same names are in every report (semantics/bridged/reading.py) and in docs/reference/intended-differences.md.

What a difference looks like is never enough: a drop that was translated as a REJECT looks like a refusal that was lost before.
So each name asks for the cause too. Whether a packet was refused, and how, is asked of the rules that judged it before; by which
interface the host heard it, of the kernel.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.lab.conversation import group_mac
from fwtrans.lab.probe import Kind
from fwtrans.lab.topology import HOST
from fwtrans.semantics.bridged.reading import ALWAYS, REJECT_IS_DROP, REJECT_ON_ARRIVAL
from fwtrans.semantics.bridged.topology import guest_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from fwtrans.lab.judge import Difference
    from fwtrans.lab.probe import Probe, Step
    from fwtrans.lab.topology import PveTopology

RESET_ARRIVES, BY_FIREWALL_BRIDGE, HOST_REJECT_IS_DROP, ANSWER_GOES_BACK = (
    "reset-arrives", "guest-to-host-by-firewall-bridge", "host-reject-is-drop", "answer-goes-back",
)  # fmt: skip
TEXTS = {item.name: item.text for item in (*ALWAYS, REJECT_ON_ARRIVAL, REJECT_IS_DROP)}


class Known(NamedTuple):
    """What is known of the two hosts: the one that judges on every bridge, and the one that judges once."""

    several: PveTopology
    once: PveTopology
    refusal: Callable[[Probe, int], str]
    """How the rules that judge on every bridge answer a packet of a probe; nothing where they do not refuse it."""
    told: frozenset[str]
    """The guests whose hardware addresses were known to who made the rules that judge once."""


class Seen(NamedTuple):
    """A packet that the two hosts treat differently."""

    probe: Probe
    number: int
    what: frozenset[str]
    several: Step
    once: Step

    @property
    def receiver(self) -> str:
        """Return who is meant to get it."""
        return self.probe.target if self.several.sender == self.probe.source else self.probe.source


def intended(probe: Probe, difference: Difference, known: Known, *, turned: bool = False) -> str:
    """Return the name of an intended difference, nothing where it is none; `turned` where the old side is judged once."""
    sides = (difference.new, difference.old) if turned else (difference.old, difference.new)
    if sides[0] is None or sides[1] is None:
        return ""
    seen = Seen(probe, difference.step, frozenset(difference.what), sides[0], sides[1])
    if probe.kind in {Kind.ARP_REQUEST, Kind.NEIGHBOUR_SOLICITATION}:
        return BY_FIREWALL_BRIDGE if _bridge_answers(seen, known) else ""
    if _host_hears_by_bridge(seen, known):
        return BY_FIREWALL_BRIDGE
    refusal = known.refusal(probe, seen.number)
    return _of_refusals(seen, known, refusal) if refusal else ""


def _bridge_answers(seen: Seen, known: Known) -> bool:
    """Tell whether the only answers that are gone are those of firewall bridges: a request is flooded to all of them.

    Where the sender's bridge is still there, its answer goes only if the guest's rules drop the request, so that nobody else
    had answered, and nobody answers now.
    """
    before, after = set(seen.several.answers), set(seen.once.answers)
    own = _firewall_bridge(seen.several.sender, known.several)
    if seen.what != {"answers"} or not own or not before:
        return False
    if _firewall_bridge(seen.several.sender, known.once):
        return not after and all(answer.endswith(f" from {own}") for answer in before)
    bridges = _firewall_bridges(known.several)
    return after < before and after == {answer for answer in before if answer.rpartition(" from ")[2] not in bridges}


def _host_hears_by_bridge(seen: Seen, known: Known) -> bool:
    """Tell whether all that is gone is the copy of a packet to a group that firewall bridges gave to the host.

    What the host heard by its own bridge as well it has to hear still. Where the sender's firewall bridge is still there, the
    copy goes only with the whole packet, which the guest's rules drop, so that nobody else had heard it.
    """
    before = seen.several
    bridges = _firewall_bridges(known.several)
    if (
        seen.what != {"arrival"}
        or not group_mac(seen.probe.target_address)
        or set(before.seen_at) - set(seen.once.seen_at) != {HOST}
    ):
        return False
    if _firewall_bridge(before.sender, known.once):
        own = _firewall_bridge(before.sender, known.several)
        return before.seen_at == (HOST,) and before.heard_by == (own,)
    by_bridges = bool(before.heard_by) and set(before.heard_by) <= bridges
    return by_bridges and set(seen.once.seen_at) < set(before.seen_at)


def _of_refusals(seen: Seen, known: Known, refusal: str) -> str:
    """Name what becomes of a packet that the rules refuse, with this answer."""
    before, after = set(seen.several.answers), set(seen.once.answers)
    if after == {refusal} and seen.receiver not in (*seen.several.seen_at, *seen.once.seen_at):
        return _of_answered(seen, refusal)
    is_refused = seen.what == {"answers"} and before and not before - {refusal} - _astray(before, refusal)
    if not is_refused or after or seen.receiver in seen.several.seen_at:
        return ""
    # on a firewall bridge what the host sends comes in by a port, like anybody's
    if seen.several.sender == HOST and not _firewall_bridge(seen.receiver, known.once):
        return HOST_REJECT_IS_DROP
    return REJECT_IS_DROP.name if seen.receiver not in known.told else ""


def _of_answered(seen: Seen, refusal: str) -> str:
    """Name why an answer that comes now did not come before, or not there."""
    before = set(seen.several.answers)
    astray = _astray(before, refusal)
    if seen.what == {"answers"} and not before:
        return RESET_ARRIVES
    if seen.what == {"answers"} and astray and before <= {refusal, *astray}:
        return ANSWER_GOES_BACK
    # what is refused as it comes in is flooded to nobody, and no other guest's rules log it
    fewer = set(seen.once.seen_at) <= set(seen.several.seen_at) and not Counter(seen.once.logs) - Counter(
        seen.several.logs
    )
    return REJECT_ON_ARRIVAL.name if not before and fewer and seen.what <= {"arrival", "answers", "logs"} else ""


def _astray(answers: set[str], refusal: str) -> set[str]:
    """Return the answers that another got than who was refused, because the host's routes lead there."""
    return {answer for answer in answers if answer.startswith(f"{refusal} at ")}


def _firewall_bridge(name: str, topology: PveTopology) -> str:
    """Return the firewall bridge that a guest hangs on, nothing where it has none."""
    guest = next((one for one in topology.guests if one.name == name), None)
    port = guest_port(name)
    return port.bridge if guest is not None and port is not None and topology.has_firewall_bridge(guest) else ""


def _firewall_bridges(topology: PveTopology) -> set[str]:
    return {_firewall_bridge(guest.name, topology) for guest in topology.guests} - {""}
