"""How processor time and memory grow with the size of the input: reading, optimising, proving, and comparing two rulesets."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import nodes
from lists import entries, ruleset
from measure import FWTRANS, measured, write
from prepare import Wanted, make_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prepare import Made

GUESTS = tuple(map(int, os.environ.get("BENCH_GUESTS", "10 100 500 1000").split()))
RULES = tuple(map(int, os.environ.get("BENCH_FLAT", "100 1000 5000").split()))
MOST_PROVED = {"guests": 500, "rules": 5000}
WAYS = {
    "translate": ("--no-optimize", "--no-verify"),
    "translate, optimise": ("--no-verify",),
    "translate, optimise, prove": (),
}
"""What is done, and the options that leave the rest out."""


def main() -> None:
    rows: list[dict[str, object]] = []
    for guests in GUESTS:
        ways = {name: options for name, options in WAYS.items() if options or guests <= MOST_PROVED["guests"]}
        names = [f"node-{guests}{kind}" for kind in ("-plain", "", "-proved")]
        made = _made(nodes.configuration(guests), ways, names, "translate")
        rows += _rows("guests", guests, made)
        if guests <= MOST_PROVED["guests"]:
            plain, ours = (one.text for one in list(made.values())[:2])
            rows.append(_verified("guests", guests, plain, ours))
    for rules in [one for one in RULES if one <= MOST_PROVED["rules"]]:
        text = ruleset(entries("acl", rules), last="accept")
        ways = {"optimise": ("--no-verify",), "optimise, prove": ()}
        made = _made({"acl.nft": text}, ways, [f"flat-{rules}", f"flat-{rules}-proved"], "optimize")
        rows += _rows("rules", rules, made)
        rows.append(_verified("rules", rules, text, made["optimise"].text))
    write("scaling", rows, "One run of the whole program each: seconds of processor and of wall clock, MiB at most.")


def _made(
    texts: Mapping[str, str], ways: Mapping[str, tuple[str, ...]], names: list[str], command: str
) -> dict[str, Made]:
    wanted = [Wanted(name, texts, options, command) for name, options in zip(names, ways.values(), strict=False)]
    return dict(zip(ways, make_all(wanted), strict=True))


def _rows(unit: str, size: int, made: Mapping[str, Made]) -> Iterator[dict[str, object]]:
    for way, one in made.items():
        yield {
            "unit": unit, "size": size, "what": way, "cpu": round(one.cpu, 2), "wall": round(one.wall, 2),
            "MiB": round(one.memory), "finished": bool(one.text),
        }  # fmt: skip
        print(unit, size, way, round(one.cpu, 1), flush=True)


def _verified(unit: str, size: int, old: str, new: str) -> dict[str, object]:
    """Return what `fwtrans verify` takes for the unoptimised ruleset against the optimised one."""
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder, name) for name in ("old.nft", "new.nft")]
        for place, text in zip(places, (old, new), strict=True):
            place.write_text(text)
        took = measured([*FWTRANS, "verify", *map(str, places)])
    print(unit, size, "verify", round(took.cpu, 1), flush=True)
    return {
        "unit": unit, "size": size, "what": "verify, before against after", "cpu": round(took.cpu, 2),
        "wall": round(took.wall, 2), "MiB": round(took.memory), "finished": True,
    }  # fmt: skip


if __name__ == "__main__":
    main()
