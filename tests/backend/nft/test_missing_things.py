"""RETURN and -g for packets without a socket: later rules stand in a chain of their own, and the result loads."""

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
:OUTPUT ACCEPT [0:0]
:local - [0:0]
:other - [0:0]
-A OUTPUT -p tcp -j local
{rules}
-A local -p tcp -m tcp --dport 80 -j DROP
-A other -p tcp -m tcp --dport 81 -j DROP
COMMIT
"""


def chains_of(tmp_path: Path, *rules: str, behind: str = "", optimize: bool = False) -> dict[str, tuple[str, ...]]:
    """Return the rules of each printed chain, without comments and hooks; the translation was proved on the way."""
    place = tmp_path / "iptables-save"
    place.write_text(DUMP.format(rules="\n".join(rules)) + behind)
    result, found = translated(place, Settings(optimize=optimize))
    assert [item.code for item in found] == []
    loaded = subprocess.run(
        ["unshare", "-n", "nft", "-f", "-"], input=result.output, text=True, capture_output=True, check=False
    )
    assert loaded.returncode == 0, loaded.stderr
    chains: dict[str, tuple[str, ...]] = {}
    for part in result.output.split("chain ")[1:]:
        name, *lines = part.split("\n")
        written = (line.split(" comment ")[0].strip() for line in lines)
        chains[name.removesuffix(" {")] = tuple(line for line in written if line and line[0] not in "}t")
    return chains


@pytest.mark.netns
def test_a_return_takes_what_has_no_socket_past_the_later_rules(tmp_path: Path) -> None:
    found = chains_of(tmp_path, "-A local -o lo -m owner ! --uid-owner 7 -j RETURN")
    assert found["local"] == (
        'oifname "lo" meta skuid != 7 return',
        'oifname "lo" goto local-without-1',
        "goto local-behind-1",
    )
    assert found["local-without-1"] == ("meta skuid >= 0 goto local-behind-1",)
    assert [rule.endswith("tcp dport 80 drop") for rule in found["local-behind-1"]] == [True]


@pytest.mark.netns
def test_several_such_rules_stand_one_behind_the_other(tmp_path: Path) -> None:
    found = chains_of(
        tmp_path,
        "-A local -o lo -m owner ! --uid-owner 7 -j RETURN",
        "-A local -d 10.0.0.1/32 -m owner ! --gid-owner 8 -g other",
    )
    assert found["local-behind-1"] == (
        "ip daddr 10.0.0.1 meta skgid != 8 goto other",
        "ip daddr 10.0.0.1 goto local-without-2",
        "goto local-behind-2",
    )
    assert found["local-without-2"] == ("meta skuid >= 0 goto local-behind-2", "goto other")


@pytest.mark.netns
def test_in_a_base_chain_a_return_is_the_policy(tmp_path: Path) -> None:
    found = chains_of(tmp_path, "-A OUTPUT -m owner ! --uid-owner 7 -j RETURN", "-A OUTPUT -p udp -j DROP")
    assert found["OUTPUT"][1:3] == ("meta skuid != 7 accept", "jump without-socket")
    assert found["without-socket"] == ("meta skuid >= 0 return", "accept")


@pytest.mark.netns
def test_it_is_proved_in_the_fastest_shape_too(tmp_path: Path) -> None:
    rules = ("-A local -o lo -m owner ! --uid-owner 7 -j RETURN", "-A local -m owner ! --gid-owner 8 -j RETURN")
    assert "local-behind-2" in chains_of(tmp_path, *rules, optimize=True)


@pytest.mark.netns
@pytest.mark.parametrize(
    ("protocol", "target", "printed"),
    [
        ("tcp", "REDIRECT --to-ports 9040", "meta l4proto tcp redirect to :9040"),
        ("udp", "DNAT --to-destination 192.0.2.1:53", "meta l4proto udp dnat to 192.0.2.1:53"),
        ("tcp", "DNAT --to-destination 192.0.2.1", "dnat to 192.0.2.1"),
    ],
)
@pytest.mark.parametrize("optimize", [False, True])
def test_a_new_port_stands_with_its_protocol(
    tmp_path: Path, protocol: str, target: str, printed: str, optimize: bool
) -> None:
    rule = f"-A OUTPUT -p {protocol} -m owner ! --uid-owner 7 -j {target}"
    found = chains_of(tmp_path, behind=f"*nat\n:OUTPUT ACCEPT [0:0]\n{rule}\nCOMMIT\n", optimize=optimize)
    assert found["without-socket"] == ("meta skuid >= 0 return", printed)
