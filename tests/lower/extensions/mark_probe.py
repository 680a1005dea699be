"""Sends datagrams with marks over lo in a namespace of its own and prints the marks that come out of the mangle table.

Standard input: {"commands": [[word, ...]], "nft": TEXT}. Each datagram goes to a port of its own; a chain in front of mangle
gives its connection a mark, a chain behind it notes both marks.
"""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys

MARKS = (0, 1, 0x12, 0xFF, 0xDEADBEEF, 0xFFFFFFFF)
FRAME = """
table ip frame {
	set seen { typeof udp dport . meta mark . ct mark; size 1000; flags dynamic; }
	chain before {
		type filter hook output priority -160;
		ct mark set udp dport map { %s }
	}
	chain after {
		type filter hook output priority -140;
		update @seen { udp dport . meta mark . ct mark }
	}
}
"""


def main() -> None:
    task = json.load(sys.stdin)
    pairs = [(mark, ctmark) for mark in MARKS for ctmark in MARKS]
    given = ", ".join(f"{1000 + index} : {ctmark}" for index, (_, ctmark) in enumerate(pairs))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["nft", "-f", "-"], check=True, input=FRAME % given + task["nft"], text=True)
    for command in task["commands"]:
        subprocess.run(command, check=True)
    for index, (mark, _) in enumerate(pairs):
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, struct.pack("I", mark))
        sender.sendto(b"x", ("127.0.0.1", 1000 + index))
    listing = subprocess.run(["nft", "-j", "list", "set", "ip", "frame", "seen"], check=True, capture_output=True)
    elements = next(item["set"]["elem"] for item in json.loads(listing.stdout)["nftables"] if "set" in item)
    found = {part["concat"][0]: part["concat"][1:] for part in elements}
    json.dump([(mark, ctmark, *found[1000 + index]) for index, (mark, ctmark) in enumerate(pairs)], sys.stdout)


if __name__ == "__main__":
    main()
