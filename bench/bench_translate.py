"""How long a translation takes over size, with the proof and without, beside iptables-restore-translate on the same text."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from measure import FWTRANS, Measured, machine, measured, write
from rulesets import plain_rules

SHARED = Path(__file__).resolve().parents[2] / "shared"
SIZES = (1_000, 10_000, 100_000)
PROVED = 20_000
PROMISED = {"s50": 4, "s200": 20}
"""Seconds from a dump to the proved ruleset, and MiB that it may take."""
MOST_MEMORY = 1024


def main() -> None:
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            place = Path(folder) / f"plain-{size}"
            place.write_text(plain_rules(size))
            rows.append(_row(f"{size} plain rules", place, proved=size <= PROVED))
    rows.append(_help())
    for name in ("s10", "s50", "s200"):
        dump = SHARED / "pve-corpus" / name
        if dump.is_dir():
            rows.append(_pve(name, dump))
        else:
            sys.stderr.write(f"bench_translate: {dump} is not here, left out\n")
    notes = "PVE dumps go the whole way: bridged packets by the bridge family, optimised, proved, printed"
    write("translate", rows, f"Medians of whole processes; {machine()}. {notes}.")


def _row(what: str, place: Path, *, proved: bool) -> dict[str, object]:
    # one rule for one, as the other tool does it
    plain = measured([*FWTRANS, "translate", "--no-optimize", "--no-verify", str(place)])
    proof = measured([*FWTRANS, "translate", str(place)]) if proved else None
    tool = shutil.which("iptables-restore-translate")
    theirs = measured([tool, "-f", str(place)]) if tool else None
    return _figures(what, plain, proof, theirs)


def _pve(name: str, place: Path) -> dict[str, object]:
    plain = measured([*FWTRANS, "translate", "--no-verify", str(place)])
    return _figures(f"{name}, both families", plain, measured([*FWTRANS, "translate", str(place)]), None)


def _help() -> dict[str, object]:
    return _figures("fwtrans --help", measured([*FWTRANS, "--help"]), None, None)


def _figures(what: str, plain: Measured, proof: Measured | None, theirs: Measured | None) -> dict[str, object]:
    return {
        "input": what,
        "translate s": plain.wall,
        "MiB": plain.memory,
        "with proof s": proof.wall if proof else "-",
        "cpu s with proof": proof.cpu if proof else "-",
        "promised s": PROMISED.get(what.partition(",")[0], "-"),
        "MiB with proof": proof.memory if proof else "-",
        "promised MiB": MOST_MEMORY if what.partition(",")[0] in PROMISED else "-",
        "iptables-restore-translate s": theirs.wall if theirs else "-",
    }


if __name__ == "__main__":
    main()
