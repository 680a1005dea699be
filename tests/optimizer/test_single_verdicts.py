"""Verdict maps of one verdict become sets; what people may change stays as it is."""

from __future__ import annotations

from dataclasses import replace

from fwtrans.ir import fields as known
from fwtrans.ir.match import KeyPart
from fwtrans.ir.names import NamePattern
from fwtrans.ir.pprint import print_table
from fwtrans.ir.sets import Element, MapElement, NamedMap, NamedSet
from fwtrans.ir.verdict import Accept, Dispatch, Drop, Goto, Jump
from fwtrans.optimizer.single_verdicts import without_single_verdicts
from tests.optimizer.corpus import ORIGIN
from tests.optimizer.proofs import assert_safe
from tests.semantics.builders import ACCEPT, DROP, TCP, base, chain, rule, source, table

BY_PORT = (KeyPart(known.IIFNAME),)


def key(number: int) -> tuple[NamePattern]:
    return (NamePattern(f"tap{number}i0", is_prefix=False),)


def ports(name: str, *values: Accept | Drop | Goto | Jump) -> NamedMap:
    elements = tuple(MapElement(key(number), value) for number, value in enumerate(values))
    return NamedMap(name, (known.IIFNAME,), "verdict", elements)


def asking(name: str) -> Dispatch:
    return Dispatch(BY_PORT, name)


def test_one_verdict_stands_in_the_rule() -> None:
    found = print_table(
        assert_safe(
            without_single_verdicts,
            table(
                base(rule(TCP, asking("ways-ports")), rule(DROP)),
                chain("web", rule(source(1), ACCEPT)),
                maps=(ports("ways-ports", Jump("web"), Jump("web"), Jump("web")),),
            ),
        )
    )
    assert "map" not in found
    assert "set ways-ports" in found
    assert "@ways" in found
    assert "iifname in @ways-ports; => Jump(chain='web')" in found


def test_two_maps_of_the_same_keys_are_one_set_and_one_that_was_made_is_asked() -> None:
    held = NamedSet("made", (known.IIFNAME,), tuple(Element(key(number)) for number in range(3)))
    maps = ports("drop-ports", Drop(), Drop(), Drop()), ports("accept-ports", Accept(), Accept(), Accept())
    rules = rule(TCP, source(1), asking("drop-ports")), rule(TCP, asking("accept-ports")), rule(DROP)
    alone = assert_safe(without_single_verdicts, table(base(*rules), maps=maps))
    assert [item.name for item in alone.sets] == ["drop-ports"]
    beside = assert_safe(without_single_verdicts, table(base(*rules), sets=(held,), maps=maps))
    assert [item.name for item in beside.sets] == ["made"]
    read = assert_safe(without_single_verdicts, table(base(*rules), sets=(replace(held, origin=ORIGIN),), maps=maps))
    assert [item.name for item in read.sets] == ["made", "drop-ports"]


def test_several_verdicts_few_elements_and_maps_of_other_names_stay() -> None:
    several, few = ports("several-ports", Drop(), Drop(), Accept()), ports("few-ports", Drop(), Drop())
    named = ports("named", Drop(), Drop(), Drop())
    maps = several, few, named
    before = table(base(*(rule(TCP, asking(item.name)) for item in maps)), maps=maps)
    assert assert_safe(without_single_verdicts, before).maps == maps
