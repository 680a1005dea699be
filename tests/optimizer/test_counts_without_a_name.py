"""Draws and counts that have no name in nftables (`statistic`, `connlimit` of all connections): no pass makes copies of them.

Copies would count apart, and a ruleset with one could only be printed rule by rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwtrans.translate import Settings
from tests.hosts import translated

if TYPE_CHECKING:
    from pathlib import Path

COUNTS = {
    "drawn": ("statistic --mode random --probability 0.5", "numgen random"),
    "numbered": ("statistic --mode nth --every 3 --packet 0", "numgen inc"),
    "open connections": ("connlimit --connlimit-above 20 --connlimit-mask 0", "ct count"),
}
PORTS = "\n".join(f"-A {{chain}} -p tcp -m tcp --dport {port} -j ACCEPT" for port in range(8000, 8006))
SHAPES = {
    "in the list itself": f"{PORTS.format(chain='INPUT')}\n-A INPUT -m {{count}} -j DROP\n{PORTS.format(chain='INPUT')}",
    "in a chain of several callers": (
        f"-A INPUT -i eth0 -j shared\n{PORTS.format(chain='INPUT')}\n-A INPUT -j shared\n"
        f"-A shared -m {{count}} -j DROP\n{PORTS.format(chain='shared')}"
    ),
    "behind a mark that is known": (
        "-A INPUT -i eth0 -j shared\n-A INPUT -i eth1 -j MARK --set-mark 1\n-A INPUT -i eth1 -j shared\n"
        "-A shared -m {count} -j DROP\n-A shared -m mark --mark 1 -j ACCEPT"
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", COUNTS)
def test_it_stands_once_in_what_is_printed(kind: str, shape: str, tmp_path: Path) -> None:
    count, printed = COUNTS[kind]
    table = "mangle" if "mark" in shape else "filter"
    dump = f"*{table}\n:INPUT ACCEPT [0:0]\n:shared - [0:0]\n{SHAPES[shape].format(count=count)}\nCOMMIT\n"
    place = tmp_path / "iptables-save"
    place.write_text(dump)
    result, found = translated(place, Settings(optimize=True))
    assert [item.code for item in found] == []
    assert result.output.count(printed) == 1
