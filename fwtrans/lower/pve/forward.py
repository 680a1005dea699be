"""What the nftables backend has and pve-firewall has not: FORWARD rules of data center and node, and firewalls of vnets.

    PVEFW-FORWARD   ... -m physdev ! --physdev-is-bridged -j PVEFW-HOST-FORWARD         what the node itself forwards
                    ... -i VNET -o VNET -m physdev --physdev-is-bridged -j PVEFW-VNET-  what a vnet's bridge forwards
    PVEFW-INPUT     -i VNET -j PVEFW-VNET-...-IN                                        from a vnet to the node
    PVEFW-OUTPUT    -o VNET -j PVEFW-VNET-...-OUT                                       from the node to a vnet

proxmox-firewall asks a vnet's rules in a base chain of their own where packets come to the node or leave it, so that what
they accept is still judged by the node's own: RETURN says so here. Who belongs to a connection has passed before. A group's
rules stand in the place of the GROUP rule, since they decide for good. ARP is never judged.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Diagnostic
from fwtrans.lower.pve.chains import LeftOut
from fwtrans.lower.pve.commands import Compilation, Where, add_rule, applies
from fwtrans.lower.pve.filters import add_state_filters
from fwtrans.parsers.pve.syntax import RuleOption

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fwtrans.lower.pve.check import CheckedRule
    from fwtrans.lower.pve.node import CheckedFile, Options

HOST_FORWARD = "PVEFW-HOST-FORWARD"
_FOR_GOOD, _GO_ON = "ACCEPT", "RETURN"
_VNET = re.compile(r"[A-Za-z][A-Za-z0-9]{0,7}")
"""What Proxmox VE takes as the name of a vnet: a file that is called otherwise is nobody's."""


def add_forward_chains(compilation: Compilation) -> None:
    """Make the chains, and hang them into PVE's own; the host's own rules come behind those of its vnets."""
    node = compilation.node
    host = node.host.options
    with_host = host.flag("enable", default=True)
    if with_host:
        _add_host(compilation)
    for name, vnet in sorted(node.vnets.items()):
        if _VNET.fullmatch(name) and vnet.options.text("enable") not in {"", "0"}:
            _add_vnet(compilation, name, vnet, with_host=with_host)


def _add_host(compilation: Compilation) -> None:
    chains, node = compilation.chains, compilation.node
    options, cluster = node.host.options, node.cluster.options
    rules = (*node.host.rules, *node.cluster.rules)
    chains.create(HOST_FORWARD)
    _add_rules(compilation, rules, HOST_FORWARD, _FOR_GOOD)
    policy = cluster.text("policy_forward", "ACCEPT")
    _add_policy(compilation, HOST_FORWARD, policy, _FOR_GOOD, options, cluster)
    chains.rule("PVEFW-FORWARD", "-m physdev ! --physdev-is-bridged", f"-j {HOST_FORWARD}")


def _add_vnet(compilation: Compilation, name: str, vnet: CheckedFile, *, with_host: bool) -> None:
    chains, origin = compilation.chains, vnet.options.origin("enable")
    chain = f"PVEFW-VNET-{name}"
    chains.create(chain)
    _add_vnet_chain(compilation, chain, vnet, _FOR_GOOD)
    match = f"-i {name} -o {name} -m physdev --physdev-is-bridged"
    chains.rule("PVEFW-FORWARD", match, f"-j {chain}", origin)
    if not with_host:
        return
    invalid = "nf_conntrack_allow_invalid"
    host = compilation.node.host.options
    for hook, letter, side in (("PVEFW-INPUT", "i", "IN"), ("PVEFW-OUTPUT", "o", "OUT")):
        own = f"{chain}-{side}"
        chains.create(own)
        add_state_filters(
            compilation,
            own,
            allow_invalid=host.flag(invalid, default=False),
            origin=host.origin(invalid),
            accept=_GO_ON,
        )
        _add_vnet_chain(compilation, own, vnet, _GO_ON)
        chains.insert(hook, f"-{letter} {name}", f"-j {own}", origin)


def _add_vnet_chain(compilation: Compilation, chain: str, vnet: CheckedFile, accept: str) -> None:
    _add_rules(compilation, vnet.rules, chain, accept)
    policy = vnet.options.text("policy_forward", "ACCEPT")
    _add_policy(compilation, chain, policy, accept, vnet.options, vnet.options)


def _add_rules(compilation: Compilation, rules: Iterable[CheckedRule], chain: str, accept: str) -> None:
    where = Where(chain, compilation.node.scope())
    for rule in _forward_rules(compilation, rules):
        if rule.value(RuleOption.INTERFACE):
            _refuse_interface(compilation, rule)
            continue
        # the prefix of a log names the action, whatever the rule has become elsewhere
        compilation.actions.pop(rule, None)
        try:
            add_rule(compilation, rule, where, {"ACCEPT": accept}, named=True)
        except LeftOut as left:
            compilation.tell("FWT176", str(left), rule, "PVE leaves the rule out")


def _forward_rules(compilation: Compilation, rules: Iterable[CheckedRule]) -> Iterator[CheckedRule]:
    """Yield what is for forwarded packets, in order: rules, and those of groups; a group bound to an interface is not."""
    for rule in rules:
        if not applies(rule, compilation.version):
            continue
        if rule.kind == "forward":
            yield rule
        elif rule.kind == "group" and not rule.value(RuleOption.INTERFACE):
            found = compilation.node.cluster.groups.get(rule.action)
            if found is None:
                message = f"there is no security group `{rule.action}`"
                compilation.tell(
                    "FWT177", message, rule, "nothing of what the group should accept or block is in force here"
                )
            for each in found or ():
                if each.kind == "forward" and applies(each, compilation.version):
                    yield each


def _refuse_interface(compilation: Compilation, rule: CheckedRule) -> None:
    parameter = rule.rule.parameter(RuleOption.INTERFACE)
    key = ("FWT168", f"{rule.rule.source.name}:{rule.rule.line}")
    if parameter is not None and key not in compilation.told:
        compilation.told.add(key)
        message = "a FORWARD rule cannot be bound to an interface"
        note = "proxmox-firewall gives up on the whole ruleset: nothing is changed until this is put right"
        span = rule.rule.span(parameter.value)
        compilation.sink.add(Diagnostic(code="FWT168", message=message, span=span, notes=(note,)))


def _add_policy(
    compilation: Compilation, chain: str, policy: str, accept: str, logging: Options, options: Options
) -> None:
    level, origin = logging.log_level("log_level_forward"), options.origin("policy_forward")
    target = f"-j {accept if policy == 'ACCEPT' else policy}"
    compilation.chains.logged_rule(chain, target, level, f"policy {policy}: ", 0, origin)
