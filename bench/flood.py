"""Inside a kernel: several rulesets side by side, each in a namespace of its own, and how long a packet takes through each.

Frames of 60 bytes go by sendmmsg past the queueing discipline into a wire of a topology; they are counted and dropped where
they come out. The whole path is in the sender's time. A machine that does other things too disturbs any long run, so the
sides take turns in short bursts of about a millisecond, many of them, and the lowest tenth of the bursts tells what one
takes that nothing came between. A ruleset that does not load ends the bench: it would look very fast.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pyroute2 import IPRoute

from fwtrans.lab.agent import load
from fwtrans.lab.frames import ICMP, IPV4, IPV6, TCP, UDP, ethernet, icmp, packet, tcp, udp
from fwtrans.lab.netns import current, enter_another, inside, set_sysctl
from fwtrans.lab.topology import RouterTopology, topology_from_json
from fwtrans.lab.wiring import build_pve, build_router, gateway_of

ANSWER = "\n---flood---\n"
FLOWS = 4096
LONGEST, SHORTEST = 512, 16
BURST_NS = 1_200_000
QDISC_BYPASS, SOL_PACKET = 20, 263
SYN, ACK = 0x02, 0x10
_CT_DELETE, _REQUEST_ACK = 0x0102, 0x05
"""NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE; NLM_F_REQUEST | NLM_F_ACK."""


class IoVec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class Header(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p), ("name_length", ctypes.c_uint), ("vectors", ctypes.POINTER(IoVec)),
        ("count", ctypes.c_size_t), ("control", ctypes.c_void_p), ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )  # fmt: skip


class Message(ctypes.Structure):
    _fields_ = (("header", Header), ("sent", ctypes.c_uint))


class Flood:
    """Frames ready to be sent on a wire, as many flows as there are different frames."""

    def __init__(self, wire: socket.socket, frames: list[bytes]) -> None:
        self.fresh = len(frames) > 1
        copies = frames if self.fresh else frames * LONGEST
        self.buffers = [ctypes.create_string_buffer(frame, len(frame)) for frame in frames]
        self.vectors = (IoVec * len(copies))()
        self.messages = (Message * len(copies))()
        for place in range(len(copies)):
            buffer = self.buffers[place % len(frames)]
            self.vectors[place] = IoVec(ctypes.addressof(buffer), len(buffer))
            self.messages[place].header.vectors = ctypes.pointer(self.vectors[place])
            self.messages[place].header.count = 1
        self.wire, self.at, self.sent = wire, 0, 0
        self.libc = ctypes.CDLL(None, use_errno=True)

    def burst(self, count: int) -> float:
        """Return nanoseconds a packet."""
        if self.at + count > len(self.messages):
            self.at = 0
        begun = time.perf_counter_ns()
        sent, size = 0, ctypes.sizeof(Message)
        while sent < count:  # a signal ends a call early
            done = self.libc.sendmmsg(
                self.wire.fileno(), ctypes.byref(self.messages, (self.at + sent) * size), count - sent, 0
            )
            if done <= 0:
                raise OSError(ctypes.get_errno(), f"sendmmsg sent {sent} of {count}")
            sent += done
        took = time.perf_counter_ns() - begun
        self.at += count if self.fresh else 0
        self.sent += count
        return took / count


class Side:
    """A ruleset in a namespace of its own."""

    def __init__(self, side: dict[str, Any]) -> None:
        enter_another()
        topology = topology_from_json(side["topology"])
        self.routed = isinstance(topology, RouterTopology)
        self.wiring = build_router(topology) if isinstance(topology, RouterTopology) else build_pve(topology)
        for name in ("iptables", "ip6tables"):
            set_sysctl(f"net/bridge/bridge-nf-call-{name}", int(side.get("bridge_nf_call", False)), optional=True)
        failed = load(side["loads"])
        if failed:
            sys.exit(f"{side['name']} does not load: {failed}")
        self.name, self.control = side["name"], side.get("control", "")
        self.here, self.routes = current(), set[str]()
        self.ends = {one.name: one for one in self.wiring.endpoints}
        self.conntrack = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)  # NETLINK_NETFILTER, of this namespace
        with inside(self.wiring.world):
            chains = "".join(
                f'chain at-{name} {{ type filter hook ingress device "{one.interface}" priority 0; counter drop; }}\n'
                for name, one in self.ends.items()
            )
            done = subprocess.run(
                ["nft", "-f", "-"], input=f"table netdev sink {{\n{chains}}}\n", text=True, check=False
            )
            assert done.returncode == 0
            self.links = IPRoute()
            self.numbers = {name: self.links.link_lookup(ifname=one.interface)[0] for name, one in self.ends.items()}
            self.wires = {name: self._wire(one.interface) for name, one in self.ends.items()}

    @staticmethod
    def _wire(interface: str) -> socket.socket:
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        wire.bind((interface, 0))
        wire.setsockopt(SOL_PACKET, QDISC_BYPASS, 1)
        return wire

    def route(self, destination: str, receiver: str) -> None:
        """Have the host send what is for an address to an endpoint."""
        own = {address for _, address in self.wiring.host_addresses}
        if not self.routed or destination in {*self.routes, *own}:
            return
        self.routes.add(destination)
        own = next(address for name, address in self.wiring.host_addresses if name == receiver and "." in address)
        with inside(self.here), IPRoute() as netlink:
            (number,) = netlink.link_lookup(ifname=receiver)
            netlink.route("replace", dst=f"{destination}/32", gateway=gateway_of(own), oif=number)

    def forget(self) -> None:
        """Have no connection known; the answer tells that it is done."""
        self.conntrack.send(struct.pack("=LHHLL", 20, _CT_DELETE, _REQUEST_ACK, 1, 0) + b"\0\0\0\0")
        self.conntrack.recv(4096)

    def delivered(self) -> dict[str, int]:
        """Return how many packets came out at each end so far."""
        return {
            name: next(iter(self.links.get_links(index))).get_attr("IFLA_STATS64")["rx_packets"]
            for name, index in self.numbers.items()
        }

    def close(self) -> None:
        """Let the namespaces go."""
        for wire in self.wires.values():
            wire.close()
        self.conntrack.close()
        self.links.close()
        os.close(self.wiring.world)
        os.close(self.here)


def frame(side: Side, asked: dict[str, Any], flow: int = 0, *, back: bool = False) -> bytes:
    """Return the packet that is asked for, or the answer to it."""
    ends = (asked["receiver"], asked["sender"]) if back else (asked["sender"], asked["receiver"])
    sender, receiver = side.ends[ends[0]], side.ends[ends[1]]
    there, here = asked["destination"], asked["source"]
    sport, dport = asked.get("sport", 1024) + flow, asked.get("port", 9)
    if back:
        here, there, sport, dport = there, here, dport, sport
    protocol = asked.get("protocol", "udp")
    if protocol == "udp":
        number, body = UDP, udp(here, there, sport, dport, b"x" * 18)
    elif protocol == "tcp":
        number, body = TCP, tcp(here, there, sport, dport, SYN | ACK if back else asked.get("flags", SYN), 1, int(back))
    else:
        is_v6 = ":" in here
        number = 58 if is_v6 else ICMP
        kind = (129 if is_v6 else 0) if back else (128 if is_v6 else 8)
        body = icmp(here, there, kind, 0, struct.pack("!HH", asked.get("sport", 1024) + flow, 1) + b"x" * 18)
    mac = side.wiring.macs[sender.name] if side.routed else receiver.mac
    source_mac = asked.get("source_mac") or sender.mac
    return ethernet(mac, source_mac, IPV6 if ":" in here else IPV4, packet(here, there, number, body))


def prepare(side: Side, asked: dict[str, Any]) -> Flood:
    """Bring the flow into the state that is asked for."""
    side.forget()
    side.route(asked["destination"], asked["receiver"])
    wire = side.wires[asked["sender"]]
    if asked["state"] == "new flow":
        return Flood(wire, [frame(side, asked, flow) for flow in range(FLOWS)])
    ready = Flood(wire, [frame(side, asked)])
    ready.burst(SHORTEST)
    if asked["state"] == "established":
        Flood(side.wires[asked["receiver"]], [frame(side, asked, back=True)]).burst(SHORTEST)
        ready = Flood(wire, [frame(side, {**asked, "flags": ACK})])
        ready.burst(SHORTEST)
    ready.sent = 0
    return ready


def measure(sides: list[Side], asked: dict[str, Any], rounds: int) -> list[dict[str, Any]]:
    """Return a row for each side."""
    floods = [prepare(side, asked) for side in sides]
    before = [side.delivered()[asked["receiver"]] for side in sides]
    counts = []
    for flood in floods:
        first = min(flood.burst(SHORTEST) for _ in range(4))
        counts.append(max(SHORTEST, min(LONGEST, int(BURST_NS / first))))
    times: list[list[float]] = [[] for _ in sides]
    order = list(range(len(sides)))
    for _ in range(rounds):
        for place in order:
            if asked["state"] == "new flow":
                sides[place].forget()
            times[place].append(floods[place].burst(counts[place]))
        order = order[1:] + order[:1]  # so that no side always follows the same other one
    rows = []
    for place, side in enumerate(sides):
        came = side.delivered()[asked["receiver"]] - before[place]
        low, *_, half, _, _, _, high = statistics.quantiles(times[place], n=10)
        rows.append(
            {
                "packet": asked["name"], "state": asked["state"], "side": side.name, "control": side.control,
                "ns": round(low, 1), "median": round(half, 1), "upper": round(high, 1), "bursts": rounds,
                "burst": counts[place], "delivered": round(came / floods[place].sent, 4),
            }
        )  # fmt: skip
    return rows


def main() -> None:
    orders = json.loads(Path(sys.argv[1]).read_text())
    processors = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {processors[-1]})
    gc.disable()
    set_sysctl("net/netfilter/nf_conntrack_max", 1 << 20, optional=True)
    rows = []
    for order in orders:
        sides = [Side(side) for side in order["sides"]]
        for asked in order["packets"]:
            for row in measure(sides, asked, order["rounds"]):
                rows.append({"case": order["case"], **row})
                wanted = asked.get("delivered")
                # what the kernel itself says meanwhile may be counted once more among ten thousands
                if wanted is not None and abs(row["delivered"] - wanted) > 0.001:
                    sys.exit(
                        f"{order['case']}, {row['side']}: {row['delivered']} of {asked['name']} came, not {wanted}"
                    )
        for side in sides:
            side.close()
        gc.collect()
    sys.stdout.write(ANSWER + json.dumps({"kernel": os.uname().release, "rows": rows}) + "\n")


if __name__ == "__main__":
    main()
