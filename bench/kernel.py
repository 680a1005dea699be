"""Runs the flood in a kernel that has what rulesets for bridges need, and says which one it was."""

from __future__ import annotations

import json
import os
import shlex
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from fwtrans.lab.kernels import SETTING, Kernel, choice, named, run_script

ROOT = Path(__file__).resolve().parent.parent
# what the scripts inside print before their answer
ANSWER = "\n---flood---\n"


def environment() -> dict[str, str]:
    """Return the settings, and beside them the launcher next to the checkout where there is one."""
    beside = ROOT.parent / "shared" / "lab" / "run-uml"
    return {**({SETTING: str(beside)} if beside.exists() else {}), **os.environ}


@cache
def bench_kernel() -> Kernel:
    """Return the kernel that everything is measured in; a virtual one before the running one: nobody else is in it."""
    settings = environment()
    kernels = (*named("uml", settings), *named("running", settings))
    return choice("nft -f - <<'END'\n" + _NEEDED + "END\n", kernels, settings).kernel


_NEEDED = """\
table bridge probe {
	chain prerouting {
		type filter hook prerouting priority 0; policy accept;
		ct state established accept
		meta ibrname "br0" reject
	}
}
"""


def run_inside(script: str, order: Any, *, seconds: int = 900) -> Any:
    """Return what a script of this folder answers to an order; a failure ends the bench."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "order.json")
        path.write_text(json.dumps(order))
        words = shlex.join([sys.executable, str(ROOT / "bench" / script), str(path)])
        found = run_script(bench_kernel(), f"exec {words}\n", seconds=seconds)
    before, _, after = found.output.partition(ANSWER)
    if found.status or not after:
        raise SystemExit(f"{found.kernel.name}: exit status {found.status}\n{before[-3000:]}")
    return json.loads(after)
