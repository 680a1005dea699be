"""The block form: how objects, sets, maps and chains are laid out, and that nft reads it back the same."""

from __future__ import annotations

import pytest

from fwtrans.backend.nft import model as nft
from fwtrans.backend.nft.build import (
    accept,
    address,
    concat,
    counter,
    drop,
    goto,
    ip,
    jump,
    mark,
    match,
    meta,
    number,
    prefix,
    rule,
    set_ref,
    tcp,
)
from fwtrans.backend.nft.json_form import print_json
from fwtrans.backend.nft.priorities import priority_text
from fwtrans.backend.nft.text import RulePlace, element_text, print_ruleset, rule_text
from fwtrans.diagnostics import Refused
from tests.backend.nft.listing import FLOWTABLE, MAPS, OBJECTS, SETS, TYPE_OF_FRAGMENTS, load, nft_version, normalised

EXPECTED = """\
table inet fwtrans {
	comment "made by fwtrans"

	counter web {
		comment "of the web"
		packets 3 bytes 180
	}

	limit bucket {
		rate 10/second burst 7 packets
	}

	set blocked {
		type ipv4_addr
		flags interval,timeout
		timeout 1h
		auto-merge
		comment "from the ipset"
		elements = { 192.0.2.1 timeout 5m comment "one", 198.51.100.0/24 }
	}

	set many {
		type ipv4_addr . inet_service
		size 100
		counter
		elements = {
			192.0.2.1 . 22 counter packets 1 bytes 60,
			192.0.2.2 . 22,
			192.0.2.3 . 22,
			192.0.2.4 . 22,
			192.0.2.5 . 22,
		}
	}

	map ports {
		type ifname : verdict
		elements = { "eth0" comment "uplink" : jump guests, "lo" : accept }
	}

	chain input {
		comment "to the host"
		type filter hook input priority filter; policy drop;
		iifname vmap @ports
		ip saddr @blocked counter drop comment "r1"
	}

	chain guests {
		tcp dport 22 accept comment "r2"
	}
}

table bridge fwtrans {
	chain in {
		type filter hook prerouting priority dstnat - 5; policy accept;
	}
}
"""


def ruleset() -> nft.Ruleset:
    blocked = nft.Set(
        name="blocked",
        key=nft.DataTypes(("ipv4_addr",)),
        flags=(nft.SetFlag.INTERVAL, nft.SetFlag.TIMEOUT),
        timeout=3_600_000,
        auto_merge=True,
        comment="from the ipset",
        elements=(
            nft.Element(address("192.0.2.1"), timeout=300_000, comment="one"),
            nft.Element(prefix("198.51.100.0/24")),
        ),
    )
    keys = [concat(address(f"192.0.2.{host}"), number(22)) for host in range(1, 6)]
    many = nft.Set(
        name="many",
        key=nft.DataTypes(("ipv4_addr", "inet_service")),
        size=100,
        statements=(counter(),),
        elements=(nft.Element(keys[0], statements=(counter(1, 60),)), *map(nft.Element, keys[1:])),
    )
    ports = nft.Map(
        name="ports",
        key=nft.DataTypes(("ifname",)),
        value=nft.VerdictType(),
        elements=(
            nft.Element(nft.InterfaceName("eth0"), jump("guests"), comment="uplink"),
            nft.Element(nft.InterfaceName("lo"), accept()),
        ),
    )
    base = nft.BaseHook(type=nft.ChainType.FILTER, hook=nft.Hook.INPUT, priority=0, policy=nft.ChainPolicy.DROP)
    rules = (
        rule(nft.VerdictMap(meta("iifname"), set_ref("ports"))),
        rule(match(ip("saddr"), set_ref("blocked")), counter(), drop(), comment="r1"),
    )
    table = nft.Table(
        family=nft.Family.INET,
        name="fwtrans",
        comment="made by fwtrans",
        objects=(
            nft.CounterObject(name="web", packets=3, bytes=180, comment="of the web"),
            nft.LimitObject(name="bucket", rate=nft.Rate(10, nft.Period.SECOND, 7)),
        ),
        sets=(blocked, many),
        maps=(ports,),
        chains=(
            nft.Chain(name="input", base=base, comment="to the host", rules=rules),
            nft.Chain(name="guests", rules=(rule(match(tcp("dport"), number(22)), accept(), comment="r2"),)),
        ),
    )
    early = nft.BaseHook(type=nft.ChainType.FILTER, hook=nft.Hook.PREROUTING, priority=-305)
    bridge = nft.Table(family=nft.Family.BRIDGE, name="fwtrans", chains=(nft.Chain(name="in", base=early),))
    return nft.Ruleset((table, bridge))


def test_layout() -> None:
    assert print_ruleset(ruleset()).text == EXPECTED


