"""Rulesets of many guests in the shape that Proxmox's chains have once they are made into a bridge table.

`kinds` distinct sets of rules are dealt out to the guests in turn; MAC, addresses, ct mark and log prefixes are each
guest's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import DiagnosticSink
from fwtrans.lower.nft.ruleset import lower_nft
from fwtrans.parsers.nft_text.parse import parse_nft_text
from fwtrans.source import SourceFile

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fwtrans.ir.ruleset import Ruleset, Table

KINDS = 12


def read(text: str) -> Ruleset:
    """Return the ruleset that the text says."""
    sink = DiagnosticSink()
    source = SourceFile("guests.nft", text)
    found = lower_nft(source, parse_nft_text(source, sink), sink)
    assert found is not None, sink.found
    assert not sink.errors, sink.errors
    return found


def only_table(text: str) -> Table:
    (table,) = read(text).tables
    return table


def mac(guest: int) -> str:
    return f"bc:24:11:00:{guest >> 8:02x}:{guest & 0xFF:02x}"


def address(guest: int) -> str:
    return f"10.10.{guest >> 8}.{guest & 0xFF}"


def out_rules(guest: int, kind: int, *, logs: bool) -> Iterable[str]:
    port = f"tap{guest}i0"
    yield f"ct mark set {guest}"
    yield "udp sport 68 udp dport 67 accept"
    yield f"ether saddr != {mac(guest)} drop"
    yield f"ip saddr != {address(guest)} drop"
    if kind % 3 == 0:
        yield "jump group-web"
    for number in range(kind + 1):
        yield f"tcp dport {1000 + number} accept"
    if kind % 4 == 1:
        yield f"ip daddr {address(guest + 1)} tcp dport 5432 accept"
    if logs and kind % 2 == 0:
        yield f'tcp dport 25 limit rate 1/second log prefix ":{guest}:6:{port}-OUT: DROP: " group 0'
        yield "tcp dport 25 drop"
    if kind % 5 == 0:
        if logs:
            yield f'limit rate 1/second log prefix ":{guest}:6:{port}-OUT: policy DROP: " group 0'
        yield "drop"
    else:
        yield "accept"


def in_rules(guest: int, kind: int, *, logs: bool) -> Iterable[str]:
    port = f"tap{guest}i0"
    yield f"ct mark set {guest}"
    yield "udp sport 67 udp dport 68 accept"
    if kind % 2:
        yield f"ip saddr {{ {address(guest + 1)}, {address(guest + 7)} }} tcp dport 9100 accept"
    for number in range(kind + 1):
        yield f"tcp dport {2000 + number} accept"
    if kind % 3 == 1:
        yield f"ip saddr @clients-{guest} tcp dport 22 accept"
    if logs and kind % 2 == 0:
        yield f'limit rate 1/second log prefix ":{guest}:6:{port}-IN: policy DROP: " group 0'
    yield "drop"


def ruleset_text(guests: Iterable[tuple[int, int]], *, logs: bool = True, by_map: bool = True) -> str:
    """Return a bridge table; `guests` are numbers and kinds."""
    guests = tuple(guests)
    lines = ["table bridge fw {"]
    for guest, kind in guests:
        if kind % 3 == 1:
            low = f"10.20.{guest & 0xFF}.0/24"
            lines += [f"set clients-{guest} {{ type ipv4_addr; flags interval; elements = {{ {low} }}; }}"]
    lines += ["chain group-web { tcp dport { 80, 443 } accept; }"]
    for guest, kind in guests:
        for side, rules in (("OUT", out_rules), ("IN", in_rules)):
            lines += [f"chain tap{guest}i0-{side} {{", *rules(guest, kind, logs=logs), "}"]
    for side, name, hook, priority in (("OUT", "iifname", "prerouting", -150), ("IN", "oifname", "postrouting", 0)):
        lines += [f"chain {hook} {{ type filter hook {hook} priority {priority}; policy accept;"]
        lines += ["ct state established,related accept", "ct state invalid ether type { ip, ip6 } drop"]
        if by_map:
            elements = ", ".join(f'"tap{guest}i0" : goto tap{guest}i0-{side}' for guest, _ in guests)
            lines += [f"ether type {{ ip, ip6 }} {name} vmap {{ {elements} }}"]
        else:
            lines += [f'ether type {{ ip, ip6 }} {name} "tap{guest}i0" goto tap{guest}i0-{side}' for guest, _ in guests]
        lines += ["}"]
    return "\n".join([*lines, "}", ""])


def dealt(count: int, kinds: int = KINDS) -> list[tuple[int, int]]:
    """Return so many guests, the kinds dealt out in turn."""
    return [(100 + number, number % kinds) for number in range(count)]
