"""Chains that the printer makes for one rule, in the place of the call where they are worth no jump.

    chain PREROUTING { jump change-ttl }    change-ttl: ip ttl 0-15 goto ...        PREROUTING: ip ttl 0-15 goto ...
    user: ...; tcp dport 22 jump change-ttl                                         user: ...; tcp dport 22 goto change-ttl

The optimiser does that to chains that it sees (`inlining.py`, `tail_calls.py`), and these it sees only where it reads its own
output. So what it would do then is done here, in the same cases and for the same reasons: a chain with one caller, a rule
without tests, takes the place of that rule, where a return or goto in it leads where it did; a chain of one rule is put into
every rule that jumps to it; and a last rule has nothing to come back for.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.backend.nft import model as nft

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_CALLS = {nft.VerdictKind.JUMP, nft.VerdictKind.GOTO}
_LEAVES = {nft.VerdictKind.RETURN, nft.VerdictKind.GOTO}


def in_place(chains: Sequence[nft.Chain], made: Sequence[nft.Chain]) -> tuple[nft.Chain, ...]:
    """Return the chains, those that the printer has made last, as far as they are still called."""
    before: tuple[nft.Chain, ...] = ()
    found = (*chains, *made)
    own = {chain.name for chain in made}
    while found != before:
        before = found
        called = {chain.name: chain for chain in found if chain.name in own}
        callers = Counter(_callees(found))
        found = tuple(_with_calls(chain, called, callers) for chain in found)
        left = set(_callees(found))
        found = tuple(chain for chain in found if chain.name not in own or chain.name in left)
    return found


def _callees(chains: Iterable[nft.Chain]) -> list[str]:
    calls = (_call(rule) for chain in chains for rule in chain.rules)
    return [call.chain for call in calls if call is not None]


def _call(rule: nft.Rule) -> nft.Verdict | None:
    last = rule.statements[-1] if rule.statements else None
    return last if isinstance(last, nft.Verdict) and last.kind in _CALLS else None


def _with_calls(chain: nft.Chain, called: Mapping[str, nft.Chain], callers: Counter[str]) -> nft.Chain:
    rules: list[nft.Rule] = []
    for number, rule in enumerate(chain.rules):
        call = _call(rule)
        if call is None or call.chain not in called:
            rules.append(rule)
            continue
        is_last = number == len(chain.rules) - 1
        inner = called[call.chain].rules
        if len(inner) == 1 and call.kind is nft.VerdictKind.JUMP and not _ends(inner[0]):
            rules.append(replace(rule, statements=(*rule.statements[:-1], *inner[0].statements)))
        elif len(rule.statements) == 1 and callers[call.chain] == 1 and (is_last or _comes_back(call, inner)):
            rules.extend(replace(item, comment=item.comment or rule.comment) for item in inner)
        elif is_last and chain.base is None and call.kind is nft.VerdictKind.JUMP:
            goto = nft.Verdict(nft.VerdictKind.GOTO, call.chain)
            rules.append(replace(rule, statements=(*rule.statements[:-1], goto)))
        else:
            rules.append(rule)
    return replace(chain, rules=tuple(rules)) if tuple(rules) != chain.rules else chain


def _ends(rule: nft.Rule) -> bool:
    """Tell whether a rule has a verdict: the printer's chains end with one where they are more than an effect."""
    return any(isinstance(statement, (nft.Verdict, nft.VerdictMap, nft.Foreign)) for statement in rule.statements)


def _comes_back(call: nft.Verdict, rules: Iterable[nft.Rule]) -> bool:
    """Tell whether what a chain does not end comes to the rule behind the call, wherever its rules stand."""
    return call.kind is nft.VerdictKind.JUMP and not any(
        isinstance(statement, (nft.VerdictMap, nft.Foreign))
        or (isinstance(statement, nft.Verdict) and statement.kind in _LEAVES)
        for rule in rules
        for statement in rule.statements
    )
