"""The bridge's own answers get out: what a `reject` makes is in no connection, and must not be dropped for that.

    output  ct state invalid drop   ->   output  ct state invalid accept

A reset or an ICMP message that a bridge's `reject` sends passes output in state invalid (Linux 6.1 and 6.12). What comes
there has been made by the host: answers, and the host's own packets, which its own rules have judged. It declines where
packets in state invalid may be forwarded (`nf_conntrack_allow_invalid`): then such answers are judged like any other packet.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir import fields as known
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest, number
from fwtrans.ir.rule import Rule
from fwtrans.ir.ruleset import Hook
from fwtrans.ir.verdict import Accept, Drop
from fwtrans.optimizer.bridged.joining import always_drops
from fwtrans.optimizer.specialise import specialise

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from fwtrans.ir.ruleset import Chain, Table

_INVALID = 0
_CARRIED = {0x0800: 2, 0x86DD: 10}


def letting_own_answers_out(table: Table, own: Collection[str]) -> Table:
    """Return a bridge table whose chains for the host's own packets accept invalid ones where forward drops all others."""
    dropped = [ether_type for ether_type in _CARRIED if _drops_invalid(table, ether_type)]
    if not dropped:
        return table
    chains = tuple(
        _with_exception(chain, dropped) if chain.name in own and _judges_state(table, chain) else chain
        for chain in table.chains
    )
    return replace(table, chains=chains)


def _judges_state(table: Table, chain: Chain) -> bool:
    """Tell whether a chain decides about packets that have left the bridge's own rules behind them."""
    special = specialise(table, chain.name, {known.CT_STATE: IntervalSet.single(3, _INVALID)}).table
    return any(isinstance(rule.verdict, Drop) for other in special.chains for rule in other.rules)


def _with_exception(chain: Chain, ether_types: list[int]) -> Chain:
    origins = chain.rules[0].origins
    tests: tuple[FieldTest, ...] = (number(known.CT_STATE, _INVALID),)
    # ARP that the host sends is invalid as well, and may have rules of its own behind this one
    if len(ether_types) < len(_CARRIED) or any(map(_is_for_other_frames, chain.rules)):
        tests = (number(known.ETHER_TYPE, *ether_types), *tests)
    return replace(chain, rules=(Rule(tests, Accept(), origins), *chain.rules))


def _is_for_other_frames(rule: Rule) -> bool:
    tests = (step for step in rule.steps if isinstance(step, FieldTest) and step.field is known.ETHER_TYPE)
    return any(
        isinstance(test.values, IntervalSet) and not set(_CARRIED).issuperset(_few(test.values)) for test in tests
    )


def _few(values: IntervalSet) -> Iterator[int]:
    """Yield the ends of the ranges, which are all values where only single ones are meant."""
    for low, high in values.ranges:
        yield from (low, high)


def _drops_invalid(table: Table, ether_type: int) -> bool:
    """Tell whether some chain at forward drops every invalid packet of a protocol."""
    facts = {
        known.CT_STATE: IntervalSet.single(3, _INVALID),
        known.ETHER_TYPE: IntervalSet.single(16, ether_type),
        known.NFPROTO: IntervalSet.single(8, _CARRIED[ether_type]),
    }
    at_forward = (chain for chain in table.chains if chain.base is not None and chain.base.hook is Hook.FORWARD)
    special = ((chain.name, specialise(table, chain.name, facts).table) for chain in at_forward)
    return any(always_drops({chain.name: chain for chain in found.chains}, name) for name, found in special)
