"""Which of the intended differences (semantics/bridged/reading.py) a probe shows, by the shape of what was seen.

Strict on purpose: a name excuses only the very shape that it speaks of. A packet that arrives where the original denied it
has no name here, but for answers: a reset or an ICMP message to who asked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fwtrans.lab.judge import compare
from fwtrans.lab.probe import Follow, Kind, Observation
from fwtrans.lab.topology import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fwtrans.lab.judge import Difference
    from fwtrans.lab.probe import Probe, Step
    from fwtrans.lab.topology import PveTopology

_REFUSALS = ("tcp-reset", "icmp 3/", "icmp6 1/")
_SMALLEST_IPV6_FRAGMENT = 1280 - 48
_GROUP_ADDRESSES = ("ff:", "33:33:", "01:00:5e:")


@dataclass(frozen=True, slots=True)
class Judged:
    """A probe that two sides treat differently, and what is known around it."""

    probe: Probe
    difference: Difference
    topology: PveTopology
    """Where the new side was loaded."""
    old: Mapping[str, Observation]
    """What the old side did with all probes."""
    new: Mapping[str, Observation]
    """What the new side did with all probes."""
    named: frozenset[str]
    """The guests whose ports the rules name."""

    @property
    def before(self) -> Step:
        """Return the step under the old side."""
        assert self.difference.old is not None
        return self.difference.old

    @property
    def after(self) -> Step:
        """Return the step under the new side."""
        assert self.difference.new is not None
        return self.difference.new

    @property
    def what(self) -> set[str]:
        """Return what differs."""
        return set(self.difference.what)

    @property
    def follow(self) -> Follow | None:
        """Return what kind of packet it is, none for the first."""
        return self.probe.follow[self.difference.step - 1] if self.difference.step else None

    @property
    def receiver(self) -> str:
        """Return who is meant to get the packet."""
        return receiver_of(self.probe, self.before)

    @property
    def has_tag(self) -> bool:
        """Tell whether the frame has a VLAN tag somewhere on its way over a VLAN-aware bridge, or by its sender."""
        tags = {guest.name: guest.tag for guest in self.topology.guests}
        ends = (self.probe.source, self.probe.target)
        return self.probe.vlan is not None or any(tags.get(name) is not None for name in ends)

    def arrives_whole(self, side: Mapping[str, Observation]) -> bool:
        """Tell whether the same packet arrives under one side where it is not in fragments."""
        family = 6 if self.probe.ipv6 else 4
        found = side[f"{self.probe.id.partition(': ')[0]}: udp{family} {self.probe.dport}"]
        return self.receiver in found.steps[0].seen_at

    @property
    def comes_from_host(self) -> bool:
        """Tell whether the host sends the packet or routes it."""
        return self.before.sender == HOST or self.probe.target_mac in self.topology.bridges()

    def is_direct(self, name: str) -> bool:
        """Tell whether a guest with firewall rules sits on its bridge itself."""
        found = [guest for guest in self.topology.guests if guest.name == name and guest.firewalled]
        return any(not self.topology.has_firewall_bridge(guest) for guest in found)

    def is_behind(self, name: str) -> bool:
        """Tell whether a guest is on a firewall bridge."""
        return any(guest.name == name and self.topology.has_firewall_bridge(guest) for guest in self.topology.guests)


def receiver_of(probe: Probe, step: Step) -> str:
    """Return who is meant to get a step's packet."""
    return probe.target if step.sender == probe.source else probe.source


def differences(
    probes: Sequence[Probe],
    old: Sequence[Observation],
    new: Sequence[Observation],
    topology: PveTopology,
    named: frozenset[str],
) -> Iterator[Judged]:
    """Yield where the sides differ, without what no ruleset decides."""
    by_id = {probe.id: probe for probe in probes}
    before, after = ([_comparable(by_id[one.id], one) for one in side] for side in (old, new))
    all_old, all_new = ({one.id: one for one in side} for side in (old, new))
    for found in compare(before, after):
        yield Judged(by_id[found.id], found, topology, all_old, all_new, named)


