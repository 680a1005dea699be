"""Ten kinds of changes that people make to a Proxmox VE node, each at any place of its configuration."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.lower.pve.macros import MACRO_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from random import Random

Place = tuple[str, str]


class Seeded(NamedTuple):
    """What has been changed: the file, the line before and after; `words` stand in the review if it says anything."""

    file: str
    before: str
    after: str
    words: str = ""


def _lines(folder: Path, pattern: str, names: str = "*.fw") -> Iterator[tuple[Path, int, re.Match[str], str]]:
    """Yield the lines like a pattern, each with its section."""
    for file in sorted(folder.glob(names)):
        section = ""
        for number, line in enumerate(file.read_text(encoding="utf-8").split("\n")):
            if line.startswith("["):
                section = line
            found = re.search(pattern, line)
            if found is not None:
                yield file, number, found, section


def _put(file: Path, number: int, *texts: str) -> Seeded:
    lines = file.read_text(encoding="utf-8").split("\n")
    before, lines[number : number + 1] = lines[number], texts
    file.write_text("\n".join(lines), encoding="utf-8")
    return Seeded(file.name, before, "; ".join(texts))


def _any(
    folder: Path, chance: Random, pattern: str, names: str = "*.fw", section: str = ""
) -> tuple[Path, int, re.Match[str]] | None:
    found = [item for item in _lines(folder, pattern, names) if item[3].startswith(section)]
    return chance.choice(found)[:3] if found else None


def rule_widened(folder: Path, chance: Random) -> Seeded | None:
    found = _any(folder, chance, r"^(?P<start>(?:IN|OUT) .*-dport )(?P<port>\d+)(?P<end>| .*)$")
    if found is None:
        return None
    low = int(found[2]["port"])
    high = low + chance.randrange(1, 20)
    done = _put(found[0], found[1], f"{found[2]['start']}{low}:{high}{found[2]['end']}")
    return done._replace(words=str(low + 1))


def group_changed(folder: Path, chance: Random) -> Seeded | None:
    found = _any(folder, chance, r"^(?:IN|OUT) .*", "cluster.fw", "[group ")
    if found is None:
        return None
    verdict = chance.choice(("ACCEPT", "DROP", "REJECT"))
    added = f"IN {verdict} -source 10.33.0.0/16 -p tcp -dport 4711"
    return _put(found[0], found[1], found[2][0], added)._replace(words="4711")


def alias_moved(folder: Path, chance: Random) -> Seeded | None:
    found = _any(folder, chance, r"^(\w+ \d+\.\d+\.\d+\.)(\d+)(|/\d+)(| .*)$", section="[ALIASES]")
    if found is None:
        return None
    name, last, length, rest = found[2].groups()
    if length:
        octets = name.split(".")
        return _put(found[0], found[1], f"{octets[0]}.{int(octets[1]) ^ 1}.{octets[2]}.{last}{length}{rest}")
    return _put(found[0], found[1], f"{name}{int(last) ^ 1}{rest}")


def nomatch_dropped(folder: Path, chance: Random) -> Seeded | None:
    found = _any(folder, chance, r"^!(.*)", section="[IPSET")
    return _put(found[0], found[1]) if found else None


def policy_flipped(folder: Path, chance: Random) -> Seeded | None:
    found = _any(folder, chance, r"^(policy_\w+): (\w+)", section="[OPTIONS]")
    if found is None:
        return None
    other = chance.choice([name for name in ("ACCEPT", "DROP", "REJECT") if name != found[2][2]])
    return _put(found[0], found[1], f"{found[2][1]}: {other}")._replace(words="everything that no earlier rule decides")


def guest_added(folder: Path, chance: Random) -> Seeded | None:
    machines = sorted(file for kind in ("qemu-server", "lxc") for file in (folder / kind).glob("*.conf"))
    rules = sorted(folder.glob("[0-9]*.fw"))
    if not machines or not rules:
        return None
    machine, rule = chance.choice(machines), chance.choice(rules)
    text = re.sub(r"(BC:24:11):[0-9A-F:]{8}", r"\1:99:99:99", machine.read_text(encoding="utf-8"), flags=re.IGNORECASE)
    (machine.parent / "987.conf").write_text(text, encoding="utf-8")
    shutil.copy(rule, folder / "987.fw")
    return Seeded("987.fw", "", f"{machine.name} with {rule.name}", "guest 987 is new")


def hardware_address_changed(folder: Path, chance: Random) -> Seeded | None:
    found = _any(folder, chance, r"^(net\d+: .*)(BC:24:11:[0-9A-F]{2}:[0-9A-F]{2}:)([0-9A-F]{2})(.*)", "*/*.conf")
    if found is None:
        return None
    start, address, last, end = found[2].groups()
    return _put(found[0], found[1], f"{start}{address}{int(last, 16) ^ 0x55:02X}{end}")


def macro_added(folder: Path, chance: Random) -> Seeded | None:
    found = _any(folder, chance, r"^(?:IN|OUT|GROUP) .*", "[0-9]*.fw", "[RULES]")
    if found is None:
        return None
    verdict = chance.choice(("ACCEPT", "DROP", "REJECT"))
    added = f"{chance.choice(('IN', 'OUT'))} {chance.choice(sorted(MACRO_NAMES))}({verdict})"
    return _put(found[0], found[1], added, found[2][0])


def log_level_changed(folder: Path, chance: Random) -> Seeded | None:
    found = _any(folder, chance, r"^(.*(?:-log |log_level_\w+: ))(\w+)(.*)$")
    if found is None:
        return None
    level = chance.choice([name for name in ("nolog", "alert", "err", "info") if name != found[2][2]])
    return _put(found[0], found[1], f"{found[2][1]}{level}{found[2][3]}")


def reordered(folder: Path, chance: Random) -> Seeded | None:
    """Change places of two rules of one way and one verdict, without which nothing is decided otherwise."""
    form = r"^(IN|OUT) (?:\w+\()?(ACCEPT|DROP)\b(?!.*-log)"
    all_of = {(file, number): (found[1], found[2], section) for file, number, found, section in _lines(folder, form)}
    pairs = [place for place, what in all_of.items() if all_of.get((place[0], place[1] + 1)) == what]
    if not pairs:
        return None
    file, number = chance.choice(pairs)
    lines = file.read_text(encoding="utf-8").split("\n")
    lines[number], lines[number + 1] = lines[number + 1], lines[number]
    file.write_text("\n".join(lines), encoding="utf-8")
    return Seeded(file.name, lines[number + 1], lines[number])


KINDS: tuple[Callable[[Path, Random], Seeded | None], ...] = (
    rule_widened, group_changed, alias_moved, nomatch_dropped, policy_flipped,
    guest_added, hardware_address_changed, macro_added, log_level_changed, reordered,
)  # fmt: skip
