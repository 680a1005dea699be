"""Changes of a node whose guests have rules of as many kinds: one guest more, one rule of one guest. All drawn by a seed.

The nodes of `nodes.py` have 12 kinds of guests; here a changed rule mostly makes a class of its own.
"""

from __future__ import annotations

import random
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Files = dict[str, str]

SEED = 1
_RULE = re.compile(r"(?:IN|OUT) ")
_ADDRESS = re.compile(r"=(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}")
_HELPERS = re.compile(r"^nf_conntrack_helpers:.*\n?", re.MULTILINE)
_NEW = 9000
"""The first number of a guest that is new."""


def files(folder: Path) -> Files:
    """Return a node's configuration, without helpers for connections, which not every kernel has."""
    found = {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: _HELPERS.sub("", text) if name == "host.fw" else text for name, text in found.items()}


def drawn(node: Files, guests: int, rules: int) -> Iterator[tuple[str, Files]]:
    """Yield what is changed, and the files after it."""
    draw = random.Random(SEED)  # noqa: S311 -- so that they are the same in every run
    for number in range(guests):
        yield one_guest_more(node, _NEW + number, draw)
    for _ in range(rules):
        yield one_rule_changed(node, draw)


def one_guest_more(node: Files, number: int, draw: random.Random) -> tuple[str, Files]:
    """Return the node with a copy of a guest that does not log, with hardware addresses of its own."""
    quiet = [
        name.removesuffix(".fw")
        for name, text in node.items()
        if re.fullmatch(r"\d+\.fw", name) and "log" not in text and f"qemu-server/{name[:-3]}.conf" in node
    ]
    of = draw.choice(quiet)

    def address(_: re.Match[str]) -> str:
        return f"=BC:24:11:EE:{draw.randrange(256):02X}:{draw.randrange(256):02X}"

    conf = _ADDRESS.sub(address, node[f"qemu-server/{of}.conf"])
    return f"one guest more, like {of}", {**node, f"{number}.fw": node[f"{of}.fw"], f"qemu-server/{number}.conf": conf}


def one_rule_changed(node: Files, draw: random.Random) -> tuple[str, Files]:
    """Return the node with one rule of one guest taken out, added, or changed in its port or its verdict."""
    name = draw.choice([name for name, text in node.items() if re.fullmatch(r"\d+\.fw", name) and _rules(text)])
    lines = node[name].split("\n")
    at = draw.choice(_rules(node[name]))
    what, change = draw.choice(list(_CHANGES.items()))
    lines[at : at + 1] = change(lines[at], draw)
    return f"guest {name.removesuffix('.fw')}: {what}", {**node, name: "\n".join(lines)}


def _rules(text: str) -> list[int]:
    return [number for number, line in enumerate(text.split("\n")) if _RULE.match(line)]


def _with_one_before(rule: str, draw: random.Random) -> list[str]:
    return [f"{rule.split(maxsplit=1)[0]} ACCEPT -p tcp -dport {draw.randrange(2000, 60000)}", rule]


def _with_another_port(rule: str, draw: random.Random) -> list[str]:
    found = re.sub(r"-dport \S+", f"-dport {draw.randrange(2000, 60000)}", rule)
    return [found] if "tcp" in rule or "udp" in rule else _with_another_verdict(rule, draw)


def _with_another_verdict(rule: str, _: random.Random) -> list[str]:
    return [rule.replace("ACCEPT", "DROP") if "ACCEPT" in rule else re.sub("DROP|REJECT", "ACCEPT", rule)]


_CHANGES: dict[str, Callable[[str, random.Random], list[str]]] = {
    "a rule less": lambda _rule, _draw: [],
    "a rule more": _with_one_before,
    "a rule with another port": _with_another_port,
    "a rule with another verdict": _with_another_verdict,
}


if __name__ == "__main__":
    sys.exit("a part of the benches; run `make bench`")