def _comparable(probe: Probe, observation: Observation) -> Observation:
    """Leave out how the kernel cuts a packet up again, and the mark of a connection whose packet does not arrive.

    The mark of a flooded packet is that of the last guest it was offered to, and their order is the bridge's.
    """

    def plain(step: Step) -> Step:
        receiver = receiver_of(probe, step)
        arrived = receiver in step.seen_at
        return replace(
            step, ct_mark=step.ct_mark if arrived else None, shapes=() if probe.fragment and probe.ipv6 else step.shapes
        )

    return Observation(observation.id, observation.target, tuple(map(plain, observation.steps)))


def name_of(judged: Judged) -> str | None:
    """Return the name of the intended difference that a probe shows; None where it is none."""
    if judged.difference.old is None or judged.difference.new is None:
        return None
    return next((name for name, is_shown in _SHAPES.items() if is_shown(judged)), None)


def _refusals(step: Step) -> set[str]:
    return {answer for answer in step.answers if answer.startswith(_REFUSALS)}


def _kinds(step: Step) -> set[str]:
    return {answer.partition(" at ")[0] for answer in _refusals(step)}


def _is_seen_alike(judged: Judged) -> bool:
    """Tell whether the packet arrives at the same places, and not where it was meant to."""
    return judged.before.seen_at == judged.after.seen_at and judged.receiver not in judged.after.seen_at


def _only_refused_before(judged: Judged) -> bool:
    """Tell whether the one difference is that the old side refuses what the new one drops."""
    return (
        _is_seen_alike(judged)
        and judged.what == {"answers"}
        and bool(_refusals(judged.before))
        and set(judged.before.answers) == _refusals(judged.before)
        and not judged.after.answers
    )


def _small_fragments_are_lost(judged: Judged) -> bool:
    probe = judged.probe
    is_small = probe.ipv6 and 0 < probe.fragment < _SMALLEST_IPV6_FRAGMENT and judged.follow is None
    return is_small and not judged.after.seen_at and not judged.after.answers and not judged.after.logs


def _reset_arrives(judged: Judged) -> bool:
    if judged.follow is Follow.RESET:
        return not judged.before.seen_at and judged.after.seen_at == (judged.receiver,) and judged.what == {"arrival"}
    more = set(judged.after.answers) - set(judged.before.answers)
    return (
        _is_seen_alike(judged)
        and judged.what == {"answers"}
        and not judged.before.answers
        and more == _refusals(judged.after)
    )


def _answer_goes_back(judged: Judged) -> bool:
    return (
        judged.before.seen_at == judged.after.seen_at
        and judged.what == {"answers"}
        and any(" at " in answer for answer in judged.before.answers)
        and not any(" at " in answer for answer in judged.after.answers)
        and set(judged.after.answers) == _kinds(judged.before)
    )


def _host_reject_is_drop(judged: Judged) -> bool:
    return judged.comes_from_host and judged.is_direct(judged.receiver) and _only_refused_before(judged)


def _flooded_reject_is_drop(judged: Judged) -> bool:
    macs = {guest.name: guest.mac for guest in judged.topology.guests}
    is_flooded = bool(judged.probe.target_mac) and judged.probe.target_mac not in {
        *macs.values(),
        *judged.topology.bridges(),
    }
    return is_flooded and judged.follow is None and _refused_by_somebody_before(judged)


def _refused_by_somebody_before(judged: Judged) -> bool:
    """Tell whether the one difference is that a flooded packet is answered by who refuses it; others may get it on both sides.

    A reset ends the connection, and with it its mark.
    """
    return (
        judged.before.seen_at == judged.after.seen_at
        and {"answers"} <= judged.what <= {"answers", "ct_mark"}
        and bool(judged.before.answers)
        and set(judged.before.answers) == _refusals(judged.before)
        and not judged.after.answers
    )


