"""What nft makes of our text, told by the instructions that it sends to the kernel."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fwtrans.backend.nft import model as nft
from fwtrans.backend.nft.build import (
    any_flag,
    assign,
    bit_and,
    ct,
    flags_or,
    mark,
    match,
    match_exactly,
    match_not,
    meta,
    number,
    one_of,
    rule,
    symbols,
    tcp,
    th,
)
from fwtrans.backend.nft.text import print_ruleset
from tests.backend.nft.listing import bytecode

if TYPE_CHECKING:
    from collections.abc import Callable

ALL = (1 << 32) - 1
_BITWISE = re.compile(r"bitwise reg 1 = \( reg 1 & 0x([0-9a-f]{8}) \) \^ 0x([0-9a-f]{8})")


def instructions(*statements: nft.Statement) -> str:
    chain = nft.Chain(name="c", rules=(rule(*statements),))
    ruleset = nft.Ruleset((nft.Table(family=nft.Family.INET, name="t", chains=(chain,)),))
    return bytecode(print_ruleset(ruleset).text)


@pytest.mark.netns
@pytest.mark.parametrize(
    ("test", "said"),
    [
        (match(tcp("flags"), any_flag("syn", "ack")), ["& 0x00000012 ) ^ 0x00000000", "cmp neq reg 1 0x00000000"]),
        (match_exactly(tcp("flags"), flags_or("syn", "ack")), ["cmp eq reg 1 0x00000012"]),
        (
            match_exactly(bit_and(tcp("flags"), flags_or("syn", "ack", "rst")), nft.Symbol("syn")),
            ["& 0x00000016 ) ^ 0x00000000", "cmp eq reg 1 0x00000002"],
        ),
        (
            match(ct("state"), any_flag("established", "related")),
            ["ct load state", "& 0x00000006 ) ^ 0x00000000", "cmp neq reg 1 0x00000000"],
        ),
        (match_not(ct("state"), one_of(*symbols("established", "new"))), ["lookup reg 1 set __set%d 0x1"]),
        (match(meta("l4proto"), number(6)), ["meta load l4proto", "cmp eq reg 1 0x00000006"]),
        (match(th("dport"), number(22)), ["payload load 2b @ transport header + 2", "cmp eq reg 1 0x00001600"]),
        (match(meta("hour"), number(3600)), ["meta load hour", "cmp eq reg 1 0x00000e10"]),
        (match(meta("day"), number(6)), ["meta load day", "cmp eq reg 1 0x00000006"]),
        (match(meta("time"), number(1)), ["meta load time", "cmp eq reg 1 0x3b9aca00 0x00000000"]),
        (nft.Match(nft.Meta("iif"), number(0)), ["meta load iif", "cmp eq reg 1 0x00000000"]),
    ],
    ids=str,
)
def test_instructions_of_a_test(test: nft.Match, said: list[str]) -> None:
    told = instructions(test)
    for words in said:
        assert words in told
        told = told[told.index(words) + len(words) :]


_OPERATIONS: dict[nft.BinaryOperator, Callable[[int, int], int]] = {
    nft.BinaryOperator.AND: lambda left, right: left & right,
    nft.BinaryOperator.OR: lambda left, right: left | right,
    nft.BinaryOperator.XOR: lambda left, right: left ^ right,
}


def value_of(expression: nft.Expression, current: int) -> int:
    """Compute what an expression over the mark is worth, apart from all printing."""
    if isinstance(expression, nft.Number):
        return expression.value
    if isinstance(expression, nft.Binary):
        left, right = value_of(expression.left, current), value_of(expression.right, current)
        return _OPERATIONS[expression.operator](left, right)
    return current


def told_value(told: str, current: int) -> int:
    for mask, flipped in _BITWISE.findall(told):
        current = current & int(mask, 16) ^ int(flipped, 16)
    return current


def mark_expressions() -> st.SearchStrategy[nft.Expression]:
    operators = st.sampled_from(tuple(_OPERATIONS))
    constants: st.SearchStrategy[nft.Expression] = st.integers(0, ALL).map(mark)
    constants = st.one_of(constants, st.builds(nft.Binary, operators, constants, constants))
    start: st.SearchStrategy[nft.Expression] = st.just(nft.Meta("mark"))
    return st.recursive(start, lambda left: st.builds(nft.Binary, operators, left, constants), max_leaves=4)


@pytest.mark.netns
@settings(max_examples=60)
@given(mark_expressions())
def test_mark_arithmetic_is_bit_by_bit_what_the_model_says(expression: nft.Expression) -> None:
    told = instructions(assign(nft.Meta("mark"), expression))
    assert "meta set mark with reg 1" in told
    for current in (0, ALL, 0x12345678):
        assert told_value(told, current) == value_of(expression, current)
