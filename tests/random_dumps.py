"""Random iptables-save dumps: all tables, jumps and gotos, and of each common match and target a few forms.

`Shape.ANY` may use what only a proof can judge (limits, conntrack states); `Shape.KERNEL` keeps to what one packet of a
new connection meets in the same way on every run, so that a kernel can be asked.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

# A rule of raw or mangle may not filter by interface out before routing, and so on: what each chain has.
_HOOKS = {
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
}
_NO_OUT, _NO_IN = {"PREROUTING", "INPUT"}, {"OUTPUT", "POSTROUTING"}
NETWORKS = {
    "ip": ("10.9.0.2", "10.9.0.0/24", "10.9.0.128/25", "192.0.2.7", "198.51.100.0/25", "198.51.100.64/26", "203.0.113.0/28"),
    "ip6": ("fd00:9::2", "fd00:9::/64", "fd00:9:0:1::/65", "2001:db8::7", "2001:db8:1::/49", "2001:db8:2::/48"),
}  # fmt: skip
PORTS = (21, 22, 23, 53, 80, 443, 1023, 1024, 5060, 8080)
_REJECTS = {
    "ip": ("icmp-port-unreachable", "icmp-admin-prohibited", "icmp-host-prohibited"),
    "ip6": ("icmp6-port-unreachable", "icmp6-adm-prohibited", "icmp6-no-route"),
}


class Shape(Enum):
    """What may stand in a dump."""

    ANY = "any"
    KERNEL = "kernel"


def random_dump(source: Random, family: str, shape: Shape = Shape.ANY, *, rules: int = 8) -> str:
    """Return a dump with up to so many rules a table."""
    tables = ["filter"]
    if source.random() < 0.5:
        tables.insert(0, "mangle")
    if shape is Shape.ANY and source.random() < 0.3:
        tables.append("nat")
    return "".join(_table(source, family, shape, table, rules) for table in tables)


def _table(source: Random, family: str, shape: Shape, table: str, most: int) -> str:
    users = [f"user{number}" for number in range(source.randint(0, 3))]
    lines = [f"*{table}"]
    for chain in _HOOKS[table]:
        policy = "DROP" if table == "filter" and source.random() < 0.4 else "ACCEPT"
        lines.append(f":{chain} {policy} [0:0]")
    lines += [f":{name} - [0:0]" for name in users]
    hooks = _used_hooks(source, shape, table)
    for _ in range(source.randint(2, most)):
        chain = source.choice([*hooks, *hooks, *users])
        later = users[users.index(chain) + 1 :] if chain in users else users
        lines.append(f"-A {chain} {_rule(source, family, shape, table, chain, later)}")
    for name in users:
        lines.append(f"-A {name} {_rule(source, family, shape, table, name, users[users.index(name) + 1 :])}")
    return "\n".join([*lines, "COMMIT", ""])


def _used_hooks(source: Random, shape: Shape, table: str) -> list[str]:
    if shape is Shape.KERNEL:
        return {"filter": ["INPUT", "FORWARD"], "mangle": ["PREROUTING", "FORWARD", "INPUT"]}[table]
    return source.sample(_HOOKS[table][:3] if table == "filter" else _HOOKS[table][:-1], 2)


def _rule(source: Random, family: str, shape: Shape, table: str, chain: str, later: list[str]) -> str:
    words: list[str] = []
    if source.random() < 0.5:
        words.append(_address(source, family))
    if source.random() < 0.25:
        words.append(_interface(source, chain))
    protocol = source.choice(("", "tcp", "tcp", "udp", "udp", "icmp"))
    if protocol:
        words.append(_protocol(source, family, protocol))
    if source.random() < (0.35 if shape is Shape.ANY else 0.25):
        words.append(_match(source, family, shape, protocol))
    target = _target(source, family, shape, table, later)
    if "tcp-reset" in target and protocol != "tcp":
        target = "-j DROP"
    if ("DNAT" in target or "REDIRECT" in target) and ":" in target and protocol not in {"tcp", "udp"}:
        target = "-j RETURN"
    return " ".join(word for word in (*words, target) if word)


def _not(source: Random) -> str:
    return "! " if source.random() < 0.25 else ""


def _address(source: Random, family: str) -> str:
    return f"{_not(source)}{source.choice(('-s', '-s', '-d'))} {source.choice(NETWORKS[family])}"


def _interface(source: Random, chain: str) -> str:
    way = (
        "-o"
        if chain in _NO_IN
        else "-i"
        if chain in _NO_OUT or chain.startswith("user")
        else source.choice(("-i", "-o"))
    )
    if chain.startswith("user"):
        return ""  # a user chain may be reached from hooks that know no such interface
    return f"{_not(source)}{way} {source.choice(('v1', 'w1', 'v+', 'eth0', 'lo'))}"


def _protocol(source: Random, family: str, protocol: str) -> str:
    if protocol == "icmp":
        name, kinds = ("icmp", (0, 3, 8)) if family == "ip" else ("ipv6-icmp", (1, 128, 129))
        module = "icmp" if family == "ip" else "icmp6"
        option = "icmp-type" if family == "ip" else "icmpv6-type"
        kind = source.choice(kinds)
        return f"-p {name} -m {module} {_not(source)}--{option} {kind}" if source.random() < 0.8 else f"-p {name}"
    chance = source.random()
    if chance < 0.15:
        return f"{_not(source)}-p {protocol}" if chance < 0.05 else f"-p {protocol}"
    if chance < 0.3:
        ports = sorted(source.sample(PORTS, 3))
        listed = f"{ports[0]},{ports[1]}:{ports[2]}"
        return f"-p {protocol} -m multiport {_not(source)}--{source.choice(('dports', 'dports', 'sports', 'ports'))} {listed}"
    if chance < 0.42 and protocol == "tcp":
        mask, wanted = source.choice((("FIN,SYN,RST,ACK", "SYN"), ("SYN,RST", "SYN"), ("ALL", "NONE"), ("ACK", "ACK")))
        return f"-p tcp -m tcp {_not(source)}--tcp-flags {mask} {wanted}"
    low = source.choice(PORTS)
    ports_text = str(low) if source.random() < 0.7 else f"{low}:{low + source.choice((1, 100, 1000))}"
    way = source.choice(("dport", "dport", "dport", "sport"))
    return f"-p {protocol} -m {protocol} {_not(source)}--{way} {ports_text}"


def _match(source: Random, family: str, shape: Shape, protocol: str) -> str:
    low, high = ("10.9.0.1", "10.9.0.77") if family == "ip" else ("fd00:9::1", "fd00:9::77")
    hops = "-m ttl --ttl" if family == "ip" else "-m hl --hl"
    fixed = [
        f"-m iprange {_not(source)}--src-range {low}-{high}",
        f"-m mark {_not(source)}--mark {source.choice(('0x1', '0x2/0x3', '0x0/0x1', '0x80/0xf0'))}",
        f"-m length {_not(source)}--length {source.choice(('0:40', '48', '61:1500'))}",
        f"-m dscp {_not(source)}--dscp {source.choice(('0x00', '0x2e', '0x0a'))}",
        f"{hops}-{source.choice(('eq', 'lt', 'gt'))} {source.choice((2, 63, 64))}",
        '-m comment --comment "a rule"',
    ]
    if shape is Shape.KERNEL:
        return source.choice(fixed)
    rate = f"{source.randint(1, 999)}/{source.choice(('sec', 'min', 'hour'))}"
    state = source.choice(("NEW", "RELATED,ESTABLISHED", "INVALID", "NEW,UNTRACKED"))
    free = [
        f"-m conntrack {_not(source)}--ctstate {state}",
        f"-m conntrack {_not(source)}--ctstate {state}",
        f"-m limit --limit {rate} --limit-burst {source.randint(1, 99)}",
        f"-m limit --limit {rate} --limit-burst {source.randint(1, 99)}",
        f"-m connmark {_not(source)}--mark {source.choice(('0x5', '0x4/0x6'))}",
        f'-m string --string "word{source.randint(0, 2)}" --algo bm' if protocol and source.random() < 0.1 else "",
    ]
    return source.choice([*fixed, *free])


def _target(source: Random, family: str, shape: Shape, table: str, later: list[str]) -> str:
    chance = source.random()
    if later and chance < 0.25:
        return f"-{source.choice('jjg')} {source.choice(later)}"
    if table == "nat":
        return source.choice(("-j RETURN", "-j ACCEPT"))
    if chance < 0.35:
        return source.choice(("-j RETURN", ""))
    if table == "mangle" and chance < 0.85:
        return source.choice(_MANGLE[shape])
    if shape is Shape.ANY and chance < 0.45:
        return f'-j LOG --log-prefix "{source.choice(("one", "two", "three"))}: "'
    if shape is Shape.ANY and table == "filter" and chance < 0.58:
        return f"-j REJECT --reject-with {source.choice((*_REJECTS[family], 'tcp-reset', 'tcp-reset'))}"
    return source.choice(("-j ACCEPT", "-j ACCEPT", "-j DROP"))


_MANGLE = {
    Shape.ANY: (
        "-j MARK --set-xmark 0x1/0xffffffff", "-j MARK --set-xmark 0x2/0x3", "-j MARK --set-xmark 0x0/0xf0",
        "-j CONNMARK --set-xmark 0x5/0xff", "-j CONNMARK --save-mark --nfmask 0x3 --ctmask 0x3",
        "-j DSCP --set-dscp 0x2e",
    ),
    Shape.KERNEL: (
        "-j MARK --set-xmark 0x1/0xffffffff", "-j MARK --set-xmark 0x2/0x3", "-j MARK --set-xmark 0x0/0xf0",
        "-j MARK --set-xmark 0x80/0xff", "-j DSCP --set-dscp 0x2e",
    ),
}  # fmt: skip
