"""What the tests of whole nodes run inside of another kernel: two images are loaded, become each other, and are read back.

python -m tests.backend.loader.in_kernel BEFORE AFTER

Both files hold images as the state file does. What was found is one JSON object; nothing else is printed.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fwtrans.apply.selftest import self_test
from fwtrans.backend.loader.image import Kind, same_rule_key
from fwtrans.backend.loader.load import assess, check, load
from fwtrans.backend.loader.naming import under_loaded_names
from fwtrans.backend.loader.plan import make_plan
from fwtrans.backend.loader.real import LibNft
from fwtrans.backend.loader.state import image_of_value, read_state, write_state
from tests.namespaces import namespace

if TYPE_CHECKING:
    from fwtrans.backend.loader.image import Image


def tables_of(client: LibNft, wanted: Image) -> object:
    """Return all that nft lists of these tables, without counts and source lines, whatever the order of elements."""
    found = []
    for table in wanted:
        listing = client.listing(table.name)
        assert listing is not None
        objects = sorted(
            (item.kind.value, item.name, sorted(item.body), sorted(item.elements)) for item in listing.objects
        )
        chains = sorted((chain.name, chain.head, tuple(map(same_rule_key, chain.rules))) for chain in listing.chains)
        found.append((str(table.name), listing.head, objects, chains))
    return found


def alone(wanted: Image) -> object:
    """Return what an image looks like that is loaded where nothing is."""
    with namespace():
        client = LibNft()
        answer = load(client, wanted, None)
        assert answer.faults == (), answer.faults[0].message
        found = tables_of(client, wanted)
        client.close()
    return found


def counts_of(client: LibNft, wanted: Image) -> dict[str, bool]:
    """Hold the numbers of rules and elements in the kernel against the image."""
    found = {}
    for table in wanted:
        listing = client.listing(table.name)
        assert listing is not None
        sets = {item.name: item for item in listing.objects if item.kind in (Kind.SET, Kind.MAP)}
        found[str(table.name)] = {chain.name: len(chain.rules) for chain in listing.chains} == {
            chain.name: len(chain.rules) for chain in table.chains
        } and all(len(sets[item.name].elements) == len(item.elements) for item in table.objects if item.name in sets)
    return found


def with_another_rule(image: Image) -> Image:
    """Return the image with one rule of its longest chain changed."""
    table = image[-1]
    chosen = max((chain for chain in table.chains if not chain.is_base), key=lambda chain: len(chain.rules))
    changed = replace(chosen, rules=("meta mark 4711 drop", *chosen.rules[1:]))
    chains = tuple(changed if chain is chosen else chain for chain in table.chains)
    return (*image[:-1], replace(table, chains=chains))


def timed_change(client: LibNft, wanted: Image, directory: Path) -> dict[str, object]:
    """Load the difference as `apply` does: planned, shown to the kernel, carried out."""
    state = read_state(directory)
    started = time.perf_counter()
    present = assess(client, state, [table.name for table in wanted]).present
    plan = make_plan(present, under_loaded_names(present, wanted))
    planned = time.perf_counter()
    faults = check(client, plan)
    checked = time.perf_counter()
    faults = faults or client.run(plan.switch) if not plan.prepare else faults
    done = time.perf_counter()
    return {
        "faults": [fault.message for fault in faults],
        "only_elements": plan.switch.holds_elements_only and not plan.prepare and not plan.tidy,
        "commands": len(plan.switch.commands),
        "counts": asdict(plan.counts),
        "milliseconds": {
            "plan": round(1000 * (planned - started), 2),
            "check": round(1000 * (checked - planned), 2),
            "run": round(1000 * (done - checked), 2),
        },
    }


def main(before: Image, after: Image) -> dict[str, object]:
    """Return what was found."""
    client = LibNft()
    told: dict[str, object] = {"kernel": os.uname().release, "size": sum(table.size for table in before)}
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        started = time.perf_counter()
        answer = load(client, before, None)
        told["whole_faults"] = [fault.message for fault in answer.faults]
        told["whole_milliseconds"] = round(1000 * (time.perf_counter() - started))
        if answer.state is None or answer.faults:
            return told
        write_state(directory, answer.state)
        told["counts"] = counts_of(client, before)
        told["self_test"] = [text for text in self_test(client, before, (), ()) if not text.startswith("net.bridge.")]
        state = read_state(directory)
        again = load(client, before, state)
        told["the same again"] = (again.sent, again.doubts, again.foreign)
        told["one more guest"] = timed_change(client, after, directory)
        load(client, before, None)
        if (state := load(client, before, None).state) is not None:
            write_state(directory, state)
        told["one rule"] = timed_change(client, with_another_rule(before), directory)
        state = load(client, before, None).state
        answer = load(client, after, state)
        told["difference"] = {
            "faults": len(answer.faults),
            "doubts": answer.doubts,
            "is_as_loaded_alone": tables_of(client, after) == alone(after),
        }
        answer = load(client, before, answer.state)
        told["back"] = {
            "faults": len(answer.faults),
            "doubts": answer.doubts,
            "is_as_loaded_alone": tables_of(client, before) == alone(before),
        }
    return told


if __name__ == "__main__":
    images = [image_of_value(json.loads(Path(name).read_bytes())) for name in sys.argv[1:3]]
    json.dump(main(*images), sys.stdout, default=str)