def _tagged_reject_is_drop(judged: Judged) -> bool:
    uplinks = {uplink.name for uplink in judged.topology.uplinks}
    is_tagged = judged.topology.vlan_aware and judged.before.sender in uplinks and judged.has_tag
    return is_tagged and judged.is_direct(judged.receiver) and _only_refused_before(judged)


def _reaches_no_firewall_bridge(judged: Judged) -> bool:
    before, after = judged.before, judged.after
    if judged.what == {"answers"} and judged.probe.kind in {Kind.ARP_REQUEST, Kind.NEIGHBOUR_SOLICITATION}:
        gone = set(before.answers) - set(after.answers)
        return set(after.answers) <= set(before.answers) and all(" from fwbr" in answer for answer in gone)
    is_group = not judged.probe.target or judged.probe.target_mac.startswith(_GROUP_ADDRESSES)
    return (
        is_group
        and judged.what == {"arrival"}
        and bool(before.heard_by)
        and all(name.startswith("fwbr") for name in before.heard_by)
        and set(before.seen_at) - set(after.seen_at) == {HOST}
        and set(after.seen_at) < set(before.seen_at)
    )


def _tracks_tags(judged: Judged) -> bool:
    if judged.what == {"ct_mark"}:
        return judged.has_tag and judged.before.ct_mark in {None, 0}
    return (
        judged.follow is Follow.RESET
        and judged.topology.vlan_aware
        and judged.has_tag
        and judged.is_behind(judged.receiver)
        and judged.before.seen_at == (judged.receiver,)
        and not judged.after.seen_at
        and judged.what == {"arrival"}
    )


def _tagged_fragments_arrive(judged: Judged) -> bool:
    probe = judged.probe
    return (
        bool(probe.fragment)
        and judged.follow is None
        and judged.topology.vlan_aware
        and judged.has_tag
        and judged.arrives_whole(judged.old)
        and judged.after.seen_at == (judged.receiver,)
        and set(judged.before.seen_at) <= {judged.receiver}
        and judged.what <= {"arrival", "shapes"}
    )


def _own_fragments_pass(judged: Judged) -> bool:
    """Tell whether a packet that is denied arrives but for its first fragment; the lab counts any fragment."""
    return (
        bool(judged.probe.fragment)
        and judged.follow is None
        and judged.comes_from_host
        and judged.is_direct(judged.receiver)
        and not judged.arrives_whole(judged.old)
        and not judged.arrives_whole(judged.new)
        and not judged.before.seen_at
        and judged.after.seen_at == (judged.receiver,)
        and judged.before.logs == judged.after.logs
        and judged.what <= {"arrival", "shapes", "answers", "ct_mark"}
        and not judged.after.answers
    )


def _has_no_rules(judged: Judged) -> bool:
    """Tell whether a guest gets, or sends with a tag, what the rules for all guests deny, because no rule names it.

    Without a tag the rules at forward still hold for what it sends.
    """
    unnamed = {guest.name for guest in judged.topology.guests if guest.firewalled} - judged.named
    sends = judged.before.sender in unnamed and judged.is_direct(judged.before.sender) and judged.has_tag
    return (
        (judged.receiver in unnamed or sends)
        and judged.what <= {"arrival", "logs", "ct_mark"}
        and judged.after.seen_at == (judged.receiver,)
        and not judged.before.seen_at
    )


_SHAPES = {
    "own-fragments-pass": _own_fragments_pass,
    "guest-without-rules": _has_no_rules,
    "small-fragments-lost": _small_fragments_are_lost,
    "reset-arrives": _reset_arrives,
    "answer-goes-back": _answer_goes_back,
    "host-reject-is-drop": _host_reject_is_drop,
    "reject-on-arrival": _flooded_reject_is_drop,
    "vlan-reject-is-drop": _tagged_reject_is_drop,
    "guest-to-host-by-firewall-bridge": _reaches_no_firewall_bridge,
    "vlan-tracked": _tracks_tags,
    "vlan-fragments-arrive": _tagged_fragments_arrive,
}
