"""DNAT to a shifted range: which rules it becomes, and that the kernel gives each port the same new one."""

from __future__ import annotations

import select
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from fwtrans.lower.shifted_ports import ASSUMED, MOST_PORTS
from fwtrans.translate import Settings
from tests.hosts import translated
from tests.namespaces import namespace

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "*nat\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -d 127.0.0.2 "
SHIFTED = HEAD + (
    "-p udp -m udp --dport 9000:9003 -j DNAT --to-destination 127.0.0.1:9000-9003/9000\n"
    "-A OUTPUT -d 127.0.0.2 -p udp -m udp --dport 8000:8003 -j DNAT --to-destination 127.0.0.1:80-83/8000\n"
    "-A OUTPUT -d 127.0.0.2 -p udp -m udp --dport 6998:7003 -j DNAT --to-destination 127.0.0.1:80-81/7001\n"
    "-A OUTPUT -d 127.0.0.2 -p udp -m udp --dport 6000 -j DNAT --to-destination 127.0.0.1:80-82/7001\nCOMMIT\n"
)
NEW_PORTS = {9001: 9001, 8000: 80, 8003: 83, 6998: 81, 7000: 81, 7001: 80, 7002: 81, 7003: 80, 6000: 82}


def dump(tmp_path: Path, rule: str) -> Path:
    place = tmp_path / "iptables-save"
    place.write_text(f"{HEAD}{rule}\nCOMMIT\n")
    return place


def test_each_port_has_a_rule_of_its_own(tmp_path: Path) -> None:
    rule = "-p tcp --dport 21:23 -j DNAT --to-destination 10.0.0.2-10.0.0.3:30-39/20"
    done, found = translated(dump(tmp_path, rule), Settings(optimize=False))
    assert not found
    rules = [line.strip().partition(" comment ")[0] for line in done.output.splitlines() if " dnat " in line]
    assert rules == [
        f"ip daddr 127.0.0.2 tcp dport {port} dnat to 10.0.0.2-10.0.0.3:{port + 10}" for port in (21, 22, 23)
    ]
    assert ASSUMED in done.assumptions


@pytest.mark.parametrize(
    "rule",
    [
        "-p tcp -j DNAT --to-destination 10.0.0.2:80-83/8000",
        "-p tcp ! --dport 8000:8003 -j DNAT --to-destination 10.0.0.2:80-83/8000",
        "-p tcp --dport 8000:8003 -m limit --limit 1/s -j DNAT --to-destination 10.0.0.2:80-83/8000",
        "-p tcp --dport 8000:8003 -j DNAT --to-destination 10.0.0.2:80-83/8000 --random",
        f"-p tcp --dport 1:{MOST_PORTS + 1} -j DNAT --to-destination 10.0.0.2:80-83/8000",
    ],
)
def test_other_shifted_ranges_are_refused(tmp_path: Path, rule: str) -> None:
    _, found = translated(dump(tmp_path, rule))
    assert [item.code for item in found] == ["FWT200"]


def answers() -> dict[int, int]:
    """Return at which port a packet arrives, for each that it is sent to."""
    sockets: dict[socket.socket, int] = {}
    found: dict[int, int] = {}
    try:
        for port in (80, 81, 82, 83, 9000, 9001, 9002, 9003):
            opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            opened.bind(("127.0.0.1", port))
            sockets[opened] = port
        for port in NEW_PORTS:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"x", ("127.0.0.2", port))
                readable, _, _ = select.select(list(sockets), [], [], 5)
            found.update((port, sockets[each]) for each in readable)
            for each in readable:
                each.recv(1)
    finally:
        for opened in sockets:
            opened.close()
    return found


@pytest.mark.netns
def test_the_kernel_gives_the_same_ports(tmp_path: Path) -> None:
    place = tmp_path / "iptables-save"
    place.write_text(SHIFTED)
    done, _ = translated(place)
    for command, text in ((("iptables-restore",), SHIFTED), (("nft", "-f", "-"), done.output)):
        with namespace():
            subprocess.run(("ip", "link", "set", "lo", "up"), check=True)
            subprocess.run(command, input=text, text=True, check=True)
            assert answers() == NEW_PORTS, command
