"""Runs inside the kernel that judges: builds the topology, loads one ruleset, sends the probes, and says what became of them.

Called as `python -m fwtrans.lab.agent ORDERS`. ORDERS is a file with a JSON list; the answers are a JSON list behind a line
that says so, because the scripts around it may print too.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess  # noqa: TID251 -- rulesets are loaded by the tools that they were written for
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from fwtrans.lab.conversation import Ends, first, following, numbers_of, step_of
from fwtrans.lab.ears import Ears, Heard, ends_of
from fwtrans.lab.frames import ICMP, TCP, UDP, address_text, identify_packet
from fwtrans.lab.netns import end_with_parent, enter_another, set_sysctl
from fwtrans.lab.nflog import LogReader
from fwtrans.lab.probe import Follow, Kind, Observation, Probe, Step, probe_from_json
from fwtrans.lab.routes import Journey, Router, Ways, batches
from fwtrans.lab.speaker import Speaker
from fwtrans.lab.topology import HOST, RouterTopology, topology_from_json
from fwtrans.lab.wiring import build_pve, build_router

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fwtrans.lab.wiring import Wiring

ANSWER = "--- answer of the fwtrans lab ---"
OBSERVER_GROUP = 64321
"""The NFLOG group of the lab's own rules."""
_CONNTRACK = Path("/proc/net/nf_conntrack")


@dataclass(slots=True)
class Notes:
    """What has been observed of one step so far."""

    sender: str
    seen: set[str] = field(default_factory=set)
    answers: set[str] = field(default_factory=set)
    logs: list[str] = field(default_factory=list)
    shapes: set[str] = field(default_factory=set)
    trouble: str = ""
    ct_mark: int | None = None
    heard_by: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Talk:
    """A probe under way."""

    probe: Probe
    ends: Ends
    notes: list[Notes] = field(default_factory=list)

    def follow(self, step: int) -> Follow | None:
        """Return what kind of step this is, none for the first."""
        return self.probe.follow[step - 1] if step else None


