"""Random rulesets whose rules speak with each other by bits of the mark, in the ways that people write them and in others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir import effect as does
from fwtrans.ir import fields as known
from fwtrans.ir.effect import Log
from fwtrans.ir.fields import Family
from fwtrans.ir.match import bits, negated_if, number
from fwtrans.ir.rule import Rule
from fwtrans.ir.ruleset import BaseHook, Chain, Hook, Table
from fwtrans.ir.verdict import Accept, Drop, Goto, Jump, Queue, Reject, Return

if TYPE_CHECKING:
    from random import Random

    from fwtrans.ir.match import PureTest
    from fwtrans.ir.rule import Step
    from fwtrans.ir.verdict import Verdict

_ONES = (1 << 32) - 1


def random_marked_table(source: Random, mask: int) -> Table:
    """Return a table with one base chain; `mask` is one bit or several."""
    names = [f"user{number}" for number in range(source.randint(1, 5))]
    base = BaseHook("filter", Hook.FORWARD, 0, source.random() < 0.7)
    chains = [Chain("main", _rules(source, mask, names), base)]
    for at, name in enumerate(names):
        chains.append(Chain(name, _rules(source, mask, names[at + 1 :])))
    return Table(Family.IP, "filter", tuple(chains))


def _rules(source: Random, mask: int, later: list[str]) -> tuple[Rule, ...]:
    found: list[Rule] = []
    if source.random() < 0.4:
        found.append(Rule((_write(source, mask),)))
    for _ in range(source.randint(1, 5)):
        chance = source.random()
        if chance < 0.35 and later:
            # what people write: a call, and what its answer means
            found.append(Rule(_conditions(source, 0.4), Jump(source.choice(later))))
            found.append(Rule((_asked(source, mask),), _verdict(source, later)))
        elif chance < 0.55:
            found.append(Rule((*_conditions(source, 0.8), _write(source, mask)), source.choice((None, None, Return()))))
        elif chance < 0.65:
            found.append(Rule((_asked(source, mask), *_conditions(source, 0.3)), _verdict(source, later)))
        else:
            found.append(Rule(_conditions(source, 0.8), _verdict(source, later)))
    if source.random() < 0.3:
        found.append(Rule((), source.choice((Accept(), Drop(), Return()))))
    return tuple(found)


def _conditions(source: Random, some: float) -> tuple[Step, ...]:
    found: list[Step] = []
    if source.random() < some:
        found.append(number(known.IP_SADDR, *source.sample(range(4), source.randint(1, 2))))
    if source.random() < 0.1:
        found.append(number(known.L4PROTO, 6))
    if source.random() < 0.06:
        found.append(Log(prefix=source.choice("ab")))
    return tuple(found)


def _value(source: Random, mask: int) -> int:
    values = [value for value in range(mask + 1) if not value & ~mask] if mask < 16 else [0, mask]
    return source.choice(values)


def _asked(source: Random, mask: int) -> PureTest:
    if source.random() < 0.1:
        return bits(known.MARK, mask | 0x100, _value(source, mask) | source.choice((0, 0x100)))
    return negated_if(bits(known.MARK, mask, _value(source, mask)), source.random() < 0.2)


def _write(source: Random, mask: int) -> Step:
    chance = source.random()
    value = _value(source, mask)
    if chance < 0.8:
        return does.Assign(known.MARK, _ONES & ~mask, value)
    if chance < 0.85:
        return does.Assign(known.MARK, _ONES, value)
    if chance < 0.9:
        return does.Assign(known.MARK, 0, value)
    if chance < 0.95:
        return does.Assign(known.MARK, _ONES & ~mask, 0, does.BitsOf(known.CT_MARK, mask))
    return does.Assign(known.CT_MARK, 0, 0, does.BitsOf(known.MARK, source.choice((mask, _ONES))))


def _verdict(source: Random, later: list[str]) -> Verdict | None:
    if later and source.random() < 0.3:
        return Goto(source.choice(later)) if source.random() < 0.6 else Jump(source.choice(later))
    return source.choice((Accept(), Accept(), Drop(), Return(), Return(), Queue(1), Reject("tcp reset")))
