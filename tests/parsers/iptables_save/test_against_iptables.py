"""The real iptables-restore, legacy and nft, is asked about every line of these lists.

Where it takes a line, what we read is printed and given to it again: both must come to the same rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwtrans.diagnostics.render import render
from fwtrans.parsers.iptables_save.unparse import unparse_dump
from fwtrans.parsers.iptables_save.words import LONGEST_LINE, MOST_WORDS
from tests.parsers.iptables_save.reading import in_table, read
from tests.parsers.iptables_save.real_iptables import Outcome, restore_each

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.netns

# iptables and fwtrans agree. Lines of one case are divided by " ;; ".
AGREED = r"""
-A FORWARD -j u
-A FORWARD
  -A FORWARD   -j	ACCEPT 	{BLANK}
-A FORWARD -p tcp --dport 22
-A FORWARD -p tcp --dport=22
-A FORWARD -p tcp --destination-port=22
-A FORWARD -p tcp --destination-p 22
-A FORWARD -p tcp --dp 22
-A FORWARD -p tcp --d 22
-A FORWARD -p tcp --s 22
-A FORWARD -p tcp --sou 22
-A FORWARD -p tcp --source-p 22
-A FORWARD -p tcp --syn
-A FORWARD -p tcp --sy
-A FORWARD -p tcp --syn=foo
-A FORWARD -p TCP --dport 22
-A FORWARD -p 6 --dport 22
-A FORWARD -p 0x6 --dport 22
-A FORWARD -p 06 --dport 22
-A FORWARD -p 17 --dport 22
-A FORWARD -p 132 --dport 22
-A FORWARD -p udplite --dport 22
-A FORWARD --dport 22 -p tcp
-A FORWARD --dport 22
-A FORWARD -p all --dport 22
-A FORWARD -p tcp -m comment --comment x --dport 22 -j ACCEPT
-A FORWARD -p tcp -m tcp --sport 1 -m comment --comment x --dport 22
-A FORWARD -p tcp --sport 1 --dport 2
-A FORWARD -p tcp -m tcp -m tcp --dpor 22
-A FORWARD -m comment --comment a -m comment --comment b
-A FORWARD -m mark --mark 1 -m connmark --mark 2
-A FORWARD -m mark --mark 1 -m connmark --mark 2 -m mark --mark 3
-A FORWARD -m mark -m connmark --mark 2 --mark 3
-A FORWARD -m limit -j u --limit 5/s
-A FORWARD -j LOG -m limit --limit 5/s --log-level 3
-A FORWARD -p tcp --tcp-flags SYN,ACK SYN
-A FORWARD -p tcp --tcp-flags=SYN,ACK SYN
-A FORWARD -p tcp -m tcp ! --tcp-flags SYN SYN
-A FORWARD -p tcp -m tcp --tcp-flags SYN,ACK -j ACCEPT
-A FORWARD -p tcp -m tcp --tcp-flags SYN
-A FORWARD ! -s 10.0.0.1 ! -d 10.0.0.2 ! -i eth0 ! -o eth1 ! -p tcp
-A FORWARD -f -j ACCEPT
-A FORWARD ! -f -j ACCEPT
-A FORWARD --fragment -j ACCEPT
-A FORWARD --fr
-A FORWARD --f
-A FORWARD --proto tcp --so 10.0.0.1 --ju ACCEPT
-A FORWARD --in-i eth0 --out-i eth1
-A FORWARD --in eth0
-A FORWARD --src 10.0.0.1 --dst 10.0.0.2
-A FORWARD --sr 10.0.0.1 --ds 10.0.0.2
-A FORWARD --de 10.0.0.1
-A FORWARD --dest 10.0.0.1
-A FORWARD --j u
-A FORWARD --m tcp
-A FORWARD --p tcp
-A FORWARD --po tcp
--append FORWARD
--a FORWARD
--add FORWARD
--append=FORWARD -j u
-AFORWARD -j u
-IFORWARD 1 -j u
-j ACCEPT -A FORWARD
-s 10.0.0.1 -p tcp -A FORWARD --dport 22 -j ACCEPT
-A FORWARD -g u
-A FORWARD -gu
-A FORWARD --goto=u
-A FORWARD -g ACCEPT
-A FORWARD -g FORWARD
-A FORWARD -j INPUT
-A FORWARD -j nosuch
-A FORWARD -j nosuch --foo 1
-A FORWARD -j accept
-A FORWARD -j ""
-A FORWARD -j "a b"
-A FORWARD -m nosuch
-A nosuch -j ACCEPT
-A forward -j ACCEPT
-A FORWARD -mtcp -p tcp --dport 22
-A FORWARD --match=tcp -p tcp
-A FORWARD -m comment --comment -j -j ACCEPT
-A FORWARD -m comment --comment --comment -j ACCEPT
-A FORWARD -m comment --comment ! -j ACCEPT
-A FORWARD -m comment --comment -- -j ACCEPT
-A FORWARD -m comment --comment "" -j ACCEPT
-A FORWARD -m comment --comment ""
-A FORWARD -m comment --comment a"b c"
-A FORWARD -m comment --comment a"b"c
-A FORWARD -m comment --comment "a"-j ACCEPT
-A FORWARD -m comment --comment "a\nb\"c\'d\xe\\" -j ACCEPT
-A FORWARD -m comment --comment a\ b
-A FORWARD -m comment --comment a\b
-A FORWARD -m comment --comment 'a b'
-A FORWARD -m comment --comment 'ab'
-A FORWARD -m comment --comment a#b
-A FORWARD -m comment --comment # b
-A FORWARD -m comment --comment $(reboot);`x`
-A FORWARD -m comment --comment "grüße 日本"
-A FORWARD -m comment --comment a b
-A FORWARD -m comment "--comment" "x"
-A FORWARD -m comment --comment="a b"
-A FORWARD -m comment "--comment=a b"
-A FORWARD -m comment ! --comment x
-A FORWARD -m comment --comment
-A FORWARD -j LOG --log-prefix "-t x"
-A FORWARD -j LOG --log-prefix -A
-A FORWARD -m string --string "!" --algo bm
-A FORWARD -m limit ! --limit 5/s
-A FORWARD -m limit --limit ! 5/s
-A FORWARD -i -eth
-A FORWARD -i ! -j ACCEPT
-A FORWARD ! ! -s 10.0.0.1
-A FORWARD ! -j ACCEPT
-A FORWARD ! -m tcp
-A FORWARD ! -c 1 2
! -A FORWARD
-A FORWARD -j ACCEPT !
-A FORWARD -j ACCEPT --
-A FORWARD -j ACCEPT -- foo
-A FORWARD --
-- -A FORWARD
-A FORWARD -
-A FORWARD ---
-A FORWARD -Q
-A FORWARD -0
-A FORWARD -A
-A FORWARD ACCEPT
FORWARD -j ACCEPT
-s 10.0.0.1
-A "FORWARD" "-j" "u"
-A "" -j u
-A FORWARD -p tcp -dport 22
-A FORWARD -s 10.0.0.1 -s 10.0.0.2
-A FORWARD -p tcp -p udp
-A FORWARD -j ACCEPT -j DROP
-A FORWARD -j u -g u
-A FORWARD -f -f
-A FORWARD -p tcp -m tcp --dport 22 --dport 23
-A FORWARD -m limit --limit 5/s --limit 6/s
-A FORWARD -A FORWARD
-A FORWARD -N x
-F -j ACCEPT
-F -F
-X -F
-D FORWARD 1 -j ACCEPT
-A FORWARD -n
-A FORWARD -x
-A FORWARD --line-numbers
-A FORWARD -w
-A FORWARD -t filter
-A FORWARD -M x
-A FORWARD --modprobe=x
-4 -A FORWARD -j ACCEPT
-6 -A FORWARD -j ACCEPT
--ipv4 -A FORWARD
--ipv -A FORWARD
-A FORWARD -c 5 6
-A FORWARD -c 5,6
-A FORWARD -c5 6
-A FORWARD --set-counters 5 6
-A FORWARD --set 5 6
-A FORWARD -c 5
-A FORWARD -c 5 -6
-A FORWARD -c x y
[5:6] -A FORWARD
[5:6]-A FORWARD
[5:6 -A FORWARD
-A INPUT -o eth0
-A OUTPUT -i eth0
-A INPUT -i eth0
-A FORWARD -s 10.0.0.1,10.0.0.2
-A FORWARD -d 10.1.0.1,10.1.0.2 -s 10.0.0.1,10.0.0.2
-I FORWARD -d 10.1.0.1,10.1.0.2 -s 10.0.0.1,10.0.0.2
-A FORWARD ! -s 10.0.0.1,10.0.0.2
-A FORWARD -s 10.0.0.1,,10.0.0.2
-A FORWARD -s 10.0.0.1,
-I FORWARD 0 -j ACCEPT
-I FORWARD x -j ACCEPT
-I FORWARD 2 -j ACCEPT
-I FORWARD 1 -j ACCEPT
-P FORWARD DROP
-P FORWARD FOO
-P u DROP
-P FORWARD
-P FORWARD -j
-P FORWARD DROP -c 5 6
-N x
-N x y
-N u
-N -x
-N !x
-N ACCEPT
-N LOG
-N INPUT
-N 2345678901234567890123456789
-N 23456789012345678901234567890
-E u
-E u v w
-E u FORWARD
-E FORWARD v
-E x v
-X u
-X
-X FORWARD
-X nosuch
-F nosuch
-F u
-F x y
-Z
-L -Z
-Z -L
-L
-S u
:FORWARD DROP
:FORWARD DROP [5:6]
:FORWARD - [0:0]
:FORWARD
:FORWARD FOO [0:0]
:FORWARD DROP [5:6] what follows
:
: w - [0:0]
:w -
:w
:w - [0:0] ;; -A w -j u ;; :v - ;; -A v -j w
:a"b - [0:0]
:$(reboot) - [0:0] ;; -A FORWARD -j $(reboot)
:accept - [0:0] ;; -A FORWARD -j accept ;; -A accept -j u
:x"y - [0:0] ;; -A FORWARD -j "x\"y" ;; -A "x\"y" -j u
:LOG - [0:0] ;; -A FORWARD -j LOG ;; -A FORWARD -g LOG
:ACCEPT - [0:0]
:2345678901234567890123456789 -
:23456789012345678901234567890 -
:22345678901234567890123456789 - ;; -A FORWARD -j 22345678901234567890123456789
# comment
COMMIT ;; *filter ;; -A FORWARD -s 10.0.0.1
-A FORWARD -s 10.0.0.9 ;; COMMIT ;; *filter ;; -A FORWARD -s 10.0.0.1
*filter
COMMIT ;; -A FORWARD
COMMIT ;; COMMIT
COMMIT ;; *nosuch
COMMIT ;; *
-A FORWARD -j u ;; -X u
-A u -s 10.0.0.1 ;; -X u
-A u -s 10.0.0.1 ;; -F u ;; -X u
-A FORWARD -j u ;; -X
-A FORWARD -j u ;; -D FORWARD 1 ;; -X u
-A FORWARD -j v ;; -N v
-N v ;; -A FORWARD -j v
-A FORWARD -s 10.0.0.1 ;; -D FORWARD 2
-A FORWARD -s 10.0.0.1 ;; -D FORWARD 0
-A FORWARD -s 10.0.0.1 ;; -D FORWARD 1
-A FORWARD -s 10.0.0.1 ;; -D FORWARD x
-A FORWARD -s 10.0.0.1 ;; -R FORWARD 2 -s 10.0.0.2
-A FORWARD -s 10.0.0.1 ;; -R FORWARD -s 10.0.0.2
-A FORWARD -s 10.0.0.1 ;; -R FORWARD 1 -s 10.0.0.2,10.0.0.3
-A FORWARD -s 10.0.0.1 ;; -I FORWARD 2 -s 10.0.0.2
-A FORWARD -s 10.0.0.1 ;; -I FORWARD 3 -s 10.0.0.2
-A FORWARD -s 10.0.0.1 ;; -I FORWARD -s 10.0.0.2
-A FORWARD -s 10.0.0.1 ;; -A FORWARD -s 10.0.0.2 ;; -I FORWARD 2 -s 10.1.0.1,10.1.0.2
-A FORWARD -s 10.0.0.1 ;; -C FORWARD -s 10.0.0.1
-A FORWARD -s 10.0.0.1 ;; -C FORWARD -s 10.0.0.2
-D FORWARD -j u
-D FORWARD -c 5 6 -j u
-A FORWARD -s 10.0.0.1,10.0.0.2 ;; -D FORWARD 2
-A FORWARD -s 10.0.0.1,10.0.0.2 ;; -D FORWARD -s 10.0.0.2,10.0.0.1
-A FORWARD -s 10.0.0.1 -j ACCEPT ;; -A FORWARD -s 10.0.0.1 -j ACCEPT ;; -D FORWARD -s 10.0.0.1 -j ACCEPT
-A FORWARD -s 10.0.0.1 -j ACCEPT ;; -D FORWARD -s 10.0.0.1
-A FORWARD -s 10.0.0.0/255.0.0.0 -p 6 --dport 22 -j ACCEPT ;; -D FORWARD -j ACCEPT -p tcp -m tcp --dport 22 -s 10.0.0.9/8
-A FORWARD -p tcp -j ACCEPT ;; -D FORWARD -p tcp -m tcp -j ACCEPT
-A FORWARD -p tcp -m tcp --sport 1 --dport 2 ;; -D FORWARD -p tcp -m tcp --dport 2 --sport 1
-A FORWARD -m comment --comment x -p tcp -m tcp --dport 2 ;; -D FORWARD -p tcp --dport 2 -m comment --comment x
-A FORWARD -s 0/0 -p all -i + ;; -D FORWARD
-A FORWARD -m mark --mark 0x16 ;; -D FORWARD -m mark --mark 22
-A FORWARD -p tcp -m multiport --dports 22,80 ;; -D FORWARD -p tcp -m multiport --dports 80,22
-A FORWARD -m state --state NEW ;; -D FORWARD -m conntrack --ctstate NEW
-A FORWARD -j u ;; -D FORWARD -g u
-A FORWARD -j u -c 5 6 ;; -D FORWARD -j u
-A FORWARD ! -i eth0 ;; -D FORWARD -i eth0
"""

AGREED_IP6 = r"""
-A FORWARD -p icmpv6 --icmpv6-type 1
-A FORWARD -p ipv6-icmp --icmpv6-type 1
-A FORWARD -p 58 --icmpv6-type 1
-A FORWARD -p icmpv6 -m icmpv6 --icmpv6-type 1
-A FORWARD -p icmpv6 -m ipv6-icmp --icmpv6-type 1
-A FORWARD -p icmpv6 -m icmp6 --icmpv6-type 1
-A FORWARD -p icmpv6 -m icmp6 --icmp-type 1
-A FORWARD -p mh --mh-type 1
-A FORWARD -p 135 --mh-type 1
-A FORWARD -p mobility-header --mh-type 1
-A FORWARD -f
-A FORWARD -m ttl
-4 -A FORWARD -j ACCEPT
-6 -A FORWARD -j ACCEPT
-A FORWARD -s fd00::1,fd00::2
-A FORWARD ! -s fd00::1,fd00::2
-A FORWARD -s fd00::/8 ;; -D FORWARD -s fd00:0::5/8
"""

# iptables 1.8.9 refuses these and fwtrans reads them; each list says why.
ALLOWED = {
    "iptables took `!` behind the option until 1.4.3, and old files have it": r"""
-A FORWARD -s ! 10.0.0.0/8
-A FORWARD -p ! tcp
-A FORWARD -i ! eth0
-A FORWARD -p tcp --dport ! 22
-A FORWARD -p ! tcp --dport 22
-A FORWARD -p tcp --tcp-flags ! SYN,ACK SYN
-A FORWARD -m mac --mac-source ! 00:11:22:33:44:55
-A FORWARD -m state --state ! NEW
-A FORWARD -m string --string ! foo --algo bm
""",
    "iptables takes the whole word for the value, which can only fail; there is one thing it can mean": r"""
-A FORWARD -ptcp
-A FORWARD -s10.0.0.0/8
-A FORWARD --source=10.0.0.0/8
-A FORWARD --protocol=tcp
-A FORWARD -jACCEPT
-A FORWARD -vs10.0.0.0/8
--append FORWARD --jump=ACCEPT
""",
    "blanks and carriage returns at the end of a line change nothing that a person can see": """
-A FORWARD -j ACCEPT\r
COMMIT{BLANK} ;; *filter
COMMIT\r ;; *filter
  {BLANK}
  # comment
""",
    "values are checked where their meaning is known": r"""
-A FORWARD -s 300.0.0.1
-A FORWARD -p tcp -m udp --dport 22
-A FORWARD -p icmp6
-A FORWARD -i ""
""",
}

# iptables, or one of its two variants, takes these and fwtrans does not.
REFUSED = {
    "the rest of the line would become part of the word": r"""
-A FORWARD -m comment --comment "a
""",
    "iptables takes the whole word for the interface's name, which is never meant": r"""
-A FORWARD -iu+
-A FORWARD -oeth1
-A FORWARD -vieth1
""",
    "they end the program, whatever stands behind them": r"""
-h
-V
""",
    "counters that are none, or too many, which only `-c` would notice": r"""
[a:b] -A FORWARD
[5:6] -A FORWARD -c 7 8
:FORWARD DROP [a:b]
""",
    "legacy refuses it; nft leaves out what it says": r"""
:u - [0:0]
""",
    "extensions say in fwtrans/lower what their values mean; here the spelling decides": r"""
-A FORWARD -m limit --limit 5/s ;; -D FORWARD -m limit --limit 5/sec
-A FORWARD -m mark --mark 1 ;; -D FORWARD -m mark --mark 0x1/0xffffffff
-A FORWARD -j LOG ;; -D FORWARD -j LOG --log-level 4
-A FORWARD -p tcp --dport ssh ;; -D FORWARD -p tcp --dport 22
""",
}

# nft 1.8.9 fails within one transaction (or crashes); legacy does not.
LEGACY_ONLY = r"""
-A FORWARD -s 10.0.0.1 ;; -R FORWARD 1 -s 10.0.0.2
-A FORWARD ;; -Z FORWARD 1
-A FORWARD -j u ;; -E u v
:-w - [0:0]
:!w - [0:0]
-Z FORWARD
-A FORWARD -j u ;; -F ;; -X
"""

_LONG = "x" * 1023
LIMITS = {
    "longest word": (f"-A FORWARD -M {_LONG}", True),
    "word too long": (f"-A FORWARD -M {_LONG}x", False),
    "most words": ("-A FORWARD" + " -M x" * ((MOST_WORDS - 3) // 2) + " -f", True),
    "a word too many": ("-A FORWARD" + " -M x" * ((MOST_WORDS - 1) // 2), False),
    "longest line": ("-A FORWARD".ljust(LONGEST_LINE - 2) + "-f", True),
    "line too long": ("-A FORWARD".ljust(LONGEST_LINE - 1) + "-f", False),
}


def cases(text: str) -> list[str]:
    return [line.replace("{BLANK}", " ") for line in text.split("\n") if line]


def dump_of(case: str) -> str:
    return in_table(":u - [0:0]", *case.split(" ;; "))


def ask(
    folder: Path, family: str, lines: list[str], variants: tuple[str, ...] = ("legacy", "nft")
) -> list[list[Outcome]]:
    texts = [dump_of(line).encode(errors="surrogateescape") for line in lines]
    return [restore_each(folder / variant, family, variant, texts) for variant in variants]


def rules(saved: str) -> list[str]:
    """Return what a dump says, without its dates and the counters of chains."""
    return [
        line.partition(" [")[0] if line[:1] == ":" else line for line in saved.split("\n") if line[:1] in set("-[:")
    ]


def differences(folder: Path, family: str, lines: list[str], variants: tuple[str, ...]) -> list[str]:
    """Return where we take what iptables does not, or the other way round, or read another meaning."""
    found = []
    read_again: dict[int, str] = {}
    outcomes = ask(folder, family, lines, variants)
    for number, line in enumerate(lines):
        dump, errors = read(dump_of(line), family)
        if dump is not None:
            read_again[number] = unparse_dump(dump)
        for variant, outcome in zip(variants, (column[number] for column in outcomes), strict=True):
            if outcome.taken != (dump is not None):
                said = outcome.said.strip() or "taken"
                found.append(f"{line}: {variant}: {said}; we: {[render(error) for error in errors] or 'taken'}")
    texts = [text.encode(errors="surrogateescape") for text in read_again.values()]
    legacy = outcomes[0]
    for number, again in zip(read_again, restore_each(folder / "again", family, "legacy", texts), strict=True):
        if legacy[number].taken and rules(again.saved) != rules(legacy[number].saved):
            found.append(f"{lines[number]}: means {rules(legacy[number].saved)}, we read {read_again[number]}")
    return found


def test_lines_are_taken_refused_and_read_as_iptables_does_it(tmp_path: Path) -> None:
    assert differences(tmp_path, "ip", cases(AGREED), ("legacy", "nft")) == []


def test_lines_of_ip6_are_taken_refused_and_read_as_ip6tables_does_it(tmp_path: Path) -> None:
    assert differences(tmp_path, "ip6", cases(AGREED_IP6), ("legacy", "nft")) == []


def test_lines_that_one_transaction_of_nft_fails_for_are_read_as_legacy_does_it(tmp_path: Path) -> None:
    assert differences(tmp_path, "ip", cases(LEGACY_ONLY), ("legacy",)) == []


@pytest.mark.parametrize("why", ALLOWED)
def test_what_we_allow_iptables_refuses(why: str, tmp_path: Path) -> None:
    lines = cases(ALLOWED[why])
    for outcomes in ask(tmp_path, "ip", lines):
        assert [line for line, outcome in zip(lines, outcomes, strict=True) if outcome.taken] == []
    assert [line for line in lines if read(dump_of(line))[0] is None] == []


@pytest.mark.parametrize("why", REFUSED)
def test_what_we_refuse_iptables_allows(why: str, tmp_path: Path) -> None:
    lines = cases(REFUSED[why])
    legacy, nft = ask(tmp_path, "ip", lines)
    assert [line for line, a, b in zip(lines, legacy, nft, strict=True) if not a.taken and not b.taken] == []
    assert [line for line in lines if read(dump_of(line))[0] is not None] == []


def test_our_limits_are_those_of_iptables_restore(tmp_path: Path) -> None:
    lines = [line for line, _ in LIMITS.values()]
    for outcomes in ask(tmp_path, "ip", lines):
        taken = {name: outcome.taken for name, outcome in zip(LIMITS, outcomes, strict=True)}
        assert taken == {name: fits for name, (_, fits) in LIMITS.items()}
    ours = {name: read(dump_of(line))[0] is not None for name, (line, _) in LIMITS.items()}
    assert ours == {name: fits for name, (_, fits) in LIMITS.items()}


def test_counters_are_read_as_iptables_does_it(tmp_path: Path) -> None:
    lines = ["[5:6] -A FORWARD -j u", "-A FORWARD -j u -c 5 6", "-A FORWARD -c 5,6 -j u", ":FORWARD DROP [7:8]"]
    texts = [dump_of(line) for line in lines]
    ours = [unparse_dump(dump) for dump, _ in map(read, texts) if dump is not None]
    first = restore_each(tmp_path / "1", "ip", "legacy", [text.encode() for text in texts], counters=True)
    again = restore_each(tmp_path / "2", "ip", "legacy", [text.encode() for text in ours], counters=True)
    assert [rules(outcome.saved) for outcome in first] == [rules(outcome.saved) for outcome in again]
    assert ["[5:6] -A FORWARD -j u" in outcome.saved for outcome in again] == [True, True, True, False]
    assert ":FORWARD DROP [7:8]" in again[3].saved
