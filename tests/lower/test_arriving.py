"""Ports of a set or a hashlimit whose protocol is not in the rule but in every call of its chain."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from fwtrans.translate import Settings
from tests.hosts import translated

if TYPE_CHECKING:
    from pathlib import Path

DUMP = """*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:outer - [0:0]
:inner - [0:0]
:unused - [0:0]
{calls}
-A outer -s 192.0.2.0/24 -j inner
-A inner {rule}
-A unused -j inner
COMMIT
"""
SET = "-j SET --add-set seen src,dst"
LIMIT = (
    "-m hashlimit --hashlimit-above 5/sec --hashlimit-burst 7 --hashlimit-mode srcip,dstport --hashlimit-name f -j DROP"
)
USES = pytest.mark.parametrize(
    ("rule", "printed"),
    [
        (SET, "add @seen { ip saddr . meta l4proto . th dport }"),
        (LIMIT, "update @hashlimit-ip-f { ip saddr . th dport "),
    ],
)


def codes_and_text(tmp_path: Path, rule: str, *calls: str) -> tuple[list[str], str]:
    """Return findings and output; a translation was proved equal, or there is a finding."""
    (tmp_path / "iptables-save").write_text(DUMP.format(rule=rule, calls="\n".join(calls)))
    if rule is SET:
        (tmp_path / "ipset-save").write_text("create seen hash:ip,port timeout 60\n")
    result, found = translated(tmp_path, Settings(optimize=False))
    return [item.code for item in found if item.code != "FWT206"], result.output


@pytest.mark.netns
@USES
@pytest.mark.parametrize(
    "calls",
    [
        ("-A INPUT -p udp -j outer",),
        ("-A INPUT -p udp -m udp --dport 53 -g outer", "-A FORWARD -p tcp -j inner"),
        ("-A INPUT -p sctp -j unused",),
    ],
)
def test_calls_that_name_a_protocol_are_enough(tmp_path: Path, rule: str, printed: str, calls: tuple[str, ...]) -> None:
    codes, text = codes_and_text(tmp_path, rule, *calls)
    assert codes == []
    assert printed in text
    loaded = subprocess.run(
        ["unshare", "-n", "nft", "-f", "-"], input=text, text=True, capture_output=True, check=False
    )
    assert loaded.returncode == 0, loaded.stderr


@USES
@pytest.mark.parametrize(
    "calls",
    [
        ("-A INPUT -p udp -j outer", "-A FORWARD -j outer"),
        ("-A INPUT ! -p udp -j outer",),
        ("-A INPUT -p icmp -j outer", "-A INPUT -p tcp -j outer"),
        ("-A INPUT -p tcp -j outer", "-A INPUT -j unused"),
        (),
    ],
)
def test_one_call_for_other_protocols_is_too_many(
    tmp_path: Path, rule: str, printed: str, calls: tuple[str, ...]
) -> None:
    codes, text = codes_and_text(tmp_path, rule, *calls)
    assert codes == ["FWT200"]
    assert printed not in text
