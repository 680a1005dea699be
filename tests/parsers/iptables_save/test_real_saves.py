"""What the real tools save and list is read, and printed back letter by letter."""

from __future__ import annotations

import subprocess
from functools import cache

import pytest

from fwtrans.parsers.iptables_save.unparse import unparse_dump
from tests.parsers.iptables_save.reading import read_well, script
from tests.parsers.iptables_save.real_iptables import TOOLS

pytestmark = pytest.mark.netns

RULES = r"""
*mangle
:PREROUTING ACCEPT [1:2]
:mark - [0:0]
[3:4] -A PREROUTING ! -i lo -j mark
-A mark -p tcp --dport 80 -j MARK --set-mark 0x16/0xff
-A mark -j CONNMARK --save-mark
COMMIT
*nat
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -o eth0 -j MASQUERADE
COMMIT
*filter
:INPUT DROP [5:6]
:accept - [0:0]
:$(reboot) - [0:0]
:a_chain_with_a_longest_name_ - [0:0]
[123456789012:345678901234567] -A INPUT -i lo -j ACCEPT
-A INPUT -j accept
-A INPUT -j $(reboot)
-A INPUT -g a_chain_with_a_longest_name_
-A accept -p tcp --dport 22 ! --sport 1:1023 -m comment --comment "it's \"ssh\" \\ -j DROP" -j ACCEPT
-A accept -p tcp --syn -m limit --limit 5/min -j LOG --log-prefix "a b " --log-level 4
-A accept -p udp -m multiport --dports 53,67:68 -j RETURN
-A accept -m conntrack --ctstate NEW,ESTABLISHED ! --ctproto 6 -j ACCEPT
-A accept -m mac ! --mac-source 00:11:22:33:44:55 -j DROP
-A accept -m comment --comment "" -m comment --comment -j
-A accept -m mark ! --mark 0x1/0x3 -m connmark --mark 7
-A accept -o -j -i tap+
COMMIT
"""
RULES_OF = {
    "ip": RULES.replace("-A accept -o", "-A accept ! -s 10.0.0.0/8 -d 192.168.0.0/255.255.0.255 -f\n-A accept -o"),
    "ip6": RULES.replace("-A accept -o", "-A accept ! -s fd00::/8 -p icmpv6 --icmpv6-type 128\n-A accept -o"),
}
_COMMANDS = '"$1-restore" -c && "$1-save" && echo @@@ && "$1-save" -c && echo @@@ && "$1" -S && echo @@@ && "$1" -S -v'


@cache
def said(family: str, variant: str) -> tuple[str, str, str, str]:
    """Load the rules and return what iptables-save and iptables -S print, each without and with counters."""
    arguments = ["unshare", "-n", "sh", "-c", _COMMANDS, "sh", TOOLS[family, variant]]
    done = subprocess.run(arguments, input=RULES_OF[family], capture_output=True, text=True, check=True)
    saved, counted, listed, listed_with_counters = done.stdout.split("@@@\n")
    return saved, counted, listed, listed_with_counters


@pytest.mark.parametrize("counters", [False, True])
@pytest.mark.parametrize(("family", "variant"), TOOLS)
def test_a_real_dump_is_printed_back_letter_by_letter(family: str, variant: str, counters: bool) -> None:
    text = said(family, variant)[counters]
    assert text.count("\n-A ") + text.count("] -A ") >= 15
    assert unparse_dump(read_well(text, family)) == text


def filter_rules(text: str) -> list[str]:
    """Return the rules of table filter."""
    part = text[text.index("*filter") :].split("COMMIT", maxsplit=1)[0]
    return [line for line in part.split("\n") if "-A " in line]


@pytest.mark.parametrize(("family", "variant"), TOOLS)
def test_a_real_listing_is_the_dump_said_otherwise(family: str, variant: str) -> None:
    saved, counted, listed, listed_with_counters = said(family, variant)
    assert filter_rules(script(listed, family)) == filter_rules(saved)
    assert filter_rules(script(listed_with_counters, family)) == filter_rules(counted)
    assert ":INPUT DROP [5:6]" in script(listed_with_counters, family)
