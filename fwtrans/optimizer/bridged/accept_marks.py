"""The accept mark, and the leak that it has.

PVE carries "this guest's rules accept it" from rule to rule in a bit of the packet's mark. Verdicts say it better, and the
bit goes. One place keeps it alive: for a host rule `GROUP g -i X` only the jump asks for X, the test of the mark behind it
does not. A guest's packet that does not come in by X then reaches that test with the mark of its own rules still set, and
the host accepts it in spite of its policy. A faithful translation does the same, so there the bit stays, unless the leak
is to be closed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.ir.effect import Assign
from fwtrans.ir.rule import Rule
from fwtrans.ir.ruleset import Hook
from fwtrans.ir.verdict import Goto, Jump
from fwtrans.ir.walk import flat_steps
from fwtrans.optimizer.bridged.reach import reached
from fwtrans.optimizer.mark_bits import bits_read
from fwtrans.optimizer.marks import MarkEntry, without_marks
from fwtrans.semantics.bridged.topology import ACCEPT_MARK_CHAIN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fwtrans.ir.ruleset import BaseHook, Chain, Table
    from fwtrans.source import Origin

_ONES = (1 << known.MARK.width) - 1
_BEHIND = {
    Hook.PREROUTING: frozenset({Hook.INPUT, Hook.FORWARD, Hook.POSTROUTING}),
    Hook.FORWARD: frozenset({Hook.POSTROUTING}),
    Hook.OUTPUT: frozenset({Hook.POSTROUTING}),
    Hook.INPUT: frozenset[Hook](),
    Hook.POSTROUTING: frozenset[Hook](),
}


class _Reader(NamedTuple):
    chain: str
    base: BaseHook


class Marked(NamedTuple):
    """The tables without the accept mark where that was possible, and the lines at which a guest's mark leaks in."""

    bridge: Table
    local: tuple[Table, ...]
    leaks: tuple[Origin, ...]


def accept_bits(bridge: Table) -> int:
    """Return the bits of the mark that rules for bridged packets set to constants and test, and PVE's own."""
    written = read = own = 0
    for chain in bridge.chains:
        for rule in chain.rules:
            read |= bits_read(rule)
            for step in flat_steps(rule.steps):
                if isinstance(step, Assign) and step.field is known.MARK and step.source is None:
                    bits = (_ONES & ~step.keep) | step.constant
                    written |= bits
                    own |= bits if chain.name.startswith(ACCEPT_MARK_CHAIN) else 0
    return (written & read) | own


def without_accept_mark(bridge: Table, local: Sequence[Table], *, close_leak: bool) -> Marked:
    """Return the tables with the accept mark made into verdicts, as far as nobody reads what a guest's packet brings."""
    mask = accept_bits(bridge)
    if not mask:
        return Marked(bridge, tuple(local), ())
    found = [_local(table, mask, close_leak=close_leak) for table in local]
    leaks = tuple(dict.fromkeys(origin for _, origins in found for origin in origins))
    kept = (bool(leaks) and not close_leak) or any(_is_seen(table, mask) for table, _ in found)
    if kept:
        # what the host sends may come to a guest, whose rules are judged with the mark that it has
        found = [_local(table, mask, close_leak=close_leak, kept=True) for table in local]
    done = tuple(table for table, _ in found)
    readers = _readers(bridge, mask)
    entries = [
        MarkEntry(
            name,
            None,
            kept and (base.hook is Hook.PREROUTING or any(_comes_later(other, base) for _, other in readers)),
        )
        for name, base in readers
    ]
    result = without_marks(_only(bridge, readers), entries, mask)
    if result.leaks or result.kept:
        # what one bridge chain leaves in the mark another one reads: all of them keep it
        return Marked(bridge, tuple(local), leaks)
    return Marked(_with(bridge, result.table), done, leaks)


