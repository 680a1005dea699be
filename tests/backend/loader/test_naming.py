"""Names that stay: what is sent when chains and maps are named otherwise, and that nothing but names is other."""

from __future__ import annotations

import re
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import pytest

from fwtrans.backend.loader import transaction as tx
from fwtrans.backend.loader.fake import FakeNft
from fwtrans.backend.loader.image import HOLDERS, TableImage
from fwtrans.backend.loader.load import assess, load
from fwtrans.backend.loader.naming import under_loaded_names
from fwtrans.backend.loader.plan import make_plan
from tests.backend.loader.images import big, image
from tests.backend.loader.planning import planned, present

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fwtrans.backend.loader.image import Image

REFERENCE = re.compile(r'("[^"]*")|((?:jump|goto) |@)([\w.-]+)')


def called(texts: Iterable[str], chains: Mapping[str, str], holders: Mapping[str, str]) -> tuple[str, ...]:
    def place(found: re.Match[str]) -> str:
        if found[1]:
            return found[1]
        names = holders if found[2] == "@" else chains
        return f"{found[2]}{names.get(found[3], found[3])}"

    return tuple(REFERENCE.sub(place, text) for text in texts)


def other_names(loaded: Image, chain: Callable[[str], str], holder: Callable[[str], str]) -> Image:
    """Return the image with other names for chains that no hook calls, and for maps."""

    def of(table: TableImage) -> TableImage:
        chains = {item.name: item.name if item.is_base else chain(item.name) for item in table.chains}
        holders = {item.name: holder(item.name) for item in table.objects if item.kind.value == "map"}
        assert len(set(chains.values())) == len(chains), "the test gives one name twice"
        return replace(
            table,
            chains=tuple(
                replace(item, name=chains[item.name], rules=called(item.rules, chains, holders))
                for item in table.chains
            ),
            objects=tuple(
                replace(
                    item,
                    name=holders.get(item.name, item.name),
                    elements=called(item.elements, chains, holders) if item.name in holders else item.elements,
                )
                for item in table.objects
            ),
        )

    return tuple(map(of, loaded))


def meaning(table: TableImage) -> object:
    """Return what a table does, whatever its parts are called: all that base chains lead to, written out in their place."""
    chains = {chain.name: chain for chain in table.chains}
    holders = {item.name: item for item in table.objects if item.kind in HOLDERS}
    known: dict[str, object] = {}

    def of(part: str) -> object:
        if part not in known:
            if part[0] == "@":
                item = holders[part[1:]]
                known[part] = hash((item.kind, item.body, frozenset(map(text, item.elements))))
            else:
                known[part] = hash(tuple(map(text, chains[part].said.split("\n"))))
        return known[part]

    def text(line: str) -> tuple[object, ...]:
        uses = [found for found in REFERENCE.finditer(line) if not found[1]]
        names = [of(f"@{found[3]}" if found[2] == "@" else found[3]) for found in uses]
        return (REFERENCE.sub(lambda found: found[1] or found[2], line), *names)

    assert len(chains) == len(table.chains)
    assert len(holders) == sum(item.kind in HOLDERS for item in table.objects)
    return {chain.name: (chain.head, of(chain.name)) for chain in table.chains if chain.is_base}


LOADED = """\
table inet fwtrans {
	map ways-1 {
		type ifname : verdict
		elements = { "a" : goto first-1, "b" : goto first-1, "c" : goto second }
	}
	map ways-2 {
		type ifname : verdict
		elements = { "a" : goto first-1, "x" : drop }
	}
	set names {
		type inet_service
		elements = { 22 }
	}
	chain forward {
		type filter hook forward priority filter; policy accept;
		iifname vmap @ways-1
		oifname vmap @ways-2
		log prefix "goto second" jump second comment "jump second"
	}
	chain first-1 {
		tcp dport @names accept
		@th,16,16 23 drop
	}
	chain second {
		udp dport 53 accept
	}
}
"""


def test_elements_alone_change_no_names() -> None:
    wanted = image(LOADED.replace('"c" : goto second', '"c" : goto second, "d" : goto second'))
    found, plan = planned(image(LOADED), wanted)
    assert found is not wanted
    assert all(one is other for one, other in zip(found, wanted, strict=True))
    assert plan.switch.holds_elements_only


