"""Targets that change packets: the same packets through the real iptables and through what we print, byte for byte."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lower.extensions.printing import printed

PROBE = Path(__file__).with_name("packet_probe.py")
MARK_PROBE = Path(__file__).with_name("mark_probe.py")

CHANGES = (
    "-t mangle -A OUTPUT -j TOS --set-tos 0x10/0xff",
    "-t mangle -A OUTPUT -j TOS --set-tos Minimize-Delay",
    "-t mangle -A OUTPUT -j TOS --or-tos 0x05",
    "-t mangle -A OUTPUT -j TOS --and-tos 0xf1",
    "-t mangle -A OUTPUT -j TOS --xor-tos 0x81",
    "ip6:-t mangle -A OUTPUT -j TOS --set-tos 0x12/0x3e",
    "ip6:-t mangle -A OUTPUT -j TOS --xor-tos 0xff",
    "-t mangle -A OUTPUT -j DSCP --set-dscp-class EF",
    "ip6:-t mangle -A OUTPUT -j DSCP --set-dscp 1",
    "-t mangle -A OUTPUT -p tcp -j ECN --ecn-tcp-remove",
    "-t mangle -A OUTPUT -p tcp -j ECN --ecn-tcp-cwr 1 --ecn-tcp-ece 0",
    "-t mangle -A OUTPUT -j ECN --ecn-ip-ect 1",
    "-t mangle -A OUTPUT -j TTL --ttl-inc 3",
    "-t mangle -A OUTPUT -j TTL --ttl-dec 2",
    "-t mangle -A OUTPUT -j TTL --ttl-set 9",
    "ip6:-t mangle -A OUTPUT -j HL --hl-inc 3",
    "ip6:-t mangle -A OUTPUT -j HL --hl-dec 255",
    "-t mangle -A OUTPUT -p tcp -j TCPOPTSTRIP --strip-options timestamp,sack-permitted",
    "ip6:-t mangle -A OUTPUT -p tcp -j TCPOPTSTRIP --strip-options mss,wscale,5,253",
)


MARKS = (
    "MARK --set-xmark 0x16/0x12",
    "MARK --set-mark 0x16/0x12",
    "MARK --xor-mark 0xffffffff",
    "CONNMARK --set-xmark 0x16/0x12",
    "CONNMARK --or-mark 0x80000001",
    "CONNMARK --save-mark",
    "CONNMARK --save-mark --nfmask 0x3 --ctmask 0xffffffff",
    "CONNMARK --save-mark --nfmask 0xf0 --ctmask 0x0f",
    "CONNMARK --restore-mark --mask 0xff00",
    "CONNMARK --restore-mark --nfmask 0 --ctmask 0xffffffff",
    "CONNMARK --save-mark --nfmask 0xff --ctmask 0xff00 --left-shift-mark 8",
    "CONNMARK --restore-mark --ctmask 0xf0 --nfmask 0xf --right-shift-mark 4",
    "CONNMARK --set-xmark 0x13/0xff --right-shift-mark 1",
    "CONNMARK --set-mark 0xf1 --left-shift-mark 28",
)


def run(probe: Path, task: dict[str, object]) -> object:
    done = subprocess.run(
        ["unshare", "-n", sys.executable, str(probe)],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def outgoing(text: str, *, by_iptables: bool) -> list[str]:
    family = 6 if text.startswith("ip6:") else 4
    words = shlex.split(text.removeprefix("ip6:"))
    command = ["ip6tables-legacy" if family == 6 else "iptables-legacy", *words]
    found = run(
        PROBE,
        {
            "family": family,
            "commands": [command] if by_iptables else [],
            "nft": "" if by_iptables else printed(text, {}).text,
        },
    )
    assert isinstance(found, list)
    return found


@pytest.mark.netns
@pytest.mark.parametrize("target", MARKS)
def test_marks_come_out_as_iptables_would_set_them(target: str) -> None:
    line = f"-t mangle -A OUTPUT -p udp -j {target}"
    by_iptables = run(MARK_PROBE, {"commands": [["iptables-legacy", *line.split()]], "nft": ""})
    by_nft = run(MARK_PROBE, {"commands": [], "nft": printed(line, {}).text})
    assert isinstance(by_iptables, list)
    assert by_nft == by_iptables
    assert any((mark, ctmark) != (new_mark, new_ctmark) for mark, ctmark, new_mark, new_ctmark in by_iptables)


@pytest.mark.netns
@pytest.mark.parametrize("text", CHANGES)
def test_packets_leave_as_iptables_would_send_them(text: str) -> None:
    wanted = outgoing(text, by_iptables=True)
    assert "lost" not in wanted
    assert outgoing(text, by_iptables=False) == wanted
    # the target did change something: the table has packets for it to change
    assert wanted != outgoing(text.partition(" -A ")[0] + " -P OUTPUT ACCEPT", by_iptables=True)


@pytest.mark.netns
@pytest.mark.parametrize("text", ["-p tcp --syn -j TCPMSS --set-mss 1000", "ip6:-p tcp --syn -j TCPMSS --set-mss 1460"])
def test_segment_sizes_are_lowered_and_never_raised(text: str) -> None:
    line = text.replace("-p tcp", "-t mangle -A OUTPUT -p tcp")
    wanted, found = (outgoing(line, by_iptables=which) for which in (True, False))
    # what we say is assumed: iptables adds the option, of at most 536 or 1220, where a SYN has none
    added = [index for index, packet in enumerate(wanted) if len(packet) != len(found[index])]
    assert added
    assert all("020402" in wanted[index] or "020404c4" in wanted[index] for index in added)
    same = [index for index in range(len(wanted)) if index not in added]
    assert [found[index] for index in same] == [wanted[index] for index in same]
