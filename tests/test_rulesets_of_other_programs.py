"""Rulesets as other programs write them: routers, load balancers, service proxies, guards against floods.

Each is optimised with a proof, loads where it loaded, stays as it is when it is optimised again, and is the same as what
`nft list ruleset` says of it. The rulesets are our own, in the shape of what those programs leave behind.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.source import SourceFile
from fwtrans.verify import verify_sides
from tests.test_optimize_any_statement import loads, optimized

if TYPE_CHECKING:
    from pathlib import Path

    from fwtrans.comparing import Compared

FILTER = "type filter hook %s priority filter; policy %s;"
ROUTER = f"""table inet fw {{
	chain input {{
		{FILTER % ("input", "drop")}
		ct state vmap {{ established : accept, related : accept }}
		iifname "lan" jump from_lan
		iifname {{ "wan", "wan6" }} jump from_wan
		jump refuse
	}}
	chain forward {{
		{FILTER % ("forward", "drop")}
		ct state vmap {{ established : accept, related : accept }}
		iifname "lan" oifname "wan" accept
		jump refuse
	}}
	chain refuse {{
		meta l4proto tcp reject with tcp reset
		reject with icmpx type port-unreachable
	}}
	chain from_lan {{
		accept
	}}
	chain from_wan {{
		icmp type echo-request counter accept
		meta nfproto ipv6 udp dport 546 counter accept
		ip6 saddr fe80::/10 icmpv6 type . icmpv6 code {{ mld-listener-query . 0, mld2-listener-report . 0 }} accept
		icmpv6 type {{ time-exceeded, echo-request }} limit rate 1000/second burst 5 packets accept
		jump refuse
	}}
	chain mangle {{
		type filter hook forward priority mangle; policy accept;
		oifname "wan" tcp flags & (fin | syn | rst) == syn tcp option maxseg size set rt mtu
	}}
}}
"""
ENDS = f"""table inet t {{
	chain refuse {{
		meta pkttype broadcast drop
		reject with icmp host-prohibited
		reject with icmpv6 admin-prohibited
		drop
	}}
	chain input {{
		{FILTER % ("input", "drop")}
		tcp dport 22 accept
		udp dport 137-139 goto refuse
	}}
}}
"""
GUARD = f"""table inet guard {{
	set bad {{
		type ipv4_addr
		flags timeout
		timeout 10m
	}}
	set seen {{
		type ipv4_addr
		size 1000
		flags dynamic,timeout
		timeout 1m
	}}
	chain input {{
		{FILTER % ("input", "accept")}
		ip saddr @bad drop
		tcp dport 80 ct state new meter many {{ ip saddr timeout 30s limit rate over 120/second burst 240 packets }} add @bad {{ ip saddr timeout 10m }} drop
		tcp dport 22 add @seen {{ ip saddr limit rate over 3/minute }} drop
		tcp dport 23 add @seen {{ ip saddr timeout 3m limit rate over 9/minute burst 2 packets }} drop
		tcp dport 25 update @seen {{ ip saddr quota over 20 mbytes }} drop
	}}
}}
"""
SHAPER = f"""table inet shaper {{
	map classes {{
		type dscp : classid
		elements = {{ ef : 1:11, cs0 : 1:13 }}
	}}
	chain lose {{
		numgen random mod 1000 < 995 drop
	}}
	chain forward {{
		{FILTER % ("forward", "accept")}
		ip dscp set cs0 counter
		ip6 dscp set cs0 counter
		ip protocol udp udp sport 6000-7000 ip dscp set cs1
		ip protocol udp ip dscp > cs2 ip dscp set cs2
		ip protocol tcp ct bytes < 937500 ip dscp < cs4 ip dscp set cs2
		ip protocol tcp tcp flags & ack == ack meta length < 100 jump lose
		hbh nexthdr 22 mh type 1 drop
		dst nexthdr tcp drop
	}}
}}
"""
PROXY = """table ip proxy {
	set late-svc/tcp/web__10.1.0.1/80 {
		type ipv4_addr
		flags dynamic,timeout
		timeout 3h
	}
	map services {
		type ipv4_addr . inet_proto . inet_service : verdict
		elements = { 172.30.0.41 . tcp . 80 : goto svc/tcp/web }
	}
	chain prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		ip daddr . meta l4proto . th dport vmap @services
	}
	chain svc/tcp/web {
		ip saddr != 10.0.0.0/8 jump mark-it
		ip saddr @late-svc/tcp/web__10.1.0.1/80 goto endpoint-1
		numgen random mod 2 vmap { 0 : goto endpoint-1, 1 : goto endpoint-2 }
	}
	chain mark-it {
		meta mark set meta mark | 0x00004000
	}
	chain endpoint-1 {
		ip saddr 10.1.0.1 jump mark-it
		update @late-svc/tcp/web__10.1.0.1/80 { ip saddr }
		meta l4proto tcp dnat to 10.1.0.1:80
	}
	chain endpoint-2 {
		meta l4proto tcp dnat to 10.1.0.2:80
	}
}
"""
BALANCER = """table netdev balance {
	set bogons {
		type ipv4_addr
		flags interval
		elements = { 10.0.0.0/8 }
	}
	map ways {
		type ipv4_addr . inet_service : verdict
		elements = { 192.168.0.10 . 80 : goto back, 192.168.0.100 . 80 : goto out }
	}
	chain ingress {
		type filter hook ingress device "lo" priority -500; policy accept;
		ip saddr @bogons drop
		ip saddr 172.16.0.0/12 ip daddr 192.0.2.0/24 jump strict
		ip6 saddr fe80::/10 jump strict
		ip saddr . tcp sport vmap @ways
	}
	chain strict {
		ip protocol tcp tcp flags & (fin | syn) == fin | syn drop
		icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
		icmp type echo-request drop
	}
	chain out {
		ip daddr set jhash ip saddr mod 10 map { 0-4 : 192.168.0.10, 5-9 : 192.168.0.11 } fwd to "lo"
	}
	chain back {
		ip saddr set 192.168.0.100 fwd to "lo"
	}
}
"""
RULESETS = {
    "router": ROUTER, "ends": ENDS, "guard": GUARD, "shaper": SHAPER, "proxy": PROXY, "balancer": BALANCER,
}  # fmt: skip


def listed(text: str, folder: Path) -> str:
    """Return what `nft list ruleset` says in a network namespace where the ruleset was loaded."""
    path = folder / "loaded.nft"
    path.write_text(text)
    script = 'nft -f "$1" && nft list ruleset'
    return subprocess.run(
        ["unshare", "-n", "sh", "-c", script, "sh", str(path)], capture_output=True, check=True, text=True
    ).stdout


def compared(old: str, new: str) -> Compared:
    sink = DiagnosticSink()
    found = verify_sides([SourceFile("old.nft", old)], [SourceFile("new.nft", new)], sink, FileAccess())
    assert found is not None, sink.errors
    return found


@pytest.mark.netns
@pytest.mark.parametrize("name", RULESETS)
def test_it_is_optimised_and_stays_so(name: str, tmp_path: Path) -> None:
    before = RULESETS[name]
    assert loads(before, tmp_path)
    after = optimized(before)
    assert loads(after, tmp_path), after
    assert optimized(after) == after


@pytest.mark.netns
@pytest.mark.parametrize("name", RULESETS)
def test_a_listing_does_the_same(name: str, tmp_path: Path) -> None:
    listing = listed(RULESETS[name], tmp_path)
    found = compared(RULESETS[name], listing).comparison
    assert found.equal, found
    assert not found.undecided
    assert loads(optimized(listing), tmp_path)


MESSAGES = f"""table inet t {{
	chain input {{
		{FILTER % ("input", "drop")}
		meta l4proto icmp icmp type echo-request accept
		meta l4proto ipv6-icmp icmpv6 type {{ nd-neighbor-solicit, echo-request }} accept
		meta l4proto icmp icmp type vmap {{ echo-reply : accept, redirect : drop }}
		ip protocol icmp icmp type timestamp-request accept
		ip6 nexthdr icmpv6 icmpv6 type echo-reply accept
	}}
}}
"""


@pytest.mark.netns
def test_what_a_listing_leaves_out_is_a_difference(tmp_path: Path) -> None:
    """The same text loaded again asks for the family: other packets pass, as frames with a tag do on a bridge."""
    listing = listed(MESSAGES, tmp_path)
    assert "meta l4proto icmp icmp type" not in listing
    assert not compared(MESSAGES, listing).comparison.equal


ECHO = "icmp type echo-request drop"


@pytest.mark.parametrize(
    ("family", "old", "new"),
    [
        ("bridge", f"vlan id 5 meta l4proto icmp {ECHO}", "counter"),
        ("bridge", f"meta l4proto icmp {ECHO}", f"ether type ip {ECHO}"),
        ("bridge", f"meta l4proto icmp {ECHO}", ECHO),
        ("inet", f"ip protocol icmp icmp type 8 accept; meta l4proto icmp {ECHO}", "ip protocol icmp icmp type 8 accept"),
        ("inet", f"meta nfproto != ipv4 meta l4proto icmp {ECHO}", "counter"),
        ("inet", "meta l4proto icmp counter icmp type 8 drop", "meta nfproto ipv4 meta l4proto icmp counter icmp type 8 drop"),
    ],
)  # fmt: skip
def test_messages_of_one_family_in_packets_of_another_count(family: str, old: str, new: str) -> None:
    text = f"table {family} t {{ chain c {{ {FILTER % ('forward', 'accept')} %s; }} }}\n"
    assert not compared(text % old, text % new).comparison.equal


@pytest.mark.parametrize("family", ["bridge", "inet"])
def test_a_write_to_a_header_asks_for_its_family(family: str) -> None:
    """A packet without such a header goes on behind the rule, to the drop."""
    for write in ("ip ttl set 64", "ip dscp set 8", "ip6 hoplimit set 64"):
        text = f"table {family} t {{ chain c {{ {FILTER % ('forward', 'drop')} {write} accept; }} }}\n"
        after = optimized(text)
        assert f"{write} accept\n\t}}" in after
        assert "policy drop;" in after
        assert compared(text, after).comparison.equal
        assert not compared(text, text.replace(write, "counter")).comparison.equal


@pytest.mark.netns
@pytest.mark.parametrize("behind", ["", "tcp dport 22 drop"])
@pytest.mark.parametrize("elements", ['"eth0" : accept, * : drop', '"eth0" : drop, "lo" : jump g, * : accept'])
def test_a_catch_all_of_interfaces_is_printed(elements: str, behind: str, tmp_path: Path) -> None:
    """An element that says what follows anyway keeps its packets from the catch-all."""
    text = f"""table inet t {{
	chain g {{
		udp dport 53 drop
	}}
	chain c {{
		{FILTER % ("input", "accept")}
		iifname vmap {{ {elements} }}
		{behind}
	}}
}}
"""
    after = optimized(text)
    assert loads(after, tmp_path)
    assert compared(text, after).comparison.equal
    assert optimized(after) == after


def test_a_chain_of_a_map_that_programs_fill_keeps_its_end() -> None:
    """The next element may lead there by goto, and what comes back would go on."""
    text = f"""table inet t {{
	map m {{
		type ipv4_addr : verdict
		elements = {{ 10.0.0.1 : goto g }}
	}}
	chain g {{
		tcp dport 22 accept
		drop
	}}
	chain c {{
		{FILTER % ("input", "drop")}
		ct state established accept
		ip saddr vmap @m
	}}
}}
"""
    after = optimized(text)
    assert "tcp dport 22 accept\n\t\tdrop" in after


def test_what_a_quota_has_counted_is_kept_and_no_difference() -> None:
    text = f"""table inet t {{
	quota month {{
		over 25 mbytes used %s bytes
	}}
	chain input {{
		{FILTER % ("input", "accept")}
		quota name "month" drop
		tcp dport 80 quota over 10 mbytes used %s bytes drop
	}}
}}
"""
    after = optimized(text % (12345, 77))
    assert "over 25 mbytes used 12345 bytes" in after
    assert "quota over 10 mbytes used 77 bytes drop" in after
    assert compared(text % (12345, 77), text % (0, 9)).comparison.equal


def test_a_look_up_by_a_drawn_number_is_one_rule_again() -> None:
    """A way that leads to a chain without rules goes on; what is logged in front is logged once."""
    text = f"""table inet t {{
	chain empty {{
	}}
	chain input {{
		{FILTER % ("input", "accept")}
		numgen inc mod 2 vmap {{ 0 : drop, 1 : jump empty }}
		log prefix "x" numgen inc mod 2 vmap {{ 0 : jump empty, 1 : drop }}
		tcp dport 80 drop
	}}
}}
"""
    rules = [line.strip() for line in optimized(text).splitlines() if "numgen" in line]
    assert rules == [
        "numgen inc mod 2 vmap { 0 : drop, 1 : continue }",
        'log prefix "x" numgen inc mod 2 vmap { 0 : continue, 1 : drop }',
    ]
    assert not compared(text, text.replace("0 : drop, 1 : jump empty", "0 : drop, 1 : drop")).comparison.equal


def test_writes_to_headers_of_two_families_stay_two_rules() -> None:
    """The first ends for packets of the other family, as nft asks for the family by itself."""
    text = f"table inet t {{\n\tchain c {{\n\t\t{FILTER % ('forward', 'accept')}\n%s\t}}\n}}\n"
    after = optimized(text % "\t\tip ttl set 64\n\t\tip6 hoplimit set 64\n")
    assert sum(" set 64" in line for line in after.splitlines()) == 2, after
    assert not compared(
        text % "ip ttl set 64\nip6 hoplimit set 64\n", text % "ip ttl set 64 meta mark set 1\n"
    ).comparison.equal


def test_flags_that_are_left_out_one_by_one_are_one_rule(tmp_path: Path) -> None:
    """What two rules in front have taken is no reason to ask for what is left bit by bit."""
    rules = "ct status & (assured | snat) == assured accept\n\t\tct status != expected tcp dport 6 drop"
    before = f"table inet t {{\n\tchain c {{\n\t\t{FILTER % ('forward', 'accept')}\n\t\t{rules}\n\t}}\n}}\n"
    after = optimized(before)
    assert sum("ct status" in line for line in after.splitlines()) <= 2, after
    assert optimized(after) == after
    assert loads(after, tmp_path)


def test_a_renamed_chain_is_found_by_those_that_lead_to_it() -> None:
    head = f"table ip t {{\n\tchain %s {{\n\t\tdrop\n\t}}\n\tchain c {{\n\t\t{FILTER % ('forward', 'accept')}\n"
    rules = "\t\ttcp dport 22 jump %s\n\t\tudp dport vmap { 53 : goto %s }\n\t}\n}\n"
    renamed = (head % "old") + (rules % ("old", "old")) + "rename chain ip t old new\n"
    assert optimized(renamed) == optimized((head % "new") + (rules % ("new", "new")))


def test_a_flush_of_one_family_leaves_the_others() -> None:
    kept = f"table inet t {{\n\tchain c {{\n\t\t{FILTER % ('forward', 'drop')}\n\t}}\n}}\n"
    assert optimized(kept + kept.replace("table inet", "table ip") + "flush ruleset ip\n") == optimized(kept)
