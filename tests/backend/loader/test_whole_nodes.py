"""Whole Proxmox VE nodes in the loader, in a kernel that has all of bridge netfilter: loaded, changed, read back.

How long a transaction takes depends on what it holds, and that is looked at here; bench/bench_load.py measures.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from fwtrans.apply.wanted import read_wanted
from fwtrans.backend.loader.image import Kind
from fwtrans.backend.loader.image_text import read_image
from fwtrans.backend.loader.state import image_value
from fwtrans.cli.inputs import FileAccess, read_paths
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.lab.kernels import SETTING, Kernel, choose, run_script
from fwtrans.translate import Settings
from tests.places import REPOSITORY
from tests.stock_kernel import stock_kernel

if TYPE_CHECKING:
    from pathlib import Path

    from fwtrans.backend.loader.image import Image, TableImage

pytestmark = [pytest.mark.kernel, pytest.mark.netns]

NEW = "9999"
SCRIPT = """
echo 1 > /proc/sys/vm/overcommit_memory
cd "$1"
export PATH=$PATH:/usr/sbin:/sbin
"$2" -m tests.backend.loader.in_kernel "$3" "$4"
"""
STOCK = """
echo 1 > /proc/sys/vm/overcommit_memory
cd "$1"
export PATH=$PATH:/usr/sbin:/sbin
python=$2
shift 2
uname -r
"$python" -m pytest -q -p no:cacheprovider -p no:xdist "$@"
"""


def translated(folder: Path) -> Image:
    sink = DiagnosticSink()
    found = read_wanted(
        read_paths([str(folder)], sink), Settings(verify=False, optimize=True), sink, FileAccess([str(folder)])
    )
    assert found is not None, sink.errors
    return found.image


def with_one_more(folder: Path, source: Path, twin: str) -> tuple[Path, Path]:
    """Copy a node's configuration, and once more with a guest that is configured as `twin` is."""
    before, after = folder / "before", folder / "after"
    for copy in (before, after):
        shutil.copytree(source, copy)
        rules = (copy / f"{twin}.fw").read_text().splitlines(keepends=True)
        # a log's prefix names the guest, so that guests who log share no rules there
        (copy / f"{twin}.fw").write_text("".join(line for line in rules if "log" not in line))
    facts = json.loads((after / "vms.json").read_text())
    port = f"{facts['qemu'][twin]['net0'].split('=')[0]}=BC:24:11:99:99:99,bridge=vmbr0,firewall=1"
    facts["qemu"][NEW] = {"net0": port}
    (after / "vms.json").write_text(json.dumps(facts))
    (after / "qemu-server" / f"{NEW}.conf").write_text(f"name: new\nnet0: {port}\n")
    shutil.copy(after / f"{twin}.fw", after / f"{NEW}.fw")
    return before, after


def without_helpers(image: Image) -> Image:
    """Leave out helpers of connection tracking, of which User Mode Linux as it was built has only two."""

    def table_of(table: TableImage) -> TableImage:
        objects = tuple(item for item in table.objects if item.kind is not Kind.CT_HELPER)
        chains = tuple(
            replace(chain, rules=tuple(rule for rule in chain.rules if "ct helper set" not in rule))
            for chain in table.chains
        )
        return replace(table, objects=objects, chains=chains)

    return tuple(map(table_of, image))


def in_kernel(kernel: Kernel, folder: Path, before: Image, after: Image, seconds: int) -> dict[str, Any]:
    """Return what the kernel made of the two images. The folder is one that the kernel sees too."""
    paths = folder / "before.json", folder / "after.json"
    for path, image in zip(paths, (before, after), strict=True):
        path.write_text(json.dumps(image_value(image)))
    answer = run_script(kernel, SCRIPT, (str(REPOSITORY), sys.executable, *map(str, paths)), seconds=seconds)
    assert answer.status == 0, answer.output
    found: dict[str, Any] = json.loads(answer.output)
    return found


def assert_loads(found: dict[str, Any]) -> None:
    """What holds for any node: it loads, comes back as it is, and the difference leads where a whole load does."""
    assert found["whole_faults"] == []
    assert all(found["counts"].values()), found["counts"]
    assert found["self_test"] == []
    assert found["the same again"] == [[], [], []]
    for step in ("difference", "back"):
        assert found[step] == {"faults": 0, "doubts": [], "is_as_loaded_alone": True}, found


