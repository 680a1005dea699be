"""No name or string of a user leaves its place, in text or in JSON, whatever is in it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fwtrans.backend.nft import model as nft
from fwtrans.backend.nft.build import counter, exists, match, meta, number, rule
from fwtrans.backend.nft.json_form import json_document, print_json
from fwtrans.backend.nft.text import print_ruleset
from fwtrans.diagnostics import Refused
from tests.backend.nft.listing import bytecode, load

if TYPE_CHECKING:
    from collections.abc import Callable

HOSTILE = [
    '"',
    '" accept comment "',
    'x"; } } flush ruleset; #',
    "a\nflush ruleset",
    "a\r\nb",
    "a\x00b",
    "a\x1b[2Jb",
    "a\x7fb",
    "a\u0085b",
    "\udcff",
    '\\"',
    "x" * 129,
    "é" * 65,
]
"""Strings that cannot stand between nft's quotation marks, or are too long there."""

NO_NAMES = ["", "a b", "a;b", "a$b", "{", "a#b", "a{", "$(reboot)", "@a", "-a", "a*", " a", "é"]
"""Strings that would be more than a name, or none."""

HARMLESS = ["a'b", "a;b{c}#d", "$x", "`reboot`", "a\\", "a\\n", "\\", "@set", "a\tb", "é€", "/* */", "x" * 15, "%s"]
"""Strings that only look dangerous."""


def in_rule(statement: nft.Statement) -> nft.Ruleset:
    return in_chain(rule(statement, counter()))


def in_chain(*rules: nft.Rule) -> nft.Ruleset:
    chain = nft.Chain(name="c", rules=rules)
    return nft.Ruleset((nft.Table(family=nft.Family.INET, name="t", chains=(chain,)),))


def in_set(element: nft.Element) -> nft.Ruleset:
    item = nft.Set(name="s", key=nft.DataTypes(("ifname",)), elements=(element,))
    return nft.Ruleset((nft.Table(family=nft.Family.INET, name="t", sets=(item,)),))


def with_objects(*objects: nft.NamedObject) -> nft.Ruleset:
    return nft.Ruleset((nft.Table(family=nft.Family.INET, name="t", objects=objects),))


def with_device(name: str) -> nft.Ruleset:
    base = nft.BaseHook(type=nft.ChainType.FILTER, hook=nft.Hook.INGRESS, priority=0, devices=(name,))
    return nft.Ruleset((nft.Table(family=nft.Family.NETDEV, name="t", chains=(nft.Chain(name="c", base=base),)),))


STRINGS: dict[str, Callable[[str], nft.Ruleset]] = {
    "rule comment": lambda text: in_chain(rule(counter(), comment=text)),
    "log prefix": lambda text: in_rule(nft.Log(text)),
    "interface name": lambda text: in_rule(match(meta("iifname"), nft.InterfaceName(text))),
    "interface prefix": lambda text: in_rule(match(meta("iifname"), nft.InterfaceName(text, is_prefix=True))),
    "string": lambda text: in_rule(match(nft.Osf(), nft.QuotedString(text))),
    "device": with_device,
    "element": lambda text: in_set(nft.Element(nft.InterfaceName(text))),
    "element comment": lambda text: in_set(nft.Element(nft.InterfaceName("a"), comment=text)),
    "table comment": lambda text: nft.Ruleset((nft.Table(family=nft.Family.INET, name="t", comment=text),)),
    "chain comment": lambda text: nft.Ruleset(
        (nft.Table(family=nft.Family.INET, name="t", chains=(nft.Chain(name="c", comment=text),)),)
    ),
    "object comment": lambda text: with_objects(nft.CounterObject(name="o", comment=text)),
    "helper": lambda text: with_objects(
        nft.CtHelperObject(name="o", helper=text, protocol="tcp", l3_protocol=nft.Family.INET)
    ),
}

