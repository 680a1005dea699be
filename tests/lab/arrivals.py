"""Two firewalls in turn, the same frames: run as `unshare -n python arrivals.py` with an order on stdin.

The order: [{"family": "ip" or "ip6", "iptables": dump, "nft": script, "frames": [hexadecimal...]}...]. Frames go into v0
and come out of v1; what is not for 10.9.0.1 or fd00:9::1 is routed to w1. The answer, for each round: {"iptables":
{source address of the frame: mark}, "nft": the same}, of the frames that passed every chain of INPUT or FORWARD.

A table of our own notes what arrives, by the frame's source address, which no rule of a test asks for, and drops it, so
that nobody answers. When it has noted the last frame, every other one has been judged: the pair is a queue.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

DEADLINE = 20.0
LAST = "02ff00000000"
SETUP = """
ip link set lo up
ip link add v0 address 02:00:00:00:00:02 type veth peer name v1 address 02:00:00:00:00:01
ip link add w0 address 02:00:00:00:00:04 type veth peer name w1 address 02:00:00:00:00:03
ip link set v0 up
ip link set v1 up
ip link set w0 up
ip link set w1 up
ip addr add 10.9.0.1/32 dev v1
ip -6 addr add fd00:9::1/128 dev v1 nodad
ip route add default dev w1
ip -6 route add default dev w1
"""
OBSERVER = """
flush ruleset
table inet observer {
	set arrived {
		type ether_addr . mark
		size 65535
		flags dynamic
	}

	chain early {
		type filter hook prerouting priority -400; policy accept;
		ether saddr 02:ff:00:00:00:00 add @arrived { ether saddr . meta mark } drop
	}

	chain input {
		type filter hook input priority 500; policy accept;
		ether saddr & ff:ff:00:00:00:00 == 02:f0:00:00:00:00 add @arrived { ether saddr . meta mark } drop
	}

	chain forward {
		type filter hook forward priority 500; policy accept;
		ether saddr & ff:ff:00:00:00:00 == 02:f0:00:00:00:00 add @arrived { ether saddr . meta mark } drop
	}
}
"""
NO_RULES = "".join(
    f"*{table}\n{''.join(f':{chain} ACCEPT [0:0]{chr(10)}' for chain in chains)}COMMIT\n"
    for table, chains in (
        ("filter", ("INPUT", "FORWARD", "OUTPUT")),
        ("mangle", ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")),
    )
)
RESTORE = {"ip": "iptables-legacy-restore", "ip6": "ip6tables-legacy-restore"}


def run(*words: str, text: str | None = None) -> str:
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(words)}: {done.stderr}\n{text}")
    return done.stdout


def prepare() -> socket.socket:
    for line in SETUP.strip().splitlines():
        run(*line.split())
    for name in ("all", "default", "v1", "w1"):
        Path(f"/proc/sys/net/ipv4/conf/{name}/rp_filter").write_text("0")
        Path(f"/proc/sys/net/ipv6/conf/{name}/forwarding").write_text("1")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sender.bind(("v0", 0))
    return sender


def arrived() -> dict[str, int]:
    listing = json.loads(run("nft", "-j", "list", "set", "inet", "observer", "arrived"))
    found = next(item["set"] for item in listing["nftables"] if "set" in item)
    pairs = (element["elem"]["val"] if "elem" in element else element for element in found.get("elem", ()))
    return {str(address).replace(":", ""): int(mark) for address, mark in (pair["concat"] for pair in pairs)}


def send(sender: socket.socket, frames: list[str]) -> dict[str, int]:
    last = bytes.fromhex("020000000001" + LAST + "0800") + bytes.fromhex(
        "4500001c000000000111a5bd0a0900020a0900010001000900080000"
    )
    # the queue has room for as many frames as this, but not for any number
    for frame in frames:
        sender.send(bytes.fromhex(frame))
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        sender.send(last)
        found = arrived()
        if LAST in found:
            del found[LAST]
            return found
    sys.exit("the last frame never arrived")


def play(sender: socket.socket, one: dict[str, Any]) -> dict[str, dict[str, int]]:
    restore = RESTORE[one["family"]]
    run("nft", "-f", "-", text=OBSERVER)
    run(restore, text=one["iptables"])
    before = send(sender, one["frames"])
    run(restore, text=NO_RULES)
    run("nft", "-f", "-", text=OBSERVER + one["nft"])
    after = send(sender, one["frames"])
    return {"iptables": before, "nft": after}


def main() -> None:
    rounds: list[dict[str, Any]] = json.load(sys.stdin)
    sender = prepare()
    run("nft", "-f", "-", text=OBSERVER)
    send(sender, [])  # until it arrives, there is no carrier yet
    json.dump([play(sender, one) for one in rounds], sys.stdout)


if __name__ == "__main__":
    main()