def test_one_more_element_and_another_name_is_one_element() -> None:
    text = LOADED.replace("first-1", "first-9").replace('"c" : goto second', '"c" : goto second, "d" : goto first-9')
    found, plan = planned(image(LOADED), image(text))
    assert [chain.name for chain in found[0].chains] == ["forward", "first-1", "second"]
    assert '"d" : goto first-1' in found[0].objects[0].elements
    name = found[0].name
    assert plan.switch.commands == (tx.AddElements(name, "ways-1", ('"d" : goto first-1',)),)
    assert not plan.prepare
    assert not plan.tidy


@pytest.mark.parametrize("seed", range(4))
def test_other_names_for_everything_are_nothing_to_do(seed: int) -> None:
    """New names, and names that go round among those that are there."""
    random = Random(seed)  # noqa: S311 -- no secrets here
    loaded = (*image(LOADED.replace("inet", "ip")), *big("a"))
    loaded = other_names(loaded, lambda name: f"{name}-1", lambda name: name)
    chains = sorted({chain.name for table in loaded for chain in table.chains if not chain.is_base})
    mixed = random.sample(chains, len(chains)) if seed % 2 else [f"chain-{number}" for number in range(len(chains))]
    names = dict(zip(chains, mixed, strict=True))
    wanted = other_names(loaded, lambda name: names[name], lambda name: f"other-{name}-1")
    found, plan = planned(loaded, wanted)
    assert plan.transactions == ()
    assert found == loaded


@pytest.mark.parametrize("seed", range(60))
def test_what_comes_out_does_what_is_wanted(seed: int) -> None:
    """Whatever is loaded, whatever is wanted: only names are other, and what is there afterwards does what is wanted."""
    random = Random(seed)  # noqa: S311 -- no secrets here
    loaded, wanted = tangle(random), tangle(random)
    if seed % 3:
        wanted = changed(random, loaded)
    found, plan = planned(loaded, wanted)
    assert [meaning(table) for table in found] == [meaning(table) for table in wanted]
    client = FakeNft()
    state = load(client, loaded, None).state
    answer = load(client, found, state)
    assert answer.faults == ()
    listing = client.listing(wanted[0].name)
    assert listing is not None
    assert meaning(listing) == meaning(wanted[0])
    by_name = make_plan(present(loaded), wanted)
    assert plan.counts.changes <= by_name.counts.changes * 1.3 + 8, "names that stay are worth something"


def tangle(random: Random) -> Image:
    """Return a ruleset of chains and maps that lead on at random, named by a number that depends on all before."""
    start = random.randrange(4)
    maps, chains = [], []
    for number in range(random.randint(2, 6)):
        ways = "".join(
            f'"p{port}" : {random.choice(["jump", "goto"])} leaf-{start + random.randrange(6)},\n'
            for port in range(random.randint(1, 8))
        )
        maps.append(f"map by-{start + number} {{\ntype ifname : verdict\nelements = {{ {ways} }}\n}}\n")
        line = random.choice([f"iifname vmap @by-{start + number}", f"oifname vmap @by-{start + number}", "accept"])
        chains.append(f"chain way-{start + number} {{\n{line}\njump leaf-{start + random.randrange(6)}\n}}\n")
    for number in range(6):
        rules = "\n".join(f"tcp dport {random.randrange(3)} accept" for _ in range(random.randint(1, 3)))
        chains.append(f'chain leaf-{start + number} {{\n{rules}\nlog prefix "goto leaf-1 @by-1"\n}}\n')
    calls = "\n".join(f"jump way-{start + number}" for number in range(len(maps)))
    head = "type filter hook forward priority filter; policy accept;"
    return image(f"table inet fwtrans {{\n{''.join(maps)}chain forward {{\n{head}\n{calls}\n}}\n{''.join(chains)}}}\n")


