"""Inside a kernel: several rulesets side by side, each in a namespace of its own, and how long a packet takes through each.

Frames of 60 bytes go by sendmmsg past the queueing discipline into a wire of a topology; they are counted and dropped where
they come out. The whole path is in the sender's time. Rounds of all rulesets take turns; the median counts. A ruleset that
does not load ends the bench: it would look very fast.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fwtrans.lab.agent import load
from fwtrans.lab.frames import IPV4, ethernet, packet, udp
from fwtrans.lab.netns import current, enter_another, inside, set_sysctl
from fwtrans.lab.topology import RouterTopology, topology_from_json
from fwtrans.lab.wiring import Wiring, build_pve, build_router

BATCH, FLOWS = 256, 8192
QDISC_BYPASS = 20
COUNTER = """
table netdev sink {
	chain in {
		type filter hook ingress device "%s" priority 0; policy accept;
		counter drop
	}
}
"""


class IoVec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class Message(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p), ("name_length", ctypes.c_uint), ("vectors", ctypes.POINTER(IoVec)),
        ("count", ctypes.c_size_t), ("control", ctypes.c_void_p), ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int), ("sent", ctypes.c_uint),
    )  # fmt: skip


class Flood:
    """Frames ready to be sent, as many flows as there are frames."""

    def __init__(self, frames: list[bytes]) -> None:
        self.buffers = [ctypes.create_string_buffer(frame, len(frame)) for frame in frames]
        self.vectors = (IoVec * len(frames))()
        self.messages = (Message * len(frames))()
        for place, buffer in enumerate(self.buffers):
            self.vectors[place] = IoVec(ctypes.addressof(buffer), len(buffer))
            self.messages[place].vectors = ctypes.pointer(self.vectors[place])
            self.messages[place].count = 1
        self.libc = ctypes.CDLL(None, use_errno=True)

    def send(self, wire: socket.socket, count: int, start: int) -> float:
        """Return nanoseconds a packet."""
        size, done, at = ctypes.sizeof(Message), 0, start
        begun = time.perf_counter_ns()
        while done < count:
            place = at % len(self.buffers)
            some = min(BATCH, count - done, len(self.buffers) - place)
            sent = self.libc.sendmmsg(wire.fileno(), ctypes.byref(self.messages, place * size), some, 0)
            if sent <= 0:
                raise OSError(ctypes.get_errno(), "sendmmsg")
            done, at = done + sent, at + sent
        return (time.perf_counter_ns() - begun) / count


class Ready:
    """A ruleset in a namespace of its own."""

    def __init__(self, order: dict[str, Any], side: dict[str, Any]) -> None:
        enter_another()
        topology = topology_from_json(order["topology"])
        routed = isinstance(topology, RouterTopology)
        wiring = build_router(topology) if isinstance(topology, RouterTopology) else build_pve(topology)
        for name in ("iptables", "ip6tables"):
            set_sysctl(f"net/bridge/bridge-nf-call-{name}", int(side["bridge_nf_call"]), optional=True)
        failed = load(side["loads"])
        if failed:
            sys.exit(f"{side['name']}: {failed}")
        self.name, self.times, self.at = side["name"], [], 0
        self.here, self.world = current(), wiring.world
        self.flood = Flood(frames_of(order, wiring, routed=routed))
        with inside(wiring.world):
            done = subprocess.run(["nft", "-f", "-"], input=COUNTER % order["receiver"], text=True, check=False)
            assert done.returncode == 0
            self.wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self.wire.bind((order["sender"], 0))
            self.wire.setsockopt(263, QDISC_BYPASS, 1)

    def round(self, count: int) -> None:
        self.times.append(self.flood.send(self.wire, count, self.at))
        self.at += count

    def delivered(self) -> int:
        with inside(self.world):
            text = subprocess.run(
                ["nft", "list", "table", "netdev", "sink"], capture_output=True, text=True, check=True
            )
        found = re.search(r"counter packets (\d+)", text.stdout)
        assert found is not None
        return int(found[1])


def frames_of(order: dict[str, Any], wiring: Wiring, *, routed: bool) -> list[bytes]:
    ends = {one.name: one for one in wiring.endpoints}
    sender, receiver = ends[order["sender"]], ends[order["receiver"]]
    mac = wiring.macs[sender.name] if routed else receiver.mac
    here, there = order["source"], order["destination"] or receiver.addresses[0]
    flows = order["flows"]
    return [
        ethernet(
            mac, sender.mac, IPV4, packet(here, there, 17, udp(here, there, 1024 + flow, order["port"], b"x" * 18))
        )
        for flow in range(flows)
    ]


def main() -> None:
    orders = json.loads(Path(sys.argv[1]).read_text())
    processors = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {processors[-1]})
    rows = []
    for order in orders:
        sides = [Ready(order, side) for side in order["sides"]]
        for side in sides:
            side.round(order["count"] // 4)  # warm up
            side.times.clear()
        for _ in range(order["rounds"]):
            for side in sides:
                side.round(order["count"])
        for side in sides:
            total = order["count"] // 4 + order["rounds"] * order["count"]
            rows.append(
                {
                    "case": order["case"], "ruleset": side.name, "ns": statistics.median(side.times),
                    "spread": max(side.times) - min(side.times), "delivered": side.delivered() / total,
                }
            )  # fmt: skip
    sys.stdout.write("\n---flood---\n" + json.dumps(rows) + "\n")


if __name__ == "__main__":
    main()
