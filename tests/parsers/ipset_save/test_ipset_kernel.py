"""Random restore files: the real ipset takes the same ones, and holds the same elements afterwards."""

from __future__ import annotations

import subprocess
from functools import cache

import pytest

from fwtrans.parsers.ipset_save.set_types import SET_TYPES
from tests.parsers.ipset_save.reading import cells, read
from tests.parsers.ipset_save.scripts import ScriptMaker

pytestmark = pytest.mark.netns


def restore(script: str) -> subprocess.CompletedProcess[str]:
    """Load the script into a namespace of its own and print what is there then."""
    command = "ipset restore && ipset save"
    return subprocess.run(
        ["unshare", "-n", "sh", "-c", command], input=script, capture_output=True, text=True, check=False
    )


@cache
def types_here() -> tuple[str, ...]:
    """Return the set types of the running kernel; the recorded cases cover the others."""
    found = []
    for name in SET_TYPES:
        area = " range 0-9" if name == "bitmap:port" else " range 10.0.0.0/24" if name.startswith("bitmap") else ""
        if restore(f"create x {name}{area}\n").returncode == 0:
            found.append(name)
    assert len(found) >= 8, f"only {found} of ipset's types: the comparison says little"
    return tuple(found)


@pytest.mark.parametrize("seed", range(10))
def test_random_scripts_leave_the_same_elements(seed: int) -> None:
    taken = 0
    for number in range(30):
        script = ScriptMaker(seed * 1000 + number, types_here()).script(length=1 + number % 12)
        real = restore(script)
        _, codes = read(script)
        assert (real.returncode == 0) == (not codes), f"{script}\n{real.stderr}\nours: {codes}"
        if real.returncode == 0:
            taken += 1
            assert cells(script) == cells(real.stdout), f"{script}\n{real.stdout}"
    assert taken >= 5, "nearly all scripts are refused: they test too little"
