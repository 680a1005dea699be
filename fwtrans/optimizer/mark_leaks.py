"""Which rules may read bits of the mark that the packet has brought along, and not those that other rules have written.

A bit that nobody uses goes with them as a shadow: it is set where packets come in, every write of the bits clears it, and
every rule that reads them asks for it as well. A rule that is still there when all this has been folded may see bits from
outside.

    iifname "eth0" jump group            (group: clear the bit; ... set the bit)
    mark & 1 == 1 accept                 packets that come in elsewhere have not been in group: a leak
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.bits import BitSet
from fwtrans.ir.effect import Assign
from fwtrans.ir.fields import MARK
from fwtrans.ir.match import FieldTest
from fwtrans.ir.verdict import Goto, Jump
from fwtrans.ir.walk import flat_steps
from fwtrans.optimizer.mark_bits import bits_read
from fwtrans.optimizer.specialise import Entry, specialise_entries

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Chain, Table
    from fwtrans.source import Origin

_ONES = (1 << MARK.width) - 1


def brought_along(table: Table, bases: Sequence[str], mask: int) -> set[tuple[str, Origin | Rule]]:
    """Return where rules stand that may read bits as they were when the packet came to the base chain."""
    shadow = _free_bit(table, mask)
    if not shadow or not bases:
        # no bit is left to go along: whatever reads the bits may be meant
        reading = [(chain.name, rule) for chain in table.chains for rule in chain.rules if bits_read(rule) & mask]
        return {place for places in places_of(table, bases, reading) for place in places}
    chains = tuple(
        replace(chain, rules=tuple(_shadowed(rule, mask, shadow) for rule in chain.rules)) for chain in table.chains
    )
    facts = {MARK: BitSet.cube(MARK.width, shadow, shadow)}
    folded = specialise_entries(replace(table, chains=chains), [Entry(base, facts) for base in bases], learn=True).table
    reading = [(chain.name, rule) for chain in folded.chains for rule in chain.rules if bits_read(rule) & mask]
    return {place for places in places_of(folded, bases, reading) for place in places}


def places_of(
    table: Table, bases: Sequence[str], rules: Sequence[tuple[str, Rule]]
) -> list[set[tuple[str, Origin | Rule]]]:
    """Return for each rule of a chain each base chain that leads to it, with each line that it was made of.

    One line of a configuration may have become rules below several base chains.
    """
    chains = {chain.name: chain for chain in table.chains}
    led_by: dict[str, list[str]] = {name: [] for name in chains}
    for base in bases:
        for name in _reached(chains, base):
            led_by[name].append(base)
    return [{(base, line) for base in led_by[name] for line in rule.origins or (rule,)} for name, rule in rules]


def _reached(chains: Mapping[str, Chain], start: str) -> Iterator[str]:
    seen, waiting = {start}, [start]
    while waiting:
        name = waiting.pop()
        yield name
        for rule in chains[name].rules:
            if isinstance(rule.verdict, (Jump, Goto)) and rule.verdict.chain not in seen:
                seen.add(rule.verdict.chain)
                waiting.append(rule.verdict.chain)


def _free_bit(table: Table, mask: int) -> int:
    """Return a bit of the mark that no rule reads or writes, 0 where there is none."""
    used = mask
    for chain in table.chains:
        for rule in chain.rules:
            used |= bits_read(rule)
            for step in flat_steps(rule.steps):
                if isinstance(step, Assign) and step.field is MARK:
                    used |= (_ONES & ~step.keep) | step.constant
    free = _ONES & ~used
    return free & -free


def _shadowed(rule: Rule, mask: int, shadow: int) -> Rule:
    steps: list[Step] = [_clearing(step, mask, shadow) for step in rule.steps]
    if bits_read(rule) & mask:
        steps.insert(0, FieldTest(MARK, BitSet.cube(MARK.width, shadow, shadow)))
    return replace(rule, steps=tuple(steps))


def _clearing(step: Step, mask: int, shadow: int) -> Step:
    """Return a step that takes the shadow away where it writes all the bits."""
    if isinstance(step, Assign) and step.field is MARK and not step.keep & mask:
        return replace(step, keep=step.keep & ~shadow)
    return step
