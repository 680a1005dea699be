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
from fwtrans.ir.ending import ending_chains
from fwtrans.ir.match import FieldTest
from fwtrans.ir.rule import pure_front
from fwtrans.ir.verdict import Goto, Jump
from fwtrans.optimizer.base import Pass, Passed, each_table
from fwtrans.optimizer.facts import meet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import ValueSet
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain, Ruleset, Table

_LASTING = frozenset({known.ETHER_TYPE, known.NFPROTO, known.L4PROTO, known.IIFNAME, known.OIFNAME})
# Each jump is held against all rules behind it.
_MOST_BEHIND = 16


def with_tail_calls(table: Table) -> Table:
    """Return the table with jumps that need not come back as gotos."""
    ending = ending_chains(table)
    chains = tuple(chain if chain.base is not None else _with_gotos(chain, ending) for chain in table.chains)
    return table if chains == table.chains else replace(table, chains=chains)


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
