"""Flat lists of rules with a seed: as between networks (acl), as in front of hosts (firewall), and hard ones.

acl       at most a tenth asks for no address at all; ports mostly exact; three in ten deny
firewall  a third has no source, a tenth no destination; port ranges; a quarter denies
hard      nested prefixes, half of the verdicts deny, 15 to 35 % wildcards in each field, ranges of both ports
tuples    every rule asks exactly for both addresses, protocol and port
"""

from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_COMMON = (
    22,
    25,
    53,
    80,
    110,
    123,
    143,
    161,
    389,
    443,
    445,
    514,
    587,
    636,
    993,
    995,
    1433,
    1521,
    3306,
    3389,
    5432,
    8080,
)
_ANY = (0, 65535)


class Entry(NamedTuple):
    """One rule: networks (None for any), a protocol name or none, port ranges (0-65535 for any), and its verdict."""

    source: IPv4Network | None
    target: IPv4Network | None
    protocol: str
    from_ports: tuple[int, int]
    to_ports: tuple[int, int]
    verdict: str

    @property
    def text(self) -> str:
        """Return the rule in nftables' words."""
        parts = []
        if self.source is not None:
            parts.append(f"ip saddr {self.source}")
        if self.target is not None:
            parts.append(f"ip daddr {self.target}")
        for word, ports in (("sport", self.from_ports), ("dport", self.to_ports)):
            if ports != _ANY:
                low, high = ports
                parts.append(f"{self.protocol} {word} {low if low == high else f'{low}-{high}'}")
        if self.protocol and self.from_ports == self.to_ports == _ANY:
            parts.append(f"meta l4proto {self.protocol}")
        return " ".join([*parts, self.verdict])


def entries(kind: str, count: int, seed: int = 1) -> list[Entry]:
    """Return a list of so many rules, no two the same."""
    draw = random.Random(f"{kind} {seed}")  # noqa: S311 -- the same numbers each time are wanted
    make = _KINDS[kind]
    site = _Site(draw, count)
    found: dict[Entry, None] = {}
    while len(found) < count:
        found[make(draw, site)] = None
    return list(found)


def ruleset(rules: list[Entry], *, last: str = "drop") -> str:
    """Return an nftables ruleset: the rules in the forward chain, and what becomes of the rest."""
    lines = ["table ip bench {", "\tchain forward {", "\t\ttype filter hook forward priority filter; policy accept;"]
    lines += [f"\t\t{entry.text}" for entry in rules]
    return "\n".join([*lines, f"\t\t{last}", "\t}", "}", ""])


class _Site:
    """The networks and hosts that a list's rules speak of again and again."""

    def __init__(self, draw: random.Random, count: int) -> None:
        self.networks = [
            _network(10 << 24 | draw.getrandbits(24), draw.choice((16, 20, 22, 24, 24, 24)))
            for _ in range(max(count // 40, 4))
        ]
        self.hosts = [
            _network(int(draw.choice(self.networks).network_address) + draw.getrandbits(8), 32)
            for _ in range(max(count // 4, 8))
        ]
        self.outside = [
            _network(draw.getrandbits(32), draw.choice((8, 12, 16, 19, 20, 22, 24, 24, 28, 32)))
            for _ in range(max(count // 5, 4))
        ]


def _network(address: int, length: int) -> IPv4Network:
    return IPv4Network((address & 0xFFFFFFFF, length), strict=False)


def _acl(draw: random.Random, site: _Site) -> Entry:
    source: IPv4Network | None = draw.choice(draw.choice((site.hosts, site.networks, site.outside)))
    target: IPv4Network | None = draw.choice(draw.choice((site.hosts, site.hosts, site.hosts, site.networks)))
    chance = draw.random()
    if chance < 0.08:
        source = target = None
    elif chance < 0.22:
        source = None
    elif chance < 0.30:
        target = None
    protocol = draw.choice(("tcp", "tcp", "tcp", "udp"))
    chance = draw.random()
    if chance < 0.82 or (source is None and target is None and chance < 0.95):
        ports = (port := draw.choice((*_COMMON, draw.randrange(1, 65536))), port)
    elif chance < 0.92 or (source is None and target is None):
        low = draw.choice((1024, 5000, 6000, 10000, draw.randrange(1, 60000)))
        ports = (low, min(low + draw.choice((1, 9, 99, 999, 64511)), 65535))
    else:
        ports = _ANY
    return Entry(source, target, protocol, _ANY, ports, "drop" if draw.random() < 0.3 else "accept")


def _firewall(draw: random.Random, site: _Site) -> Entry:
    source = None if draw.random() < 0.33 else draw.choice(draw.choice((site.outside, site.networks, site.hosts)))
    target = None if draw.random() < 0.1 else draw.choice(draw.choice((site.hosts, site.hosts, site.networks)))
    protocol = draw.choice(("tcp", "tcp", "tcp", "udp", "udp", "icmp", ""))
    if source is None and target is None:
        protocol = draw.choice(("tcp", "udp"))
    ports = from_ports = _ANY
    if protocol in {"tcp", "udp"}:
        chance = draw.random() * (0.85 if source is None and target is None else 1)
        if chance < 0.65:
            ports = (port := draw.choice(_COMMON), port)
        elif chance < 0.85:
            low = draw.randrange(1, 60000)
            ports = (low, min(low + draw.choice((1, 10, 100, 1000, 10000)), 65535))
        if draw.random() < 0.1:
            from_ports = (1024, 65535)
    return Entry(source, target, protocol, from_ports, ports, "drop" if draw.random() < 0.25 else "accept")


def _hard(draw: random.Random, site: _Site) -> Entry:
    def address() -> IPv4Network | None:
        if draw.random() < 0.25:
            return None
        base = draw.choice(site.networks) if draw.random() < 0.7 else draw.choice(site.outside)
        return _network(
            int(base.network_address) | draw.getrandbits(12),
            draw.choice((8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32)),
        )

    def ports(wild: float) -> tuple[int, int]:
        if draw.random() < wild:
            return _ANY
        if draw.random() < 0.5:
            return (port := draw.choice((*_COMMON, draw.randrange(1, 65536))), port)
        low = draw.randrange(1, 60000)
        return low, min(low + draw.choice((3, 30, 300, 3000, 30000)), 65535)

    while True:
        found = Entry(
            address(),
            address(),
            draw.choice(("tcp", "tcp", "udp")),
            ports(0.35),
            ports(0.15),
            draw.choice(("accept", "drop")),
        )
        # a rule that asks next to nothing early in the list would make the rest of it unreachable
        if (found.source is None) + (found.target is None) + (found.to_ports == _ANY) < 2:
            return found


def _tuple(draw: random.Random, site: _Site) -> Entry:
    ports = (port := draw.choice((*_COMMON, draw.randrange(1, 65536))), port)
    protocol = draw.choice(("tcp", "udp"))
    return Entry(
        draw.choice(site.hosts),
        draw.choice(site.hosts),
        protocol,
        _ANY,
        ports,
        draw.choice(("accept", "accept", "drop")),
    )


_KINDS: dict[str, Callable[[random.Random, _Site], Entry]] = {
    "acl": _acl, "firewall": _firewall, "hard": _hard, "tuples": _tuple,
}  # fmt: skip


def first_address(network: IPv4Network | None) -> IPv4Address:
    """Return an address of the network, or one that no list speaks of."""
    return network.network_address if network is not None else IPv4Address("203.0.113.77")