class Agent:
    """One ruleset's turn."""

    def __init__(self, wiring: Wiring, probes: list[Probe], groups: tuple[int, ...], router: Router | None) -> None:
        self.wiring = wiring
        self.ears = Ears(wiring, {probe.protocol for probe in probes if probe.kind is Kind.PROTOCOL})
        self.speaker = Speaker(wiring, self.ears)
        self.logs = LogReader((*groups, OBSERVER_GROUP))
        self.names = {mac: name for name, mac in wiring.macs.items()}
        filled = [self.speaker.filled_in(probe) for probe in probes]
        self.talks = [Talk(probe, self.speaker.ends(probe, index)) for index, probe in enumerate(filled)]
        self.asked: dict[tuple[str, str], int] = {}
        self.speaker.hold_ports([(talk.probe, talk.ends) for talk in self.talks])
        self.router = router
        self.present: frozenset[int] = frozenset()
        """The talks that the routes lead to now."""
        self.batches = [Ways(tuple(range(len(probes))), {})] if router is None else list(batches(self._journeys()))
        self._listen()

    def _journeys(self) -> Iterator[Journey]:
        for talk in self.talks:
            probe, ends = talk.probe, talk.ends
            yield Journey(probe.source, probe.target, ends.source_address, ends.target_address)

    def __enter__(self) -> Self:
        """Return the agent itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close every socket, so that the namespace can go."""
        self.logs.socket.close()
        self.speaker.close()
        self.ears.close()

    @property
    def settles(self) -> bool:
        """Tell whether there are packets to be sent before the ruleset is loaded."""
        return any(talk.probe.settled for talk in self.talks)

    def run(self, *, loaded: bool) -> None:
        """Send the packets that come before the ruleset is loaded, or those that come after."""
        for batch in self.batches:
            self._run(batch, loaded=loaded)
        if loaded:
            self._read_marks(self.talks)

    def observations(self) -> list[Observation]:
        """Return what was observed."""
        return [_observation(talk) for talk in self.talks]

    def _run(self, batch: Ways, *, loaded: bool) -> None:
        members = [(index, self.talks[index]) for index in batch.journeys]
        self.present = frozenset(batch.journeys)
        longest = max(len(talk.probe.follow) + 1 if loaded else talk.probe.settled for _, talk in members)
        if self.router is not None and longest:
            self.router.lead(batch.ways)
        for step in range(longest):
            due = [(index, talk) for index, talk in members if (step >= talk.probe.settled) == loaded]
            wanted = [(index, talk) for index, talk in due if self._wanted(talk, step)]
            for index, talk in wanted:
                self._send(index, talk, step)
            if wanted:
                self.ears.settle()
                self._listen()
                if len(self.batches) == 1:
                    self._read_marks([talk for _, talk in wanted])

    def _wanted(self, talk: Talk, step: int) -> bool:
        if step == 0:
            return True
        if step > len(talk.probe.follow) or len(talk.notes) < step:
            return False
        before = talk.notes[step - 1]
        return talk.probe.stubborn or _receiver(talk, before.sender) in before.seen

    def _send(self, index: int, talk: Talk, step: int) -> None:
        probe, follow, number = talk.probe, talk.follow(step), numbers_of(index, step)
        sender = probe.source if follow in {None, Follow.REQUEST} else probe.target
        notes = Notes(sender)
        talk.notes.append(notes)
        if follow is None:
            outgoing = first(probe, talk.ends, number)
            self._expect_neighbour(probe, talk.ends, number)
        elif self._answered_by_kernel(talk, follow):
            notes.seen.add(probe.source)
            talk.ends.sent.append(b"")
            return
        else:
            outgoing = following(probe, talk.ends, follow, number)
        talk.ends.sent.append(outgoing[0].payload)
        notes.trouble = self.speaker.send(probe, talk.ends, sender, outgoing)
        self._listen()

    def _answered_by_kernel(self, talk: Talk, follow: Follow) -> bool:
        if talk.probe.target != HOST or follow is not Follow.REPLY:
            return False
        return bool(talk.notes[0].answers & {"tcp-syn-ack", "echo-reply"})

    def _expect_neighbour(self, probe: Probe, ends: Ends, number: int) -> None:
        if probe.kind in {Kind.ARP_REQUEST, Kind.NEIGHBOUR_SOLICITATION}:
            self.asked[ends.target_address, ends.source_address] = number

    def _listen(self) -> None:
        for heard in self.ears.heard():
            self._note(heard)
        for message in self.logs.read():
            number, kind = identify_packet(message.packet)
            notes = self._notes(number)
            if notes is None:
                continue
            if message.group != OBSERVER_GROUP:
                notes.logs.append(message.prefix)
            elif kind == "packet" and message.mark:
                notes.shapes.add(f"mark {message.mark:#x}")

    def _notes(self, number: int | None) -> Notes | None:
        if number is None:
            return None
        index, step = step_of(number)
        if index < len(self.talks) and step < len(self.talks[index].notes):
            return self.talks[index].notes[step]
        return None

    def _note(self, heard: Heard) -> None:
        if heard.number is None:
            self._note_neighbour(heard)
            return
        notes = self._notes(heard.number)
        if notes is None:
            return
        index, of_step = step_of(heard.number)
        if heard.kind == "tcp-syn-ack" and index not in self.present:
            return  # the host sends an answer again, and what leads its packets now belongs to others
        talk = self.talks[index]
        step = len(talk.notes) - 1
        if step != of_step:
            follow = talk.follow(step)
            is_expected = (heard.kind == "tcp-reset" and follow is Follow.RESET) or (
                heard.kind.startswith("icmp") and follow is Follow.RELATED
            )
            if is_expected and heard.endpoint != talk.notes[step].sender:
                talk.notes[step].seen.add(heard.endpoint)
                return
        if heard.kind == "tcp-syn-ack":
            talk.ends.peer_sequence = _sequence(heard)
        if heard.endpoint == notes.sender and not (heard.kind == "packet" and notes.sender == talk.probe.target):
            if heard.kind != "packet":
                notes.answers.add(heard.kind)
            return
        if not _is_own(talk.probe, heard.kind):
            # an answer that went astray: routed, say, to where the sender's address would be
            notes.answers.add(f"{heard.kind} at {heard.endpoint}")
            return
        notes.seen.add(heard.endpoint)
        notes.heard_by |= {heard.interface} - {""}
        if heard.has_header:
            shape, sent = shape_of(heard.packet), shape_of(talk.ends.sent[of_step])
            if shape not in {sent, one_hop_on(sent)}:
                notes.shapes.add(shape)

    def _note_neighbour(self, heard: Heard) -> None:
        packet = heard.packet
        if heard.kind == "arp-reply":
            asked, asker = address_text(packet[14:18]), address_text(packet[24:28])
        elif heard.kind == "nd-advertisement" and heard.endpoint != HOST:
            asked, asker = address_text(packet[48:64]), address_text(packet[24:40])
        else:
            return
        notes = self._notes(self.asked.get((asked, asker)))
        if notes is not None and heard.endpoint == notes.sender:
            who = self.names.get(heard.source_mac, heard.source_mac)
            notes.answers.add(f"{heard.kind} from {who}")

    def _read_marks(self, talks: list[Talk]) -> None:
        """Note the marks of connections at the last step that was sent."""
        marks = conntrack_marks()
        for talk in talks:
            ends = talk.ends
            protocol = _PROTOCOLS.get(talk.probe.kind, -1)
            key = (protocol, ends.source_address, ends.target_address, ends.sport, ends.dport)
            if talk.probe.kind is Kind.ECHO:
                protocol = 58 if ":" in ends.source_address else ICMP
                key = (protocol, ends.source_address, ends.target_address, ends.sport, 0)
            if talk.notes[-1].ct_mark is None:
                talk.notes[-1].ct_mark = marks.get(key)


