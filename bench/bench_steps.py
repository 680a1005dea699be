"""What each kind of step costs in the kernel: the table by which passes decide (fwtrans/optimizer/calibration.py).

A 60-byte packet crosses a bridge whose forward hook holds one chain with several copies of a step; the time of the same path
with an empty chain is taken off, and what is left is divided by the copies. `--write` writes the module anew.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import nodes
from bench_packets import OUTSIDE, topology
from kernel import bench_kernel, run_inside
from measure import write

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "120"))
COPIES = 16
MODULE = Path(__file__).resolve().parents[1] / "fwtrans" / "optimizer" / "calibration.py"
EMPTY, HOOKLESS = "a base chain without rules", "no table"
_PORT = 5100
_TARGET = nodes.address(0)


class Step(NamedTuple):
    """What is measured: definitions before the chain, the rule that is repeated, how often."""

    name: str
    rule: str
    before: str = ""
    copies: int = COPIES


# What a rule costs that does not hold, by the name of the field in fwtrans.ir.fields.
TESTS = {
    "MARK": "meta mark 0x7 drop",
    "CT_MARK": "ct mark 0x7 drop",
    "CT_STATE": "ct state invalid drop",
    "L4PROTO": "meta l4proto 132 drop",
    "IIFNAME": 'iifname "tap9999i0" drop',
    "OIFNAME": 'oifname "tap9999i0" drop',
    "IBRNAME": 'meta ibrname "vmbr9" drop',
    "OBRNAME": 'meta obrname "vmbr9" drop',
    "DPORT": "udp dport 7 drop",
    "SPORT": "udp sport 7 drop",
    "ETHER_TYPE": "ether type 0x88cc drop",
    "ETHER_SADDR": "ether saddr 02:00:00:00:00:99 drop",
    "ETHER_DADDR": "ether daddr 02:00:00:00:00:99 drop",
    "IP_SADDR": "ip saddr 192.0.2.99 drop",
    "IP_DADDR": "ip daddr 192.0.2.99 drop",
}
NEEDS_CONNTRACK = {"CT_STATE", "CT_MARK"}


def steps() -> Iterator[Step]:
    """Yield the steps. Keys are found where it is not said that they are missed."""
    for field, rule in TESTS.items():
        yield Step(f"test {field}", rule)
    yield Step("a prefix that does not hold", "ip saddr 192.0.0.0/8 drop")
    yield Step("a range of ports that does not hold", "udp dport 1-1000 drop")
    yield Step("second test fails, addresses", f"ip saddr {OUTSIDE} ip daddr 192.0.2.99 drop")
    yield Step("second test fails, address and port", f"ip saddr {OUTSIDE} udp dport 7 drop")
    yield Step("an anonymous set of 8 ports, missed", "udp dport { 1, 2, 3, 4, 5, 6, 7, 8 } drop")
    yield Step("a rule that holds, without a verdict", f"udp dport {_PORT} continue")
    yield Step("a counter", "counter")
    yield Step("jump to a chain without rules", "jump there", "chain there {\n}\n")
    for count in (100, 10_000, 65_000):
        yield Step(f"hash, one key, {count} elements", "ip daddr @s", _set("ipv4_addr", _addresses(count)), 8)
    yield Step("hash, one key, 10000 elements, missed", "ip saddr @s drop", _set("ipv4_addr", _addresses(10_000)), 8)
    triples = [f"{address} . udp . {_PORT}" for address in _addresses(10_000)]
    kind = "ipv4_addr . inet_proto . inet_service"
    yield Step("hash, three keys, 10000 elements", "ip daddr . meta l4proto . udp dport @s", _set(kind, triples), 8)
    yield Step(
        "hash by interface and ether type, 1000 elements",
        "ether type . oifname @s",
        _set("ether_type . ifname", [f'ip . "{nodes.port(n)}"' for n in range(1000)]),
        8,
    )
    yield Step(
        "hash by state, ether type, interface, 1000 elements",
        "ct state . ether type . oifname @s",
        _set("ct_state . ether_type . ifname", [f'new . ip . "{nodes.port(n)}"' for n in range(1000)]),
        8,
    )
    yield Step("verdict map, three keys, 10000 elements", "ip daddr . meta l4proto . udp dport vmap @s",
               _map(kind, [f"{one} : continue" for one in triples]), 8)  # fmt: skip
    yield Step("verdict map that jumps to a chain without rules, 10000 elements", "ip daddr . meta l4proto . udp dport vmap @s",
               "chain there {\n}\n" + _map(kind, [f"{one} : jump there" for one in triples]), 8)  # fmt: skip
    masked = "ip saddr & 255.0.0.0 . ip daddr & 255.255.0.0 . meta l4proto . udp dport @s drop"
    parts = [f"{n % 200 + 11}.0.0.0 . 10.{n % 250}.0.0 . udp . {n}" for n in range(1, 401)]
    yield Step(
        "hash with masked keys, 400 elements, missed",
        masked,
        _set("ipv4_addr . ipv4_addr . inet_proto . inet_service", parts),
        8,
    )
    for count in (10, 100, 10_000):
        ranges = [f"{IPv4Address(int(one))}-{IPv4Address(int(one) + 1)}" for one in _spread(count)]
        yield Step(
            f"intervals, one field, {count} elements", "ip daddr @s", _set("ipv4_addr", ranges, "flags interval"), 8
        )
    for count in (100, 1000, 10_000):
        triples = [
            f"{IPv4Address(int(one))}-{IPv4Address(int(one) + 1)} . udp . {_PORT}-{_PORT + 5}" for one in _spread(count)
        ]
        yield Step(
            f"concatenated intervals, three fields, {count} elements",
            "ip daddr . meta l4proto . udp dport @s",
            _set(kind, triples, "flags interval"),
            4,
        )
    named = [f'{one} . "tap100i0"' for one in triples[:1000]] + [f'{triples[-1]} . "tap100i0"']
    yield Step("concatenated intervals, four fields with a name, 1000 elements", "ip daddr . meta l4proto . udp dport . oifname @s",
               _set(kind + " . ifname", named, "flags interval"), 4)  # fmt: skip


def _spread(count: int) -> list[IPv4Address]:
    """Return addresses with room between them, the packet's among them."""
    first = IPv4Address(_TARGET)
    return [first + 4 * place for place in range(count)]


