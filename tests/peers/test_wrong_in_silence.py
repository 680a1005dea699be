"""What other translators get wrong without a word: each line of it, judged by packets and by nft's own instructions."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise, product

import pytest

from tests.clock import away_from_midnight
from tests.lower.extensions import frames
from tests.peers.both_firewalls import (
    FAR,
    NEAR,
    assert_alike,
    bytecode,
    count,
    kernel,
    mangle,
    translated,
)  # fmt: skip

pytestmark = kernel

PORTS = (1, 19, 20, 21, 22, 23, 60, 79, 80, 81, 99, 100, 101, 443, 65535)
SEGMENTS = [frames.ipv4(frames.tcp(FAR, NEAR, sport, dport), protocol=6) for sport, dport in product(PORTS, PORTS)]
DATAGRAM = frames.ipv4(frames.udp(FAR, NEAR, 1000, 5000))


def test_multiport_keeps_its_negation() -> None:
    counted = count(
        [
            "-p tcp -m multiport ! --ports 22,80",
            "-p tcp -m multiport --ports 22,80",
            "-p tcp -m multiport ! --dports 22,80",
            "-p tcp -m multiport ! --sports 20:100,443",
        ],
        SEGMENTS,
    )
    assert_alike(counted)
    assert counted[0].nft == (len(PORTS) - 2) ** 2, "neither port is one of the two"
    assert counted[0].nft + counted[1].nft == len(SEGMENTS)


def test_multiport_ranges_hold_what_is_between_their_ends() -> None:
    counted = count(["-p tcp -m multiport --ports 20:100", "-p tcp -m multiport ! --ports 20:100,443"], SEGMENTS)
    assert_alike(counted)
    outside = sum(not 20 <= port <= 100 for port in PORTS)
    assert counted[0].nft == len(SEGMENTS) - outside**2


def test_state_new_or_dnat_matches_both() -> None:
    """A state and a NAT status in one list are alternatives: the state in one instruction, the status in another."""
    said = bytecode(translated(mangle(["-m conntrack --ctstate NEW,DNAT"])).output)
    assert "ct load state" in said
    assert "ct load status" in said
    counted = count(
        [
            "-m conntrack --ctstate NEW,DNAT",
            "-m conntrack ! --ctstate NEW,DNAT",
            "-m conntrack --ctstate NEW",
            "-m conntrack --ctstate DNAT",
        ],
        [DATAGRAM, DATAGRAM, frames.ipv4(frames.tcp(FAR, NEAR, 5, 6, flags=0x10), protocol=6)],
    )
    assert_alike(counted)
    assert counted[0].nft >= 1


MARK_RULES = ("--set-xmark 0x16/0x12", "--set-mark 0x16/0x12", "--or-mark 0x9", "--and-mark 0x6", "--xor-mark 0x1b")


@pytest.mark.parametrize("start", [0, 0x1F, 0x15, 0x0A])
@pytest.mark.parametrize("operation", MARK_RULES)
def test_connmark_is_computed_bit_by_bit(operation: str, start: int) -> None:
    rules = [f"-j CONNMARK --set-xmark {start:#x}/0xffffffff", f"-j CONNMARK {operation}"]
    counted = count([*rules, *(f"-m connmark --mark {value:#x}" for value in range(32))], [DATAGRAM])
    assert_alike(counted)
    assert sum(item.nft > 0 for item in counted[2:]) == 1


@pytest.mark.parametrize("start", [0, 0x3F, 0x2A])
@pytest.mark.parametrize(
    "masks", ["", " --nfmask 0xf --ctmask 0xf", " --nfmask 0x3 --ctmask 0x3c", " --nfmask 0xc --ctmask 0x0"]
)
@pytest.mark.parametrize("operation", ["--save-mark", "--restore-mark"])
def test_saved_and_restored_marks_keep_the_bits_outside_the_masks(operation: str, masks: str, start: int) -> None:
    rules = [
        f"-j CONNMARK --set-xmark {start:#x}/0xffffffff",
        "-j MARK --set-xmark 0x1b/0xffffffff",
        f"-j CONNMARK {operation}{masks}",
    ]
    looking = [f"-m {match} --mark {value:#x}" for match in ("connmark", "mark") for value in range(64)]
    counted = count([*rules, *looking], [DATAGRAM])
    assert_alike(counted)
    assert sum(item.nft > 0 for item in counted[3:]) == 2


ZONES = ("UTC", "America/New_York", "Asia/Kolkata", "Pacific/Kiritimati")
TIMES = (
    "--timestart 08:00 --timestop 17:00",
    "--timestart 22:00 --timestop 06:00",
    "--timestart 22:00 --timestop 06:00 --contiguous --weekdays Fri",
    "--weekdays Mon,Sun",
    "--monthdays 1,31",
    "--datestart 2020-01-01T12:00:00 --datestop 2020-12-31T23:59:59",
)


@pytest.mark.parametrize("rule", TIMES)
def test_time_does_not_depend_on_the_zone_of_whoever_loads_it(rule: str) -> None:
    script = translated(mangle([f"-m time {rule}"])).output
    first, *others = [bytecode(script, zone) for zone in ZONES]
    assert all(other == first for other in others)


def test_time_is_read_in_utc() -> None:
    now = away_from_midnight()
    clock = [(now + timedelta(minutes=minutes)).strftime("%H:%M") for minutes in (-240, -120, 120, 240)]
    windows = [*pairwise(clock), (clock[3], clock[0])]
    rules = [f"-m time --timestart {start} --timestop {stop}" for start, stop in windows]
    day = now.strftime("%a")
    rules += [f"-m time --weekdays {day}", f"-m time ! --weekdays {day}", f"-m time --monthdays {now.day}"]
    counted = count(rules, [DATAGRAM] * 3)
    assert_alike(counted)
    assert [item.nft > 0 for item in counted[:4]] == [False, True, False, False]


SOURCES = ("10.9.0.2", "10.9.0.7", "10.9.0.8", "10.9.0.130", "10.9.1.1", "192.0.2.1")


def test_nomatch_stays_an_exclusion() -> None:
    ipsets = """create n hash:net family inet
add n 10.9.0.0/16
add n 10.9.0.0/29 nomatch
add n 10.9.0.7/32
add n 10.9.0.128/25 nomatch
"""
    packets = [frames.ipv4(frames.udp(source, NEAR, 1, 2), source=source) for source in SOURCES]
    rules = ["-m set --match-set n src", "-m set ! --match-set n src"]
    counted = count(rules, packets, ipsets=ipsets)
    assert_alike(counted)
    assert counted[0].nft == 3, "10.9.0.7, .8 and 10.9.1.1 are inside; .2 and .130 are excluded, 192.0.2.1 is outside"
