"""Loads nft text with the real nft and returns what it lists, as text and as JSON; in a namespace or in the lab kernel."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.places import SHARED

if TYPE_CHECKING:
    from collections.abc import Sequence

_ONE = re.compile(r"== begin\n(.*?)== status (\d+)\n(.*?)== json\n(.*?)== end\n", re.DOTALL)


class Listed(NamedTuple):
    """What nft said, and what it lists afterwards."""

    status: int
    errors: str
    text: str
    json: str


def launcher() -> Path | None:
    """Return what runs a script under a kernel that has everything, or nothing."""
    chosen = os.environ.get("FWTRANS_LAB_UML")
    found = Path(chosen) if chosen else SHARED / "lab" / "run-uml"
    return found if found.is_file() else None


def listed(texts: Sequence[str], folder: Path, lab: Path | None = None) -> list[Listed]:
    """Load the rulesets one after the other, each into an empty ruleset."""
    lines = ["export TZ=UTC", "ip link set lo up"]
    for index, text in enumerate(texts):
        path = folder / f"ruleset-{index}.nft"
        path.write_text(text, encoding="utf-8")
        lines += [
            "nft flush ruleset",
            "echo '== begin'",
            f"nft -f {path} 2>&1",
            'echo "== status $?"',
            "nft list ruleset",
            "echo '== json'",
            "nft -j list ruleset 2>/dev/null",
            "echo '== end'",
        ]
    script = folder / "script"
    script.write_text("\n".join(lines), encoding="utf-8")
    command = ["unshare", "-n", "bash", str(script)] if lab is None else [str(lab), "-t", "900", str(script)]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    found = _ONE.findall(done.stdout)
    assert len(found) == len(texts), done.stdout[-2000:] + done.stderr[-2000:]
    return [Listed(int(status), errors, text, json) for errors, status, text, json in found]
