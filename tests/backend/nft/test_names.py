"""Names: what nft reads as one, and what becomes of the others."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fwtrans.backend.nft import model as nft
from fwtrans.backend.nft.build import counter, jump, match, meta, rule, set_ref
from fwtrans.backend.nft.keywords import RESERVED, RESERVED_AFTER_AT, RESERVED_FOR_OBJECTS
from fwtrans.backend.nft.names import NAME_LIMIT, NameKind, checked, is_legal, legal_name
from fwtrans.backend.nft.text import print_ruleset
from fwtrans.diagnostics import Refused
from tests.backend.nft.listing import NFT, load

KINDS = tuple(NameKind)
LATER = {"destroy", "tunnel", "last", "gre", "gretap", "geneve", "vxlan", "vni"}
"""Words that nft 1.0.6 does not know yet."""


@pytest.mark.parametrize(
    ("wanted", "given_name"),
    [
        ("INPUT", "INPUT"),
        ("PVEFW-HOST-IN", "PVEFW-HOST-IN"),
        ("tap100i0-OUT", "tap100i0-OUT"),
        ("eth0.100/x", "eth0.100/x"),
        ("reject", "reject_"),
        ("dynamic", "dynamic_"),
        ("fwd", "fwd_"),
        ("ACCEPT", "ACCEPT"),
        ("$(reboot)", "reboot"),
        ('x"y', "x_y"),
        ("100-in", "_100-in"),
        ("-dash", "_-dash"),
        ("a chain, with $odd \\chars#", "a_chain_with_odd_chars"),
        ("a b ", "a_b"),
        ("фильтр", "unnamed"),
        ("", "unnamed"),
        (".", "_."),
        ("}; flush ruleset; {", "flush_ruleset"),
        ("$accept", "accept_"),
    ],
)
def test_names_become_legal_and_stay_readable(wanted: str, given_name: str) -> None:
    assert legal_name(wanted, ()) == given_name


def test_second_of_a_name_gets_a_number() -> None:
    assert legal_name("$(reboot)", {"reboot"}) == "reboot-2"
    assert legal_name("reject", {"reject_", "reject_-2"}) == "reject_-3"


def test_long_names_stay_apart() -> None:
    first, second = (legal_name("x" * 300 + end, ()) for end in "ab")
    assert first != second
    assert first.startswith("x" * 240)
    assert len(first) <= NAME_LIMIT


@pytest.mark.parametrize("word", ["state", "rate", "packets"])
def test_words_of_one_place_are_names_elsewhere(word: str) -> None:
    assert legal_name(word, (), NameKind.CHAIN) == word
    assert legal_name(word, (), NameKind.OBJECT) == f"{word}_"


@given(st.text(), st.sets(st.text()), st.sampled_from(KINDS))
def test_legal_name_is_legal_free_and_stable(wanted: str, taken: set[str], kind: NameKind) -> None:
    name = legal_name(wanted, taken, kind)
    assert is_legal(name, kind)
    assert name not in taken
    assert legal_name(wanted, taken, kind) == name
    assert legal_name(name, (), kind) == name


@given(st.text(), st.sampled_from(KINDS))
def test_only_legal_names_are_printed(name: str, kind: NameKind) -> None:
    if is_legal(name, kind):
        assert checked(name, kind) == name
    else:
        with pytest.raises(Refused, match="cannot be the name"):
            checked(name, kind)


def ruleset_named(name: str) -> nft.Ruleset:
    uses = (
        nft.Chain(
            name="uses",
            rules=(
                rule(jump(name)),
                rule(match(meta("mark"), set_ref(f"{name}-s"))),
                rule(nft.ObjectStatement(nft.ObjectKind.COUNTER, f"{name}-c")),
            ),
        ),
    )
    table = nft.Table(
        family=nft.Family.INET,
        name=name,
        objects=(nft.CounterObject(name=f"{name}-c"),),
        sets=(nft.Set(name=f"{name}-s", key=nft.DataTypes(("mark",))),),
        chains=(nft.Chain(name=name, rules=(rule(counter()),)), *uses),
    )
    return nft.Ruleset((table,))


@pytest.mark.netns
@pytest.mark.parametrize("name", ["a", "_", "a.b/c-d_e", "a-", "a--b", "Accept", "beef", "x" * 250])
def test_nft_takes_legal_names(name: str) -> None:
    loaded = load(print_ruleset(ruleset_named(name)).text)
    assert loaded.status == 0, loaded.errors
    assert f"table inet {name} {{" in loaded.listing
    assert f"jump {name}" in loaded.listing


def declaration(word: str, kind: NameKind) -> str:
    return {
        NameKind.TABLE: f"add table inet {word}",
        NameKind.CHAIN: f"add table inet t\nadd chain inet t {word}",
        NameKind.SET: f"add table inet t\nadd set inet t {word} {{ type mark; }}\nadd chain inet t c\n"
        f"add rule inet t c meta mark @{word}",
        NameKind.FLOWTABLE: f"add table inet t\nadd chain inet t c\nadd rule inet t c flow add @{word}",
        # an object's name is a word of another language for each kind of object; any of them refusing is enough
        NameKind.OBJECT: "",
    }[kind]


OBJECT_DECLARATIONS = (
    "counter {word} {{ packets 0 bytes 0; }}",
    "quota {word} {{ over 1 bytes; }}",
    "limit {word} {{ rate 1/second; }}",
    'ct helper {word} {{ type "ftp" protocol tcp; }}',
    "synproxy {word} {{ mss 1; wscale 1; }}",
)


def syntax_errors(scripts: list[str]) -> list[bool]:
    return ["syntax error" in load(script).errors for script in scripts]


@pytest.mark.netns
@pytest.mark.parametrize("kind", [NameKind.TABLE, NameKind.CHAIN, NameKind.SET])
def test_words_of_nft_1_0_6_are_really_refused(kind: NameKind) -> None:
    """One word a load, since a refused one ends the load; sampled, for all of them take a while."""
    words = sorted(RESERVED - LATER)[::7]
    refused = [word for word in words if load(declaration(word, kind)).status != 0]
    assert refused == words


@pytest.mark.netns
def test_words_after_at_and_of_objects_are_really_refused() -> None:
    assert all(load(declaration(word, NameKind.SET)).status for word in RESERVED_AFTER_AT - LATER)
    taken = [
        word
        for word in sorted(RESERVED_FOR_OBJECTS - LATER)[::5]
        if not any(syntax_errors([f"add table inet t\nadd {each.format(word=word)}" for each in OBJECT_DECLARATIONS]))
    ]
    assert not taken


@pytest.mark.netns
def test_words_that_are_not_reserved_load() -> None:
    words = ["input", "state", "label", "name", "prefix", "group", "established", "new", "with", "port", "to", "level"]
    script = "add table inet t\n" + "".join(
        f"add chain inet t {word}\nadd set inet t {word}s {{ type mark; }}\n" for word in words
    )
    process = subprocess.run(
        ["unshare", "-n", NFT, "-f", "-"], input=script, text=True, capture_output=True, check=False
    )
    assert process.returncode == 0, process.stderr
    assert all(is_legal(word, NameKind.CHAIN) for word in words)
