"""`-m ipv6header`: which extension headers an IPv6 packet has: exactly these, or with `--soft` at least these.

iptables' walk (net/ipv6/netfilter/ip6t_ipv6header.c) ends with one of three things: nothing (NONE), ESP, or another
protocol (`prot`). nftables' walk gives the protocol too, but stops at an authentication header; what stands behind it
is read from its next-header field. `! --soft` asks that none of the named headers is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir.fields import AH_NEXT_HEADER, L4PROTO, header_present, raw_payload
from fwtrans.ir.match import AnyOf, FieldTest, PureTest, absent, bits, negated, number, opposite_of_all, present
from fwtrans.lower.extensions.base import IP6_ONLY, Match, Place, Use
from fwtrans.lower.wellknown import PROTOCOLS
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step

_AH, _ESP, _NONE, _OTHER = 51, 50, 59, 255
# nft's names of the headers that only stand before others.
_CHAINED = {0: "hbh", 60: "dst", 43: "rt", 44: "frag"}
_NAMES = {
    "hop-by-hop": 0, "hop": 0, "dst": 60, "route": 43, "frag": 44, "auth": _AH, "esp": _ESP, "none": _NONE,
    "protocol": _OTHER, "prot": _OTHER,
}  # fmt: skip
_FIRST_BYTE = raw_payload("th", 0, 8)
_KNOWN = frozenset(_NAMES.values())
_ENDS = frozenset({_ESP, _NONE, _OTHER})

Branch = tuple[PureTest, ...]


def _read(text: str) -> frozenset[int]:
    found = set()
    for word in filter(None, text.split(",")):
        value = PROTOCOLS.get(word, _NAMES.get(word, int(word) if word.isascii() and word.isdigit() else -1))
        if value not in _KNOWN:
            raise Refused(
                "FWT112", f"`{word}` is not an extension header", option="--header", hint="one of: " + ", ".join(_NAMES)
            )
        found.add(value)
    if not found:
        raise Refused("FWT112", "`--header` names no header", option="--header")
    return frozenset(found)


def _end_is(kinds: frozenset[int]) -> FieldTest:
    """Return the test that the protocol is an end of one of these kinds, and not AH."""
    if _OTHER not in kinds:
        return number(L4PROTO, *kinds)
    return negated(number(L4PROTO, _AH, *(_ENDS - kinds)))


def _end_behind_header_is(kinds: frozenset[int]) -> tuple[Branch, ...]:
    """Return the same of what stands behind AH, as branches.

    Values are asked for bit by bit, as nft 1.0.6 aborts where it loads or lists `ah nexthdr 50`.
    """
    behind = number(L4PROTO, _AH)
    if _OTHER in kinds:
        return ((behind, negated(number(AH_NEXT_HEADER, *(_ENDS - kinds)))),)
    return tuple(
        (behind, bits(_FIRST_BYTE, 0xFE, kind & 0xFE), bits(_FIRST_BYTE, 0x01, kind & 0x01)) for kind in sorted(kinds)
    )


def _ends(kinds: frozenset[int], *, authenticated: bool | None) -> tuple[PureTest, ...]:
    """Return the tests that the walk ends with one of these kinds, with AH on the way, without, or either (None)."""
    behind = number(L4PROTO, _AH)
    if not kinds:
        return (number(L4PROTO),)
    if kinds == _ENDS:
        return () if authenticated is None else (behind if authenticated else negated(behind),)
    branches: list[Branch] = []
    if not authenticated:
        branches.append((_end_is(kinds),))
    if authenticated is not False:
        branches.extend(_end_behind_header_is(kinds))
    return branches[0] if len(branches) == 1 else (AnyOf(tuple(branches)),)


def _exactly(headers: frozenset[int]) -> tuple[PureTest, ...]:
    """Return the tests for these headers and no others. Every walk has one end, so the list must name one."""
    kinds = headers & _ENDS
    chained = tuple(
        (present if number in headers else absent)(header_present("exthdr", name)) for number, name in _CHAINED.items()
    )
    return (*chained, *_ends(kinds if len(kinds) == 1 else frozenset(), authenticated=_AH in headers))


def _softly(headers: frozenset[int], *, none_of: bool) -> tuple[PureTest, ...]:
    """Return the tests for all of these headers, or for none of them."""
    kinds = headers & _ENDS
    chained = tuple(
        (absent if none_of else present)(header_present("exthdr", name))
        for number, name in _CHAINED.items()
        if number in headers
    )
    authenticated = (not none_of) if _AH in headers else None
    if none_of:
        kinds = _ENDS - kinds
    elif not kinds:
        kinds = _ENDS
    elif len(kinds) > 1:
        kinds = frozenset()
    return (*chained, *_ends(kinds, authenticated=authenticated))


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    option = use.need("--header")
    headers = _read(option.values[0])
    place.assume(
        "ipv6header: no header chain is malformed, and none has a further extension header between AH and ESP or its end"
    )
    if use.has("--soft"):
        return _softly(headers, none_of=option.negated)
    exact = _exactly(headers)
    if not option.negated:
        return exact
    return (AnyOf(opposite_of_all(exact)),) if len(headers & _ENDS) == 1 else ()


EXTENSION = Match(
    name="ipv6header",
    families=IP6_ONLY,
    options=(Option(name="--header", negatable=True), Option(name="--soft", arity=0)),
    lower=_lower,
    in_context=True,
)