def _local(table: Table, mask: int, *, close_leak: bool, kept: bool = False) -> tuple[Table, Iterable[Origin]]:
    """Return one table of the host's own hooks without the mark where nobody reads it, and the lines that leak."""
    readers = _readers(table, mask)
    if not readers:
        return table, ()
    hooks = [reader.base for reader in readers]
    entries = [
        MarkEntry(
            reader.chain,
            None,
            any(_comes_later(other, reader.base) for _, other in readers)
            or (kept and reader.base.hook is not Hook.INPUT),
        )
        for reader in readers
    ]
    result = without_marks(_only(table, readers), entries, mask)
    met = _met_by_guests(result.table, mask)
    leaks = tuple(origin for leak in result.leaks if leak.chain in met for origin in leak.rule.origins)
    if leaks and close_leak:
        # forgotten is what guests brought along, not what one chain of the host tells another
        first = [
            entry.chain
            for entry, reader in zip(entries, readers, strict=True)
            if not any(_comes_later(reader.base, other) for other in hooks)
        ]
        closed = [entry._replace(entry=0) if entry.chain in first else entry for entry in entries]
        result = without_marks(_only(table, readers), closed, mask)
        if _is_seen(result.table, mask):
            # a test that stays for what the host's own rules write must not find what was there before
            return _with(table, _clearing(result.table, first, mask, leaks)), leaks
    return _with(table, result.table), leaks


def _clearing(table: Table, bases: Sequence[str], mask: int, origins: tuple[Origin, ...]) -> Table:
    clear = Rule((Assign(known.MARK, _ONES & ~mask, 0),), None, origins)
    return replace(
        table,
        chains=tuple(
            replace(chain, rules=(clear, *chain.rules)) if chain.name in bases else chain for chain in table.chains
        ),
    )


def _met_by_guests(table: Table, mask: int) -> set[str]:
    """Return the chains with rules on the bits to which a guest's packet may come: not those of OUTPUT alone."""
    chains = {chain.name: chain for chain in table.chains}
    bases = [name for name, base in _readers(table, mask) if base.hook is not Hook.OUTPUT]
    return set(reached(chains, *bases)) if bases else set()


def _is_seen(table: Table, mask: int) -> bool:
    """Tell whether rules look at the bits where a guest's packet may come."""
    met = _met_by_guests(table, mask)
    return any(bits_read(rule) & mask for chain in table.chains if chain.name in met for rule in chain.rules)


def _comes_later(base: BaseHook, other: BaseHook) -> bool:
    """Tell whether a packet can meet a base chain behind another one."""
    return base.hook in _BEHIND[other.hook] or (base.hook is other.hook and base.priority > other.priority)


def _readers(table: Table, mask: int) -> list[_Reader]:
    """Return the base chains that lead to rules which look at the bits or write them."""
    chains = {chain.name: chain for chain in table.chains}
    return [
        _Reader(chain.name, chain.base)
        for chain in table.chains
        if chain.base is not None and any(_touches(chains[name], mask) for name in reached(chains, chain.name))
    ]


def _touches(chain: Chain, mask: int) -> bool:
    return any(
        bits_read(rule) & mask
        or any(isinstance(step, Assign) and step.field is known.MARK for step in flat_steps(rule.steps))
        for rule in chain.rules
    )


def _only(table: Table, readers: Sequence[_Reader]) -> Table:
    """Return the table without its other base chains, whose chains nobody may change."""
    wanted = {name for name, _ in readers}
    return replace(table, chains=tuple(chain for chain in table.chains if chain.base is None or chain.name in wanted))


def _with(table: Table, changed: Table) -> Table:
    """Return the table with chains in their new form; base chains that were left alone keep the chains they had."""
    new = {chain.name: chain for chain in changed.chains}
    others = {chain.name: chain for chain in table.chains if chain.base is not None and chain.name not in new}
    chains = {chain.name: chain for chain in table.chains}
    needed = {name for other in others for name in reached(chains, other)}
    renamed = {name: f"{name}-kept" for name in needed if name in new and new[name] != chains[name]}
    kept = [
        _renamed(chains[name], renamed) for name in chains if name in needed and (name not in new or name in renamed)
    ]
    return replace(table, chains=(*changed.chains, *kept))


def _renamed(chain: Chain, names: dict[str, str]) -> Chain:
    def renamed(rule: Rule) -> Rule:
        verdict = rule.verdict
        if isinstance(verdict, (Jump, Goto)) and verdict.chain in names:
            return replace(rule, verdict=replace(verdict, chain=names[verdict.chain]))
        return rule

    return replace(chain, name=names.get(chain.name, chain.name), rules=tuple(map(renamed, chain.rules)))
