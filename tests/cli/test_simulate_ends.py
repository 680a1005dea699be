"""simulate from=... to=...: every kind of end, its way through the hooks, and what is refused with a hint."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.test_app import run

if TYPE_CHECKING:
    from pathlib import Path

DUMP = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:in - [0:0]
:out - [0:0]
-A INPUT -p tcp -m tcp --dport 25 -j DROP
-A FORWARD -m physdev --physdev-in fwln+ --physdev-is-bridged -j in
-A FORWARD -m physdev --physdev-out fwln+ --physdev-is-bridged -j out
-A in -m physdev --physdev-out tap100i0 --physdev-is-bridged -p tcp -m tcp --dport 80 -j DROP
-A in -m physdev --physdev-out veth200i1 --physdev-is-bridged -p tcp -m tcp --dport 22 -j DROP
-A out -m physdev --physdev-in tap100i0 --physdev-is-bridged -p tcp -m tcp --dport 443 -j DROP
-A out -m physdev --physdev-in tap100i0 --physdev-is-bridged -m mac ! --mac-source bc:24:11:00:00:64 -j DROP
COMMIT
"""


@pytest.fixture(name="dump")
def _dump(tmp_path: Path) -> Path:
    place = tmp_path / "iptables-save"
    place.write_text(DUMP)
    return place


@pytest.fixture(name="script")
def _script(dump: Path, tmp_path: Path) -> Path:
    place = tmp_path / "ours.nft"
    done = run("translate", str(dump), "-o", str(place))
    assert done.returncode == 0, done.stderr
    return place


def simulated(ruleset: Path, *words: str) -> dict[str, Any]:
    done = run("simulate", str(ruleset), *words, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)["result"]
    assert isinstance(result, dict)
    return result


CASES = [
    (("from=tap100i0", "to=outside", "dport=443"), "drop"),
    (("from=tap100i0", "to=outside", "dport=81"), "accept"),
    (("from=vm100", "to=vmbr0/eth0", "dport=443"), "drop"),
    (("from=vm100", "to=host", "dport=25"), "drop"),
    (("from=vm100", "to=host", "dport=443"), "drop"),
    (("from=vm100", "to=host", "dport=26"), "accept"),
    (("from=nfvm", "to=vm100", "dport=80"), "drop"),
    (("from=nfvm", "to=vm100", "dport=81"), "accept"),
    (("from=nfvm", "to=host", "dport=25"), "drop"),
    (("from=outside", "to=nfvm", "dport=80"), "accept"),
    (("from=outside", "to=ct200", "dport=22"), "drop"),
    (("from=vm100", "to=veth200i1", "dport=22"), "drop"),
    (("from=host", "to=tap100i0", "dport=80"), "drop"),
    (("from=host", "to=outside", "dport=80"), "accept"),
    (("from=vm100", "to=vmbr1/eth1", "dport=443"), "drop"),
    (("from=vm100", "to=outside", "dport=81", "mac-src=02:00:00:00:00:01"), "drop"),
    (("from=vm999", "to=vm100", "dport=80"), "drop"),
    (("from=vm100i0", "to=outside", "dport=443"), "drop"),
    (("from=vm100i1", "to=outside", "dport=443"), "accept"),
    (("from=outside", "to=ct200i1", "dport=22"), "drop"),
    (("from=vm999", "to=outside", "dport=443"), "accept"),
]


def test_every_kind_of_end_goes_the_same_way_in_both_worlds(dump: Path, script: Path) -> None:
    lines = "\n".join(" ".join(words) for words, _ in CASES) + "\n"
    packets = dump.parent / "packets"
    packets.write_text(lines)
    for ruleset in (dump, script):
        done = run("simulate", str(ruleset), "--packets", str(packets), "--json")
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)["result"]
        found = [item["verdict"] for item in (result if isinstance(result, list) else result["packets"])]
        assert found == [verdict for _, verdict in CASES], ruleset.name


def test_json_tells_the_way(dump: Path) -> None:
    found = simulated(dump, "from=vm100", "to=veth200i1", "dport=81")
    assert found["verdict"] == "accept"
    assert [step["hook"] for step in found["trace"] if step["rule"] == 1 and step["chain"] == "FORWARD"] == [
        "forward"
    ] * 3


WRONG = [
    (("from=vm100",), "`to` is missing"),
    (("to=vm100",), "`from` is missing"),
    (("from=nowhere", "to=host"), "`nowhere` is no end of a way"),
    (("from=vm100", "to=vmbr0/"), "`vmbr0/` is no end of a way"),
    (("from=vm100", "to=host", "hook=input"), "`hook` beside `from` and `to`"),
    (("from=vm100", "to=host", "iif=vmbr0"), "`iif` beside `from` and `to`"),
    (("from=vm100", "to=host", "physdev-in=tap100i0"), "`physdev-in` beside `from` and `to`"),
    (("from=vm100", "to=tap100i0"), "are one end"),
    (("from=host", "to=host"), "are one end"),
    (("from=vm100", "to=host", "form=x"), "unknown key `form`"),
    (("from=vm100", "to=host", "src=10.0.0.1", "dst=2001:db8::1"), "different families"),
]


@pytest.mark.parametrize(("words", "said"), WRONG)
def test_what_cannot_be_is_refused_with_a_hint(dump: Path, words: tuple[str, ...], said: str) -> None:
    done = run("simulate", str(dump), *words)
    assert done.returncode not in {0, 70}
    assert done.stdout == ""
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    if "families" not in said and "beside" not in said:
        assert "hint:" in done.stderr
