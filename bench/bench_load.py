"""Loading: how long transactions take, by the number of guests. In a network namespace; needs root.

whole       everything where nothing is
element     one more guest, as one element of the dispatch map
rule        one rule more in one guest's chain
anew        everything over what is there, when it is not known what that is
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from measure import write

from fwtrans.backend.loader.load import assess, load
from fwtrans.backend.loader.plan import make_plan
from fwtrans.backend.loader.real import LibNft
from tests.backend.loader.images import big
from tests.namespaces import namespace

if TYPE_CHECKING:
    from fwtrans.backend.loader.image import ChainImage, ObjectImage, TableImage
    from fwtrans.backend.loader.state import State

GUESTS = (10, 50, 200, 1000)
ROUNDS = 7
NOTES = (
    "Each guest has a chain of its own here. A verdict that is added makes the kernel check all jumps of the table anew, so that "
    "time grows with the verdicts in maps; with policy classes chains are few."
)
ONE_MORE = "203.0.113.7 . udp . 53 : goto guest1"


def main() -> None:
    rows: list[dict[str, object]] = []
    for guests in GUESTS:
        (table,) = big("a", guests=guests)
        with namespace():
            client = LibNft()
            started = time.perf_counter()
            state = load(client, (table,), None).state
            whole = time.perf_counter() - started
            more = {
                "element": replace(table, objects=tuple(_with_element(table))),
                "rule": replace(table, chains=tuple(_with_rule(table))),
            }
            row: dict[str, object] = {"guests": guests, "size": table.size, "whole_ms": _ms(whole)}
            for name, wanted in more.items():
                row[f"{name}_ms"], row[f"{name}_plan_ms"] = _change(client, table, wanted, state)
            started = time.perf_counter()
            assert load(client, (table,), None).faults == ()
            row["anew_ms"] = _ms(time.perf_counter() - started)
            client.close()
        rows.append(row)
        print(row, flush=True)
    write("load", rows, NOTES)


def _change(client: LibNft, table: TableImage, wanted: TableImage, state: State | None) -> tuple[float, float]:
    """Return the medians of the transaction and of finding what it has to hold."""
    runs, plans = [], []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        plan = make_plan(assess(client, state, ()).present, (wanted,))
        planned = time.perf_counter()
        assert client.run(plan.switch) == ()
        runs.append(time.perf_counter() - planned)
        plans.append(planned - started)
        state = load(client, (table,), None).state
    return _ms(median(runs)), _ms(median(plans))


def _with_element(table: TableImage) -> list[ObjectImage]:
    return [
        replace(item, elements=(*item.elements, ONE_MORE)) if item.name == "ways" else item for item in table.objects
    ]


def _with_rule(table: TableImage) -> list[ChainImage]:
    return [replace(chain, rules=("drop", *chain.rules)) if chain.name == "guest1" else chain for chain in table.chains]


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)


if __name__ == "__main__":
    main()
