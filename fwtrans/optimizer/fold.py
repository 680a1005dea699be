"""Tests that are decided before a packet comes to them, and all that goes with them.

    ct state invalid drop; ct state invalid,new jump smurfs      ct state invalid drop; ct state new jump smurfs
    iifname tap1 jump a;   a: iifname tap1 tcp drop              iifname tap1 jump a;   a: tcp drop
    jump empty; l4proto tcp udp drop                             (nothing)

What a test shows holds behind it: in its own rule, in a chain that no other rule leads to, and, the other way round, in the
rules behind one that has taken all packets that pass its only test. What a rule writes is known as long as nothing writes
over it. A test for ports' being there goes where the rule asks for ports: that fails without them, and nft is told no more.
See `specialise.py` for why that is safe: it is the same walk, with nothing known where packets come in.

It declines for chains with several callers, which would have to be cloned, and for tables without a base chain, where
nothing is used and nobody knows what it is there for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.ending import ending_chains
from fwtrans.ir.fields import Family
from fwtrans.ir.rule import Rule
from fwtrans.ir.verdict import Dispatch, Drop, Goto, Return
from fwtrans.optimizer.as_read import without_said
from fwtrans.optimizer.base import Pass, Passed, each_table
from fwtrans.optimizer.known_answers import without_known_answers
from fwtrans.optimizer.specialise import Entry, specialise_entries
from fwtrans.optimizer.tracking import if_tracked
from fwtrans.semantics.visits import arrives_whole, visits_of

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from fwtrans.ir.ruleset import Chain, Ruleset, Table


_POLICY = Rule((), Drop())
_PATHS = {Family.INET: {Family.IP, Family.IP6}}


def folded(table: Table, *, whole: bool = False) -> Table:
    """Return the table as its base chains need it, with nothing known but what its own rules show.

    `whole` says that fragments are put together before.
    """
    entries = [Entry(chain.name, {}) for chain in table.chains if chain.base is not None]
    if not entries:
        return table
    found = specialise_entries(without_known_answers(table), entries, learn=True).table
    while (less := without_said(found, whole=whole)) is not found:
        # a rule that says less may be for all packets, and what is behind it for none
        found = specialise_entries(less, entries, learn=True).table
    ending = ending_chains(found)
    leaving = {item.name for item in found.maps if any(_leaves(one.value, ending) for one in item.elements)}
    dropping = [chain.name for chain in found.chains if _is_simple(chain, ending, leaving)]
    if not dropping:
        return found
    said = [_with_policy_said(chain) if chain.name in dropping else chain for chain in found.chains]
    told = {
        chain.name: chain
        for chain in specialise_entries(replace(found, chains=tuple(said)), entries, learn=True).table.chains
    }
    idle = {name for name in dropping if not told[name].rules or told[name].rules[-1] != _POLICY}
    return (
        replace(found, chains=tuple(_accepting(chain) if chain.name in idle else chain for chain in found.chains))
        if idle
        else found
    )


def _is_simple(chain: Chain, ending: AbstractSet[str], leaving: AbstractSet[str]) -> bool:
    """Tell whether a chain drops what comes to its end, and nothing leaves it on another way than over its end."""
    if chain.base is None or chain.base.accepts or not chain.rules:
        return False
    return not any(
        _leaves(rule.verdict, ending) or (isinstance(rule.verdict, Dispatch) and rule.verdict.map_name in leaving)
        for rule in chain.rules
    )


def _leaves(verdict: object, ending: AbstractSet[str]) -> bool:
    """Tell whether a verdict may end a base chain before its end, with what the policy says."""
    return isinstance(verdict, Return) or (isinstance(verdict, Goto) and verdict.chain not in ending)


def _with_policy_said(chain: Chain) -> Chain:
    return _accepting(replace(chain, rules=(*chain.rules, _POLICY)))


def _accepting(chain: Chain) -> Chain:
    """Return a chain that accepts what comes to its end: a policy that no packet meets is no reason for a rule."""
    return replace(chain, base=replace(chain.base, accepts=True)) if chain.base is not None else chain


def _run(ruleset: Ruleset) -> Passed:
    parted = {visit.family for visit in visits_of(ruleset) if not arrives_whole(ruleset, visit)}

    def fold(table: Table, _declined: list[str]) -> Table:
        return folded(table, whole=parted.isdisjoint(_PATHS.get(table.family, {table.family})))

    return if_tracked(ruleset, each_table(ruleset, fold))


PASS = Pass("fold", "leave out tests that are decided already, and rules and chains that no packet comes to", _run)
