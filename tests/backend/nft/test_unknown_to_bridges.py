"""What the bridge family cannot ask is refused by name where rules for bridged packets ask it, and nothing is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwtrans.translate import Settings
from tests.hosts import translated

if TYPE_CHECKING:
    from pathlib import Path

DUMP = """*mangle
:PREROUTING ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
{rule}
COMMIT
*filter
:FORWARD ACCEPT [0:0]
-A FORWARD -m physdev --physdev-in tap1 --physdev-is-bridged -j DROP
COMMIT
"""


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        ("-A PREROUTING -m addrtype --dst-type LOCAL -j MARK --set-xmark 0x5/0xff", "`fib daddr type`"),
        ("-A PREROUTING -m rpfilter --invert -j DROP", "`fib saddr . iif oif`"),
        ("-A PREROUTING -m socket --transparent -j DROP", "`socket transparent`"),
        ("-A PREROUTING -p tcp -j TPROXY --on-port 99 --on-ip 127.0.0.1", "`TPROXY`"),
        ("-A FORWARD -m policy --dir in --pol ipsec --reqid 5 -j DROP", "`ipsec in 0 reqid`"),
    ],
)
@pytest.mark.parametrize("optimize", [False, True])
def test_what_a_bridge_does_not_know_is_refused_at_its_rule(
    tmp_path: Path, rule: str, named: str, optimize: bool
) -> None:
    place = tmp_path / "iptables-save"
    place.write_text(DUMP.format(rule=rule))
    result, found = translated(place, Settings(optimize=optimize))
    assert result.output == ""
    assert {(item.code, item.span.line if item.span else 0) for item in found} == {("FWT200", 4)}
    assert all(item.message.startswith(named) for item in found)


def test_without_ports_no_packet_is_judged_on_a_bridge(tmp_path: Path) -> None:
    place = tmp_path / "iptables-save"
    place.write_text("*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -m rpfilter --invert -j DROP\nCOMMIT\n")
    result, found = translated(place, Settings())
    assert "fib saddr" in result.output
    assert not found