def _addresses(count: int) -> list[IPv4Address]:
    return [IPv4Address(_TARGET) + place for place in range(count)]


def _set(kind: str, elements: list[Any], flags: str = "") -> str:
    return f"set s {{\ntype {kind}\n{flags}\nelements = {{ {', '.join(map(str, elements))} }}\n}}\n"


def _map(kind: str, elements: list[str]) -> str:
    return f"map s {{\ntype {kind} : verdict\nelements = {{ {', '.join(elements)} }}\n}}\n"


def table(step: Step) -> str:
    """Return a bridge table with one chain that holds the copies."""
    rules = "".join(f"{step.rule}\n" for _ in range(step.copies if step.rule else 0))
    hook = "type filter hook forward priority 5; policy accept;"
    return f"table bridge steps {{\n{step.before}chain forward {{\n{hook}\n{rules}}}\n}}\n"


def main() -> None:
    asked = list(steps())
    direct = topology(1, with_firewall_bridges=False).as_json()
    nft = ["nft", "-f", "-"]
    tracked = "table bridge tracks { chain c { type filter hook prerouting priority 0; ct state invalid drop; }; }\n"
    several = "".join(
        f"table bridge t{n} {{ chain c {{ type filter hook forward priority {n + 10}; policy accept; }}; }}\n"
        for n in range(8)
    )
    sides = [
        {"name": HOOKLESS, "topology": direct, "loads": []},
        {"name": EMPTY, "topology": direct, "loads": [(nft, table(Step("", "")))], "control": HOOKLESS},
        {"name": "conntrack", "topology": direct, "loads": [(nft, tracked + table(Step("", "")))], "control": EMPTY},
        {
            "name": "eight more base chains",
            "topology": direct,
            "loads": [(nft, table(Step("", "")) + several)],
            "control": EMPTY,
        },
    ]
    sides += [
        {"name": step.name, "topology": direct, "loads": [(nft, (tracked if "ct " in step.rule else "") + table(step))]}
        for step in asked
    ]
    packet = {
        "name": "outside to a guest", "sender": "eth0", "receiver": nodes.port(0), "source": OUTSIDE,
        "destination": _TARGET, "port": _PORT, "state": "new", "delivered": 1.0,
    }  # fmt: skip
    found = run_inside("flood.py", [{"case": "steps", "sides": sides, "packets": [packet], "rounds": ROUNDS}])
    times = {row["side"]: row["ns"] for row in found["rows"]}
    rows: list[dict[str, object]] = [
        {"step": EMPTY, "ns": round((times["eight more base chains"] - times[EMPTY]) / 8, 1)},
        {"step": "conntrack", "ns": round(times["conntrack"] - times[EMPTY], 1)},
    ]
    for step in asked:
        base = times["conntrack"] if "ct " in step.rule else times[EMPTY]
        rows.append({"step": step.name, "ns": round((times[step.name] - base) / step.copies, 1)})
    notes = (
        f"Kernel {found['kernel']}, {dt.datetime.now(dt.UTC):%Y-%m-%d}; added to a packet of {times[EMPTY]:.0f} ns; "
        f"lowest tenth of {ROUNDS} bursts"
    )
    write("steps", rows, notes + ".")
    if "--write" in sys.argv:
        write_table(found["kernel"], rows)


def write_table(kernel: str, rows: list[dict[str, object]]) -> None:
    """Put the table into the optimiser's module."""
    lines = [
        f'KERNEL = "{kernel}, {bench_kernel().name.partition(" (")[0]}"',
        f'DATE = "{dt.datetime.now(dt.UTC):%Y-%m-%d}"',
        "MEASURED = {",
        *(f'    "{row["step"]}": {row["ns"]},' for row in rows),
        "}",
    ]
    before, begin, rest = MODULE.read_text().partition("# The table begins.\n")
    _, end, after = rest.partition("# The table ends.\n")
    assert begin
    assert end
    MODULE.write_text(before + begin + "\n".join([*lines, end]) + after)


if __name__ == "__main__":
    main()
