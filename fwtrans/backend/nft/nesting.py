"""How deep jumps go. The kernel refuses a ruleset where a base chain leads to a chain over more than fifteen of them.

iptables has no such limit: its stack grows with the number of chains. nft_chain_validate (kernel 6.1 and 6.18) counts
a goto like a jump, those in maps too, and chains without a base chain above them not at all: the sixteenth is
"Too many links" (NFT_JUMP_STACK_SIZE in include/net/netfilter/nf_tables.h).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.backend.nft import model as nft

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

DEEPEST = 15


def too_deep(table: nft.Table) -> Iterator[tuple[str, ...]]:
    """Yield for each base chain that leads too deep the longest way down, chain by chain. A loop is not followed."""
    maps = {item.name: item for item in table.maps}
    targets = {chain.name: tuple(_targets(chain, maps)) for chain in table.chains}
    below: dict[str, tuple[int, str]] = {}
    for chain in table.chains:
        if chain.base is None:
            continue
        _measure(chain.name, targets, below)
        if below[chain.name][0] > DEEPEST:
            yield tuple(_way(chain.name, below))


def rule_to(table: nft.Table, chain: str, target: str) -> nft.Rule | None:
    """Return the first rule of a chain that leads to another one."""
    maps = {item.name: item for item in table.maps}
    rules = (rule for item in table.chains if item.name == chain for rule in item.rules)
    return next((rule for rule in rules if target in _rule_targets(rule, maps)), None)


def _measure(start: str, targets: Mapping[str, tuple[str, ...]], below: dict[str, tuple[int, str]]) -> None:
    """Find for a chain and all below it the longest way down: how many jumps, and to which chain the first leads."""
    if start in below:
        return
    open_chains = {start}
    stack = [(start, iter(targets[start]))]
    while stack:
        name, rest = stack[-1]
        following = next((item for item in rest if item in targets and item not in below), None)
        if following is not None:
            if following not in open_chains:
                open_chains.add(following)
                stack.append((following, iter(targets[following])))
            continue
        ways = [(below[item][0] + 1, item) for item in targets[name] if item in below]
        below[name] = max(ways, default=(0, ""))
        open_chains.discard(name)
        stack.pop()


def _way(name: str, below: Mapping[str, tuple[int, str]]) -> Iterator[str]:
    while name:
        yield name
        name = below[name][1]


def _targets(chain: nft.Chain, maps: Mapping[str, nft.Map]) -> Iterator[str]:
    for rule in chain.rules:
        yield from _rule_targets(rule, maps)


def _rule_targets(rule: nft.Rule, maps: Mapping[str, nft.Map]) -> Iterator[str]:
    for statement in rule.statements:
        if isinstance(statement, nft.Verdict):
            yield from _chains((statement,))
        elif isinstance(statement, nft.VerdictMap):
            yield from _chains(_values(statement.mapping, maps))


def _values(mapping: nft.AnonymousMap | nft.SetReference, maps: Mapping[str, nft.Map]) -> Iterator[object]:
    if isinstance(mapping, nft.AnonymousMap):
        yield from (value for _, value in mapping.entries)
    elif mapping.name in maps:
        yield from (element.value for element in maps[mapping.name].elements)


def _chains(values: Iterable[object]) -> Iterator[str]:
    yield from (value.chain for value in values if isinstance(value, nft.Verdict) and value.chain)
