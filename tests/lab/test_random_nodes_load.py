"""What is printed for random Proxmox VE nodes loads and lists in a kernel, optimised and not, and again over itself.

Helpers of connection tracking are left out of the nodes: kernels for tests have few of them.
"""

from __future__ import annotations

import re
from random import Random
from typing import TYPE_CHECKING

import pytest

from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.lab.kernels import run_script
from fwtrans.source import SourceFile
from fwtrans.translate import Settings, translate
from tests.random_nodes import random_node

if TYPE_CHECKING:
    from pathlib import Path

    from fwtrans.lab.kernels import Kernel

pytestmark = [pytest.mark.netns, pytest.mark.kernel]

FIRST = 5000
SCRIPT = """\
for ruleset in "$1"/*.nft; do
  unshare -n bash -c 'nft -f "$1" && nft list ruleset > "$2" && nft -f "$1"' - "$ruleset" /tmp/listed > /tmp/said 2>&1 \
    && test -s /tmp/listed && echo "loaded $ruleset" || { echo "failed $ruleset"; head -3 /tmp/said; }
  rm -f /tmp/listed
done
"""


def node(seed: int) -> list[SourceFile]:
    sources = random_node(Random(seed))  # noqa: S311 -- a seed each
    return [SourceFile(one.name, re.sub(r"(?m)^nf_conntrack_helpers:.*\n", "", one.text)) for one in sources]


def check(seeds: range, folder: Path, kernel: Kernel) -> None:
    for seed in seeds:
        for optimize in (True, False):
            sink = DiagnosticSink()
            settings = Settings(optimize=optimize, verify=False, close_mark_leak=seed % 4 == 3)
            found = translate(node(seed), settings, sink, FileAccess())
            assert not sink.errors, (seed, sink.errors)
            (folder / f"{seed}-{'optimized' if optimize else 'plain'}.nft").write_text(found.output)
    answer = run_script(kernel, SCRIPT, (str(folder),), seconds=900)
    assert "failed" not in answer.output, answer.output[-3000:]
    assert answer.output.count("loaded ") == 2 * len(seeds), answer.output[-3000:]


def test_six_random_nodes(tmp_path: Path, bridge_kernel: Kernel) -> None:
    check(range(FIRST, FIRST + 6), tmp_path, bridge_kernel)


@pytest.mark.lab_long
def test_a_hundred_random_nodes(tmp_path: Path, bridge_kernel: Kernel) -> None:
    check(range(FIRST + 6, FIRST + 106), tmp_path, bridge_kernel)
