"""`-m conntrack`: what the kernel knows of the packet's connection.

The kernel (net/netfilter/xt_conntrack.c) asks for the state first. A packet without a connection entry then matches if
`--ctstate` was given and holds, and **no other option is looked at**; without `--ctstate` it never matches, negated or
not. So the packets without an entry are a branch of their own. SNAT and DNAT in a state list are status bits of the
entry beside the state, which is why `NEW,DNAT` is an any-of over two fields.

nft takes a number for a port of a connection only behind a test of the connection's one protocol, so a rule for ports
without a protocol becomes one for each that has something in their place; all other protocols have 0 there.

Words may be shortened and in any case (`--ctstate est,rel`), as iptables compares them by prefix. NONE in `--ctstatus`
adds no bit, so alone it never matches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir.bits import BitSet
from fwtrans.ir.fields import (
    CT_DIRECTION,
    CT_EXPIRATION,
    CT_PROTOCOL,
    CT_STATE,
    CT_STATUS,
    L4PROTO,
    Family,
    conntrack_address,
    conntrack_port,
)
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import AnyOf, FieldTest, PureTest, negated_if, number, number_range
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use, no_exact_form
from fwtrans.lower.values import (
    address_width,
    bad_value,
    network_set,
    range_set,
    read_decimal_ports,
    read_host,
    read_loose_range,
    read_mask,
    read_number,
    read_protocol,
)
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fwtrans.ir.rule import Step
    from fwtrans.parsers.iptables_save.syntax import OptionUse

# Numbers of `ct.state`. The order decides which word an abbreviation means.
STATES: dict[str, int] = {"INVALID": 0, "NEW": 3, "ESTABLISHED": 1, "RELATED": 2, "UNTRACKED": 4}
_NAT: dict[str, int] = {"SNAT": 16, "DNAT": 32}
_STATUSES: dict[str, int] = {"NONE": 0, "EXPECTED": 1, "SEEN_REPLY": 2, "ASSURED": 4, "CONFIRMED": 8}
_WITH_ENTRY = frozenset({1, 2, 3})
_EVERY_STATE = frozenset(STATES.values())
# ICMP, TCP, UDP, DCCP, GRE, ICMPv6, SCTP, UDP-Lite: ports, or what the kernel keeps in their place.
_GRE = 47
_WITH_PORTS = (1, 6, 17, 33, 47, 58, 132, 136)
_LONGEST_EXPIRATION = 0xFFFFFFFF
_LONGEST_TIMEOUT = 0x7FFFFFFF // 100
"""In seconds: nf_ct_expires() is a signed number of 32 bits, in ticks of which there are a hundred in a second at least."""


def read_words(text: str, option: str, words: Mapping[str, int], what: str) -> tuple[int, ...]:
    """Return the values of a comma list whose words may be abbreviated; the first that fits counts."""
    found = []
    for part in text.split(","):
        value = next((number for word, number in words.items() if part and word.startswith(part.upper())), None)
        if value is None:
            raise bad_value(part, f"{what} ({', '.join(words)})", option)
        found.append(value)
    return tuple(found)


def state_test(states: frozenset[int]) -> FieldTest:
    """Return the test that the state is one of these."""
    return number(CT_STATE, *states)


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    if not use.options:
        raise Refused("FWT116", "`conntrack` needs at least one option", option="conntrack")
    tests = (
        *(_test(option, place.family) for option in use.options if option.name in _READERS),
        *_port_tests(use, place),
    )
    state = use.find("--ctstate")
    return tests if state is None else _with_states(state, tests)


def _test(option: OptionUse, family: Family) -> PureTest:
    """Return one option's test. nft compares the time left in whole seconds only, one range at a time."""
    test = negated_if(_READERS[option.name](option, family), option.negated)
    if option.name == "--ctexpire" and test.values.is_full:  # what is left is that there is an entry
        return state_test(_WITH_ENTRY)
    if option.name == "--ctexpire" and isinstance(test.values, IntervalSet) and len(test.values.ranges) > 1:
        return AnyOf(tuple((number_range(CT_EXPIRATION, low, high),) for low, high in test.values.ranges))
    return test