_PROTOCOLS = {Kind.TCP: TCP, Kind.UDP: UDP, Kind.SCTP: 132}


def _is_own(probe: Probe, kind: str) -> bool:
    """Tell whether a packet of this kind is the probe itself, not an answer to it."""
    if probe.kind in {Kind.ICMP, Kind.ECHO}:
        return kind in {"packet", "echo-reply"} or (probe.kind is Kind.ICMP and kind.startswith("icmp"))
    return kind == "packet"


def _receiver(talk: Talk, sender: str) -> str:
    return talk.probe.target if sender == talk.probe.source else talk.probe.source


def _sequence(heard: Heard) -> int:
    header = 20 if heard.packet[0] >> 4 == 4 else 40
    return int.from_bytes(heard.packet[header + 4 : header + 8], "big")


def shape_of(packet: bytes) -> str:
    """Return what a translation or a mangling rule changes in a packet."""
    if len(packet) < 20 or packet[0] >> 4 not in {4, 6}:
        return ""
    source, destination = ends_of(packet)
    is_v4 = packet[0] >> 4 == 4
    protocol, tos = (packet[9], packet[1]) if is_v4 else (packet[6], (packet[0] << 4 | packet[1] >> 4) & 0xFF)
    hops, body = (packet[8], packet[(packet[0] & 15) * 4 :]) if is_v4 else (packet[7], packet[40:])
    has_ports = protocol in {TCP, UDP, 132} and not (is_v4 and int.from_bytes(packet[6:8], "big") & 0x1FFF)
    ports = f" {int.from_bytes(body[:2], 'big')}>{int.from_bytes(body[2:4], 'big')}" if has_ports else ""
    has_options = protocol == TCP and ports and len(body) >= 20 and body[12] >> 4 > 5
    options = f" options {body[20 : (body[12] >> 4) * 4].hex()}" if has_options else ""
    return f"{source}>{destination} {protocol}{ports} tos {tos:#x}{options} hops {hops}"


def one_hop_on(shape: str) -> str:
    """Return how a packet looks that was routed and otherwise left alone."""
    rest, _, hops = shape.rpartition(" ")
    return f"{rest} {int(hops) - 1}" if rest else ""


def conntrack_marks() -> dict[tuple[int, str, str, int, int], int]:
    """Return the marks of all connections by protocol, addresses and ports; nothing where the kernel does not tell."""
    found: dict[tuple[int, str, str, int, int], int] = {}
    try:
        lines = _CONNTRACK.read_text(encoding="ascii").splitlines()
    except OSError:
        return found
    for line in lines:
        words = line.split()
        values: dict[str, str] = {}
        for word in words:
            name, is_pair, value = word.partition("=")
            if is_pair:
                values.setdefault(name, value)
        source, destination = _canonical(values["src"]), _canonical(values["dst"])
        sport, dport = int(values.get("sport", values.get("id", "0"))), int(values.get("dport", "0"))
        found[int(words[3]), source, destination, sport, dport] = int(values.get("mark", "0"))
    return found


