"""How long a proof takes, start and reading included, beside what was promised: equal inputs, and one rule changed."""

from __future__ import annotations

import ipaddress
import random
import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from measure import FWTRANS, machine, measured, write
from rulesets import HEAD

SHARED = Path(__file__).resolve().parents[2] / "shared"
GUEST = re.compile(r"(tap|veth|fwln|fwpr)(\d+)(?=[ip])")
FILES = ("iptables-save", "ip6tables-save", "ipset-save")


def main() -> None:
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        rows += _both(place, "chain of 5,000 rules over five fields", 6, {"iptables-save": access_list(5_000)})
        rows += _both(place, "set of 50,000 prefixes", 2, prefixes(50_000))
        for name, times, limit in (("s200", 1, 10), ("s200", 5, 60)):
            corpus = SHARED / "pve-corpus" / name
            if not corpus.is_dir():
                sys.stderr.write(f"bench_verify: {corpus} is not here, left out\n")
                continue
            texts = {file: more_guests((corpus / file).read_text(), times) for file in FILES}
            rules = sum(text.count("\n-A ") for text in texts.values())
            rows += _both(place, f"{name}, its guests {times} times, {rules} rules", limit, texts)
    write("verify", rows, f"Medians of whole processes, reading both sides included; {machine()}.")


def _both(folder: Path, what: str, limit: int, texts: dict[str, str]) -> list[dict[str, object]]:
    old, new = folder / "old", folder / "new"
    rows: list[dict[str, object]] = []
    for change, changed in (("equal", texts), ("one rule gone", _without_one(texts))):
        for side, files in ((old, texts), (new, changed)):
            side.mkdir(exist_ok=True)
            for present in side.iterdir():
                present.unlink()
            for name, text in files.items():
                (side / name).write_text(text)
        took = measured([*FWTRANS, "verify", str(old), str(new)], good=(0,) if change == "equal" else (1,))
        rows.append(
            {"input": what, "": change, "s": took.wall, "cpu s": took.cpu, "promised s": limit, "MiB": took.memory}
        )
    return rows


def _without_one(texts: dict[str, str]) -> dict[str, str]:
    """Return the same with one dropping rule gone, or one element of the set."""
    name = "ipset-save" if "ipset-save" in texts and len(texts) == 2 else "iptables-save"
    lines = texts[name].split("\n")
    wanted = [at for at, line in enumerate(lines) if "-j DROP" in line or line.startswith("add ")]
    del lines[wanted[len(wanted) // 20]]  # early, where nothing before it has decided already
    return {**texts, name: "\n".join(lines)}


def access_list(count: int) -> str:
    """Return a chain of rules over both addresses, protocol and both ports, as firewalls between networks have them."""
    draw = random.Random(1)  # noqa: S311 -- a bench wants the same numbers each time
    lines = [HEAD]
    for _ in range(count):
        protocol = draw.choice(("tcp", "tcp", "udp"))
        ports = draw.choice(
            (draw.choice((22, 25, 53, 80, 443, 993, 3306)), f"{(low := draw.randrange(60_000))}:{low + 900}")
        )
        from_port = " --sport 1024:65535" if draw.random() < 0.25 else ""
        lines.append(
            f"-A FORWARD -s {_network(draw)} -d {_network(draw)} -p {protocol} -m {protocol}{from_port} --dport {ports} "
            f"-j {draw.choice(('ACCEPT', 'DROP'))}\n"
        )
    return "".join([*lines, "COMMIT\n"])


def _network(draw: random.Random) -> str:
    length = draw.choice((8, 9, 10, 12, 14, 16, 20, 24, 24, 24, 26, 28, 30, 32, 32, 32, 32))
    address = draw.getrandbits(32) if draw.random() < 0.2 else 10 << 24 | draw.getrandbits(24)
    return str(ipaddress.ip_network((address, length), strict=False))


def prefixes(count: int) -> dict[str, str]:
    """Return one set of so many prefixes and a rule that asks for it."""
    draw = random.Random(2)  # noqa: S311 -- a bench wants the same numbers each time
    networks = sorted(draw.sample(range(1 << 24), count))
    members = "".join(f"add big {ipaddress.ip_address(number << 8)}/24\n" for number in networks)
    head = f"create big hash:net family inet hashsize 65536 maxelem {count * 2}\n"
    rule = "-A FORWARD -m set --match-set big src -j DROP\n"
    return {"iptables-save": f"{HEAD}{rule}COMMIT\n", "ipset-save": head + members}


def more_guests(text: str, times: int) -> str:
    """Return a dump of a node with so many times the guests: each line that names a guest's port once for each copy."""
    found: list[str] = []
    for line in text.splitlines(keepends=True):
        copies = times if GUEST.search(line) else 1
        for copy in range(copies):
            added = 10_000 * copy
            found.append(GUEST.sub(lambda match, more=added: f"{match[1]}{int(match[2]) + more}", line))
    return "".join(found)


if __name__ == "__main__":
    main()
