"""A probe is known again: whole, in fragments, in an error that quotes it, in a reset that answers it."""

from __future__ import annotations

import pytest

from fwtrans.lab import frames
from fwtrans.lab.conversation import Ends, first, following, numbers_of, step_of
from fwtrans.lab.frames import ARP, IPV4, identify, identify_packet, take_apart
from fwtrans.lab.probe import Follow, Kind, Probe
from fwtrans.lab.routes import Journey, batches

ENDS = {
    False: ("192.0.2.1", "198.51.100.2"),
    True: ("2001:db8::1", "2001:db8::2"),
}
NUMBER = numbers_of(77, 0)


def ends(*, ipv6: bool = False) -> Ends:
    here, there = ENDS[ipv6]
    return Ends(here, there, "02:00:00:00:00:01", "02:00:00:00:00:02", 40000, 443)


@pytest.mark.parametrize("ipv6", [False, True])
@pytest.mark.parametrize("kind", [Kind.TCP, Kind.UDP, Kind.SCTP, Kind.ECHO, Kind.PROTOCOL])
def test_a_packet_carries_its_number(kind: Kind, *, ipv6: bool) -> None:
    (sent,) = first(Probe(id="1", source="a", kind=kind, protocol=99), ends(ipv6=ipv6), NUMBER)
    assert identify_packet(sent.payload) == (NUMBER, "packet")


@pytest.mark.parametrize("ipv6", [False, True])
def test_every_fragment_carries_it(*, ipv6: bool) -> None:
    probe = Probe(id="1", source="a", kind=Kind.UDP, size=200, fragment=64)
    pieces = first(probe, ends(ipv6=ipv6), NUMBER)
    assert len(pieces) == 4
    assert {identify_packet(one.payload) for one in pieces} == {(NUMBER, "packet")}


@pytest.mark.parametrize(("kind", "code", "told"), [(3, 13, "icmp 3/13"), (11, 0, "icmp 11/0")])
def test_an_error_says_whose_it_is(kind: int, code: int, told: str) -> None:
    (sent,) = first(Probe(id="1", source="a", kind=Kind.TCP), ends(), NUMBER)
    error = frames.icmp("198.51.100.2", "192.0.2.1", kind, code, b"\0" * 4 + sent.payload[:28])
    assert identify_packet(frames.packet("198.51.100.2", "192.0.2.1", 1, error)) == (NUMBER, told)


def test_a_kernels_answers_say_whose_they_are() -> None:
    answers = {
        "tcp-reset": frames.tcp("198.51.100.2", "192.0.2.1", 443, 40000, 0x14, 0, frames.sequence(NUMBER) + 1),
        "tcp-syn-ack": frames.tcp("198.51.100.2", "192.0.2.1", 443, 40000, 0x12, 0x46000000 + 9999, frames.sequence(NUMBER) + 1),
    }  # fmt: skip
    for told, segment in answers.items():
        assert identify_packet(frames.packet("198.51.100.2", "192.0.2.1", 6, segment)) == (NUMBER, told)


def test_a_conversation_goes_on_with_right_numbers() -> None:
    probe = Probe(id="1", source="a", target="b", kind=Kind.TCP, follow=(Follow.REPLY, Follow.REQUEST))
    talk = ends()
    talk.sent.append(first(probe, talk, NUMBER)[0].payload)
    reply, request = (
        following(probe, talk, follow, NUMBER + 1 + at)[0].payload for at, follow in enumerate(probe.follow)
    )
    assert identify_packet(reply) == (NUMBER + 1, "packet")
    assert identify_packet(request) == (NUMBER + 2, "packet")
    assert int.from_bytes(reply[28:32]) == frames.sequence(NUMBER) + 1
    assert int.from_bytes(request[28:32]) == int.from_bytes(reply[24:28]) + 1
    assert step_of(NUMBER + 2) == (77, 2)


def test_checksums_are_right() -> None:
    (sent,) = first(Probe(id="1", source="a", kind=Kind.UDP), ends(), NUMBER)
    assert frames.checksum(sent.payload[:20]) == 0
    pseudo = sent.payload[12:20] + b"\0\x11" + len(sent.payload[20:]).to_bytes(2)
    assert frames.checksum(pseudo + sent.payload[20:]) == 0


def test_tags_and_arp_are_taken_apart() -> None:
    body = frames.arp(1, ("02:00:00:00:00:01", "192.0.2.1"), ("00:00:00:00:00:00", "192.0.2.2"), NUMBER)
    frame = take_apart(frames.ethernet("ff:ff:ff:ff:ff:ff", "02:00:00:00:00:01", ARP, body, 50))
    assert (frame.vlan, frame.kind, frame.source) == (50, ARP, "02:00:00:00:00:01")
    assert identify(frame) == (NUMBER, "packet")
    assert take_apart(frames.ethernet("ff:ff:ff:ff:ff:ff", "02:00:00:00:00:01", IPV4, b"")).vlan is None


def test_what_is_nobodys_has_no_number() -> None:
    stray = frames.packet("192.0.2.1", "192.0.2.2", 17, frames.udp("192.0.2.1", "192.0.2.2", 1, 2, b"hello"))
    assert identify_packet(stray) == (None, "packet")


def test_probes_that_need_other_routes_are_apart() -> None:
    journeys = [
        Journey("eth0", "eth1", "192.0.2.1", "198.51.100.1"),
        Journey("eth0", "eth1", "192.0.2.2", "198.51.100.1"),
        Journey("eth0", "eth2", "192.0.2.1", "198.51.100.1"),
        Journey("eth2", "host", "192.0.2.9", "198.51.100.9"),
    ]
    found = [batch.journeys for batch in batches(journeys)]
    assert found == [(0, 1, 3), (2,)]
