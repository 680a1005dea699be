"""Nothing outside of our own tables changes: rules of others in every family, sets, addresses, routes and settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.apply.conftest import run
from tests.apply.test_apply import Run, confirmed, rolled_back

if TYPE_CHECKING:
    from tests.apply.conftest import Host

pytestmark = pytest.mark.netns

FAMILIES = ("ip", "ip6", "inet", "arp", "bridge", "netdev")
TABLE = """\
table {family} others {{
	comment "not ours"
	counter seen {{
		packets 7 bytes 700
	}}
	quota left {{
		over 10 mbytes used 3 mbytes
	}}
	set members {{
		type mark
		flags timeout
		elements = {{ 0x00000001 timeout 1d, 0x00000002 }}
	}}
	map ways {{
		type mark : verdict
		elements = {{ 0x00000003 : jump leaf }}
	}}
	chain leaf {{
		counter name "seen" quota name "left"
	}}
	chain first {{
		{base}
		meta mark vmap @ways
	}}
}}
"""
HOOKS = {
    "arp": "type filter hook input priority filter; policy accept;",
    "netdev": "",
    "bridge": "type filter hook forward priority filter; policy accept;",
}


def handles_and_all(host: Host) -> list[str]:
    """Return what others have: their tables with all handles, which tell whether something was made anew."""
    found = [run("nft", "-a", "list", "table", family, "others") for family in FAMILIES]
    found = [line.split(" expires ")[0] for text in found for line in text.splitlines()]
    found += host.others().splitlines()
    found += [run("arptables-nft-save"), run("ip", "-details", "address"), run("ip", "route"), run("ip", "-6", "route")]
    found.append(run("ip", "rule"))
    for path in sorted(Path("/proc/sys/net").rglob("*")):
        # statistics, not settings
        if (
            path.is_file()
            and path.name not in {"nf_conntrack_count", "flush", "stable_secret"}
            and path.stat().st_mode & 0o400
        ):
            try:
                found.append(f"{path}: {path.read_text(errors='replace')}")
            except OSError:
                continue
    return found


@pytest.mark.parametrize("end", ["confirmed", "not confirmed"])
def test_everything_else_is_what_it_was(host: Host, end: str) -> None:
    for family in FAMILIES:
        base = HOOKS.get(family, "type filter hook input priority 5; policy accept;")
        run("nft", "-f", "-", given=TABLE.format(family=family, base=base))
    run("ip", "link", "add", "br7", "type", "bridge")
    run("ip", "addr", "add", "192.0.2.1/24", "dev", "br7")
    before = handles_and_all(host)
    assert len(before) > 300
    if end == "confirmed":
        going = Run(host, persist=True).wait_for_load()
        assert handles_and_all(host) == before
        confirmed(host)
        going.result()
        assert handles_and_all(host) == before
        rolled_back(host)
    else:
        assert Run(host, confirm_within=0.2).wait_for_load().result()["outcome"] == "restored"
    assert handles_and_all(host) == before
