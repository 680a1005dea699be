"""The parts that the host's chains and those of guests have in common: connection states, NDP, blacklist, policies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.lower.pve.commands import Compilation, jump_to
from fwtrans.lower.pve.scope import CLUSTER_SETS, SetName
from fwtrans.lower.pve.standard import LOG_LEVEL_OPTIONS, REJECT, STANDARD_CHAINS

if TYPE_CHECKING:
    from fwtrans.lower.pve.node import Options
    from fwtrans.source import Origin

_IPV6 = 6


def add_standard_chains(compilation: Compilation, host: Options) -> None:
    """Make the chains that are the same everywhere."""
    for chain, rules in STANDARD_CHAINS[compilation.version].items():
        compilation.chains.create(chain)
        option = LOG_LEVEL_OPTIONS.get(chain, "")
        level = host.log_level(option)
        for rule in rules:
            if rule.logs and level:
                compilation.chains.logged_rule(chain, f" {rule.target}", level, "DROP: ", 0, host.origin(option))
            else:
                compilation.chains.append(chain, f"-A {chain} {rule.match} {rule.target}", None)


def add_state_filters(
    compilation: Compilation,
    chain: str,
    *,
    allow_invalid: bool,
    origin: Origin | None = None,
    accept: str = "ACCEPT",
) -> None:
    """Drop what conntrack finds invalid, accept what belongs to a connection."""
    if not allow_invalid:
        compilation.chains.rule(chain, "-m conntrack --ctstate INVALID", "-j DROP", origin)
    compilation.chains.rule(chain, "-m conntrack --ctstate RELATED,ESTABLISHED", f"-j {accept}")


def add_neighbour_discovery(
    compilation: Compilation, chain: str, options: Options, accept: str, *, advertises: bool
) -> None:
    """Accept IPv6's neighbour discovery; `advertises` says whether router advertisements are part of it."""
    if compilation.version != _IPV6 or not options.flag("ndp", default=True):
        return
    origin = options.origin("ndp")
    kinds = ["router-solicitation", "router-advertisement", "neighbor-solicitation", "neighbor-advertisement"]
    for kind in kinds:
        if kind != "router-advertisement" or advertises:
            compilation.chains.rule(chain, f"-p icmpv6 --icmpv6-type {kind}", accept, origin)


def add_input_filters(compilation: Compilation, chain: str, host: Options, level: str) -> None:
    """Drop the blacklist, smurfs and broken TCP flags. The blacklist's chain logs as its first user asks."""
    blacklist = compilation.node.cluster.sets.get("blacklist")
    if blacklist is not None:
        origin = blacklist.section.origin if blacklist.section is not None else None
        if "PVEFW-blacklist" not in compilation.chains:
            compilation.chains.create("PVEFW-blacklist")
            compilation.chains.logged_rule("PVEFW-blacklist", "-j DROP", level, "DROP: ", 0, origin)
        name = SetName(CLUSTER_SETS, "blacklist").for_version(compilation.version)
        compilation.chains.rule(chain, f"-m set --match-set {name} src", "-j PVEFW-blacklist", origin)
    if compilation.version != _IPV6 and host.flag("nosmurfs", default=True):
        compilation.chains.rule(chain, "-m conntrack --ctstate INVALID,NEW", "-j PVEFW-smurfs", host.origin("nosmurfs"))
    if host.flag("tcpflags", default=False):
        compilation.chains.rule(chain, "-p tcp", "-j PVEFW-tcpflags", host.origin("tcpflags"))


def add_policy(
    compilation: Compilation, chain: str, policy: str, accept: str, level: str, vmid: int, origin: Origin | None
) -> None:
    """End a chain with its policy."""
    if policy == "ACCEPT":
        compilation.chains.append(chain, f"-A {chain}  {jump_to(accept)}", origin)
        return
    message = f"policy {policy}: "
    chains = compilation.chains
    chains.rule(chain, "", "-j PVEFW-Drop" if policy == "DROP" else "-j PVEFW-Reject", origin)
    chains.logged_rule(chain, "-j DROP" if policy == "DROP" else f"-g {REJECT}", level, message, vmid, origin)
