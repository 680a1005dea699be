"""What header_writes prints is loaded, and packets show what it does: the new value, and whether checksums stay right."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fwtrans.backend.nft import model as nft
from fwtrans.backend.nft.header_writes import header_write, is_header_write
from fwtrans.backend.nft.text import print_ruleset
from fwtrans.ir.effect import Assign, AssignFromTable
from fwtrans.ir.fields import IP6_CLASS, IP6_HOPLIMIT, IP_TOS, IP_TTL, MARK, TCP_FLAGS, Family

if TYPE_CHECKING:
    from collections.abc import Callable

PROBE = Path(__file__).with_name("header_probe.py")


def text_of(step: Assign | AssignFromTable, family: nft.Family) -> str:
    chains: list[nft.Chain] = []

    def helper_chain(wanted: str, rules: tuple[tuple[nft.Statement, ...], ...]) -> str:
        name = f"{wanted.replace('.', '-')}-{len(chains)}"
        chains.append(nft.Chain(name=name, rules=tuple(nft.Rule(statements) for statements in rules)))
        return name

    base = nft.BaseHook(type=nft.ChainType.FILTER, hook=nft.Hook.OUTPUT, priority=-150)
    rules = (nft.Rule(header_write(step, helper_chain, Family(family.value))),)
    table = nft.Table(family=family, name="probe", chains=(nft.Chain(name="output", base=base, rules=rules), *chains))
    return print_ruleset(nft.Ruleset((table,))).text


def arriving(step: Assign | AssignFromTable, probe: str, family: nft.Family = nft.Family.IP) -> dict[int, int | None]:
    done = subprocess.run(
        ["unshare", "-n", sys.executable, str(PROBE)],
        input=json.dumps({"nft": text_of(step, family), "probe": probe}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {int(old): new for old, new in json.loads(done.stdout).items()}


def assigned(step: Assign) -> Callable[[int], int]:
    return lambda old: (old & step.keep) ^ step.constant


TOS_WRITES = {
    "dscp, as DSCP does": (0x03, 46 << 2),
    "ecn alone": (0xFC, 1),
    "all bits": (0, 0x21),
    "minimize-delay": (0xC0, 0x10),
    "one bit of ecn set": (0xFD, 0x02),
    "one bit of dscp flipped": (0xFF, 0x80),
    "bits of both flipped and cleared": (0x5A, 0xC3),
}


@pytest.mark.netns
@pytest.mark.parametrize(("keep", "constant"), TOS_WRITES.values(), ids=TOS_WRITES.keys())
def test_tos_bits_are_written_and_the_checksum_stays_right(keep: int, constant: int) -> None:
    step = Assign(IP_TOS, keep, constant)
    wanted = assigned(step)
    assert arriving(step, "tos") == {old: wanted(old) for old in range(256)}


@pytest.mark.netns
@pytest.mark.parametrize(("keep", "constant"), TOS_WRITES.values(), ids=TOS_WRITES.keys())
def test_traffic_class_bits_are_written(keep: int, constant: int) -> None:
    step = Assign(IP6_CLASS, keep, constant)
    wanted = assigned(step)
    assert arriving(step, "class", nft.Family.IP6) == {old: wanted(old) for old in range(256)}


@pytest.mark.netns
@pytest.mark.parametrize("change", [1, -1, 200, -200])
def test_ttl_counts_within_its_bounds(change: int) -> None:
    def counted(old: int) -> int:
        return min(max(old + change, 0), 255)

    step = AssignFromTable(IP_TTL, tuple((old, counted(old)) for old in range(256)))
    # a packet whose TTL is 0 still arrives over lo: nothing forwards it
    assert arriving(step, "ttl") == {old: counted(old) for old in range(1, 256)}


@pytest.mark.netns
@pytest.mark.parametrize(("keep", "constant"), [(0x3F, 0), (0xBF, 0x40), (0x7F, 0x80), (0x3F, 0xC0)])
def test_tcp_flags_are_written_and_the_checksum_stays_right(keep: int, constant: int) -> None:
    step = Assign(TCP_FLAGS, keep, constant)
    wanted = assigned(step)
    assert arriving(step, "flags") == {old: wanted(old) for old in range(256)}


def test_what_has_a_plain_statement_is_left_alone() -> None:
    assert not is_header_write(Assign(MARK, 0xFF, 1))
    assert not is_header_write(Assign(IP_TTL, 0, 64))
    assert not is_header_write(Assign(TCP_FLAGS, 0, 16))
    assert not is_header_write(AssignFromTable(IP6_HOPLIMIT, ((1, 0),)))
    assert is_header_write(Assign(IP_TOS, 0, 0x10))


def test_a_constant_dscp_takes_one_statement() -> None:
    found = header_write(
        Assign(IP_TOS, 3, 46 << 2), lambda _wanted, _rules: pytest.fail("no chain is needed"), Family.IP
    )
    assert found == (nft.Assignment(nft.Payload("ip", "dscp"), nft.Number(46)),)