def test_every_rule_is_found_by_its_line() -> None:
    printed = print_ruleset(ruleset())
    lines = printed.text.splitlines()
    assert [lines[place.line - 1].strip() for place in printed.rules] == [
        "iifname vmap @ports",
        'ip saddr @blocked counter drop comment "r1"',
        'tcp dport 22 accept comment "r2"',
    ]
    assert printed.rules[2] == RulePlace(printed.rules[2].line, nft.Family.INET, "fwtrans", "guests", 0)


@pytest.mark.netns
def test_nft_lists_the_layout_back() -> None:
    loaded = load(EXPECTED)
    assert loaded.status == 0, loaded.errors
    for line in ('\tcomment "made by fwtrans"', "\t\tauto-merge", '\t\tcomment "from the ipset"', "\t\tsize 100"):
        assert line in loaded.listing.splitlines()
    assert "type filter hook input priority filter; policy drop;" in loaded.listing
    assert "type filter hook prerouting priority dstnat - 5; policy accept;" in loaded.listing
    assert "192.0.2.1 . 22 counter packets 1 bytes 60" in loaded.listing
    assert '"eth0" comment "uplink" : jump guests' in loaded.listing


def everything() -> nft.Ruleset:
    """Every kind of object once; flowtables are left to kernels that have them."""
    table = nft.Table(
        family=nft.Family.INET,
        name="t",
        comment="all",
        objects=OBJECTS,
        sets=(*SETS, TYPE_OF_FRAGMENTS),
        maps=MAPS,
        chains=(nft.Chain(name="other", rules=(rule(counter(7, 8)),)),),
    )
    return nft.Ruleset((table,))


@pytest.mark.netns
def test_nft_lists_every_object_as_we_print_it() -> None:
    text = print_ruleset(everything()).text
    loaded = load(text)
    assert loaded.status == 0, loaded.errors
    if nft_version() == (1, 0, 6):
        ours = text.replace("flags timeout,dynamic", "flags dynamic,timeout")
        assert normalised(loaded.listing) == normalised(ours)


@pytest.mark.netns
def test_flowtable_is_understood_where_the_kernel_has_none() -> None:
    rules = (rule(nft.FlowOffload("fast")),)
    table = nft.Table(
        family=nft.Family.INET, name="t", flowtables=(FLOWTABLE,), chains=(nft.Chain(name="c", rules=rules),)
    )
    text = print_ruleset(nft.Ruleset((table,))).text
    assert 'hook ingress priority filter\n\t\tdevices = { "lo" }' in text
    loaded = load(text)
    assert loaded.status == 0 or "Could not process rule: No such file or directory" in loaded.errors


@pytest.mark.parametrize(
    ("family", "hook", "priority", "text"),
    [
        (nft.Family.IP, nft.Hook.PREROUTING, -300, "raw"),
        (nft.Family.INET, nft.Hook.PREROUTING, -150, "mangle"),
        (nft.Family.INET, nft.Hook.PREROUTING, -100, "dstnat"),
        (nft.Family.INET, nft.Hook.OUTPUT, -100, "-100"),
        (nft.Family.INET, nft.Hook.INPUT, 0, "filter"),
        (nft.Family.INET, nft.Hook.INPUT, 10, "filter + 10"),
        (nft.Family.INET, nft.Hook.INPUT, 11, "11"),
        (nft.Family.IP6, nft.Hook.INPUT, 49, "security - 1"),
        (nft.Family.IP6, nft.Hook.POSTROUTING, 100, "srcnat"),
        (nft.Family.IP6, nft.Hook.INPUT, 100, "100"),
        (nft.Family.BRIDGE, nft.Hook.PREROUTING, -300, "dstnat"),
        (nft.Family.BRIDGE, nft.Hook.FORWARD, -200, "filter"),
        (nft.Family.BRIDGE, nft.Hook.FORWARD, 0, "0"),
        (nft.Family.BRIDGE, nft.Hook.OUTPUT, 100, "out"),
        (nft.Family.BRIDGE, nft.Hook.POSTROUTING, 300, "srcnat"),
        (nft.Family.ARP, nft.Hook.INPUT, 0, "filter"),
        (nft.Family.NETDEV, nft.Hook.INGRESS, 0, "filter"),
    ],
)
def test_priorities_have_names_where_nft_has_them(family: nft.Family, hook: nft.Hook, priority: int, text: str) -> None:
    assert priority_text(family, hook, priority) == text


@pytest.mark.netns
def test_nft_lists_priorities_as_we_name_them() -> None:
    hooks = {
        nft.Family.IP: list(nft.Hook)[:5],
        nft.Family.IP6: list(nft.Hook)[:5],
        nft.Family.INET: list(nft.Hook)[:5],
        nft.Family.BRIDGE: list(nft.Hook)[:5],
        nft.Family.ARP: [nft.Hook.INPUT, nft.Hook.OUTPUT],
    }
    priorities = [-399, -311, -305, -300, -200, -195, -150, -100, -91, -10, 0, 7, 11, 50, 61, 100, 105, 290, 300, 400]
    tables = tuple(
        nft.Table(
            family=family,
            name="t",
            chains=tuple(
                nft.Chain(
                    name=f"c{hook.value}{index}",
                    base=nft.BaseHook(type=nft.ChainType.FILTER, hook=hook, priority=priority),
                )
                for hook in hooks
                for index, priority in enumerate(priorities)
            ),
        )
        for family, hooks in hooks.items()
    )
    text = print_ruleset(nft.Ruleset(tables)).text
    loaded = load(text)
    assert loaded.status == 0, loaded.errors
    if nft_version() == (1, 0, 6):  # later ones lend srcnat to all hooks
        assert normalised(loaded.listing) == normalised(text)


