"""One more guest on a Proxmox VE node: what is sent are elements of sets and maps, whatever the number of guests."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.apply.wanted import read_wanted
from fwtrans.backend.loader.image import Kind, TableImage
from fwtrans.backend.loader.naming import under_loaded_names
from fwtrans.backend.loader.plan import Present, make_plan
from fwtrans.cli.inputs import FileAccess, read_paths
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.translate import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from fwtrans.backend.loader.image import Image

NEW = "9999"
TWIN = "109"


def translated(folder: Path) -> Image:
    sink = DiagnosticSink()
    found = read_wanted(
        read_paths([str(folder)], sink), Settings(verify=False, optimize=True), sink, FileAccess([str(folder)])
    )
    assert found is not None, sink.errors
    return found.image


def with_other_numbers(image: Image) -> Image:
    """Return the image with each chain and map named anew, as if all that names are made of had changed."""

    def of(table: TableImage) -> TableImage:
        names = {chain.name: f"{chain.name}-{number}" for number, chain in enumerate(table.chains) if not chain.is_base}
        names |= {f"@{item.name}": f"@m-{number}" for number, item in enumerate(table.objects) if item.kind is Kind.MAP}

        def other(text: str) -> str:
            return re.sub(r"((?:jump|goto) |@)([\w.-]+)", lambda found: _other(names, found), text)

        return replace(
            table,
            objects=tuple(
                replace(
                    item,
                    name=names.get(f"@{item.name}", f"@{item.name}")[1:],
                    elements=tuple(map(other, item.elements)),
                )
                for item in table.objects
            ),
            chains=tuple(
                replace(chain, name=names.get(chain.name, chain.name), rules=tuple(map(other, chain.rules)))
                for chain in table.chains
            ),
        )

    return tuple(map(of, image))


def _other(names: dict[str, str], found: re.Match[str]) -> str:
    if found[1] == "@":
        return names.get(found[0], found[0])
    return f"{found[1]}{names.get(found[2], found[2])}"


def test_one_more_guest_is_elements_only(shared: Path, tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    for folder in (before, after):
        shutil.copytree(shared / "pve-corpus" / "s10" / "input", folder)
        # a log's prefix names the guest, so that guests who log share no rules there
        rules = (folder / f"{TWIN}.fw").read_text().splitlines(keepends=True)
        (folder / f"{TWIN}.fw").write_text("".join(line for line in rules if "log" not in line))
    facts = json.loads((after / "vms.json").read_text())
    port = f"{facts['qemu'][TWIN]['net0'].split('=')[0]}=BC:24:11:99:99:99,bridge=vmbr0,firewall=1"
    facts["qemu"][NEW] = {"net0": port}
    (after / "vms.json").write_text(json.dumps(facts))
    (after / "qemu-server" / f"{NEW}.conf").write_text(f"name: new\nnet0: {port}\n")
    shutil.copy(after / f"{TWIN}.fw", after / f"{NEW}.fw")
    old, new = translated(before), translated(after)
    handles = [{chain.name: tuple(range(len(chain.rules))) for chain in table.chains} for table in old]
    present = [Present(table, own) for table, own in zip(old, handles, strict=True)]
    named = under_loaded_names(present, new)
    assert under_loaded_names(present, with_other_numbers(new)) == named
    plan = make_plan(present, named)
    assert not plan.prepare
    assert not plan.tidy
    assert plan.switch.holds_elements_only
    assert plan.counts.elements_removed == 0
    assert 5 <= plan.counts.elements_added <= 120
    assert all("9999" in command.text() or "bc:24:11:99:99:99" in command.text() for command in plan.switch.commands)
