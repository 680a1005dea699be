"""Seeded rulesets for the benches: flat chains of random rules over five fields, and what a size means is said by name."""

from __future__ import annotations

import random

HEAD = "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"


def plain_rules(count: int, seed: int = 1) -> str:
    """Return a dump of `count` rules on addresses, protocol and port, as a host with years of rules has them."""
    draw = random.Random(seed)  # noqa: S311 -- a bench wants the same numbers each time
    lines = [HEAD, "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"]
    for _ in range(count):
        protocol = draw.choice(["tcp", "udp"])
        source = f"{draw.randrange(1, 223)}.{draw.randrange(256)}.{draw.randrange(256)}.{draw.randrange(256)}/32"
        target = f"10.{draw.randrange(256)}.{draw.randrange(256)}.0/24"
        lines.append(
            f"-A INPUT -s {source} -d {target} -p {protocol} -m {protocol} --dport {draw.randrange(65536)} "
            f"-j {draw.choice(['ACCEPT', 'DROP'])}\n"
        )
    lines.append("COMMIT\n")
    return "".join(lines)
