"""Where a packet's way ends for certain: steps behind which a rule goes on, and chains that nobody comes back from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir import effect as does
from fwtrans.ir.fields import Family
from fwtrans.ir.order import callees_last
from fwtrans.ir.remembering import once
from fwtrans.ir.verdict import TERMINAL, Dispatch, Drop, Goto, Jump

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Chain, Table
    from fwtrans.ir.sets import MapValue

# Effects behind which a rule goes on; `Nat` does where it asks no map.
NEVER_END = (
    does.AssignFromTable, does.Log, does.NoTrack, does.Nat, does.SetHelper, does.SetTimeoutPolicy, does.Duplicate,
    does.Forward, does.ResetTcpOption, does.SetSecmark, does.OpaqueEffect, does.Count,
)  # fmt: skip


def always_goes_on(step: Step) -> bool:
    """Tell whether a rule always goes on behind an effect."""
    if isinstance(step, does.Assign):
        return step.source is None
    return isinstance(step, NEVER_END) and not (isinstance(step, does.Nat) and step.map_name)


def drops_at_end(chain: Chain, family: Family) -> bool:
    """Tell whether a base chain drops what comes to its end, by its policy or by a last rule, as which one is printed.

    What is gone to from such a chain accepts by a rule of its own: as the ruleset was read, its end would be a drop, and as
    it is printed it would not. Bridge tables are made with policy accept.
    """
    if chain.base is None or not chain.base.accepts or family is Family.BRIDGE:
        return chain.base is not None and not chain.base.accepts
    last = chain.rules[-1] if chain.rules else None
    return last is not None and not last.steps and isinstance(last.verdict, Drop)


@once
def ending_chains(table: Table) -> AbstractSet[str]:
    """Return the chains in which every packet's way ends."""
    found: set[str] = set()
    values = {
        item.name: tuple({element.value for element in item.elements}) for item in table.maps if item.value == "verdict"
    }
    for chain in reversed(callees_last(table, [chain.name for chain in table.chains])):
        last = chain.rules[-1] if chain.rules else None
        if last is None or not all(map(always_goes_on, last.steps)):
            continue
        if any(_comes_back(verdict, found) for rule in chain.rules for verdict in _verdicts(rule, values)):
            continue
        if isinstance(last.verdict, TERMINAL) or getattr(last.verdict, "chain", None) in found:
            found.add(chain.name)
    return found


def _verdicts(rule: Rule, values: Mapping[str, tuple[MapValue, ...]]) -> tuple[object, ...]:
    """Return what a rule may do with a packet, by itself or by a map."""
    return values[rule.verdict.map_name] if isinstance(rule.verdict, Dispatch) else (rule.verdict,)


def _comes_back(verdict: object, ending: AbstractSet[str]) -> bool:
    """Tell whether a verdict may lead back to the chain's caller."""
    if isinstance(verdict, Goto):
        return verdict.chain not in ending
    return verdict is not None and not isinstance(verdict, (*TERMINAL, Jump))
