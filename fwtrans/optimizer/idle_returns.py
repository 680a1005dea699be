"""A return that keeps nothing from happening goes.

    before   chain smurfs { ip saddr 0.0.0.0 return; ip saddr 224.0.0.0/4 drop }      after   chain smurfs { ip saddr 224.0.0.0/4 drop }

Why it is safe: the rule only asks, and none of the rules behind it in its chain is for a packet that it is for (they ask one
field, which no rule writes, for other values), so such a packet comes to the chain's end, where it goes back as well. It
declines in base chains, where a return is the policy, and where a rule behind it is not seen to be for other packets.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.rule import is_pure
from fwtrans.ir.verdict import Return
from fwtrans.optimizer.base import Pass, Passed, each_table
from fwtrans.optimizer.clauses import Clause, Clauses, clauses_of, disjoint, settled_by

if TYPE_CHECKING:
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain, Ruleset, Table

# Returns are held against so many rules behind them: a bound on the time.
_MOST_BEHIND = 64


def without_idle_returns(table: Table) -> Table:
    """Return the table without returns that change nothing."""
    clauses = clauses_of(table)
    chains = tuple(_changed(chain, clauses) for chain in table.chains)
    return replace(table, chains=chains) if chains != table.chains else table


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset without returns that change nothing."""
    return each_table(ruleset, lambda table, _declined: without_idle_returns(table))


PASS = Pass("idle-returns", "a return goes where no rule behind it is for the same packets", run)


def _changed(chain: Chain, clauses: Clauses) -> Chain:
    if chain.base is not None or not any(isinstance(rule.verdict, Return) for rule in chain.rules):
        return chain
    kept: list[Rule] = []  # from the last rule to the first
    for rule in reversed(chain.rules):
        if not _is_idle(rule, kept, clauses):
            kept.append(rule)
    return chain if len(kept) == len(chain.rules) else replace(chain, rules=tuple(reversed(kept)))


def _is_idle(rule: Rule, behind: list[Rule], clauses: Clauses) -> bool:
    if not isinstance(rule.verdict, Return) or len(behind) > _MOST_BEHIND or not all(map(is_pure, rule.steps)):
        return False
    clause = clauses.of(rule)
    if all(disjoint(clause, clauses.of(other)) for other in behind):
        return True
    clause = _asked(clause)
    return all(disjoint(clause, _asked(clauses.of(other))) for other in behind)


def _asked(clause: Clause) -> Clause:
    """Return the clause with what must be so for its fields to be there: as printed, a rule may ask for it in so many words."""
    return replace(clause, tests=settled_by(clause.tests))