def _with_states(option: OptionUse, tests: tuple[PureTest, ...]) -> tuple[Step, ...]:
    """Put the states and the other tests together: one branch without an entry, the rest with one."""
    values = read_words(option.values[0], "--ctstate", {**STATES, **_NAT}, "a connection state")
    states = frozenset(value for value in values if value in _EVERY_STATE)
    status = BitSet.any_bit(32, sum({value for value in values if value in _NAT.values()}))
    if option.negated:
        states, status = _EVERY_STATE - states, status.complement()
    if not tests and (status.is_full if option.negated else status.is_empty):
        return (state_test(states),)
    branches: list[tuple[PureTest, ...]] = []
    if states - _WITH_ENTRY:
        branches.append((state_test(states - _WITH_ENTRY),))
    branches.extend((*branch, *tests) for branch in _entry_branches(states & _WITH_ENTRY, status, option, tests))
    if not branches:
        return (state_test(frozenset()),)
    return branches[0] if len(branches) == 1 else (AnyOf(tuple(branches)),)


def _entry_branches(
    states: frozenset[int], status: BitSet, option: OptionUse, tests: tuple[PureTest, ...]
) -> list[tuple[PureTest, ...]]:
    """Return when the state list holds for a packet that has an entry; a test of the entry already asks for it."""
    of_state: tuple[PureTest, ...] = (state_test(states),)
    of_status: tuple[PureTest, ...] = (FieldTest(CT_STATUS, status),)
    if states == _WITH_ENTRY:
        if option.negated and not status.is_full:
            return [of_status]
        return [() if tests else of_state]
    if option.negated:
        return [(*of_state, *(() if status.is_full else of_status))] if states else []
    return [*([of_state] if states else []), *([] if status.is_empty else [of_status])]


# --- the other options: each a test that is false where there is no entry ---


def _protocol(option: OptionUse, family: Family) -> IntervalSet:
    # libxtables keeps eight bits of the number
    return IntervalSet.single(8, read_protocol(option.values[0], option.name, family) & 0xFF)


def _address(option: OptionUse, family: Family) -> FieldTest:
    text, found, mask_text = option.values[0].partition("/")
    width = address_width(family)
    mask = read_length_mask(mask_text, option.name, family) if found else (1 << width) - 1
    values = network_set(read_host(text, option.name, family) & mask, mask, width)
    direction, end = _ADDRESSES[option.name]
    return FieldTest(conntrack_address(family, direction, end), values)


def _port_tests(use: Use, place: Place) -> tuple[PureTest, ...]:
    """Return the tests of protocol and ports together."""
    protocols = IntervalSet.full(8)
    if use.has("--ctproto"):
        protocol = _protocol(use.need("--ctproto"), place.family)
        protocols = protocol.complement() if use.negated("--ctproto") else protocol
    ports = tuple(_port(option) for option in use.options if option.name in _PORTS)
    if all(test.values.is_full for test in ports):
        return () if not ports and protocols.is_full else (FieldTest(CT_PROTOCOL, protocols),)
    never = next((test for test in ports if test.values.is_empty), None)
    if never is not None:
        return (never,)
    # the connection of an ICMP error is the one it is about; all others have the protocol of their packets
    if place.protocol not in {None, 1, 58}:
        protocols = protocols.intersection(place.protocols)
    branches = [(*_is_protocol(protocol), *ports) for protocol in _WITH_PORTS if protocol in protocols]
    if _GRE in protocols and place.protocol != _GRE:
        icmp = 1 if place.family is Family.IP else 58
        branches.append((number(L4PROTO, icmp), number(CT_PROTOCOL, _GRE), *ports))
    others = protocols.difference(IntervalSet.values(8, _WITH_PORTS))
    if not others.is_empty and all(_holds_zero(test) for test in ports):
        branches.append((FieldTest(CT_PROTOCOL, others),))
    if not branches:
        return (FieldTest(CT_PROTOCOL, IntervalSet.empty(8)),)
    return branches[0] if len(branches) == 1 else (AnyOf(tuple(branches)),)


