"""`-m rpfilter`: would a reply leave by the interface the packet came in by? nftables' fib asks the same routing tables.

Facts (net/ipv4/netfilter/ipt_rpfilter.c and nft_fib_ipv4.c, net/ipv6/netfilter/ip6t_rpfilter.c and nft_fib_ipv6.c):
- both take loopback, and IPv4's 0.0.0.0/8 to a broadcast or link-local multicast address, as passed;
- iptables wants a unicast route; fib also finds IPv4 broadcast and anycast routes, which are left out by the address type.
  Addresses that are broadcast by themselves are looked up like any other in iptables, so their type says nothing;
- a source that is a local address is refused by both; `--accept-local` takes it, in IPv4 only on its own interface;
- IPv6's `::` always passes in iptables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.fields import IP6_SADDR, IP_SADDR, Family, fib
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import AnyOf, FieldTest, PureTest, negated, number
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step

_LOCAL, _BROADCAST, _ANYCAST = 2, 3, 4
_ALWAYS_BROADCAST = IntervalSet.of(32, ((0, 0x00FFFFFF), (0xFFFFFFFF, 0xFFFFFFFF)))


def _no_route(keys: tuple[str, ...]) -> FieldTest:
    return number(fib(keys, "oif"), 0)


def _ipv4(keys: tuple[str, ...], local: FieldTest | None, *, invert: bool) -> AnyOf:
    no_route = _no_route(keys)
    unicast = negated(number(fib(("saddr",), "type"), _BROADCAST, _ANYCAST))
    by_itself = FieldTest(IP_SADDR, _ALWAYS_BROADCAST)
    if invert:
        elsewhere: tuple[PureTest, ...] = () if local is None else (negated(local),)
        return AnyOf(
            (
                (no_route, *elsewhere),
                (negated(no_route), negated(unicast), negated(by_itself), *elsewhere),
            )
        )
    found: list[tuple[PureTest, ...]] = [(negated(no_route), unicast), (negated(no_route), by_itself)]
    if local is not None:
        found.append((local,))
    return AnyOf(tuple(found))


def _ipv6(keys: tuple[str, ...], local: FieldTest | None, *, invert: bool) -> AnyOf:
    passed: list[FieldTest] = [number(IP6_SADDR, 0), negated(_no_route(keys))]
    if local is not None:
        passed.append(local)
    if invert:
        return AnyOf((tuple(negated(test) for test in passed),))
    return AnyOf(tuple((test,) for test in passed))


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    loose = use.has("--loose")
    keys = ("saddr", *(["mark"] if use.has("--validmark") else []), *([] if loose else ["iif"]))
    place.assume("no routing rule asks for a TOS, a flow label, a protocol or a VRF in the direction back")
    place.assume("broadcast, anycast and local routes stand in the table `local` alone, and it is asked first")
    if place.family is Family.IP:
        local = number(fib(("saddr",) if loose else ("saddr", "iif"), "type"), _LOCAL)
        test = _ipv4(keys, local if use.has("--accept-local") else None, invert=use.has("--invert"))
    else:
        if not loose:
            place.assume("no IPv6 prefix has routes by several interfaces (fib looks at one of them, rpfilter at all)")
        local = number(fib(("saddr",), "type"), _LOCAL)
        test = _ipv6(keys, local if use.has("--accept-local") else None, invert=use.has("--invert"))
    return (test,)


EXTENSION = Match(
    name="rpfilter",
    families=BOTH,
    options=(
        Option(name="--loose", arity=0),
        Option(name="--validmark", arity=0),
        Option(name="--accept-local", arity=0),
        Option(name="--invert", arity=0),
    ),
    lower=_lower,
    in_context=True,
    tables=frozenset({"raw", "mangle"}),
    hooks=frozenset({"PREROUTING"}),
)