@cache
def _canonical(address: str) -> str:
    return str(ip_address(address))


def _observation(talk: Talk) -> Observation:
    steps = (
        Step(
            notes.sender, tuple(sorted(notes.seen)), tuple(sorted(notes.answers)), tuple(notes.logs), notes.ct_mark,
            tuple(sorted(notes.shapes)), notes.trouble, tuple(sorted(notes.heard_by)),
        )
        for notes in talk.notes
    )  # fmt: skip
    return Observation(talk.probe.id, talk.probe.target, tuple(steps))


def load(loads: Sequence[tuple[Sequence[str], str]]) -> str:
    """Feed each text to its tool; return what the first one that failed said, or nothing."""
    for words, text in loads:
        done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            return f"{' '.join(words)}: {(done.stderr or done.stdout).strip()[:2000]}"
    return ""


def answer(order: dict[str, Any]) -> dict[str, Any]:
    """Carry out an order in a namespace of its own."""
    enter_another()
    with ExitStack() as opened:
        return _answer(order, opened)


def _answer(order: dict[str, Any], opened: ExitStack) -> dict[str, Any]:
    topology = topology_from_json(order["topology"])
    wiring = build_router(topology) if isinstance(topology, RouterTopology) else build_pve(topology)
    opened.callback(os.close, wiring.world)
    router = opened.enter_context(Router(topology)) if isinstance(topology, RouterTopology) else None
    for name in ("iptables", "ip6tables", "arptables"):
        value = int(bool(order["bridge_nf_call"]) and name != "arptables")
        set_sysctl(f"net/bridge/bridge-nf-call-{name}", value, optional=True)
    probes = [probe_from_json(probe) for probe in order["probes"]]
    agent = opened.enter_context(Agent(wiring, probes, tuple(order["groups"]), router))
    if agent.settles:
        load([_TRACKING])
        load([_BRIDGE_TRACKING])
        agent.run(loaded=False)
    failed = load(order["loads"])
    if failed:
        return {"failed": failed}
    if agent.settles:
        load([_TRACKING_ENDS])
        load([_BRIDGE_TRACKING_ENDS])
    if router is not None:
        load([_OBSERVER])
    agent.run(loaded=True)
    return {"observations": [asdict(one) for one in agent.observations()]}


_NFT = ["nft", "-f", "-"]
# Connections are known before the ruleset comes; resets that the host would send for those nobody there knows of are not sent.
_TRACKING = (
    _NFT,
    """\
table inet fwtrans_lab_before {
  chain tracked { type filter hook prerouting priority 0; ct state established; }
  chain output { type filter hook output priority 0; tcp flags & rst == rst drop; }
}
""",
)
# Packets between the ports of a bridge are known too, where the kernel can; it refuses the chain where it cannot.
_BRIDGE_TRACKING = (
    _NFT,
    "table bridge fwtrans_lab_before { chain tracked { type filter hook prerouting priority 0; ct state established; }; }\n",
)
_BRIDGE_TRACKING_ENDS = (_NFT, "table bridge fwtrans_lab_before; delete table bridge fwtrans_lab_before;\n")
_TRACKING_ENDS = (_NFT, "table inet fwtrans_lab_before; delete table inet fwtrans_lab_before;\n")
_LAST = 2147483000
# Says with which mark a packet comes through all rules.
_OBSERVER = (
    _NFT,
    f"""\
table inet fwtrans_lab_observer {{
  chain input {{ type filter hook input priority {_LAST}; log group {OBSERVER_GROUP}; }}
  chain postrouting {{ type filter hook postrouting priority {_LAST}; log group {OBSERVER_GROUP}; }}
}}
""",
)


def main() -> None:
    """Read the orders, print the answers."""
    end_with_parent()
    processors = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {processors[os.getpid() % len(processors)]})
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    found = [answer(order) for order in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))]
    sys.stdout.write(f"\n{ANSWER}\n{json.dumps(found)}\n")


if __name__ == "__main__":
    main()
