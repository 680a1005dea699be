"""Loads rulesets with the real nft, in a namespace of their own or in a lab kernel, and returns what it lists."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.backend.nft import model as nft
from fwtrans.backend.nft.build import address, concat, ip, jump, mark, number, prefix
from fwtrans.backend.nft.json_form import print_json
from fwtrans.backend.nft.target import DEBIAN_12, DEBIAN_13, Target
from fwtrans.backend.nft.text import print_ruleset
from fwtrans.diagnostics import Refused
from tests.places import SHARED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.backend.nft.statement_cases import Case, Place

NFT = os.environ.get("FWTRANS_NFT", "nft")
"""The nft to load with; the listings that the cases tell are those of nft 1.0.6."""

_COMMENT = re.compile(r"\t\t(.*) comment \"case (\d+)\"$")

_BRACES = re.compile(r"\{ ([^{}]*?)\s\}")


def nft_version() -> tuple[int, ...]:
    """Return the version of the nft that loads."""
    said = subprocess.run([NFT, "--version"], text=True, capture_output=True, check=True).stdout
    found = re.search(r"v(\d+)\.(\d+)\.(\d+)", said)
    assert found, said
    return tuple(map(int, found.groups()))


def target() -> Target:
    """Return the newest target that the nft at hand fulfils."""
    return DEBIAN_13 if nft_version() >= DEBIAN_13.nft else DEBIAN_12


class Loaded(NamedTuple):
    """What nft said, and what it lists afterwards."""

    status: int
    errors: str
    listing: str


def lab_launcher() -> Path | None:
    """Return what runs a script under a kernel that has all of bridge netfilter, or nothing."""
    chosen = os.environ.get("FWTRANS_LAB_UML")
    launcher = Path(chosen) if chosen else SHARED / "lab" / "run-uml"
    return launcher if launcher.is_file() else None


def load(
    text: str, *, as_json: bool = False, zone: str = "UTC", listing_zone: str = "UTC", list_json: bool = False
) -> Loaded:
    """Load a ruleset into a fresh namespace, and return what nft lists then."""
    script = 'ip link set lo up && TZ="$3" "$0" $1 -f - && TZ="$4" "$0" $2 list ruleset'
    flags = ["-j" if asked else "" for asked in (as_json, list_json)]
    process = subprocess.run(
        ["unshare", "-n", "sh", "-c", script, NFT, *flags, zone, listing_zone],
        input=text,
        text=True,
        capture_output=True,
        check=False,
    )
    return Loaded(process.returncode, process.stderr, process.stdout)


def bytecode(text: str) -> str:
    """Return the instructions that nft makes of a ruleset, as it tells them while loading."""
    process = subprocess.run(
        ["unshare", "-n", NFT, "--debug=netlink", "-f", "-"], input=text, text=True, capture_output=True, check=True
    )
    return process.stdout + process.stderr


def load_in_lab(texts: Iterable[tuple[str, bool]], launcher: Path, folder: Path) -> list[Loaded]:
    """Load rulesets one after the other (text, and whether it is JSON) in one run of the lab kernel."""
    lines = ["ip link add br0 type bridge"]
    loads = list(texts)
    for index, (text, as_json) in enumerate(loads):
        path = folder / f"ruleset-{index}"
        path.write_text(text, encoding="utf-8")
        lines += [
            "nft flush ruleset",
            f"nft {'-j' if as_json else ''} -f {path} 2>&1",
            'echo "== status $?"',
            "nft list ruleset",
            'echo "== end"',
        ]
    script = folder / "script"
    script.write_text("\n".join(lines), encoding="utf-8")
    process = subprocess.run([launcher, "-t", "900", script], text=True, capture_output=True, check=False)
    found = re.findall(r"(.*?)== status (\d+)\n(.*?)== end\n", process.stdout, re.DOTALL)
    assert len(found) == len(loads), process.stdout + process.stderr
    return [Loaded(int(status), errors, listing) for errors, status, listing in found]


def ruleset_of(cases: Iterable[tuple[int, Case]]) -> nft.Ruleset:
    """Return a ruleset with a table for each place, each case a rule whose comment is its number."""
    by_place: dict[Place, list[nft.Rule]] = {}
    for index, case in cases:
        by_place.setdefault(case.place, []).append(nft.Rule(case.statements, f"case {index}"))
    return nft.Ruleset(tuple(_table(number, place, rules) for number, (place, rules) in enumerate(by_place.items())))


def _table(index: int, place: Place, rules: list[nft.Rule]) -> nft.Table:
    chains = (nft.Chain(name="other"), nft.Chain(name="base", base=place.base, rules=tuple(rules)))
    text = print_ruleset(nft.Ruleset((nft.Table(family=place.family, name="t", chains=chains),))).text
    return nft.Table(
        family=place.family,
        name=f"place{index}",
        chains=chains,
        objects=tuple(item for item in OBJECTS if f'"{item.name}"' in text or item.name == "bucket"),
        sets=tuple(item for item in SETS if f"@{item.name}" in text),
        maps=tuple(item for item in MAPS if f"@{item.name}" in text),
        flowtables=(FLOWTABLE,) if "@fast" in text else (),
    )


def normalised(listing: str) -> str:
    """Return a ruleset without blank lines, the elements of every set sorted: the kernel's hash tables keep no order."""
    listing = listing.replace("\n\n", "\n")
    return _BRACES.sub(lambda match: "{ " + ", ".join(sorted(re.split(r",\s+", match[1].strip()))) + " }", listing)


