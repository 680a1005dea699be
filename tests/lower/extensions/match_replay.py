"""Both firewalls, the same packets, one namespace, for matches: run as `unshare -n python match_replay.py`.

The order on stdin: {"setup": [command...], "ipsets": text, "iptables": {family: dump}, "nft": script,
"frames": [hexadecimal...], "sent_as": [[uid, gid, address]...], "bind": [udp port...]}. Frames go into one end of a pair
of interfaces and come out of v1, which has 10.9.0.1 and fd00:9::1; a datagram is sent for each user of `sent_as`.
Answer: {"iptables": {family: iptables-save -c}, "nft": listing}.

The pair is a queue: when the last packet, which a chain of our own counts, has come out, all others have.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

DEADLINE = 120.0
_COUNT = re.compile(r"\[\d+:\d+\]")
# "wait 1.5" among the frames: what is asked is how much time has passed.
WAIT = "wait "
SETUP = """
ip link set lo up
ip link add v0 address 02:00:00:00:00:02 type veth peer name v1 address 02:00:00:00:00:01
ip link set v0 up
ip link set v1 up
ip addr add 10.9.0.1/24 dev v1
ip -6 addr add fd00:9::1/64 dev v1 nodad
ip neigh add 10.9.0.2 lladdr 02:00:00:00:00:02 dev v1 nud permanent
ip -6 neigh add fd00:9::2 lladdr 02:00:00:00:00:02 dev v1 nud permanent
ip route add unreachable 203.0.113.0/24
ip -6 route add unreachable 2001:db8:dead::/48
ip -6 route add prohibit 2001:db8:beef::/48
ip route add default via 10.9.0.2
ip -6 route add default via fd00:9::2
"""
# An ethernet type that nobody speaks.
LAST = bytes.fromhex("02000000000102000000000288b5") + b"last"
SENTINEL = """
table netdev sentinel {
	chain seen { type filter hook ingress device v1 priority 500; policy accept; ether type 0x88b5 counter; }
}
"""


def run(*words: str, text: str | None = None) -> str:
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(words)}: {done.stderr}")
    return done.stdout


def prepare(order: dict[str, Any]) -> list[socket.socket]:
    for name in ("default", "all"):
        for key in ("accept_ra", "accept_dad", "router_solicitations"):
            Path(f"/proc/sys/net/ipv6/conf/{name}/{key}").write_text("0")
        Path(f"/proc/sys/net/ipv4/conf/{name}/rp_filter").write_text("0")
    for line in [*SETUP.strip().splitlines(), *order.get("setup", [])]:
        run(*line.split())
    listeners = []
    for port in order.get("bind", []):
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listener.bind(("", port))
        listeners.append(listener)
    return listeners


def send_as(user: int, group: int, address: str) -> None:
    """Send one datagram from a process of that user."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        if status:
            sys.exit(f"the process of user {user} failed")
        return
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"data", (address, 4000))
    os._exit(0)


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + DEADLINE
    while not is_so():
        if time.monotonic() > end:
            sys.exit(f"{what} after {DEADLINE} seconds")


def has_carrier() -> bool:
    """Tell whether the kernel has seen that both ends are up: until then it throws frames away."""
    links = {link["ifname"]: link["operstate"] for link in json.loads(run("ip", "-j", "link", "show"))}
    return bool(links["v0"] == links["v1"] == "UP")


def send(frames: list[str]) -> None:
    run("nft", "-f", "-", text=SENTINEL)
    wait_until(has_carrier, "no carrier")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind(("v0", 0))
        for frame in frames:
            if frame.startswith(WAIT):
                time.sleep(float(frame.removeprefix(WAIT)))
            else:
                sender.send(bytes.fromhex(frame))
        sender.send(LAST)
    wait_until(
        lambda: "packets 0" not in run("nft", "list", "table", "netdev", "sentinel"), "the last packet is missing"
    )


def saved(order: dict[str, Any]) -> dict[str, str]:
    return {
        family: run("iptables-legacy-save" if family == "ip" else "ip6tables-legacy-save", "-c")
        for family in order["iptables"]
    }


def counters(order: dict[str, Any]) -> dict[str, Any]:
    """Return what both counted, read when neither counts: the kernel's own multicast reports pass both, at any time."""
    found: dict[str, Any] = {}

    def is_quiet() -> bool:
        found["iptables"] = saved(order)
        found["nft"] = json.loads(run("nft", "-j", "list", "ruleset"))
        return _COUNT.findall("".join(saved(order).values())) == _COUNT.findall("".join(found["iptables"].values()))

    wait_until(is_quiet, "packets still come")
    return found


def main() -> None:
    order: dict[str, Any] = json.load(sys.stdin)
    if order.get("ipsets"):
        run("ipset", "restore", text=order["ipsets"])
    # before there is an interface: the kernel sends multicast reports as soon as there is one
    for family, dump in order["iptables"].items():
        run("iptables-legacy-restore" if family == "ip" else "ip6tables-legacy-restore", text=dump)
    run("nft", "-f", "-", text=order["nft"])
    listeners = prepare(order)
    for user, group, address in order.get("sent_as", []):
        send_as(user, group, address)
    send(order["frames"])
    answer = counters(order)
    for listener in listeners:
        listener.close()
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
