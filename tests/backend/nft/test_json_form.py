"""The JSON form: its shape, its order, and what nft would lose without a word."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fwtrans.backend.nft import model as nft
from fwtrans.backend.nft.build import (
    accept,
    address,
    counter,
    ip,
    jump,
    match,
    meta,
    number,
    prefix,
    rule,
    set_ref,
    tcp,
)
from fwtrans.backend.nft.json_form import json_document, print_json
from fwtrans.backend.nft.target import DEBIAN_12, DEBIAN_13
from fwtrans.backend.nft.text import print_ruleset
from fwtrans.diagnostics import Refused
from tests.backend.nft.listing import MAPS, OBJECTS, SETS, TYPE_OF_FRAGMENTS, load, nft_version, normalised

ADDRESSES = nft.DataTypes(("ipv4_addr",))


def in_table(**contents: Any) -> nft.Ruleset:
    return nft.Ruleset((nft.Table(family=nft.Family.INET, name="t", **contents),))


def with_set(**properties: Any) -> nft.Ruleset:
    return in_table(sets=(nft.Set(name="s", key=properties.pop("key", ADDRESSES), **properties),))


def with_map(**properties: Any) -> nft.Ruleset:
    return in_table(maps=(nft.Map(name="m", key=properties.pop("key", ADDRESSES), **properties),))


def test_shape() -> None:
    base = nft.BaseHook(type=nft.ChainType.FILTER, hook=nft.Hook.INPUT, priority=0, policy=nft.ChainPolicy.DROP)
    ruleset = in_table(
        chains=(
            nft.Chain(name="in", base=base, rules=(rule(match(tcp("dport"), number(22)), accept(), comment="r1"),)),
        )
    )
    place = {"family": "inet", "table": "t"}
    port = {"payload": {"protocol": "tcp", "field": "dport"}}
    expected = {
        "nftables": [
            {"metainfo": {"json_schema_version": 1}},
            {"add": {"table": {"family": "inet", "name": "t"}}},
            {
                "add": {
                    "chain": {
                        **place, "name": "in", "type": "filter", "hook": "input", "prio": 0, "policy": "drop",
                    }
                }
            },
            {
                "add": {
                    "rule": {
                        **place,
                        "chain": "in",
                        "expr": [{"match": {"op": "in", "left": port, "right": 22}}, {"accept": None}],
                        "comment": "r1",
                    }
                }
            },
        ]
    }  # fmt: skip
    assert json_document(ruleset) == expected
    assert json.loads(print_json(ruleset)) == expected


def test_chains_come_before_maps_and_rules_last() -> None:
    ports = nft.Map(
        name="m",
        key=nft.DataTypes(("ifname",)),
        value=nft.VerdictType(),
        elements=(nft.Element(nft.InterfaceName("eth0"), jump("c")),),
    )
    ruleset = in_table(
        maps=(ports,), chains=(nft.Chain(name="c", rules=(rule(nft.VerdictMap(meta("iifname"), set_ref("m"))),)),)
    )
    commands = json.loads(print_json(ruleset))["nftables"]
    assert [next(iter(command.get("add", command))) for command in commands] == [
        "metainfo", "table", "chain", "map", "rule",
    ]  # fmt: skip


LATER_ONLY = {
    "typeof": with_set(key=nft.TypeOf(ip("frag-off"))),
    "auto-merge": with_set(auto_merge=True, flags=(nft.SetFlag.INTERVAL,)),
    "dynamic set that no rule updates": with_set(flags=(nft.SetFlag.DYNAMIC,), size=9),
    "map to several values": with_map(value=nft.DataTypes(("ipv4_addr", "inet_service"))),
    "ct timeout": in_table(objects=(OBJECTS[4],)),
    "ct expectation": in_table(objects=(OBJECTS[5],)),
    "synproxy": in_table(objects=(OBJECTS[6],)),
    "dormant table": in_table(dormant=True),
}
"""What nft 1.0.6 does not know in JSON, or leaves out without a word."""

NEVER = {
    "milliseconds": with_set(timeout=1500, flags=(nft.SetFlag.TIMEOUT,)),
    "counters of elements": with_set(
        statements=(counter(),), elements=(nft.Element(address("192.0.2.1"), statements=(counter(1, 2),)),)
    ),
    "map to prefixes": with_map(
        value=ADDRESSES,
        value_is_interval=True,
        flags=(nft.SetFlag.INTERVAL,),
        elements=(nft.Element(prefix("10.0.0.0/24"), prefix("198.51.100.0/24")),),
    ),
    "verdict map with typeof": with_map(key=nft.TypeOf(ip("frag-off")), value=nft.VerdictType()),
    "level of cgroupv2": in_table(
        chains=(nft.Chain(name="c", rules=(rule(match(nft.Socket("cgroupv2", 1), nft.QuotedString("x"))),)),)
    ),
}
"""What JSON of both targets lacks; text has it."""


@pytest.mark.parametrize("what", LATER_ONLY)
def test_what_nft_1_0_6_would_lose_is_refused(what: str) -> None:
    with pytest.raises(Refused) as refused:
        print_json(LATER_ONLY[what], DEBIAN_12)
    assert refused.value.code == "FWT502"
    assert print_json(LATER_ONLY[what], DEBIAN_13)
    assert print_ruleset(LATER_ONLY[what]).text


@pytest.mark.parametrize("what", NEVER)
def test_what_json_never_has_is_refused(what: str) -> None:
    with pytest.raises(Refused) as refused:
        print_json(NEVER[what], DEBIAN_13)
    assert refused.value.code == "FWT502"
    assert print_ruleset(NEVER[what]).text


@pytest.mark.netns
def test_objects_sets_and_maps_list_back_equal() -> None:
    later = nft_version() >= DEBIAN_13.nft
    ruleset = in_table(
        objects=OBJECTS if later else OBJECTS[:4],
        sets=(*SETS[:2], TYPE_OF_FRAGMENTS) if later else SETS[:2],
        maps=(*MAPS[:3], MAPS[5]) if later else MAPS[:3],
        chains=(nft.Chain(name="other"),),
    )
    text = load(print_ruleset(ruleset).text)
    from_json = load(print_json(ruleset, DEBIAN_13 if later else DEBIAN_12), as_json=True)
    assert text.status == 0, text.errors
    assert from_json.status == 0, from_json.errors
    assert normalised(from_json.listing) == normalised(text.listing)


@pytest.mark.parametrize(
    "item",
    [
        nft.Map(name="m", key=nft.TypeOf(ip("saddr")), value=nft.ObjectKind.LIMIT),
        nft.Map(name="m", key=ADDRESSES, value=nft.ObjectKind.CT_HELPER),
        nft.Map(name="m", key=ADDRESSES, value=nft.TypeOf(meta("mark"))),
        nft.Map(name="m", key=nft.TypeOf(ip("saddr")), value=nft.TypeOf(ip("daddr")), value_is_interval=True),
        nft.Map(name="m", key=nft.TypeOf(ip("saddr")), value=nft.DataTypes(("mark",))),
    ],
)
def test_map_that_cannot_be_declared_is_refused(item: nft.Map) -> None:
    for form in (print_ruleset, print_json):
        with pytest.raises(Refused):
            form(in_table(maps=(item,)))


def test_masked_field_is_no_key_of_a_set() -> None:
    masked = nft.Binary(nft.BinaryOperator.AND, ip("saddr"), address("255.255.0.0"))
    for form in (print_ruleset, print_json):
        with pytest.raises(Refused):
            form(with_set(key=nft.TypeOf(masked)))


def test_field_on_the_right_of_an_operator_is_refused() -> None:
    both = nft.Binary(nft.BinaryOperator.OR, meta("mark"), nft.Conntrack("mark"))
    ruleset = in_table(chains=(nft.Chain(name="c", rules=(rule(nft.Assignment(meta("mark"), both)),)),))
    for form in (print_ruleset, print_json):
        with pytest.raises(Refused) as refused:
            form(ruleset)
        assert refused.value.code == "FWT502"
