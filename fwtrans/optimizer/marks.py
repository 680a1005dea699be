"""Bits of the mark that only carry a decision from rule to rule become verdicts.

    tap-OUT:  jump group; mark & 1 == 1 return; tcp dport 443 goto set-mark; drop        (behind it: policy accept)
    group:    mark & ~1; tcp dport 22 goto set-mark
    set-mark: mark | 1

    tap-OUT:  jump group; tcp dport 443 return; drop
    group:    tcp dport 22 accept

Why it is safe: each chain is walked with what is known of the bits. Where all packets that come to an exit of a called
chain have the same known bits, and the rules behind the call make one end of all packets with these bits (a verdict, the
policy behind a return, or a chain that always ends), that end may as well be said at the exit. What comes back then has
known bits, and the tests behind the call are decided. Writes that nobody reads any more go last.

What it does not do: where bits are not known at an exit, or packets come back with several values and the rules behind do
not end them, the mark stays with all that reads it, and so does a test that asks for other bits as well, or a copy of the
mark elsewhere. Such rules are named in `kept`. Rules that read bits which the packet may have brought along are named in
`leaks`: they would be decided if the bits were known where packets come in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.bits import BitSet
from fwtrans.ir.effect import Assign
from fwtrans.ir.fields import MARK
from fwtrans.ir.match import FieldTest
from fwtrans.ir.rule import Rule
from fwtrans.ir.verdict import Accept, Drop
from fwtrans.ir.walk import flat_steps
from fwtrans.optimizer.base import Pass, Passed, each_table
from fwtrans.optimizer.depth import room_below
from fwtrans.optimizer.inlining import inlined_verdicts
from fwtrans.optimizer.leaving import Leaving
from fwtrans.optimizer.mark_bits import bits_read
from fwtrans.optimizer.mark_leaks import brought_along, places_of
from fwtrans.optimizer.mark_plan import MarkInterpreter
from fwtrans.optimizer.mark_writes import without_dead_writes
from fwtrans.optimizer.specialise import Entry, specialise_entries
from fwtrans.optimizer.state import State
from fwtrans.optimizer.tracking import if_tracked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.ir.ruleset import BaseHook, Chain, Ruleset, Table
    from fwtrans.optimizer.facts import Facts

# A pass tries no more masks than this, and takes a result only up to this growth.
_MOST_MASKS = 4
_MOST_GROWTH = 1.25


class MarkEntry(NamedTuple):
    """A base chain, the bits that packets come in with (None: not known), and whether the bits are seen behind it."""

    chain: str
    entry: int | None = None
    seen_later: bool = False


class KeptRule(NamedTuple):
    """A rule that still reads the bits, and why."""

    chain: str
    rule: Rule
    reason: str


class _Measure(NamedTuple):
    """How many rules read the bits, how many times rules write marks, and how much there is of all."""

    reading: int
    writing: int
    rules: int
    chains: int


class WithoutMarks(NamedTuple):
    """The table of the base chains that were asked for, and the rules in it that still read the bits."""

    table: Table
    leaks: tuple[KeptRule, ...] = ()
    kept: tuple[KeptRule, ...] = ()


def without_mark_bits(
    table: Table, base_chain: str, mask: int, *, entry: int | None = None, seen_later: bool = False
) -> WithoutMarks:
    """Return one base chain, with all it leads to, in which as little as can be rests on the bits."""
    return without_marks(table, (MarkEntry(base_chain, entry, seen_later),), mask)


def without_marks(table: Table, entries: Sequence[MarkEntry], mask: int) -> WithoutMarks:
    """Return several base chains, in one table in which what is equal is shared."""
    found = _without(table, entries, mask)
    left = _reading(found, mask)
    if not left:
        return WithoutMarks(found)
    seen = brought_along(table, [entry.chain for entry in entries if entry.entry is None], mask)
    leaks = [
        kept
        for kept, places in zip(
            left,
            places_of(found, [entry.chain for entry in entries], [(kept.chain, kept.rule) for kept in left]),
            strict=True,
        )
        if places & seen
    ]
    return WithoutMarks(
        found,
        tuple(kept._replace(reason="the packet may have brought the bits along") for kept in leaks),
        tuple(kept for kept in left if kept not in leaks),
    )


def _without(table: Table, entries: Sequence[MarkEntry], mask: int) -> Table:
    found = _repeated(table, entries, mask, tails=True)
    # a chain that is gone to from the depth of a call may lead deeper than the kernel lets it
    return found if _is_shallow(found) or not _is_shallow(table) else _repeated(table, entries, mask, tails=False)


def _is_shallow(table: Table) -> bool:
    """Tell whether the kernel takes the table's nesting."""
    return min(room_below(table).values(), default=0) >= 0


