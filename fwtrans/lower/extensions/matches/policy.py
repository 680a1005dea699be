"""`-m policy`: was the packet in IPsec, or will it be?

net/netfilter/xt_policy.c looks at the transformations that the packet has gone through (in) or will go through (out), at
most six. Without `--strict` one of them has to be as described. nftables asks for each by number its reqid, its SPI,
and the outer addresses of a tunnel (those also of BEET and IP-TFS, which are rare), but neither the protocol nor the mode.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir.fields import IPSEC_PRESENT, RT_IPSEC, Family, ipsec
from fwtrans.ir.match import AnyOf, FieldTest, PureTest, full_values, negated_if, number
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use, no_exact_form
from fwtrans.lower.values import address_width, bad_value, network_set, read_network, read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwtrans.ir.rule import Step
    from fwtrans.parsers.iptables_save.syntax import OptionUse

Element = dict[str, "OptionUse"]

# XFRM_MAX_DEPTH
_MOST_TRANSFORMATIONS = 6
_PROTOCOLS = {"ah": 51, "esp": 50, "ipcomp": 108, "51": 51, "50": 50, "108": 108}
_ESP = 50
_ONLY_TUNNELS = "no IPsec here is in BEET or IP-TFS mode: nftables cannot tell them from tunnels"
_ELEMENT_OPTIONS = ("--reqid", "--spi", "--proto", "--mode", "--tunnel-src", "--tunnel-dst")


def _elements(use: Use) -> list[Element]:
    """Return the options of each element, which `--next` divides."""
    elements: list[Element] = [{}]
    for option in use.options:
        if option.name == "--next":
            elements.append({})
        elif option.name in _ELEMENT_OPTIONS:
            if option.name in elements[-1]:
                raise Refused("FWT111", f"`{option.name}` is given twice for one element", option=option.name)
            elements[-1][option.name] = option
    return elements


def _check(use: Use, place: Place, elements: list[Element]) -> None:
    """Refuse what libxtables and the kernel refuse."""
    strict, none = use.has("--strict"), use.value("--pol", "ipsec") == "none"
    if use.has("--next") and not strict:
        raise Refused("FWT116", "`--next` needs `--strict`", option="--next")
    if none and strict:
        raise Refused("FWT117", "`--pol none` and `--strict` exclude each other", option="--strict")
    for element in elements:
        if strict and not element:
            raise Refused("FWT116", "`--strict` needs a description of each element", option="--strict")
        mode = element.get("--mode")
        for name in ("--tunnel-src", "--tunnel-dst"):
            if name in element and (mode is None or mode.values[0] != "tunnel" or mode.negated):
                raise Refused("FWT116", f"`{name}` needs `--mode tunnel`", option=name)
    wrong = {"in": {"OUTPUT", "POSTROUTING"}, "out": {"PREROUTING", "INPUT"}}[_direction(use)]
    if place.hooks & wrong:
        where = ", ".join(sorted(place.hooks & wrong))
        raise Refused("FWT117", f"`--dir {_direction(use)}` cannot stand where {where} leads to", option="--dir")


def _direction(use: Use) -> str:
    word = use.need("--dir").values[0]
    if word not in {"in", "out"}:
        raise bad_value(word, "a direction: `in` or `out`", "--dir")
    return word


def _branches(element: Element, direction: str, place: Place) -> Iterator[tuple[PureTest, ...]]:
    options = [option for option in element.values() if option.name != "--mode" or not _has_end(element)]
    for depth in range(_MOST_TRANSFORMATIONS):
        yield tuple(test for option in options for test in _tests(option, direction, depth, place))


def _has_end(element: Element) -> bool:
    """Tell whether an end of a tunnel is asked for, which only a tunnel has."""
    return "--tunnel-src" in element or "--tunnel-dst" in element


def _tests(option: OptionUse, direction: str, depth: int, place: Place) -> tuple[PureTest, ...]:
    name, text = option.name, option.values[0]
    if name in {"--reqid", "--spi"}:
        test = number(ipsec(direction, depth, name[2:]), read_number(text, name))
        return (negated_if(test, option.negated),)
    if name == "--proto":
        return _protocol(option, place)
    if name == "--mode":
        return _mode(option, direction, depth, place)
    return (_tunnel_end(option, direction, depth, place),)


def _protocol(option: OptionUse, place: Place) -> tuple[PureTest, ...]:
    protocol = _PROTOCOLS.get(option.values[0].lower())
    if protocol is None:
        raise bad_value(option.values[0], "a protocol of IPsec: ah, esp or ipcomp", option.name)
    if protocol != _ESP or option.negated:
        raise no_exact_form("policy", "it cannot tell AH, ESP and IPComp apart", option=option.name)
    place.assume(
        "all IPsec here is ESP: nftables cannot tell the protocols apart, and `-m policy --proto esp` asks for it"
    )
    return ()


def _mode(option: OptionUse, direction: str, depth: int, place: Place) -> tuple[PureTest, ...]:
    mode = option.values[0]
    if mode not in {"tunnel", "transport"}:
        raise bad_value(mode, "a mode of IPsec: tunnel or transport", option.name)
    if (mode == "tunnel") == option.negated:
        raise no_exact_form("policy", "it can ask for tunnels, but not that there is none", option=option.name)
    place.assume(_ONLY_TUNNELS)
    outer = (ipsec(direction, depth, f"{family} saddr") for family in ("ip", "ip6"))
    return (AnyOf(tuple((FieldTest(field, full_values(field)),) for field in outer)),)


def _tunnel_end(option: OptionUse, direction: str, depth: int, place: Place) -> PureTest:
    place.assume(_ONLY_TUNNELS)
    end = "saddr" if option.name == "--tunnel-src" else "daddr"
    own, other = ("ip", "ip6") if place.family is Family.IP else ("ip6", "ip")
    address, mask = read_network(option.values[0], option.name, place.family)
    test = FieldTest(ipsec(direction, depth, f"{own} {end}"), network_set(address, mask, address_width(place.family)))
    if not option.negated:
        return test
    foreign = ipsec(direction, depth, f"{other} {end}")
    return AnyOf(((negated_if(test, True),), (FieldTest(foreign, full_values(foreign)),)))


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    direction = _direction(use)
    policy = use.value("--pol", "ipsec")
    if policy not in {"none", "ipsec"}:
        raise bad_value(policy, "a policy: none or ipsec", "--pol")
    elements = _elements(use)
    _check(use, place, elements)
    there = IPSEC_PRESENT if direction == "in" else RT_IPSEC
    if policy == "none":
        return (number(there, 0),)
    if use.has("--strict"):
        raise no_exact_form(
            "policy", "it cannot ask that there was no further transformation", option="--strict",
            hint="without `--strict` one transformation has to be as described, others may be there too",
        )  # fmt: skip
    branches = tuple(dict.fromkeys(_branches(elements[0], direction, place)))
    if branches == ((),):
        return (number(there, 1),)
    return (AnyOf(branches),)


EXTENSION = Match(
    name="policy",
    families=BOTH,
    options=(
        Option(name="--dir"),
        Option(name="--pol"),
        Option(name="--strict", arity=0),
        Option(name="--reqid", negatable=True, repeatable=True),
        Option(name="--spi", negatable=True, repeatable=True),
        Option(name="--proto", negatable=True, repeatable=True),
        Option(name="--mode", negatable=True, repeatable=True),
        Option(name="--tunnel-src", negatable=True, repeatable=True),
        Option(name="--tunnel-dst", negatable=True, repeatable=True),
        Option(name="--next", arity=0, repeatable=True),
    ),
    lower=_lower,
    in_context=True,
)
