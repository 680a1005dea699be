"""What the real iptables-restore makes of texts, all of them in one network namespace of their own."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TOOLS = {
    ("ip", "legacy"): "iptables-legacy",
    ("ip", "nft"): "iptables-nft",
    ("ip6", "legacy"): "ip6tables-legacy",
    ("ip6", "nft"): "ip6tables-nft",
}

_RESET = """*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
COMMIT
"""

_SCRIPT = """
cd "$1"
for number in $(seq 1 "$3"); do
    "$2-restore" < reset
    "$2-restore" $4 < "$number.in" > "$number.said" 2>&1
    echo $? > "$number.status"
    "$2-save" $4 > "$number.out" 2> "$number.problem"
done
"""


class Outcome(NamedTuple):
    """Whether a text was taken, what the tool said, and what it then saved."""

    taken: bool
    said: str
    saved: str


def restore_each(
    folder: Path, family: str, variant: str, texts: Sequence[bytes], *, counters: bool = False
) -> list[Outcome]:
    """Give each text to iptables-restore, beginning with empty tables each time."""
    folder.mkdir()
    (folder / "reset").write_text(_RESET, encoding="utf-8")
    for number, text in enumerate(texts, start=1):
        (folder / f"{number}.in").write_bytes(text)
    tool = TOOLS[family, variant]
    options = ["-c"] if counters else []
    arguments = ["unshare", "-n", "sh", "-c", _SCRIPT, "sh", str(folder), tool, str(len(texts)), *options]
    subprocess.run(arguments, check=True, capture_output=True)
    return [
        Outcome(
            taken=(folder / f"{number}.status").read_text(encoding="utf-8").strip() == "0",
            said=(folder / f"{number}.said").read_text(encoding="utf-8", errors="replace"),
            saved=(folder / f"{number}.out").read_text(encoding="utf-8", errors="surrogateescape"),
        )
        for number in range(1, len(texts) + 1)
    ]
