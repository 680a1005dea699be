"""Firewall lines where people have them: in interfaces(5) and in scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.hosts import translated

if TYPE_CHECKING:
    from pathlib import Path

STANZA = """\
auto vmbr1
iface vmbr1 inet static
\taddress 192.168.131.1/24
\tpost-up echo 1 > /proc/sys/net/ipv4/ip_forward
\tpost-up iptables -t nat -A POSTROUTING -s 192.168.131.0/24 -o vmbr0 -j MASQUERADE
\tpost-up iptables -t nat -A PREROUTING -i vmbr0 -p tcp --dport 443 -j DNAT --to 192.168.131.200:443
\tpost-up iptables -t nat -A PREROUTING -i vmbr0 -p tcp \\
\t\t--dport 25 -j DNAT --to 192.168.131.200:25
\tpost-up iptables -A FORWARD -i $IFACE -j ACCEPT
\tpost-up ebtables --concurrent -A FORWARD -s ! 0:11:22:33:44:55 -j DROP
\tpost-down iptables -t nat -D POSTROUTING -s 192.168.131.0/24 -o vmbr0 -j MASQUERADE
"""


def written(tmp_path: Path, text: str, name: str = "interfaces") -> Path:
    place = tmp_path / name
    place.write_text(text)
    return place


def test_a_masquerade_and_dnats_in_a_stanza_are_translated(tmp_path: Path) -> None:
    result, found = translated(written(tmp_path, STANZA))
    assert not found
    for rule in (
        'iifname "vmbr0" tcp dport 443 dnat to 192.168.131.200:443 comment "if:6"',
        'iifname "vmbr0" tcp dport 25 dnat to 192.168.131.200:25 comment "if:7"',
        'ip saddr 192.168.131.0/24 oifname "vmbr0" masquerade comment "if:5"',
        'iifname "vmbr1" accept comment "if:9"',
        'ether saddr != 00:11:22:33:44:55 drop comment "if:10"',
    ):
        assert rule in result.output


@pytest.mark.parametrize(
    ("right", "slip", "code", "hint"),
    [
        ("--dport 443", "-dport 443", "FWT113", "--dport"),
        ("--to 192.168.131.200:443", "--to 192.168.131.200 :443", "FWT102", "remove the blank"),
    ],
)
def test_a_common_slip_gets_its_hint(tmp_path: Path, right: str, slip: str, code: str, hint: str) -> None:
    result, found = translated(written(tmp_path, STANZA.replace(right, slip)))
    assert result.output == ""
    assert [item.code for item in found] == [code]
    assert hint in found[0].hints[0]
    assert found[0].span is not None
    assert found[0].span.line == 6


def test_a_dump_holds_what_the_stanza_has_done(tmp_path: Path) -> None:
    written(tmp_path, STANZA.replace("\tpost-up ebtables", "\t# ebtables"))
    written(tmp_path, "*filter\n:INPUT DROP [0:0]\nCOMMIT\n", "iptables-save")
    result, found = translated(tmp_path)
    assert not found
    assert "masquerade" not in result.output


def test_a_script_with_a_variable_is_carried_out(tmp_path: Path) -> None:
    script = (
        "#!/bin/sh\nIPT=/sbin/iptables\n$IPT -F\n$IPT -P INPUT DROP\n$IPT -N web\n"
        "$IPT -D INPUT -j nowhere 2>/dev/null || true\n"
        "$IPT -A web -p tcp --dport 80 -j ACCEPT\n$IPT -A INPUT -j web\n"
        "$IPT -C INPUT -j web || $IPT -A INPUT -j web\nipset create a hash:ip\nipset add a 192.0.2.1\n"
        "$IPT -A INPUT -m set --match-set a src -j ACCEPT\n"
    )
    result, found = translated(written(tmp_path, script, "firewall.sh"))
    assert not found
    assert result.output.count("jump web") == 1
    assert "ip saddr @a accept" in result.output


def test_calls_in_two_files_are_refused(tmp_path: Path) -> None:
    written(tmp_path, "iface a inet manual\n\tup iptables -A INPUT -i a -j DROP\n", "more")
    place = written(tmp_path, f"source {tmp_path}/more\niface b inet manual\n\tup iptables -A INPUT -i b -j DROP\n")
    _, found = translated(place)
    assert [item.code for item in found] == ["FWT134"]


@pytest.mark.parametrize("text", ["#!/bin/sh\niptables -L -n\n", "auto lo\niface lo inet loopback\n"])
def test_what_loads_no_rule_is_told_as_that(tmp_path: Path, text: str) -> None:
    """It is no ruleset of no rules either: that would let everything in."""
    place = written(tmp_path, text)
    result, found = translated(place)
    assert result.output == ""
    assert [item.code for item in found] == ["FWT101"]
    assert str(place) in found[0].message
