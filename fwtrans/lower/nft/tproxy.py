"""iptables' TPROXY read back from the helper chain that our printer makes of it.

nft's `tproxy` goes on with the next rule where there is no socket; iptables' TPROXY drops there, so it is printed as a
chain of two rules, `meta l4proto tcp tproxy to :3128 meta mark set 1 accept` and `drop`. A `goto` to such a chain from a
rule that asks for the same protocol is a TransparentProxy again. Any other `tproxy` stays an unknown.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.diagnostics import Refused
from fwtrans.ir.effect import Assign
from fwtrans.ir.fields import IP6_SADDR, IP_SADDR, L4PROTO, MARK, Family
from fwtrans.ir.match import FieldTest
from fwtrans.ir.verdict import Goto, Jump, TransparentProxy
from fwtrans.ir.walk import chain_targets
from fwtrans.lower.nft.assignments import lower_mangle
from fwtrans.lower.nft.json_types import Json, JsonObject, NotModelled, as_list, as_number, as_object
from fwtrans.lower.nft.matches import lower_match
from fwtrans.lower.nft.sets import as_part
from fwtrans.lower.nft.values import single

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain
    from fwtrans.ir.sets import NamedMap
    from fwtrans.lower.nft.scope import Scope


class Proxy(NamedTuple):
    """What a helper chain does, and for which protocol."""

    protocol: FieldTest
    verdict: TransparentProxy


def find_proxies(chains: Mapping[str, Sequence[JsonObject]], scope: Scope) -> dict[str, Proxy]:
    """Return the chains that are nothing but a TPROXY."""
    found = {}
    for name, rules in chains.items():
        if len(rules) == 2:
            try:
                proxy = _proxy(as_list(rules[0].get("expr")), as_list(rules[1].get("expr")), scope)
            except (NotModelled, Refused):
                continue
            if proxy is not None:
                found[name] = proxy
    return found


def _proxy(first: list[Json], second: list[Json], scope: Scope) -> Proxy | None:
    kinds = [next(iter(item)) if isinstance(item, dict) and item else "" for item in first]
    if kinds not in (["match", "tproxy", "mangle", "accept"], ["match", "tproxy", "accept"]):
        return None
    if [next(iter(item)) for item in second if isinstance(item, dict)] != ["drop"] or len(second) != 1:
        return None
    contents = [next(iter(as_object(item, "statement").values())) for item in first]
    (protocol,) = lower_match(contents[0], scope)
    if not (isinstance(protocol, FieldTest) and protocol.field is L4PROTO):
        return None
    keep, constant = (1 << MARK.width) - 1, 0
    if kinds[2] == "mangle":
        (change,) = lower_mangle(contents[2], scope)
        if not (isinstance(change, Assign) and change.field is MARK and change.source is None):
            return None
        keep, constant = change.keep, change.constant
    target = as_object(contents[1], "tproxy")
    address = target.get("addr")
    field = IP6_SADDR if target.get("family", scope.family.value) == Family.IP6.value else IP_SADDR
    number = None if address is None else single(as_part(field), address)
    port = as_number(target.get("port", 0), "port")
    return Proxy(protocol, TransparentProxy(number, port, keep, constant))


def with_proxies(
    chains: tuple[Chain, ...], proxies: Mapping[str, Proxy], maps: Sequence[NamedMap]
) -> tuple[Chain, ...]:
    """Return the chains with the verdict where the helper chain was, and without helpers that nobody goes to."""
    if not proxies:
        return chains
    changed = tuple(replace(chain, rules=tuple(_with_proxy(rule, proxies) for rule in chain.rules)) for chain in chains)
    used = {name for chain in changed for name in chain_targets(chain)}
    used |= {
        element.value.chain for item in maps for element in item.elements if isinstance(element.value, (Goto, Jump))
    }
    return tuple(chain for chain in changed if chain.name not in proxies or chain.name in used)


def _with_proxy(rule: Rule, proxies: Mapping[str, Proxy]) -> Rule:
    if isinstance(rule.verdict, Goto) and rule.verdict.chain in proxies:
        proxy = proxies[rule.verdict.chain]
        if proxy.protocol in rule.steps:
            return replace(rule, verdict=proxy.verdict)
    return rule
