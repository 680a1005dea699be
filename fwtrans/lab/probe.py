"""What is asked of a kernel, and what it answered: plain values that travel as JSON into another kernel and back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What a probe's first packet is."""

    TCP = "tcp"
    UDP = "udp"
    SCTP = "sctp"
    ECHO = "echo"
    """An ICMP or ICMPv6 echo request."""
    ICMP = "icmp"
    """Any other ICMP or ICMPv6 message, of `icmp_type` and `icmp_code`."""
    PROTOCOL = "protocol"
    """An IP packet of `protocol`."""
    ARP_REQUEST = "arp-request"
    ARP_REPLY = "arp-reply"
    NEIGHBOUR_SOLICITATION = "nd-solicitation"
    NEIGHBOUR_ADVERTISEMENT = "nd-advertisement"
    ROUTER_SOLICITATION = "router-solicitation"
    ROUTER_ADVERTISEMENT = "router-advertisement"
    MLD_REPORT = "mld-report"
    IGMP_REPORT = "igmp-report"
    DHCP_DISCOVER = "dhcp-discover"
    DHCP_OFFER = "dhcp-offer"
    DHCP6_SOLICIT = "dhcp6-solicit"
    ETHERTYPE = "ethertype"
    """A frame of another protocol: `protocol` is its Ethernet type."""
    FRAME = "frame"
    """The bytes in `frame`. They hold the probe's number where the eight bytes `FwTr????` stand."""


class Follow(StrEnum):
    """A further packet of the same conversation, sent where the one before arrived."""

    REPLY = "reply"
    """From the target back to the source: SYN and ACK, a datagram, an echo reply."""
    REQUEST = "request"
    """Once more from the source to the target: ACK with data, a second datagram."""
    RELATED = "related"
    """An ICMP error about the first packet, from the target back to the source."""
    RESET = "reset"
    """A TCP reset from the target back to the source, in answer to the SYN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A packet, who sends it, and who is meant to get it. What is left empty is taken from the endpoints.

    Endpoints are the names of guests' ports, `host`, `outside` (the first uplink) and the names of uplinks. A hardware
    address may be given as the name of an interface of the host.
    """

    id: str
    source: str
    target: str = ""
    kind: Kind
    source_address: str = ""
    target_address: str = ""
    sport: int = 0
    dport: int = 0
    flags: int = 0x02
    icmp_type: int = 8
    icmp_code: int = 0
    protocol: int = 0
    tos: int = 0
    hops: int = 64
    source_mac: str = ""
    target_mac: str = ""
    vlan: int | None = None
    """A tag that the sender puts on the frame itself."""
    fragment: int = 0
    """Cut the first packet into fragments of so many bytes of payload, a multiple of eight."""
    size: int = 24
    """Bytes of payload; it holds the probe's number."""
    ipv6: bool = False
    """Which family to take, where no address says it."""
    follow: tuple[Follow, ...] = ()
    settled: int = 0
    """How many of its packets are sent before the ruleset is loaded: what comes then belongs to a known connection."""
    stubborn: bool = False
    """Send what follows even where the packet before did not arrive."""
    frame: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return what travels."""
        return asdict(self)


def probe_from_json(value: dict[str, Any]) -> Probe:
    """Return the probe that has travelled."""
    return Probe(
        **{
            **value,
            "kind": Kind(value["kind"]),
            "follow": tuple(Follow(one) for one in value.get("follow", ())),
        }
    )


@dataclass(frozen=True, slots=True)
class Step:
    """What became of one packet: where it arrived, and what came back to its sender."""

    sender: str
    seen_at: tuple[str, ...]
    """Endpoints whose wire the packet reached, sorted; `host` if a socket of the host got it."""
    answers: tuple[str, ...] = ()
    """`tcp-reset`, `icmp 3/13`, `icmp6 1/1`, `tcp-syn-ack`, `arp-reply from MAC`, sorted."""
    logs: tuple[str, ...] = ()
    """Prefixes of NFLOG messages about this packet, in order."""
    ct_mark: int | None = None
    """The mark of its conntrack entry; none where there is no entry or the kernel does not tell."""
    shapes: tuple[str, ...] = ()
    """How it looked where it arrived, if otherwise than it was sent: translated, marked, another DSCP."""
    trouble: str = ""
    """Why it could not be sent."""
    heard_by: tuple[str, ...] = ()
    """The interfaces by which the host got the packet, if it did; not compared, since sides may have other bridges."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What became of a probe. Steps that were not sent are not there."""

    id: str
    target: str
    steps: tuple[Step, ...]

    @property
    def verdict(self) -> str:
        """Return `delivered`, `refused` or `lost` for the first packet."""
        return verdict_of(self.steps[0], self.target)


def verdict_of(step: Step, target: str) -> str:
    """Return what became of a packet for `target`; with no target, any arrival is a delivery."""
    if target in step.seen_at or (not target and step.seen_at):
        return "delivered"
    refused = any(answer.startswith(("tcp-reset", "icmp")) for answer in step.answers)
    return "refused" if refused else "lost"


def observation_from_json(value: dict[str, Any]) -> Observation:
    """Return an observation that has travelled."""
    steps = []
    for step in value["steps"]:
        fields: dict[str, Any] = {name: tuple(item) if isinstance(item, list) else item for name, item in step.items()}
        steps.append(Step(**fields))
    return Observation(value["id"], value["target"], tuple(steps))