NAMES: dict[str, Callable[[str], nft.Ruleset]] = {
    "table": lambda name: nft.Ruleset((nft.Table(family=nft.Family.INET, name=name),)),
    "chain": lambda name: nft.Ruleset((nft.Table(family=nft.Family.INET, name="t", chains=(nft.Chain(name=name),)),)),
    "jump": lambda name: in_rule(nft.Verdict(nft.VerdictKind.JUMP, name)),
    "goto in a map": lambda name: in_rule(
        nft.VerdictMap(meta("mark"), nft.AnonymousMap(((number(1), nft.Verdict(nft.VerdictKind.GOTO, name)),)))
    ),
    "set": lambda name: nft.Ruleset(
        (nft.Table(family=nft.Family.INET, name="t", sets=(nft.Set(name=name, key=nft.DataTypes(("mark",))),)),)
    ),
    "map": lambda name: nft.Ruleset(
        (
            nft.Table(
                family=nft.Family.INET,
                name="t",
                maps=(nft.Map(name=name, key=nft.DataTypes(("mark",)), value=nft.VerdictType()),),
            ),
        )
    ),
    "set reference": lambda name: in_rule(match(meta("mark"), nft.SetReference(name))),
    "set update": lambda name: in_rule(nft.SetUpdate(nft.UpdateKind.ADD, name, meta("mark"))),
    "object": lambda name: with_objects(nft.CounterObject(name=name)),
    "object reference": lambda name: in_rule(nft.ObjectStatement(nft.ObjectKind.COUNTER, name)),
    "flowtable": lambda name: in_rule(nft.FlowOffload(name)),
    "symbol": lambda name: in_rule(match(meta("pkttype"), nft.Symbol(name))),
    "datatype": lambda name: nft.Ruleset(
        (nft.Table(family=nft.Family.INET, name="t", sets=(nft.Set(name="s", key=nft.DataTypes((name,))),)),)
    ),
}


def text_of(ruleset: nft.Ruleset) -> str:
    return print_ruleset(ruleset).text


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
@pytest.mark.parametrize("place", STRINGS)
@pytest.mark.parametrize("form", [text_of, print_json], ids=["text", "json"])
def test_hostile_string_is_refused(place: str, text: str, form: Callable[[nft.Ruleset], str]) -> None:
    with pytest.raises(Refused) as refused:
        form(STRINGS[place](text))
    assert refused.value.code == "FWT501"


@pytest.mark.parametrize("name", [*HOSTILE[:-2], *NO_NAMES], ids=ascii)
@pytest.mark.parametrize("place", NAMES)
@pytest.mark.parametrize("form", [text_of, print_json], ids=["text", "json"])
def test_hostile_name_is_refused(place: str, name: str, form: Callable[[nft.Ruleset], str]) -> None:
    with pytest.raises(Refused) as refused:
        form(NAMES[place](name))
    assert refused.value.code == "FWT501"


@pytest.mark.parametrize("place", sorted(NAMES.keys() - {"symbol", "datatype"}))
def test_name_is_refused_where_the_kernel_has_no_room(place: str) -> None:
    assert text_of(NAMES[place]("y" * 255))
    with pytest.raises(Refused):
        text_of(NAMES[place]("y" * 256))


@pytest.mark.parametrize("name", ["reject", "ip", "th", "accept"])
def test_keyword_is_refused_as_a_name(name: str) -> None:
    for place in ("table", "chain", "jump", "set", "set reference", "object"):
        with pytest.raises(Refused):
            text_of(NAMES[place](name))


@pytest.mark.parametrize("prefix", ["$x", "$(reboot)", "a$", "a $ b", "\\$x"])
def test_dollar_in_a_log_prefix_is_refused_since_nft_expands_it(prefix: str) -> None:
    for form in (text_of, print_json):
        with pytest.raises(Refused, match="takes for a variable"):
            form(in_rule(nft.Log(prefix)))


def skeleton(text: str) -> str:
    return re.sub(r'"[^"]*"', '""', text)


@given(st.text(max_size=20), st.sampled_from(sorted(STRINGS)))
def test_string_stays_between_its_quotation_marks(text: str, place: str) -> None:
    try:
        printed = text_of(STRINGS[place](text))
    except Refused:
        return
    if text:
        assert skeleton(printed) == skeleton(text_of(STRINGS[place]("harmless")))


