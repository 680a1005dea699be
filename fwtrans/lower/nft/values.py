"""The right side of an nft comparison as a set of values of a field, and single values for elements and assignments."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir import fields as catalogue
from fwtrans.ir.bits import BitSet
from fwtrans.ir.fields import Field, FieldKind
from fwtrans.ir.intervals import Interval, IntervalSet
from fwtrans.ir.names import NamePattern, NameSet
from fwtrans.lower.nft.json_types import Json, NotModelled, as_list, as_number, as_object, as_text, only_pair
from fwtrans.lower.values import read_mac
from fwtrans.lower.wellknown import PROTOCOLS, SERVICES

if TYPE_CHECKING:
    from fwtrans.ir.match import ValueSet
    from fwtrans.lower.nft.selectors import Part

_ICMP = {
    "echo-reply": 0, "destination-unreachable": 3, "source-quench": 4, "redirect": 5, "echo-request": 8,
    "router-advertisement": 9, "router-solicitation": 10, "time-exceeded": 11, "parameter-problem": 12,
    "timestamp-request": 13, "timestamp-reply": 14, "info-request": 15, "info-reply": 16,
    "address-mask-request": 17, "address-mask-reply": 18,
}  # fmt: skip
_ICMP_CODE = {
    "net-unreachable": 0, "host-unreachable": 1, "prot-unreachable": 2, "port-unreachable": 3, "frag-needed": 4,
    "net-prohibited": 9, "host-prohibited": 10, "admin-prohibited": 13,
}  # fmt: skip
_ICMP6 = {
    "destination-unreachable": 1, "packet-too-big": 2, "time-exceeded": 3, "parameter-problem": 4,
    "echo-request": 128, "echo-reply": 129, "mld-listener-query": 130, "mld-listener-report": 131,
    "mld-listener-done": 132, "mld-listener-reduction": 132, "nd-router-solicit": 133, "nd-router-advert": 134,
    "nd-neighbor-solicit": 135, "nd-neighbor-advert": 136, "nd-redirect": 137, "router-renumbering": 138,
    "ind-neighbor-solicit": 141, "ind-neighbor-advert": 142, "mld2-listener-report": 143,
}  # fmt: skip
_ICMP6_CODE = {"no-route": 0, "admin-prohibited": 1, "addr-unreachable": 3, "port-unreachable": 4, "policy-fail": 5, "reject-route": 6}  # fmt: skip
_DSCP = {
    "cs0": 0, "cs1": 8, "cs2": 16, "cs3": 24, "cs4": 32, "cs5": 40, "cs6": 48, "cs7": 56, "df": 0, "be": 0, "lephb": 1,
    "af11": 10, "af12": 12, "af13": 14, "af21": 18, "af22": 20, "af23": 22, "af31": 26, "af32": 28, "af33": 30,
    "af41": 34, "af42": 36, "af43": 38, "va": 44, "ef": 46,
}  # fmt: skip
_ECN = {"not-ect": 0, "ect1": 1, "ect0": 2, "ce": 3}
_ETHER = {"ip": 0x800, "arp": 0x806, "ip6": 0x86DD, "vlan": 0x8100, "8021q": 0x8100, "8021ad": 0x88A8}
_WEEKDAYS = {"sunday": 0, "monday": 1, "tuesday": 2, "wednesday": 3, "thursday": 4, "friday": 5, "saturday": 6}

_MOBILITY = (
    "binding-refresh-request", "home-test-init", "careof-test-init", "home-test", "careof-test", "binding-update",
    "binding-acknowledgement", "binding-error", "fast-binding-update", "fast-binding-acknowledgement",
    "fast-binding-advertisement", "experimental-mobility-header", "home-agent-switch-message",
)  # fmt: skip
_WORDS: dict[str, dict[str, int]] = {
    "icmp.type": _ICMP,
    "icmp.code": _ICMP_CODE,
    "icmp6.type": _ICMP6,
    "icmp6.code": _ICMP6_CODE,
    "ether.type": _ETHER,
    "vlan.type": _ETHER,
    "protocol": _ETHER,
    "arp.ptype": _ETHER,
    "day": _WEEKDAYS,
    "arp.htype": {"ether": 1},
    "ct.l3proto": {"ipv4": 2, "ipv6": 10},
    "exthdr.mh.type": {word: number for number, word in enumerate(_MOBILITY)},
}
_PROTOCOL_FIELDS = {"l4proto", "ct.protocol", "ip6.nexthdr"}


def single(part: Part, value: Json) -> int:
    """Return one value of (the part of) a number or bit field."""
    field = part.field
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return _fitting(_of_number(value, field), part)
    if isinstance(value, dict):
        return _computed(part, value)
    text = as_text(value, "value")
    return _fitting(_of_text(part, field, text), part)


def _of_number(value: int, field: Field) -> int:
    """Return what a plain number stands for: of a label the position of its bit, of the time left whole seconds."""
    if field is catalogue.CT_LABEL and value < field.width:
        return 1 << value
    return value * 1000 if field is catalogue.CT_EXPIRATION else value


def _fitting(value: int, part: Part) -> int:
    if not 0 <= value < 1 << part.width:
        raise Refused("FWT112", f"{value} does not fit into {part.width} bits of {part.field.name}")
    return value


def _of_text(part: Part, field: Field, text: str) -> int:
    if field.kind in {FieldKind.IPV4, FieldKind.IPV6}:
        return _address(text, field)
    if field.kind is FieldKind.MAC:
        return read_mac(text, "")
    if field in {catalogue.SOCKET_UID, catalogue.SOCKET_GID} and text == "root":
        return 0  # on every machine; who has the other names is known to the one that loads them
    for word, known in field.symbols:
        if word == text:
            return known
    words = _WORDS.get(field.name)
    if words is not None and text.lower() in words:
        return words[text.lower()]
    moment = _moment(field, text)
    if moment is not None:
        return moment
    names_protocol = field.name in _PROTOCOL_FIELDS or field.spelling[::2] == ("exthdr", "nexthdr")
    if names_protocol and text.lower() in PROTOCOLS:
        return PROTOCOLS[text.lower()]
    if field in {catalogue.SPORT, catalogue.DPORT} and text in SERVICES:
        return SERVICES[text]
    if field in {catalogue.IP_TOS, catalogue.IP6_CLASS}:
        found = (_DSCP if part.width == 6 else _ECN if part.width == 2 else {}).get(text)
        if found is not None:
            return found
    if field is catalogue.PRIORITY and ":" in text:
        major, _, minor = text.partition(":")
        return int(major or "0", 16) << 16 | int(minor or "0", 16)
    return _plain_number(text, field)


_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?")
_DURATION_SIZES = (86_400_000, 3_600_000, 60_000, 1000, 1)
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d))?")


def _moment(field: Field, text: str) -> int | None:
    """Return an hour of the day or a date in seconds, both in UTC as the kernel has them."""
    if field is catalogue.HOUR:
        found = _CLOCK.fullmatch(text)
        return None if found is None else int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3] or 0)
    if field is catalogue.TIME:
        try:
            return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
        except ValueError:
            return None
    return None


def _plain_number(text: str, field: Field) -> int:
    if field is catalogue.CT_EXPIRATION:
        return _milliseconds(text)
    try:
        return _of_number(int(text, 0), field)
    except ValueError:
        raise NotModelled(f"`{text}` as a value of {field.name}") from None


def _milliseconds(text: str) -> int:
    """Return a duration such as `1m30s500ms`; a plain number is seconds."""
    if text.isdigit():
        return int(text) * 1000
    found = _DURATION.fullmatch(text)
    if found is None or not text:
        raise NotModelled(f"`{text}` as a duration")
    return sum(int(count or 0) * size for count, size in zip(found.groups(), _DURATION_SIZES, strict=True))


def _address(text: str, field: Field) -> int:
    try:
        found = ip_address(text)
    except ValueError:
        raise NotModelled(f"`{text}` as an address") from None
    if found.max_prefixlen != field.width:
        raise Refused("FWT112", f"`{text}` is not an address of {field.width} bits")
    return int(found)


def _computed(part: Part, value: Json) -> int:
    operator, operands = only_pair(value, "value")
    if operator not in {"|", "&", "^", "<<", ">>"}:
        raise NotModelled(f"`{operator}` as a value")
    numbers = [single(part, item) for item in as_list(operands)]
    result = numbers[0]
    for number in numbers[1:]:
        if operator == "|":
            result |= number
        elif operator == "&":
            result &= number
        elif operator == "^":
            result ^= number
        else:
            result = result << number if operator == "<<" else result >> number
    return result


def bit_words(part: Part, value: Json) -> int:
    """Return the bits that a list of flag words, or one value, stands for."""
    if isinstance(value, list):
        result = 0
        for item in value:
            result |= single(part, item)
        return result
    return single(part, value)


def interval(part: Part, value: Json) -> Interval:
    """Return the inclusive interval that a value, prefix or range is."""
    if isinstance(value, dict) and len(value) == 1:
        kind, content = next(iter(value.items()))
        if kind == "range":
            ends = as_list(content)
            if len(ends) != 2:
                raise Refused("FWT112", "a range has two ends")
            low, high = single(part, ends[0]), single(part, ends[1])
            if high < low and part.field is catalogue.HOUR:
                raise NotModelled("hours over midnight")
            if high < low:
                raise Refused("FWT112", f"the range {low}-{high} is reversed")
            return low, high
        if kind == "prefix":
            return _prefix(part, as_object(content, kind))
    if isinstance(value, str) and part.field.kind in {FieldKind.IPV4, FieldKind.IPV6} and "/" in value:
        try:
            network = ip_network(value, strict=False)
        except ValueError:
            raise Refused("FWT112", f"`{value}` is not a network") from None
        return int(network.network_address), int(network.broadcast_address)
    found = single(part, value)
    return found, found


def _prefix(part: Part, content: dict[str, Json]) -> Interval:
    length = as_number(content.get("len"), "prefix length")
    if not 0 <= length <= part.width:
        raise Refused("FWT112", f"a prefix of {length} bits does not fit")
    host = (1 << (part.width - length)) - 1
    low = single(part, content.get("addr")) & ~host
    return low, low | host


def name_pattern(value: Json) -> NamePattern:
    """Return an interface name; a trailing asterisk that is not escaped makes it a prefix."""
    text = as_text(value, "interface name")
    if text.endswith("\\*"):
        return NamePattern(text[:-2] + "*", is_prefix=False)
    if text.endswith("*"):
        return NamePattern(text[:-1], is_prefix=True)
    return NamePattern(text, is_prefix=False)


def elements_of(value: Json) -> list[Json]:
    """Return the elements of an anonymous set, or the value itself as the only one."""
    if isinstance(value, dict) and set(value) == {"set"}:
        return [_bare(item) for item in as_list(value["set"])]
    return [value]


def _bare(item: Json) -> Json:
    """Return an element's key without its timeout, comment or counter."""
    if isinstance(item, dict) and set(item) == {"elem"}:
        return as_object(item["elem"], "elem").get("val")
    return item


def value_set(part: Part, values: list[Json], *, others: bool = False) -> ValueSet:
    """Return the values, or all `others`, as a set of the field's kind, moved to where the part is in the field."""
    field = part.field
    if field.kind is FieldKind.NAME:
        names = NameSet.of(name_pattern(value) for value in values)
        return names.complement() if others else names
    # the other numbers are few ranges; the other cubes would be a product of many
    numbers = IntervalSet.of(part.width, [interval(part, value) for value in values])
    if others:
        numbers = numbers.complement()
    if field.kind is not FieldKind.BITS:
        return numbers
    cubes = [cube for low, high in numbers.ranges for cube in BitSet.from_range(part.width, low, high).cubes]
    return moved(BitSet.of(part.width, cubes), part)


def moved(bits: BitSet, part: Part) -> BitSet:
    """Return bits of a part as bits of the whole field."""
    if part.whole:
        return bits
    return BitSet.of(part.field.width, ((mask << part.shift, value << part.shift) for mask, value in bits.cubes))