def _is_protocol(protocol: int) -> tuple[PureTest, ...]:
    """Return the test that a port may stand behind. nft 1.0.6 does not know GRE as the protocol of a connection."""
    if protocol != _GRE:
        return (number(CT_PROTOCOL, protocol),)
    return (number(L4PROTO, _GRE), number(CT_PROTOCOL, _GRE))


def _port(option: OptionUse) -> FieldTest:
    direction, end = _PORTS[option.name]
    low, high = read_decimal_ports(option.values[0], option.name)
    return negated_if(FieldTest(conntrack_port(direction, end), range_set(16, low, high)), option.negated)


def _holds_zero(test: FieldTest) -> bool:
    return isinstance(test.values, IntervalSet) and 0 in test.values


def read_length_mask(text: str, option: str, family: Family) -> int:
    """Return the mask of a prefix length or of a mask without holes.

    libxtables makes a length of what it read and loses a mask with holes on the way: that is none at all then. So is
    `/33`, which it takes for the mask 0.0.0.33.
    """
    ones = (1 << address_width(family)) - 1
    if family is Family.IP and text.isascii() and text.isdigit() and read_number(text, option) > 32:
        return ones
    mask = read_mask(text, option, family)
    return ones if (ones & ~mask) & ((ones & ~mask) + 1) else mask


def _status(option: OptionUse, _family: Family) -> FieldTest:
    mask = 0
    for value in read_words(option.values[0], option.name, _STATUSES, "a connection status"):
        mask |= value
    return FieldTest(CT_STATUS, BitSet.any_bit(32, mask))


def _expiration(option: OptionUse, _family: Family) -> FieldTest:
    """The kernel compares whole seconds, rounded down; nftables keeps milliseconds, in 32 bits."""
    low, high = read_loose_range(option.values[0], option.name)
    if low > _LONGEST_TIMEOUT:
        return FieldTest(CT_EXPIRATION, IntervalSet.empty(32))
    if low * 1000 > _LONGEST_EXPIRATION and low <= high:
        raise no_exact_form(option.name, "nftables does not tell times of more than 49 days apart")
    low, high = min(low * 1000, _LONGEST_EXPIRATION), min(high * 1000 + 999, _LONGEST_EXPIRATION)
    return FieldTest(CT_EXPIRATION, range_set(32, low, high))


def _direction(option: OptionUse, _family: Family) -> FieldTest:
    word = option.values[0].upper()
    if word not in {"ORIGINAL", "REPLY"}:
        raise bad_value(option.values[0], "a direction: ORIGINAL or REPLY", option.name)
    return number(CT_DIRECTION, 0 if word == "ORIGINAL" else 1)


_ADDRESSES = {
    "--ctorigsrc": ("original", "saddr"),
    "--ctorigdst": ("original", "daddr"),
    "--ctreplsrc": ("reply", "saddr"),
    "--ctrepldst": ("reply", "daddr"),
}
_PORTS = {
    "--ctorigsrcport": ("original", "proto-src"),
    "--ctorigdstport": ("original", "proto-dst"),
    "--ctreplsrcport": ("reply", "proto-src"),
    "--ctrepldstport": ("reply", "proto-dst"),
}
_READERS: dict[str, Callable[[OptionUse, Family], FieldTest]] = {
    **dict.fromkeys(_ADDRESSES, _address),
    "--ctstatus": _status,
    "--ctexpire": _expiration,
    "--ctdir": _direction,
}

EXTENSION = Match(
    name="conntrack",
    families=BOTH,
    options=(
        Option(name="--ctstate", negatable=True),
        Option(name="--ctproto", negatable=True),
        *(Option(name=name, negatable=True) for name in _ADDRESSES),
        *(Option(name=name, negatable=True) for name in _PORTS),
        Option(name="--ctstatus", negatable=True),
        Option(name="--ctexpire", negatable=True),
        Option(name="--ctdir"),
    ),
    lower=_lower,
)
