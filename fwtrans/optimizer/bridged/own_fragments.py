"""The host's own packets in fragments: a bridge sees each fragment by itself, and the ports are in the first.

    output  ip frag-off & 0x1fff != 0 accept
            frag frag-off != 0 accept

What comes in by a port of a bridge is put together again before any rule (Linux: nf_ct_bridge_pre), so only at output
packets come in fragments, which the host sends or routes (found on Linux 6.12: a datagram of 3,000 bytes from the host to a
guest whose rules accept its port lost all fragments but the first; with firewall bridges it was put together once more on
the guest's own). The first fragment is judged; without it the others are of no use to who gets them.

This comes after all passes: for them, as for the proof, tracked packets have no fragments, and a rule for such is dead.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir import fields as known
from fwtrans.ir.fields import Family
from fwtrans.ir.match import FieldTest, bits, negated, number
from fwtrans.ir.rule import Rule
from fwtrans.ir.ruleset import Hook
from fwtrans.ir.verdict import Accept
from fwtrans.ir.walk import chain_targets, map_names, map_targets, uses_conntrack

if TYPE_CHECKING:
    from fwtrans.ir.match import PureTest
    from fwtrans.ir.ruleset import Chain, Ruleset, Table

_UNTRACKED = 4
_TRACKED = negated(number(known.CT_STATE, _UNTRACKED))
_LATER: tuple[PureTest, ...] = (
    negated(bits(known.IP_FRAGMENT, 0x1FFF, 0)),
    negated(number(known.header_field("exthdr", "frag", "frag-off", 13), 0)),
)


def letting_own_fragments_pass(ruleset: Ruleset) -> Ruleset:
    """Return a ruleset whose bridges' chains for the host's own tracked packets take later fragments as their first one."""
    return replace(ruleset, tables=tuple(map(_with_exception, ruleset.tables)))


def _with_exception(table: Table) -> Table:
    if table.family is not Family.BRIDGE:
        return table
    chains = {chain.name: chain for chain in table.chains}
    return replace(
        table,
        chains=tuple(
            _letting_pass(chain) if _is_own(chain) and _tracks(table, chains, chain) else chain
            for chain in table.chains
        ),
    )


def _letting_pass(chain: Chain) -> Chain:
    origins = chain.rules[0].origins
    rules = (Rule((test, _TRACKED), Accept(), origins) for test in _LATER)
    at = next((number for number, rule in enumerate(chain.rules) if not _lets_states_pass(rule)), len(chain.rules))
    return replace(chain, rules=(*chain.rules[:at], *rules, *chain.rules[at:]))


def _lets_states_pass(rule: Rule) -> bool:
    """Tell whether a rule accepts by the state of connections alone: then it may stay in front of what accepts as well."""
    return isinstance(rule.verdict, Accept) and all(
        isinstance(step, FieldTest) and step.field in {known.CT_STATE, known.ETHER_TYPE} for step in rule.steps
    )


def _is_own(chain: Chain) -> bool:
    return chain.base is not None and chain.base.hook is Hook.OUTPUT


def _tracks(table: Table, chains: dict[str, Chain], start: Chain) -> bool:
    """Tell whether a chain asks for connections, itself or where it leads: rules of the link layer do not."""
    seen, waiting = {start.name}, [start]
    while waiting:
        chain = waiting.pop()
        if any(map(uses_conntrack, chain.rules)):
            return True
        maps = (name for rule in chain.rules for name in map_names(rule))
        targets = {*chain_targets(chain), *(name for item in maps for name in map_targets(table, item))} - seen
        seen |= targets
        waiting.extend(chains[name] for name in targets if name in chains)
    return False
