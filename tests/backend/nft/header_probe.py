"""Sends packets over lo in a namespace of its own and says how they arrive. Run by test_header_writes.py.

Standard input: {"nft": TEXT, "probe": "tos" | "ttl" | "class" | "flags"}. Standard output: {old value: new value}, null
where the packet did not arrive with right checksums.
"""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys

WAIT = 30.0  # all are expected to arrive


def checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f">{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def by_datagram(family: int, address: str, level: int, sent_as: int, ask: int, values: range) -> dict[int, int | None]:
    receiver = socket.socket(family, socket.SOCK_DGRAM)
    receiver.bind((address, 0))
    receiver.settimeout(WAIT)
    receiver.setsockopt(level, ask, 1)
    sender = socket.socket(family, socket.SOCK_DGRAM)
    found: dict[int, int | None] = {}
    for value in values:
        sender.sendmsg(
            [bytes([value])], [(level, sent_as, struct.pack("i", value))], 0, (address, receiver.getsockname()[1])
        )
        try:
            _, ancillary, _, _ = receiver.recvmsg(16, 256)
        except TimeoutError:
            found[value] = None
            continue
        found[value] = ancillary[0][2][0]
    return found


def by_raw_tcp(values: range) -> dict[int, int | None]:
    listener = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    listener.bind(("lo", 0))
    listener.settimeout(WAIT)
    sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    loopback = socket.inet_aton("127.0.0.1")
    found: dict[int, int | None] = {}
    for value in values:
        number = 20000 + value
        head = struct.pack(">HHIIBBHHH", number, 9, 1, 1, 0x50, value, 100, 0, 0)
        pseudo = loopback * 2 + struct.pack(">BBH", 0, 6, len(head))
        segment = head[:16] + struct.pack(">H", checksum(pseudo + head)) + head[18:]
        header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 40, 0, 0, 64, 6, 0, loopback, loopback)
        sender.sendto(header + segment, ("127.0.0.1", 0))
        found[value] = None
        try:
            while True:
                seen = listener.recv(256)[14:]
                arrived = seen[20:40]
                if seen[9] == 6 and struct.unpack(">H", arrived[:2])[0] == number:
                    if checksum(pseudo + arrived) == 0 and checksum(seen[:20]) == 0:
                        found[value] = arrived[13]
                    break
        except TimeoutError:
            continue
    return found


def main() -> None:
    task = json.load(sys.stdin)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["nft", "-f", "-"], check=True, input=task["nft"], text=True)
    if task["probe"] == "tos":
        found = by_datagram(socket.AF_INET, "127.0.0.1", socket.IPPROTO_IP, socket.IP_TOS, 13, range(256))
    elif task["probe"] == "ttl":
        found = by_datagram(socket.AF_INET, "127.0.0.1", socket.IPPROTO_IP, socket.IP_TTL, 12, range(1, 256))
    elif task["probe"] == "class":
        found = by_datagram(
            socket.AF_INET6, "::1", socket.IPPROTO_IPV6, socket.IPV6_TCLASS, socket.IPV6_RECVTCLASS, range(256)
        )
    else:
        found = by_raw_tcp(range(256))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
