"""How processor time and memory of a translation grow with the size of the input: reading, optimising, proving."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import nodes
from lists import entries, ruleset
from measure import write
from prepare import Wanted, make_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
        rows += _rows("guests", guests, nodes.configuration(guests), ways, names, "translate")
    for rules in [one for one in RULES if one <= MOST_PROVED["rules"]]:
        texts = {"acl.nft": ruleset(entries("acl", rules), last="accept")}
        ways = {"optimise": ("--no-verify",), "optimise, prove": ()}
        rows += _rows("rules", rules, texts, ways, [f"flat-{rules}", f"flat-{rules}-proved"], "optimize")
    write("scaling", rows, "One run of the whole program each: seconds of processor and of wall clock, MiB at most.")


def _rows(
    unit: str, size: int, texts: Mapping[str, str], ways: Mapping[str, tuple[str, ...]], names: list[str], command: str
) -> Iterator[dict[str, object]]:
    wanted = [Wanted(name, texts, options, command) for name, options in zip(names, ways.values(), strict=False)]
    for way, made in zip(ways, make_all(wanted), strict=True):
        yield {
            "unit": unit, "size": size, "what": way, "cpu": round(made.cpu, 2), "wall": round(made.wall, 2),
            "MiB": round(made.memory), "finished": bool(made.text),
        }  # fmt: skip
        print(unit, size, way, round(made.cpu, 1), flush=True)


if __name__ == "__main__":
    main()
