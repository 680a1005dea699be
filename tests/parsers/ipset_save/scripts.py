"""Random restore files: mostly legal, of every set type, with ranges, deletions, swaps and -exist."""

from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv6Address

from fwtrans.parsers.ipset_save.set_types import SET_TYPES, Dimension, Form, Kind, SetType
from fwtrans.parsers.ipset_save.syntax import IPV6

_OPTIONS = ("timeout", "counters", "comment", "skbinfo")


class ScriptMaker:
    """Makes one script. Values come from a small space, so that commands meet each other's elements."""

    def __init__(self, seed: int, types: tuple[str, ...]) -> None:
        self.random = random.Random(seed)  # noqa: S311 -- tests want the same numbers again
        self.types = types
        self.sets: dict[str, tuple[SetType, str, tuple[str, ...]]] = {}
        self.masked = False

    def script(self, length: int) -> str:
        lines = [self.create(f"s{number}") for number in range(self.random.randint(1, 3))]
        for _ in range(length):
            choice = self.random.random()
            if choice < 0.04 and len(self.sets) > 1:
                first, second = self.random.sample(sorted(self.sets), 2)
                lines.append(f"swap {first} {second}")
                if self.sets[first][:2] == self.sets[second][:2]:
                    self.sets[first], self.sets[second] = self.sets[second], self.sets[first]
            elif choice < 0.06:
                lines.append(f"flush {self.random.choice(sorted(self.sets))}")
            elif choice < 0.08:
                lines.append(self.create(f"s{len(self.sets)}"))
            else:
                lines.append(self.element("del" if choice < 0.25 else "add"))
        return "\n".join(lines) + "\n"

    def create(self, name: str) -> str:
        kind = SET_TYPES[self.random.choice(self.types)]
        family = self.random.choice(("inet", IPV6)) if "family" in kind.options else "inet"
        words = ["create", name, kind.name]
        if "family" in kind.options:
            words += ["family", family]
        if kind.name == "bitmap:port":
            words += ["range", "0-30"]
        elif "range" in kind.options:
            words += ["range", "10.0.0.0/24"]
        if kind.name in {"hash:ip", "bitmap:ip"} and self.random.random() < 0.2:
            words += ["netmask", "29" if family == "inet" else "125"]
        given = tuple(option for option in _OPTIONS if self.random.random() < 0.2)
        for option in given:
            words += [option, "600"] if option == "timeout" else [option]
        self.sets[name] = (kind, family, given)
        return " ".join(words)

    def element(self, command: str) -> str:
        name = self.random.choice(sorted(self.sets))
        kind, family, given = self.sets[name]
        self.masked = kind.name == "hash:ip"
        text = ",".join(self.part(dimension, family, kind) for dimension in kind.dimensions)
        line = f"{command} {name} {text}"
        if command == "add" and "nomatch" in kind.flags and self.random.random() < 0.2:
            line += " nomatch"
        if command == "add" and "comment" in given and self.random.random() < 0.5:
            line += ' comment "some text"'
        if command == "add" and "counters" in given and self.random.random() < 0.5:
            line += " packets 3 bytes 0x10"
        return line

    def part(self, dimension: Dimension, family: str, kind: SetType) -> str:
        match dimension.kind:
            case Kind.ADDRESS | Kind.NETWORK:
                return self.address(dimension, family)
            case Kind.PORT:
                return self.port(kind)
            case Kind.MAC:
                return f"00:00:00:00:00:0{self.random.randint(1, 5)}"
            case Kind.MARK:
                return self.random.choice(("1", "0x2", "010"))
            case Kind.INTERFACE:
                return self.random.choice(("eth0", "eth1", "physdev:eth0"))
            case Kind.SET:
                return self.random.choice(sorted(self.sets))

    def address(self, dimension: Dimension, family: str) -> str:
        forms = dimension.ipv6 if family == IPV6 else dimension.ipv4
        form = self.random.choice(list(forms) or [Form.HOST])
        base = int(IPv6Address("2001:db8::")) if family == IPV6 else int(IPv4Address("10.0.0.0"))
        cls = IPv6Address if family == IPV6 else IPv4Address
        width = 128 if family == IPV6 else 32
        first = cls(base + self.random.randint(0, 20))
        match form:
            case Form.PREFIX:
                return f"{first}/{self.random.randint(width - 4, width - 1)}"
            case Form.FULL:
                return f"{first}/{width}"
            case Form.ZERO:
                return f"{first}/0"
            case Form.RANGE:
                second = cls(base + self.random.randint(0, 20))
                if self.masked:  # the kernel misreads a range that begins with its larger end, see restore.cases
                    first, second = min(first, second), max(first, second)
                return f"{first}-{second}"
            case _:
                return str(first)

    def port(self, kind: SetType) -> str:
        number = self.random.randint(0, 12)
        ports = f"{number}-{self.random.randint(0, 12)}" if self.random.random() < 0.3 else str(number)
        if kind.name == "bitmap:port" or self.random.random() < 0.3:
            return ports
        return f"{self.random.choice(('tcp', 'udp', 'sctp'))}:{ports}"
