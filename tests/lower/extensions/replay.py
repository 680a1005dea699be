"""Both firewalls, the same packets, one namespace: run as `unshare -n python replay.py`, with a JSON order on stdin.

The order: {"iptables": {"ip": dump, "ip6": dump}, "nft": script, "frames": [hexadecimal...], "bind": [udp port...],
"sysctls": {name: value}, "ipset": text of ipset save}. Frames are sent into one end of a pair of interfaces and come
out of the other, v1, which has 10.9.0.1 and fd00:9::1. The answer on stdout: {"iptables": {family: text of iptables-save -c}, "nft": listing}.

A rule of our own, at the interface, counts a last packet; when it has been counted, all others have been judged.
"""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

MAC = {"v0": "02:00:00:00:00:02", "v1": "02:00:00:00:00:01"}
DEADLINE = 120.0
SENTINEL_PORT = 9
SENTINEL = f"""
table netdev sentinel {{
	counter ours {{
	}}

	chain seen {{
		type filter hook ingress device v1 priority 500; policy accept;
		udp dport {SENTINEL_PORT} counter name ours drop
	}}
}}
"""
SETUP = """
ip link set lo up
ip link add v0 address 02:00:00:00:00:02 type veth peer name v1 address 02:00:00:00:00:01
ip link set v0 addrgenmode none
ip link set v1 addrgenmode none
ip link set v0 up
ip link set v1 up
ip addr add 10.9.0.1/24 dev v1
ip -6 addr add fd00:9::1/64 dev v1 nodad
ip neigh add 10.9.0.2 lladdr 02:00:00:00:00:02 dev v1 nud permanent
ip -6 neigh add fd00:9::2 lladdr 02:00:00:00:00:02 dev v1 nud permanent
ip route add unreachable 203.0.113.0/24
ip -6 route add unreachable 2001:db8:dead::/48
ip -6 route add prohibit 2001:db8:beef::/48
ip -6 route add default via fd00:9::2
ip route add default via 10.9.0.2
"""


def run(*words: str, text: str | None = None) -> str:
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(words)}: {done.stderr}")
    return done.stdout


def prepare(order: dict[str, Any]) -> list[socket.socket]:
    for name in ("v0", "default", "all"):
        for key, value in (("accept_ra", "0"), ("accept_dad", "0"), ("router_solicitations", "0")):
            path = Path(f"/proc/sys/net/ipv6/conf/{name}/{key}")
            if path.exists():
                path.write_text(value)
    for line in SETUP.strip().splitlines():
        run(*line.split())
    for name, value in order.get("sysctls", {}).items():
        Path("/proc/sys", *name.split(".")).write_text(value)
    listeners = []
    for port in order.get("bind", []):
        for family in (socket.AF_INET, socket.AF_INET6):
            listener = socket.socket(family, socket.SOCK_DGRAM)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(("", port))
            listeners.append(listener)
    return listeners


def send(frames: list[str]) -> None:
    """Send the frames, between two packets of our own: the pair takes a while to come up, and a queue may be full."""
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sender.bind(("v0", 0))
    _send_until_seen(sender)
    run("nft", "reset", "counters", "table", "netdev", "sentinel")
    for frame in frames:
        sender.send(bytes.fromhex(frame))
    _send_until_seen(sender)


def _send_until_seen(sender: socket.socket) -> None:
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        sender.send(last_packet())
        if "packets 0" not in run("nft", "list", "counters", "table", "netdev", "sentinel"):
            return
    sys.exit("our own packet never arrived")


def last_packet() -> bytes:
    ethernet = bytes.fromhex((MAC["v1"] + MAC["v0"]).replace(":", "")) + struct.pack("!H", 0x0800)
    datagram = struct.pack("!HHHH", 1, SENTINEL_PORT, 8, 0)
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28, 0, 0, 1, 17, 0, b"\x0a\x09\x00\x02", b"\x0a\x09\x00\x01")
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return ethernet + header[:10] + struct.pack("!H", ~total & 0xFFFF) + header[12:] + datagram


def main() -> None:
    order = json.load(sys.stdin)
    # both rulesets before there is an interface: the kernel sends multicast reports as soon as there is one
    if order.get("ipset"):
        run("ipset", "restore", text=order["ipset"])
    for family, dump in order["iptables"].items():
        run("iptables-legacy-restore" if family == "ip" else "ip6tables-legacy-restore", text=dump)
    run("nft", "-f", "-", text=order["nft"])
    listeners = prepare(order)
    run("nft", "-f", "-", text=SENTINEL)
    send(order["frames"])
    # silence: the kernel asks for neighbours again and again, and both sides must be read at the same point
    run("ip", "link", "set", "v0", "down")
    run("ip", "link", "set", "v1", "down")
    answer = {
        "iptables": {
            family: run("iptables-legacy-save" if family == "ip" else "ip6tables-legacy-save", "-c")
            for family in order["iptables"]
        },
        "nft": json.loads(run("nft", "-j", "list", "ruleset")),
    }
    for listener in listeners:
        listener.close()
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
