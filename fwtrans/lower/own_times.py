"""Sets with a time for all entries and an entry that stays for ever (`timeout 0`): each entry says its own time.

    create a hash:ip timeout 600      set a { flags timeout; elements = { 10.0.0.1, 10.0.0.2 timeout 1m } }
    add a 10.0.0.1 timeout 0          add @a { ip saddr timeout 10m }
    add a 10.0.0.2 timeout 60
    -j SET --add-set a src

An element of nft without a time gets the set's, so that nothing could stay in a set that has one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.effect import SetOperation, SetUpdate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Chain
    from fwtrans.ir.sets import NamedSet


def mixed_times(sets: Iterable[NamedSet]) -> dict[str, float]:
    """Return the times of sets in which something stays for ever all the same."""
    return {
        item.name: item.timeout for item in sets if item.timeout and any(part.timeout is None for part in item.elements)
    }


def without_time(item: NamedSet, times: Mapping[str, float]) -> NamedSet:
    """Return the set with a time for those entries alone that say one."""
    return replace(item, timeout=0) if item.name in times else item


def with_own_times(chain: Chain, times: Mapping[str, float]) -> Chain:
    """Return the chain in which what is entered into such a set says how long it stays."""

    def timed(step: Step) -> Step:
        if not isinstance(step, SetUpdate) or step.set_name not in times or step.operation is SetOperation.DELETE:
            return step
        return step if step.timeout is not None else replace(step, timeout=times[step.set_name])

    def rule_of(rule: Rule) -> Rule:
        steps = tuple(map(timed, rule.steps))
        return rule if steps == rule.steps else replace(rule, steps=steps)

    return replace(chain, rules=tuple(map(rule_of, chain.rules)))


def told(times: Iterable[str], chains: Iterable[Chain]) -> Iterator[str]:
    """Yield what has to hold for those sets."""
    steps = (step for chain in chains for rule in chain.rules for step in rule.steps)
    renewed = {step.set_name for step in steps if isinstance(step, SetUpdate) and step.operation is SetOperation.UPDATE}
    for name in times:
        yield f"who adds to set {name} says for how long: without a time an entry stays for ever, as some of its entries do"
        if name in renewed:
            yield f"no rule enters again what stays in set {name} for ever: iptables would give it a time, nftables does not"