@pytest.mark.netns
def test_times_of_day_do_not_depend_on_the_zone_of_the_loader() -> None:
    hours = rule(match(meta("hour"), nft.Range(number(3600), number(7200))), match(meta("day"), number(1)))
    chain = nft.Chain(name="c", rules=(hours,))
    text = print_ruleset(nft.Ruleset((nft.Table(family=nft.Family.INET, name="t", chains=(chain,)),))).text
    listings = {load(text, zone=zone, listing_zone="UTC").listing for zone in ("UTC", "Asia/Tokyo", "America/New_York")}
    assert len(listings) == 1
    assert 'meta hour "01:00"-"02:00" meta day "Monday"' in listings.pop()


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "0s"), (500, "500ms"), (1000, "1s"), (90_000, "1m30s"), (86_400_000, "1d"), (93_784_500, "1d2h3m4s500ms")],
)
def test_durations(milliseconds: int, text: str) -> None:
    assert element_text(nft.Element(number(1), timeout=milliseconds)) == f"1 timeout {text}"


def test_expiry_goes_before_the_comment_and_the_value_last() -> None:
    element = nft.Element(mark(1), goto("x"), 60_000, 30_000, "why", (counter(1, 2),))
    assert element_text(element) == (
        '0x00000001 counter packets 1 bytes 2 timeout 1m expires 30s comment "why" : goto x'
    )


@pytest.mark.parametrize(
    "rate",
    [
        nft.Rate(0, nft.Period.SECOND),
        nft.Rate(10, nft.Period.SECOND, 0),
        nft.Rate(1, nft.Period.WEEK, 31_000),
        nft.Rate(1_000_000_001, nft.Period.SECOND),
        nft.Rate(1, nft.Period.SECOND, 1 << 32),
        nft.Rate(30_720, nft.Period.WEEK, in_bytes=True),
        nft.Rate(18_446_744_074, nft.Period.SECOND, in_bytes=True),
        nft.Rate(1024, nft.Period.SECOND, 1 << 32, in_bytes=True),
    ],
)
def test_rate_that_the_kernel_cannot_count_is_refused(rate: nft.Rate) -> None:
    for form in (print_ruleset, print_json):
        with pytest.raises(Refused):
            form(limited(rate))


@pytest.mark.netns
@pytest.mark.parametrize(
    "rate",
    [
        nft.Rate(1, nft.Period.WEEK, 30_000),
        nft.Rate(1_000_000_000, nft.Period.SECOND),
        nft.Rate(1, nft.Period.SECOND, (1 << 32) - 1),
        nft.Rate(30_000, nft.Period.WEEK, in_bytes=True),
        nft.Rate(14_000_000_000, nft.Period.SECOND, (1 << 32) - 1, in_bytes=True),
    ],
)
def test_rate_that_just_fits_loads(rate: nft.Rate) -> None:
    loaded = load(print_ruleset(limited(rate)).text)
    assert loaded.status == 0, loaded.errors


def limited(rate: nft.Rate) -> nft.Ruleset:
    chain = nft.Chain(name="c", rules=(rule(nft.Limit(rate)),))
    return nft.Ruleset((nft.Table(family=nft.Family.INET, name="t", chains=(chain,)),))


def test_a_rule_without_statements_is_no_rule() -> None:
    with pytest.raises(Refused):
        rule_text(nft.Rule(()))


def test_refusal_tells_its_rule() -> None:
    rules = (rule(counter()), rule(nft.Log('a"b'), comment="v4:7"))
    ruleset = nft.Ruleset((nft.Table(family=nft.Family.INET, name="t", chains=(nft.Chain(name="c", rules=rules),)),))
    for form in (print_ruleset, print_json):
        with pytest.raises(Refused) as refused:
            form(ruleset)
        assert refused.value.note == "rule 2 of chain c, v4:7"


def test_dormant_table_and_offload_flag() -> None:
    fast = nft.Flowtable(name="f", priority=5, devices=("eth0", "eth1"), offload=True)
    table = nft.Table(family=nft.Family.INET, name="t", dormant=True, flowtables=(fast,))
    assert print_ruleset(nft.Ruleset((table,))).text == (
        "table inet t {\n\tflags dormant\n\n\tflowtable f {\n\t\thook ingress priority filter + 5\n"
        '\t\tdevices = { "eth0", "eth1" }\n\t\tflags offload\n\t}\n}\n'
    )