def _repeated(table: Table, entries: Sequence[MarkEntry], mask: int, *, tails: bool) -> Table:
    """Return the table after as many rounds as win something: fewer rules that read the bits, or write them, or fewer rules."""
    table = _folded(table, entries, mask)
    before = _measure(table, mask)
    # where no rule has to do with marks any more, a round would only fold what is folded
    while before.reading or before.writing:
        found = _once(table, entries, mask, tails=tails)
        after = _measure(found, mask)
        if after >= before:
            break
        table, before = found, after
    return table


def _measure(table: Table, mask: int) -> _Measure:
    rules = [rule for chain in table.chains for rule in chain.rules]
    reading = sum(bool(bits_read(rule) & mask) for rule in rules)
    writing = sum(isinstance(step, Assign) and step.field is MARK for rule in rules for step in rule.steps)
    return _Measure(reading, writing, len(rules), len(table.chains))


def _folded(table: Table, entries: Sequence[MarkEntry], mask: int) -> Table:
    known = [Entry(entry.chain, _facts(entry, mask)) for entry in entries]
    while True:
        found = specialise_entries(table, known, learn=True).table
        after = inlined_verdicts(found)
        # what specialising has found it finds again
        if after in (found, table):
            return after
        table = after


def _once(table: Table, entries: Sequence[MarkEntry], mask: int, *, tails: bool) -> Table:
    names = [entry.chain for entry in entries]
    interpreter = MarkInterpreter(table, mask, names=names, tails=tails)
    for entry in entries:
        chain = interpreter.original(entry.chain)
        facts = _facts(entry, mask)
        leaving = Leaving(may=frozenset({(None, _policy(chain))}), seen=entry.seen_later)
        interpreter.entry(entry.chain, State(facts, facts), entry.chain, leaving)
    found = interpreter.result(names)
    found = without_dead_writes(found, {entry.chain: entry.seen_later for entry in entries}, mask)
    return _folded(found, entries, mask)


def _facts(entry: MarkEntry, mask: int) -> Facts:
    return {} if entry.entry is None else {MARK: BitSet.cube(MARK.width, mask, entry.entry & mask)}


def _policy(chain: Chain) -> Rule:
    base: BaseHook | None = chain.base
    origins = (chain.origin,) if chain.origin is not None else chain.rules[-1].origins if chain.rules else ()
    return Rule((), Accept() if base is None or base.accepts else Drop(), origins)


def _reading(table: Table, mask: int) -> list[KeptRule]:
    return [
        KeptRule(chain.name, rule, _reason(rule, mask))
        for chain in table.chains
        for rule in chain.rules
        if bits_read(rule) & mask
    ]


def _reason(rule: Rule, mask: int) -> str:
    tests = [step for step in flat_steps(rule.steps) if isinstance(step, FieldTest) and step.field is MARK]
    asked = 0
    for test in tests:
        asked |= bits_read(Rule((test,)))
    if asked & mask != bits_read(rule) & mask or not tests:
        return "the bits are copied or part of a key"
    if asked & ~mask:
        return "the bits are asked for together with others"
    return "the bits are not known where they are asked for"


# --- as a pass: nothing is known of what others do with the mark ---


def with_mark_verdicts(table: Table, declined: list[str]) -> Table:
    """Return the table with less that rests on marks; their values in front of and behind base chains stay as they are."""
    entries = [MarkEntry(chain.name, None, seen_later=True) for chain in table.chains if chain.base is not None]
    for mask in _masks(table)[:_MOST_MASKS] if entries else ():
        found = _without(table, entries, mask)
        if _rules(found) > _rules(table) * _MOST_GROWTH:
            declined.append(f"bits {mask:#x} of the mark: {_rules(table)} rules would become {_rules(found)}")
        elif any(bits_read(rule) & mask for chain in found.chains for rule in chain.rules):
            declined.append(f"bits {mask:#x} of the mark are still read, so that nothing is won")
        else:
            table = found
    return table


def _masks(table: Table) -> list[int]:
    """Return the masks with which rules ask for the mark."""
    found: dict[int, None] = {}
    for chain in table.chains:
        for rule in chain.rules:
            for step in flat_steps(rule.steps):
                if isinstance(step, FieldTest) and step.field is MARK and isinstance(step.values, BitSet):
                    found.update(dict.fromkeys(mask for mask, _ in step.values.cubes if mask))
    return sorted(found)


def _rules(table: Table) -> int:
    return sum(len(chain.rules) for chain in table.chains)


def _run(ruleset: Ruleset) -> Passed:
    return if_tracked(ruleset, each_table(ruleset, with_mark_verdicts))


PASS = Pass("mark-verdicts", "let chains say verdicts themselves that their callers read from a mark", _run)