def printed(cases: Iterable[tuple[int, Case]], *, as_json: bool) -> str:
    """Return the cases as one ruleset in text or in JSON."""
    ruleset = ruleset_of(cases)
    return print_json(ruleset, target()) if as_json else print_ruleset(ruleset).text


def sayable_in_json(cases: Iterable[tuple[int, Case]]) -> tuple[tuple[int, Case], ...]:
    """Return the cases that JSON has on the nft that loads."""
    return tuple((index, case) for index, case in cases if is_sayable_in_json(case, target()))


def is_sayable_in_json(case: Case, for_target: Target) -> bool:
    """Tell whether a case prints as JSON."""
    try:
        print_json(ruleset_of([(0, case)]), for_target)
    except Refused as refused:
        return refused.code != "FWT502"
    return True


def listed_rules(listing: str) -> dict[int, str]:
    """Return what nft lists for each case."""
    found = (_COMMENT.fullmatch(line) for line in listing.splitlines())
    return {int(match[2]): match[1] for match in found if match}


OBJECTS: tuple[nft.NamedObject, ...] = (
    nft.CounterObject(name="web", packets=3, bytes=180, comment="of the web"),
    nft.QuotaObject(name="volume", bytes=25 << 20, over=True, used=10),
    nft.LimitObject(name="bucket", rate=nft.Rate(10, nft.Period.SECOND, 7)),
    nft.CtHelperObject(name="ftp-standard", helper="ftp", protocol="tcp", l3_protocol=nft.Family.INET),
    nft.CtTimeoutObject(
        name="short", protocol="tcp", l3_protocol=nft.Family.IP, policy=(("established", 120), ("close", 20))
    ),
    nft.CtExpectationObject(
        name="later", protocol="tcp", l3_protocol=nft.Family.IP, port=5060, timeout=3_600_000, size=12
    ),
    nft.SynproxyObject(name="shield", mss=1460, window_scale=7, timestamp=True, sack_permitted=True),
)

SETS = (
    nft.Set(
        name="addresses",
        key=nft.DataTypes(("ipv4_addr",)),
        flags=(nft.SetFlag.INTERVAL,),
        elements=(nft.Element(address("192.0.2.1")), nft.Element(prefix("198.51.100.0/24"), comment="a net")),
    ),
    nft.Set(
        name="services",
        key=nft.DataTypes(("inet_proto", "inet_service")),
        elements=(nft.Element(concat(nft.Symbol("tcp"), number(22))),),
    ),
    nft.Set(
        name="seen",
        key=nft.DataTypes(("ipv4_addr",)),
        flags=(nft.SetFlag.TIMEOUT, nft.SetFlag.DYNAMIC),
        timeout=3_600_000,
        size=1000,
    ),
    nft.Set(name="counted", key=nft.DataTypes(("ipv4_addr",)), flags=(nft.SetFlag.DYNAMIC,), size=1000),
)

MAPS = (
    nft.Map(
        name="ports",
        key=nft.DataTypes(("ifname",)),
        value=nft.VerdictType(),
        elements=(nft.Element(nft.InterfaceName("eth0"), jump("other")),),
    ),
    nft.Map(
        name="buckets",
        key=nft.DataTypes(("ifname",)),
        value=nft.ObjectKind.LIMIT,
        elements=(nft.Element(nft.InterfaceName("eth0"), nft.QuotedString("bucket")),),
    ),
    nft.Map(
        name="vmid",
        key=nft.DataTypes(("ifname",)),
        value=nft.DataTypes(("mark",)),
        elements=(nft.Element(nft.InterfaceName("eth0"), mark(100), comment="guest 100"),),
    ),
    nft.Map(
        name="clients",
        key=nft.DataTypes(("ipv4_addr",)),
        value=nft.DataTypes(("mark",)),
        flags=(nft.SetFlag.TIMEOUT, nft.SetFlag.DYNAMIC),
        timeout=300_000,
    ),
    nft.Map(
        name="netmap",
        key=nft.DataTypes(("ipv4_addr",)),
        value=nft.DataTypes(("ipv4_addr",)),
        value_is_interval=True,
        flags=(nft.SetFlag.INTERVAL,),
        elements=(nft.Element(prefix("10.0.0.0/24"), prefix("198.51.100.0/24")),),
    ),
    nft.Map(
        name="servers",
        key=nft.DataTypes(("inet_service",)),
        value=nft.DataTypes(("ipv4_addr", "inet_service")),
        elements=(nft.Element(number(80), concat(address("192.0.2.1"), number(8080))),),
    ),
)

FLOWTABLE = nft.Flowtable(name="fast", priority=0, devices=("lo",))

TYPE_OF_FRAGMENTS = nft.Set(
    name="fragments", key=nft.TypeOf(ip("frag-off")), elements=(nft.Element(number(1)), nft.Element(number(2)))
)
