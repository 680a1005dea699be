"""Base chains of one case that follow each other become one, where nothing tells them apart.

    out-raw-PREROUTING            ether type ip iifname @ports jump raw-v4       it drops, but never accepts
    out-FORWARD-frames            iifname @ports jump l2                         accepts all IP and IPv6
    out-FORWARD                   ether type ip iifname @ports jump out-v4
    ->
    out-FORWARD                   ether type ip iifname @ports jump raw-v4
                                  ether type ip iifname @ports jump out-v4
                                  ether type != { ip, ip6 } iifname @ports jump l2

Accepting ends a base chain and not the next one, so a stage that never accepts can stand in front of another in one base
chain. Rules of the link layer mostly let IP through without a look; then they and IP's are for different packets, and
they may stand behind. One base chain instead of four is what lets an established connection pass by one rule, and what
lets everything that is asked of a port be asked at once. Where a stage does not fit it stays a base chain of its own.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from fwtrans.ir import fields as known
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.rule import is_pure
from fwtrans.ir.verdict import Accept, Drop, Goto, Jump, Queue, Reject, Return
from fwtrans.optimizer.bridged.reach import reached
from fwtrans.optimizer.specialise import specialise

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain, Table

_NETWORK = {0x0800: 2, 0x86DD: 10}
IP_TYPES = IntervalSet.values(16, _NETWORK)


def never_accepts(chains: Mapping[str, Chain], names: Iterable[str]) -> bool:
    """Tell whether a packet that comes back from the chains, or ends there, is never one that they let through early."""
    return all(
        rule.verdict is None or isinstance(rule.verdict, (Drop, Reject, Jump, Goto, Return))
        for rule in _rules(chains, names)
    )


def does_nothing(chains: Mapping[str, Chain], names: Iterable[str]) -> bool:
    """Tell whether the chains only ever let packets go on."""
    return all(
        all(map(is_pure, rule.steps))
        and (rule.verdict is None or isinstance(rule.verdict, (Accept, Jump, Goto, Return)))
        for rule in _rules(chains, names)
    )


def returning(chains: Mapping[str, Chain], base: Chain) -> tuple[Chain, ...] | None:
    """Return a base chain, and copies of what it calls, in which what was accepted goes on behind the base chain's rules.

    None where a packet is accepted in the middle of a chain that another one calls: from there no return leads so far.
    """
    copies: dict[str, Chain] = {}
    try:
        rules = tuple(_called(chains, rule, copies) for rule in base.rules)
    except _AcceptedInTheMiddleError:
        return None
    return (replace(base, rules=rules), *copies.values())


class _AcceptedInTheMiddleError(Exception):
    """A packet is accepted where a return would go on with rules that it must not meet."""


def _called(chains: Mapping[str, Chain], rule: Rule, copies: dict[str, Chain]) -> Rule:
    """Return a rule whose called chain gives back what it accepts."""
    verdict = rule.verdict
    if isinstance(verdict, (Accept, Queue)):
        raise _AcceptedInTheMiddleError
    if not isinstance(verdict, (Jump, Goto)) or _is_plain(chains, verdict.chain):
        return rule
    name = f"{verdict.chain}-on"
    if name not in copies:
        original = chains[verdict.chain]
        last = len(original.rules) - 1
        copies[name] = original
        found = [_given_back(chains, item, copies, is_last=at == last) for at, item in enumerate(original.rules)]
        copies[name] = replace(original, name=name, rules=tuple(found), base=None)
    return replace(rule, verdict=replace(verdict, chain=name))


def _given_back(chains: Mapping[str, Chain], rule: Rule, copies: dict[str, Chain], *, is_last: bool) -> Rule:
    verdict = rule.verdict
    if isinstance(verdict, Accept):
        return replace(rule, verdict=Return())
    if isinstance(verdict, Goto) or (isinstance(verdict, Jump) and is_last) or isinstance(verdict, Queue):
        return _called(chains, rule, copies)
    if isinstance(verdict, Jump) and not _is_plain(chains, verdict.chain):
        raise _AcceptedInTheMiddleError
    return rule


def _is_plain(chains: Mapping[str, Chain], name: str) -> bool:
    return never_accepts(chains, (name,))


def always_drops(chains: Mapping[str, Chain], name: str) -> bool:
    """Tell whether no packet comes through a chain, because of a rule for all with nothing that accepts before it."""
    for rule in chains[name].rules if name in chains else ():
        verdict = rule.verdict
        if not rule.steps and isinstance(verdict, Drop):
            return True
        if not rule.steps and isinstance(verdict, (Jump, Goto)) and always_drops(chains, verdict.chain):
            return True
        if isinstance(verdict, Jump) and never_accepts(chains, (verdict.chain,)):
            continue
        if verdict is not None and not isinstance(verdict, (Drop, Reject)):
            return False
    return False


def lets_ip_through(table: Table, name: str) -> bool:
    """Tell whether a chain of the link layer does nothing to IP and IPv6."""
    return all(_lets_through(table, name, ether_type) for ether_type in _NETWORK)


def _lets_through(table: Table, name: str, ether_type: int) -> bool:
    facts = {
        known.ETHER_TYPE: IntervalSet.single(16, ether_type),
        known.NFPROTO: IntervalSet.single(8, _NETWORK[ether_type]),
    }
    found = specialise(table, name, facts).table
    return does_nothing({chain.name: chain for chain in found.chains}, (name,))


def alike(chains: Mapping[str, Chain], one: str, other: str) -> bool:
    """Tell whether two chains hold the same rules, and so do the chains that they lead to, whatever their names are."""
    mine, others = chains[one].rules, chains[other].rules
    return len(mine) == len(others) and all(map(partial(_alike_rules, chains), mine, others))


def _alike_rules(chains: Mapping[str, Chain], one: Rule, other: Rule) -> bool:
    if isinstance(one.verdict, (Jump, Goto)) and type(one.verdict) is type(other.verdict):
        same = alike(chains, one.verdict.chain, other.verdict.chain)
        return same and one.steps == other.steps
    return one == other


def _rules(chains: Mapping[str, Chain], names: Iterable[str]) -> Iterable[Rule]:
    return (rule for name in reached(chains, *names) for rule in chains[name].rules)