def changed(random: Random, loaded: Image) -> Image:
    """Return the ruleset with other numbers in its names, and one rule or element less."""
    by = random.randint(1, 3)
    moved = other_names(loaded, lambda name: shifted(name, by), lambda name: shifted(name, by))
    table = moved[0]
    if random.random() < 0.5:
        chain = random.choice(table.chains[1:])
        chains = tuple(replace(one, rules=one.rules[1:]) if one is chain else one for one in table.chains)
        return (replace(table, chains=chains),)
    item = random.choice(table.objects)
    objects = tuple(replace(one, elements=one.elements[1:]) if one is item else one for one in table.objects)
    return (replace(table, objects=objects),)


def shifted(name: str, by: int) -> str:
    stem, _, number = name.rpartition("-")
    return f"{stem}-{int(number) + by}"


def test_a_chain_of_another_name_and_content_is_filled_again_where_it_is() -> None:
    """A name made of a hash of what the chain says is another one when a rule changes; the ways to it stay."""
    text = LOADED.replace("first-1", "first-2").replace("@th,16,16 23 drop", "@th,16,16 24 drop")
    found, plan = planned(image(LOADED), image(text))
    assert {chain.name for chain in found[0].chains} == {"forward", "first-1", "second"}
    assert [type(command).__name__ for command in plan.switch.commands] == ["DeleteRule", "AddRule"]
    assert not plan.prepare


def test_names_that_people_gave_are_theirs() -> None:
    wanted = other_names(image(LOADED), lambda name: name.replace("second", "third-3"), lambda name: name)
    found, plan = planned(image(LOADED), wanted, given=["third-3"])
    assert found == wanted
    assert plan.prepare
    by_people = other_names(image(LOADED), lambda name: name.replace("second", "third"), lambda name: name)
    assert planned(image(LOADED), by_people)[0] == by_people
    kept, plan = planned(image(LOADED), wanted)
    assert kept == image(LOADED)
    assert not plan.transactions


def test_sets_have_names_that_people_know() -> None:
    """Scripts put elements into them by name; only the number at its end is ours, and a hash of what it leads to."""
    text = LOADED.replace("names", "numbers")
    found, _ = planned(image(LOADED), image(text))
    assert found == image(text)
    numbered = LOADED.replace("names", "names-2")
    assert planned(image(LOADED), image(numbered))[0] == image(LOADED)
    loaded, wanted = (image(LOADED.replace("names", f"entry-class-v4-{one}-ip")) for one in ("a68c7b", "ebedbd"))
    assert planned(loaded, wanted)[0] == loaded
    for one, other in (("202601-net", "202602-net"), ("a68c7b-x", "ebedbd-y"), ("a68c7b", "ebedbd0x")):
        loaded, wanted = (image(LOADED.replace("names", f"block-{name}")) for name in (one, other))
        assert planned(loaded, wanted)[0] == wanted


def test_a_name_that_something_else_keeps_is_not_given_twice() -> None:
    loaded = image("""\
table inet fwtrans {
	chain forward {
		type filter hook forward priority filter; policy accept;
		iifname "a" jump one-1
		iifname "b" jump two-1
	}
	chain one-1 {
		tcp dport 1 accept
	}
	chain two-1 {
		tcp dport 2 accept
	}
}
""")
    wanted = image("""\
table inet fwtrans {
	chain forward {
		type filter hook forward priority filter; policy accept;
		iifname "a" jump two-1
		iifname "c" jump one-1
		iifname "b" jump three-3
	}
	chain two-1 {
		tcp dport 1 accept
	}
	chain one-1 {
		tcp dport 7 accept
	}
	chain three-3 {
		tcp dport 2 accept
	}
}
""")
    found, _ = planned(loaded, wanted)
    assert {chain.name: chain.rules for chain in found[0].chains} == {
        "forward": ('iifname "a" jump one-1', 'iifname "c" jump one-1-2', 'iifname "b" jump two-1'),
        "one-1": ("tcp dport 1 accept",),
        "one-1-2": ("tcp dport 7 accept",),
        "two-1": ("tcp dport 2 accept",),
    }


def test_a_table_that_is_not_known_keeps_no_names() -> None:
    client = FakeNft()
    load(client, image(LOADED), None)
    wanted = image(LOADED.replace("first-1", "first-2"))
    unsure = assess(client, None, [wanted[0].name])
    assert under_loaded_names(unsure.present, wanted) == wanted
