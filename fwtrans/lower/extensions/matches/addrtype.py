"""`-m addrtype`: what kind of address the routing tables take an address for.

IPv4 (net/netfilter/xt_addrtype.c): both sides ask `inet_dev_addr_type`, which looks into the local table alone, so the
types of rejecting routes (BLACKHOLE, UNREACHABLE, PROHIBIT ...) never come out and UNSPEC, THROW, NAT, XRESOLVE neither.
`--limit-iface-*` makes an address count only if it is of the packet's own interface.

IPv6 is another matter: MULTICAST, UNICAST and UNSPEC are asked of the address itself and must all hold; LOCAL, ANYCAST
and UNREACHABLE are asked of the route, and one of them is enough. UNREACHABLE is any rejecting route.

Type names may be abbreviated, in any case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir.fields import Family, destination_address, fib, source_address
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import AnyOf, FieldTest, PureTest, negated_if, number, opposite_of_all
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use
from fwtrans.lower.extensions.matches.conntrack import read_words
from fwtrans.lower.extensions.targets.placement import require_hooks
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step
    from fwtrans.parsers.iptables_save.syntax import OptionUse

# The order decides which name an abbreviation means.
_TYPES = {
    "UNSPEC": 0, "UNICAST": 1, "LOCAL": 2, "BROADCAST": 3, "ANYCAST": 4, "MULTICAST": 5,
    "BLACKHOLE": 6, "UNREACHABLE": 7, "PROHIBIT": 8, "THROW": 9, "NAT": 10, "XRESOLVE": 11,
}  # fmt: skip
# What inet_dev_addr_type can answer.
_POSSIBLE = frozenset({1, 2, 3, 4, 5})
_REFUSED_IN_IPV6 = {3: "BROADCAST", 6: "BLACKHOLE", 8: "PROHIBIT", 9: "THROW", 10: "NAT", 11: "XRESOLVE"}
_REJECTING = (6, 7, 8)

_MULTICAST = IntervalSet.prefix(128, 0xFF << 120, 8)
_UNSPECIFIED = IntervalSet.single(128, 0)
_MAPPED = IntervalSet.prefix(128, 0xFFFF << 32, 96)
_UNICAST = _MULTICAST.union(_UNSPECIFIED).union(_MAPPED).complement()

_IN_HOOKS = frozenset({"PREROUTING", "INPUT", "FORWARD"})
_OUT_HOOKS = frozenset({"OUTPUT", "POSTROUTING", "FORWARD"})


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    use.exclusive("--limit-iface-in", "--limit-iface-out")
    options = [option for option in use.options if option.values]
    if not options:
        raise Refused("FWT116", "`addrtype` needs `--src-type` or `--dst-type`", option="addrtype")
    interface = _interface(use, place)
    steps: list[Step] = []
    for option in options:
        types = frozenset(read_words(option.values[0], option.name, _TYPES, "an address type"))
        end = "saddr" if option.name == "--src-type" else "daddr"
        if place.family is Family.IP:
            test = number(fib((end, *interface), "type"), *(types & _POSSIBLE))
            steps.append(negated_if(test, option.negated))
        else:
            steps.extend(_ipv6(option, types, end, interface, place))
    return tuple(steps)


def _interface(use: Use, place: Place) -> tuple[str, ...]:
    if use.has("--limit-iface-in"):
        require_hooks(use, place, _IN_HOOKS, option="--limit-iface-in")
        return ("iif",)
    if use.has("--limit-iface-out"):
        require_hooks(use, place, _OUT_HOOKS, option="--limit-iface-out")
        return ("oif",)
    return ()


def _ipv6(
    option: OptionUse, types: frozenset[int], end: str, interface: tuple[str, ...], place: Place
) -> tuple[PureTest, ...]:
    for value in sorted(types):
        if value in _REFUSED_IN_IPV6:
            raise Refused("FWT112", f"IPv6 has no address type `{_REFUSED_IN_IPV6[value]}`", option=option.name)
    field = source_address(place.family) if end == "saddr" else destination_address(place.family)
    tests: list[PureTest] = [
        FieldTest(field, values)
        for value, values in ((5, _MULTICAST), (1, _UNICAST), (0, _UNSPECIFIED))
        if value in types
    ]
    routed = types & {2, 4, 7}
    if routed:
        place.assume(
            "addrtype in IPv6: link-local addresses are looked up on the packet's own interface, policy routing by source or "
            "interface does not change what kind an address is, and no local route covers a whole network"
        )
        results = {*(routed - {7}), *(_REJECTING if 7 in routed else ())}
        tests.append(number(fib((end, *interface), "type"), *results))
    if not option.negated:
        return tuple(tests)
    return (AnyOf(opposite_of_all(tuple(tests))),)


EXTENSION = Match(
    name="addrtype",
    families=BOTH,
    options=(
        Option(name="--src-type", negatable=True),
        Option(name="--dst-type", negatable=True),
        Option(name="--limit-iface-in", arity=0),
        Option(name="--limit-iface-out", arity=0),
    ),
    lower=_lower,
    in_context=True,
)