def strings_in(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [found for item in value.values() for found in strings_in(item)]
    if isinstance(value, list):
        return [found for item in value for found in strings_in(item)]
    return [value] if isinstance(value, str) else []


@given(st.text(min_size=1, max_size=14), st.sampled_from(["rule comment", "log prefix", "interface name"]))
def test_string_is_one_json_string(text: str, place: str) -> None:
    try:
        printed = print_json(STRINGS[place](text))
    except Refused:
        return
    shown = text[:-1] + "\\*" if place == "interface name" and text.endswith("*") else text
    assert shown in strings_in(json.loads(printed))


def test_strings_that_json_would_take_for_a_set_or_a_wildcard() -> None:
    for name in ("@addresses", "@"):
        with pytest.raises(Refused) as refused:
            json_document(STRINGS["interface name"](name))
        assert refused.value.code == "FWT502"
    assert 'iifname "@addresses"' in text_of(STRINGS["interface name"]("@addresses"))


@pytest.mark.parametrize("name", ["a" * 16, "", "a\\*"])
def test_interface_names_that_nft_cannot_have(name: str) -> None:
    with pytest.raises(Refused):
        text_of(STRINGS["interface name"](name))


@pytest.mark.parametrize("selector", [nft.Conntrack("helper"), nft.Osf(), nft.Meta("iifkind")], ids=str)
def test_strings_longer_than_the_kernel_has_are_refused(selector: nft.Selector) -> None:
    assert text_of(in_rule(match(selector, nft.QuotedString("x" * 15))))
    for form in (text_of, print_json):
        with pytest.raises(Refused):
            form(in_rule(match(selector, nft.QuotedString("x" * 16))))


@pytest.mark.parametrize("name", ["a" * 16, "", "a\\"])
def test_interface_prefixes_that_nft_cannot_have(name: str) -> None:
    with pytest.raises(Refused):
        text_of(STRINGS["interface prefix"](name))


@pytest.mark.parametrize(
    "value",
    [
        nft.Number(-1),
        nft.Number(1 << 64),
        nft.Address(1 << 32, 32),
        nft.Address(1 << 128, 128),
        nft.Address(0, 33),
        nft.Address(-1, 32),
        nft.MacAddress(1 << 48),
        nft.MacAddress(-1),
        nft.Prefix(nft.Address(1, 32), 24),
        nft.Prefix(nft.Address(0, 32), 33),
        nft.Prefix(nft.Address(0, 32), -1),
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(value: nft.Expression) -> None:
    ruleset = in_rule(match(meta("mark"), value))
    for form in (text_of, print_json):
        with pytest.raises(Refused):
            form(ruleset)


@pytest.mark.parametrize("form", [text_of, print_json], ids=["text", "json"])
def test_statement_of_iptables_nft_is_refused(form: Callable[[nft.Ruleset], str]) -> None:
    with pytest.raises(Refused, match="belongs to iptables-nft"):
        form(in_rule(nft.XtStatement("match", "recent")))


@pytest.mark.parametrize("form", [text_of, print_json], ids=["text", "json"])
def test_selectors_alone_are_no_rule(form: Callable[[nft.Ruleset], str]) -> None:
    with pytest.raises(Refused):
        form(in_chain(nft.Rule(())))
    assert form(in_rule(exists(nft.ExtensionHeader("frag"))))


@pytest.mark.netns
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_nft_reads_strings_as_they_are(*, as_json: bool) -> None:
    printable = [chr(code) for code in range(32, 127) if chr(code) != '"']
    comments = [*HARMLESS, *(f"a{char}b" for char in printable), "x" * 128, "é" * 64]
    prefixes = [
        text for text in (*comments, *(f"{char}" for char in printable)) if "$" not in text and len(text.encode()) < 128
    ]
    interfaces = [f"a{char}b" for char in printable] + [f"{char}" for char in printable if char != "@"]
    rules = [
        *(rule(counter(), comment=text) for text in comments),
        *(rule(nft.Log(text)) for text in prefixes),
        *(rule(match(meta("iifname"), nft.InterfaceName(text))) for text in interfaces),
    ]
    ruleset = in_chain(*rules)
    loaded = load(print_json(ruleset) if as_json else text_of(ruleset), as_json=as_json, list_json=True)
    assert loaded.status == 0, loaded.errors
    listed = [item["rule"] for item in json.loads(loaded.listing)["nftables"] if "rule" in item]
    # a listing leaves a backslash before an asterisk at the end, which means that it is no wildcard
    escaped = [text[:-1] + "\\*" if text.endswith("*") else text for text in interfaces]
    assert [item["comment"] for item in listed if "comment" in item] == comments
    expressions = [item["expr"][0] for item in listed]
    assert [found["log"]["prefix"] for found in expressions if "log" in found] == prefixes
    assert [found["match"]["right"] for found in expressions if "match" in found] == escaped


@pytest.mark.netns
def test_an_asterisk_of_a_name_is_no_wildcard() -> None:
    assert "cmp eq reg 1 0x2a687465 0x00000000" in bytecode(text_of(STRINGS["interface name"]("eth*")))
    assert "cmp eq reg 1 0x00687465 ]" in bytecode(text_of(STRINGS["interface prefix"]("eth")))
    assert "element 2a687465 00000000" in bytecode(text_of(STRINGS["element"]("eth*")))
