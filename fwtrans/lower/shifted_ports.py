"""`-p tcp --dport 8000:8010 -j DNAT --to-destination 10.0.0.2:80-90/8000`, as Podman publishes a range of ports.

The kernel gives each port its own: the first one plus the distance from the base (NF_NAT_RANGE_PROTO_OFFSET in
net/netfilter/nf_nat_core.c), counted round where that is behind the range. nftables has no such flag, so the rule becomes
one for each port. That needs the ports in the rule itself, and nothing in it that changes by being asked.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwtrans.parsers.iptables_save.syntax import ExtensionUse, OptionUse, RuleSyntax

MOST_PORTS = 1024
ASSUMED = (
    "DNAT to a shifted range of ports: no client uses one port of its own for the old and the new address at a time"
    " (iptables would go on to the next port of the range)"
)

_PORTS = re.compile(r"([0-9]{1,5})(?::([0-9]{1,5}))?")
_TO = re.compile(r"(.*:)([0-9]{1,5})-([0-9]{1,5})/([0-9]{1,5})")
_WITH_PORTS = frozenset({"tcp", "udp", "sctp", "dccp"})
_PURE = _WITH_PORTS | {"addrtype", "comment", "conntrack", "connmark", "iprange", "mac", "mark", "set", "state"}


def rules_for_ports(syntax: RuleSyntax) -> tuple[RuleSyntax, ...]:
    """Return one rule for each port where the target shifts them, and any other rule as it is."""
    target = syntax.target
    if target is None or target.name != "DNAT" or len(target.options) != 1:
        return (syntax,)
    to = _TO.fullmatch(target.options[0].values[0])
    asked = [
        (use, option)
        for use in syntax.matches
        if use.name in _WITH_PORTS
        for option in use.options
        if option.name == "--dport"
    ]
    if to is None or len(asked) != 1 or not {use.name for use in syntax.matches} <= _PURE:
        return (syntax,)
    (match, dport), (low, high, base) = asked[0], (int(text) for text in to.groups()[1:])
    given = _PORTS.fullmatch(dport.values[0])
    if given is None or dport.negated or not 0 < base <= 0xFFFF or not low <= high <= 0xFFFF:
        return (syntax,)
    first, last = int(given[1]), int(given[2] or given[1])
    if not first <= last <= 0xFFFF or last - first >= MOST_PORTS:
        return (syntax,)
    pairs = [(port, low + ((port - base) & 0xFFFF) % (high - low + 1)) for port in range(first, last + 1)]
    return tuple(_copies(syntax, match, dport, target, to[1], pairs))


def _copies(
    syntax: RuleSyntax,
    match: ExtensionUse,
    dport: OptionUse,
    target: ExtensionUse,
    address: str,
    pairs: list[tuple[int, int]],
) -> Iterator[RuleSyntax]:
    for port, new in pairs:
        asked = dport._replace(values=(str(port),), spelled=None)
        options = tuple(asked if option is dport else option for option in match.options)
        matches = tuple(match._replace(options=options) if use is match else use for use in syntax.matches)
        to = target.options[0]._replace(values=(f"{address}{new}",), spelled=None)
        counters = syntax.counters if port == pairs[-1][0] else None
        yield syntax._replace(matches=matches, target=target._replace(options=(to,)), counters=counters)
