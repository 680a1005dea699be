"""The options of a rule that belong to no extension: -s, -d, -i, -o, -p, -f."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir.bits import BitSet
from fwtrans.ir.fields import (
    FIELDS,
    IIFNAME,
    IP_FRAGMENT,
    L4PROTO,
    OIFNAME,
    Family,
    destination_address,
    raw_address,
    source_address,
)
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest, bits, negated_if
from fwtrans.lower.values import network_set, read_interface, read_protocol, read_source, too_many_holes

if TYPE_CHECKING:
    from fwtrans.ir.fields import Field
    from fwtrans.parsers.iptables_save.syntax import OptionUse

# Headers that ip6tables skips when it looks for the protocol (ipv6_find_hdr without IP6_FH_F_AUTH): no -p names them.
_SKIPPED_HEADERS = frozenset({43, 44, 51, 60})


def lower_option(option: OptionUse, family: Family) -> tuple[FieldTest, ...]:
    """Return the alternatives of one option: more than one only for `-s a,b`, which is one rule for each."""
    name, text = option.name, option.values[0] if option.values else ""
    if name in {"-s", "-d"}:
        field_of = source_address if name == "-s" else destination_address
        return _addresses(field_of(family).name, text, option, family)
    if name in {"-i", "-o"}:
        names = read_interface(text, name)
        if names.is_full and not option.negated:
            return ()
        return (negated_if(FieldTest(IIFNAME if name == "-i" else OIFNAME, names), option.negated),)
    if name == "-p":
        return _protocol(text, option, family)
    if name == "-f":
        first = bits(IP_FRAGMENT, 0x1FFF, 0)
        return (negated_if(first, not option.negated),)
    if name in {"-4", "-6"}:
        return ()
    raise Refused("FWT103", f"option `{name}` is not understood here", option=name)


def _addresses(field_name: str, text: str, option: OptionUse, family: Family) -> tuple[FieldTest, ...]:
    parts = text.split(",")
    if len(parts) > 1 and option.negated:
        raise Refused(
            "FWT110", f"`! {option.name}` takes one address: iptables refuses a list here", option=option.name
        )
    tests = []
    for part in parts:
        address, mask = read_source(part, option.name, family)
        if mask == 0 and not option.negated and len(parts) == 1:
            continue
        tests.append(negated_if(_address_test(FIELDS[field_name], address, mask), option.negated))
    return tuple(tests)


def _address_test(field: Field, address: int, mask: int) -> FieldTest:
    """Return the test of an address; a mask with many holes (`::1:2:3:4/::ffff:ffff:ffff:ffff`) is one of raw bits.

    As addresses it would be too many intervals to list.
    """
    if too_many_holes(mask, field.width):
        raw = raw_address(field)
        assert raw is not None  # noqa: S101 -- these are the addresses of a header
        return FieldTest(raw, BitSet.cube(field.width, mask, address))
    return FieldTest(field, network_set(address, mask, field.width))


def _protocol(text: str, option: OptionUse, family: Family) -> tuple[FieldTest, ...]:
    number = read_protocol(text, "-p", family)
    if number == 0:
        if option.negated:
            raise Refused("FWT110", "`! -p all` would never match: iptables refuses it", option="-p")
        return ()
    values = IntervalSet.single(8, number)
    if family is Family.IP6 and number in _SKIPPED_HEADERS:
        values = IntervalSet.empty(8)
    return (negated_if(FieldTest(L4PROTO, values), option.negated),)
