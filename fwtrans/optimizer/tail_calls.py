"""The last rule of a chain goes to a chain instead of jumping there, and so does a jump that nobody comes back from.

    drop-it: log; drop        iifname tap1 jump drop-it        iifname tap1 goto drop-it
    user: ...; jump other                                      user: ...; goto other
    ports: ether type ip jump v4; ether type ip6 jump v6       ports: ether type ip goto v4; ether type ip6 goto v6

Why it is safe: behind the last rule of a chain there is only the chain's end, which is where a goto leads as well. Where a
chain ends every packet that enters it, it does not matter where packets would come back to. Nor does it where all rules
behind the jump ask one field, which nothing writes, for other values than the jump does: such a packet passes none of them.

It declines where more than a few rules stand behind the jump, and in base chains, where a goto saves nothing and slips past rules that a printed policy may need behind it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir import fields as known
from fwtrans.ir.match import FieldTest
from fwtrans.ir.remembering import once
from fwtrans.ir.rule import pure_front
from fwtrans.ir.verdict import TERMINAL, Dispatch, Goto, Jump
from fwtrans.optimizer.base import Pass, Passed, each_table
from fwtrans.optimizer.dead import always_goes_on
from fwtrans.optimizer.facts import meet
from fwtrans.optimizer.reached import callees_last

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import ValueSet
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain, Ruleset, Table
    from fwtrans.ir.sets import MapValue

_LASTING = frozenset({known.ETHER_TYPE, known.NFPROTO, known.L4PROTO, known.IIFNAME, known.OIFNAME})
# Each jump is held against all rules behind it.
_MOST_BEHIND = 16


def with_tail_calls(table: Table) -> Table:
    """Return the table with jumps that need not come back as gotos."""
    ending = ending_chains(table)
    chains = tuple(chain if chain.base is not None else _with_gotos(chain, ending) for chain in table.chains)
    return table if chains == table.chains else replace(table, chains=chains)


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


def _with_gotos(chain: Chain, ending: AbstractSet[str]) -> Chain:
    rules = list(chain.rules)
    for number, rule in enumerate(rules):
        if isinstance(rule.verdict, Jump) and (rule.verdict.chain in ending or _is_last(rule, rules[number + 1 :])):
            rules[number] = replace(rule, verdict=Goto(rule.verdict.chain))
    return chain if tuple(rules) == chain.rules else replace(chain, rules=tuple(rules))


def _is_last(rule: Rule, behind: Sequence[Rule]) -> bool:
    """Tell whether no rule behind this one is for a packet that it is for."""
    if len(behind) > _MOST_BEHIND:
        return False
    asked = _asked(rule)
    return all(
        any(meet(values, asked[field]).is_empty for field, values in _asked(one).items() if field in asked)
        for one in behind
    )


def _asked(rule: Rule) -> dict[Field, ValueSet]:
    """Return what a rule asks before all else of fields that nothing writes."""
    return {
        step.field: step.values for step in pure_front(rule) if isinstance(step, FieldTest) and step.field in _LASTING
    }


def _run(ruleset: Ruleset) -> Passed:
    return each_table(ruleset, lambda table, _declined: with_tail_calls(table))


PASS = Pass("tail-calls", "go to a chain where nothing is left to come back for", _run)