def assert_small(found: dict[str, Any]) -> None:
    """One more guest is elements only, and one rule is one chain."""
    more, rule = found["one more guest"], found["one rule"]
    assert more["faults"] == rule["faults"] == []
    assert more["only_elements"], more
    assert more["counts"]["elements_removed"] == more["counts"]["rules_added"] == 0
    assert rule["counts"]["elements_added"] == rule["counts"]["elements_removed"] == 0
    assert rule["commands"] <= 20, rule
    assert more["commands"] <= 40, "it grows with the sets that a guest is in, not with the guests"


@pytest.fixture
def uml(shared: Path) -> Kernel:
    kernel = choose(environment={SETTING: str(shared / "lab" / "run-uml")})
    return kernel._replace(command=(*kernel.command, "-m", "2500")) if kernel.timed else kernel


def test_a_small_node(uml: Kernel, shared: Path, tmp_path: Path) -> None:
    before, after = with_one_more(tmp_path, shared / "pve-corpus" / "s10" / "input", "109")
    images = without_helpers(translated(before)), without_helpers(translated(after))
    found = in_kernel(uml, tmp_path, *images, seconds=600)
    assert_loads(found)
    assert_small(found)


@pytest.mark.lab_long
@pytest.mark.parametrize("twin", ["136", "109", "124", "139", "104", "151"])
def test_two_hundred_guests(uml: Kernel, shared: Path, tmp_path: Path, twin: str) -> None:
    """The new guest changes names that chains of others were given; they keep those under which they are loaded."""
    before, after = with_one_more(tmp_path, shared / "pve-corpus" / "s200" / "input", twin)
    images = without_helpers(translated(before)), without_helpers(translated(after))
    found = in_kernel(uml, tmp_path, *images, seconds=900)
    assert found["size"] > 20_000
    assert_loads(found)
    assert_small(found)


@pytest.mark.lab_long
@pytest.mark.parametrize("what", ["translated", "proxmox-firewall's own"])
def test_five_hundred_guests(uml: Kernel, shared: Path, tmp_path: Path, what: str) -> None:
    folder = shared / "proxmox-firewall-corpus" / "500"
    before = translated(folder / "input") if what == "translated" else read_image((folder / "ruleset.nft").read_text())
    before = without_helpers(before)
    after = without_port(before, "tap599i0")
    assert sum(table.size for table in after) < sum(table.size for table in before)
    found = in_kernel(uml, tmp_path, before, after, seconds=500)
    assert found["size"] > 10_000
    assert_loads(found)


def without_port(image: Image, port: str) -> Image:
    """Return the image without a guest's port: its elements, and the chains that nothing leads to then."""

    def table_of(table: TableImage) -> TableImage:
        objects = tuple(
            replace(item, elements=tuple(text for text in item.elements if f'"{port}"' not in text))
            for item in table.objects
        )
        texts = [rule for chain in table.chains for rule in chain.rules]
        texts += [element for item in objects for element in item.elements]
        called = {name for text in texts for name in re.findall(r"(?:jump|goto) (\S+?)[,;]?(?: |$)", text)}
        chains = tuple(chain for chain in table.chains if chain.is_base or chain.name in called)
        return replace(table, objects=objects, chains=chains)

    return tuple(map(table_of, image))


@pytest.mark.lab_long
def test_the_loader_in_debians_own_kernel(shared: Path) -> None:
    """The oldest kernel that fwtrans promises to work with."""
    tests = ("tests/backend/loader/test_clients.py", "tests/backend/loader/test_load.py")
    quick = "--deselect=tests/backend/loader/test_load.py::test_a_change_is_quick_whatever_the_number_of_guests"
    answer = run_script(stock_kernel(shared), STOCK, (str(REPOSITORY), sys.executable, quick, *tests), seconds=600)
    assert answer.status == 0, answer.output
    assert " passed" in answer.output


@pytest.mark.lab_long
def test_applying_and_being_killed_in_debians_own_kernel(shared: Path) -> None:
    tests = ("tests/apply/test_killed.py", "tests/apply/test_commands.py")
    answer = run_script(stock_kernel(shared), STOCK, (str(REPOSITORY), sys.executable, *tests), seconds=1500)
    assert answer.status == 0, answer.output
    assert " passed" in answer.output


@pytest.mark.lab_long
def test_a_small_node_in_debians_own_kernel(shared: Path, tmp_path: Path) -> None:
    """With all helpers of connection tracking, which that kernel has as modules."""
    before, after = with_one_more(tmp_path, shared / "pve-corpus" / "s10" / "input", "109")
    found = in_kernel(stock_kernel(shared), tmp_path, translated(before), translated(after), seconds=600)
    assert found["kernel"].startswith("6.")
    assert_loads(found)
    assert found["one more guest"]["only_elements"]
