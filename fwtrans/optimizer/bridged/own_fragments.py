"""The host's own packets in fragments: a bridge sees each fragment by itself, and the ports are in the first.

    postrouting  ip frag-off & 0x1fff != 0 accept
                 frag frag-off != 0 accept

Where the first look-up asks for the ether type, each chain behind it begins with the rule for its family.

What comes in by a port of a bridge is put together again before any rule (Linux: nf_ct_bridge_pre), so at postrouting only
packets that the host sends or routes are in fragments (found on Linux 6.12: a datagram of 3,000 bytes from the host to a
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
from fwtrans.ir.verdict import Accept, Dispatch, Goto
from fwtrans.ir.walk import chain_targets, map_names, map_targets, uses_conntrack

if TYPE_CHECKING:
    from fwtrans.ir.match import PureTest
    from fwtrans.ir.ruleset import Chain, Ruleset, Table

_UNTRACKED = 4
_TRACKED = negated(number(known.CT_STATE, _UNTRACKED))
_LATER: dict[int, PureTest] = {
    0x0800: negated(bits(known.IP_FRAGMENT, 0x1FFF, 0)),
    0x86DD: negated(number(known.header_field("exthdr", "frag", "frag-off", 13), 0)),
}
_ARP = (0x0806, 0x0806)


def letting_own_fragments_pass(ruleset: Ruleset) -> Ruleset:
    """Return a ruleset whose bridges' postrouting chains for tracked packets take later fragments as their first one."""
    return replace(ruleset, tables=tuple(map(_with_exception, ruleset.tables)))


def _with_exception(table: Table) -> Table:
    if table.family is not Family.BRIDGE:
        return table
    chains = {chain.name: chain for chain in table.chains}
    changed: dict[str, Chain] = {}
    for chain in table.chains:
        if _is_departure(chain) and _tracks(table, chains, chain):
            behind = _behind_entry(table, chain)
            changed |= {name: _first(chains[name], test) for name, test in behind.items()}
            changed[chain.name] = _letting_pass(chain, past_entry=bool(behind))
    return replace(table, chains=tuple(changed.get(chain.name, chain) for chain in table.chains))


def _letting_pass(chain: Chain, *, past_entry: bool) -> Chain:
    origins = chain.rules[0].origins
    rules = (Rule((test, _TRACKED), Accept(), origins) for test in _LATER.values())
    at = next((number for number, rule in enumerate(chain.rules) if not _lets_states_pass(rule)), len(chain.rules))
    at += past_entry
    if past_entry and at == len(chain.rules):
        return chain
    return replace(chain, rules=(*chain.rules[:at], *rules, *chain.rules[at:]))


def _first(chain: Chain, test: PureTest) -> Chain:
    origins = chain.rules[0].origins if chain.rules else ()
    return replace(chain, rules=(Rule((test, _TRACKED), Accept(), origins), *chain.rules))


def _behind_entry(table: Table, base: Chain) -> dict[str, PureTest]:
    """Return the chains to which a look-up by ether type leads, and what is a later fragment there; none where that is not all.

    Behind the look-up a packet is of one family, and one rule of the two is enough.
    """
    at = next((number for number, rule in enumerate(base.rules) if not _lets_states_pass(rule)), len(base.rules))
    entry = base.rules[at].verdict if at < len(base.rules) and not base.rules[at].steps else None
    wanted = entry.map_name if isinstance(entry, Dispatch) else ""
    mapping = next((item for item in table.maps if item.name == wanted), None)
    if mapping is None or known.ETHER_TYPE not in mapping.fields:
        return {}
    place = mapping.fields.index(known.ETHER_TYPE)
    found: dict[str, PureTest] = {}
    for element in mapping.elements:
        part, value = element.key[place], element.value
        test = _LATER.get(part[0]) if isinstance(part[0], int) and part[0] == part[1] else None
        if isinstance(value, Accept) or part == _ARP:
            continue
        if test is None or not isinstance(value, Goto) or found.setdefault(value.chain, test) is not test:
            return {}
    return found if _leads_nowhere_else(table, mapping.name, set(found)) else {}


def _leads_nowhere_else(table: Table, name: str, chains: set[str]) -> bool:
    """Tell whether chains are led to by a map alone."""
    others = {target for chain in table.chains for target in chain_targets(chain)}
    others |= {target for item in table.maps if item.name != name for target in map_targets(table, item.name)}
    uses = [rule for chain in table.chains for rule in chain.rules if name in map_names(rule)]
    return len(uses) == 1 and not others & chains


def _lets_states_pass(rule: Rule) -> bool:
    """Tell whether a rule accepts by the state of connections alone: then it may stay in front of what accepts as well."""
    return isinstance(rule.verdict, Accept) and all(
        isinstance(step, FieldTest) and step.field in {known.CT_STATE, known.ETHER_TYPE} for step in rule.steps
    )


def _is_departure(chain: Chain) -> bool:
    return chain.base is not None and chain.base.hook is Hook.POSTROUTING


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
