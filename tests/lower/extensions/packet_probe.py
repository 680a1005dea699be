"""Sends TCP packets of many kinds over lo in a namespace of its own and prints how each arrives, in hex.

Standard input: {"commands": [[word, ...]], "nft": TEXT}. Both IP families, varied TOS, TTL, flags and TCP options; the
kernel computes IPv4's header checksum before any rule sees the packet, the TCP checksum is computed here.
"""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys

WAIT = 30.0  # all are expected to arrive
MSS = b"\x02\x04\x05\xb4"
TIMESTAMP = b"\x08\x0a\x00\x00\x00\x01\x00\x00\x00\x02"
OPTIONS = (
    b"",
    MSS,
    b"\x02\x04\x01\x00",
    MSS + b"\x04\x02" + TIMESTAMP,
    b"\x01\x03\x03\x07" + TIMESTAMP + b"\x01\x01" + MSS,
    b"\xfd\x04\xab\xcd" + b"\x05\x0a" + b"\0" * 8 + b"\x01\x01",
)
KINDS = [
    (tos, ttl, flags, options)
    for flags in (0x02, 0xC2, 0x12, 0x52, 0x10, 0x18, 0xFF)
    for tos, ttl in ((0, 64), (0x12, 1), (0xFF, 255))
    for options in (OPTIONS if flags & 0x02 else OPTIONS[:1])
]


def checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f">{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def segment(number: int, flags: int, options: bytes, pseudo: bytes) -> bytes:
    length = 20 + len(options)
    head = struct.pack(">HHIIBBHHH", number, 9, 1, 1, length // 4 << 4, flags, 100, 0, 0) + options
    return head[:16] + struct.pack(">H", checksum(pseudo + struct.pack(">HH", 6, length) + head)) + head[18:]


def outgoing(family: int) -> list[str]:
    listener = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800 if family == 4 else 0x86DD))
    listener.bind(("lo", 0))
    listener.settimeout(WAIT)
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    sender = socket.socket(kind, socket.SOCK_RAW, socket.IPPROTO_RAW)
    address = socket.inet_pton(kind, "127.0.0.1" if family == 4 else "::1")
    found: list[str] = []
    for index, (tos, ttl, flags, options) in enumerate(KINDS):
        number = 20000 + index
        tcp = segment(number, flags, options, address * 2)
        if family == 4:
            head = struct.pack(">BBHHHBBH4s4s", 0x45, tos, 20 + len(tcp), 7, 0, ttl, 6, 0, address, address)
            sender.sendto(head + tcp, ("127.0.0.1", 0))
        else:
            head = struct.pack(">IHBB16s16s", 6 << 28 | tos << 20, len(tcp), 6, ttl, address, address)
            sender.sendto(head + tcp, ("::1", 0))
        found.append("lost")
        try:
            while True:
                packet = listener.recv(256)[14:]
                start = 20 if family == 4 else 40
                if packet[start : start + 2] == struct.pack(">H", number):
                    found[-1] = packet.hex()
                    break
        except TimeoutError:
            continue
    return found


def main() -> None:
    task = json.load(sys.stdin)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for command in task["commands"]:
        subprocess.run(command, check=True)
    if task["nft"]:
        subprocess.run(["nft", "-f", "-"], check=True, input=task["nft"], text=True)
    json.dump(outgoing(task["family"]), sys.stdout)


if __name__ == "__main__":
    main()
