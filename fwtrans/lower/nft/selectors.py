"""nftables' selectors (payload, meta, ct, ...) as fields of the IR.

A selector may stand for a part of a field (`ip dscp` is six bits of the TOS byte), so what comes back is a `Part`: the
field, where in it the bits are, and the tests that nftables makes by itself before it looks (the transport protocol).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.diagnostics import Refused
from fwtrans.ir import fields as catalogue
from fwtrans.ir.fields import FIELDS, Family, Field, FieldKind
from fwtrans.ir.match import number
from fwtrans.lower.nft.json_types import NotModelled, as_list, as_number, as_object, as_text

if TYPE_CHECKING:
    from fwtrans.ir.match import FieldTest
    from fwtrans.lower.nft.json_types import Json, JsonObject


class Part(NamedTuple):
    """`width` bits of a field, from bit `shift` on; the whole field where `whole`. `before` are implied tests."""

    field: Field
    width: int
    shift: int = 0
    before: tuple[FieldTest, ...] = ()

    @property
    def whole(self) -> bool:
        """Tell whether the part is all of the field."""
        return self.width == self.field.width


def _whole(field: Field, *before: FieldTest) -> Part:
    return Part(field, field.width, 0, before)


_FRAME_OF_IPV4 = 0x0800
_TRANSPORT = {"tcp": 6, "udp": 17, "udplite": 136, "sctp": 132, "dccp": 33}
_PAYLOADS: dict[tuple[str, str], Part] = {}


def _register() -> None:
    for field in FIELDS.values():
        if field.spelling[0] == "payload" and field.spelling[1] != "th":
            _PAYLOADS[field.spelling[1], field.spelling[2]] = _whole(field)
    for protocol, value in _TRANSPORT.items():
        for end, field in (("sport", catalogue.SPORT), ("dport", catalogue.DPORT)):
            _PAYLOADS[protocol, end] = _whole(field, number(catalogue.L4PROTO, value))
    _PAYLOADS["th", "sport"] = _whole(catalogue.SPORT)
    _PAYLOADS["th", "dport"] = _whole(catalogue.DPORT)
    _PAYLOADS["ip", "dscp"] = Part(catalogue.IP_TOS, 6, 2)
    _PAYLOADS["ip", "ecn"] = Part(catalogue.IP_TOS, 2, 0)
    _PAYLOADS["ip6", "dscp"] = Part(catalogue.IP6_CLASS, 6, 2)
    _PAYLOADS["ip6", "ecn"] = Part(catalogue.IP6_CLASS, 2, 0)
    _PAYLOADS["ip", "protocol"] = _whole(catalogue.L4PROTO, number(catalogue.NFPROTO, 2))


_register()

_META = {field.spelling[1]: field for field in list(FIELDS.values()) if field.spelling[0] == "meta"}
_META["ipsec"] = catalogue.IPSEC_PRESENT
# The proof-only form of bridge ports, see backend/nft/flat_rule.py; nft itself has no such words.
_META.update({"physdevin": catalogue.PORT_IN, "physdevout": catalogue.PORT_OUT, "physdevisbridged": catalogue.BRIDGED})
_CT = {
    field.spelling[1]: field
    for field in list(FIELDS.values())
    if field.spelling[0] == "ct" and len(field.spelling) == 2
}
_CT["l3proto"] = catalogue.CT_L3PROTO
_CT["protocol"] = catalogue.CT_PROTOCOL

# Widths of header parts that the catalogue makes on demand.
_HEADER_WIDTHS = {
    ("frag", "nexthdr"): 8, ("frag", "reserved"): 8, ("frag", "frag-off"): 13, ("frag", "more-fragments"): 1, ("frag", "reserved2"): 2,
    ("frag", "id"): 32, ("rt", "nexthdr"): 8, ("rt", "hdrlength"): 8, ("rt", "type"): 8, ("rt", "seg-left"): 8,
    ("hbh", "nexthdr"): 8, ("hbh", "hdrlength"): 8, ("dst", "nexthdr"): 8, ("dst", "hdrlength"): 8,
    ("mh", "nexthdr"): 8, ("mh", "hdrlength"): 8, ("mh", "type"): 8, ("mh", "checksum"): 16, ("srh", "flags"): 8,
    ("srh", "tag"): 16, ("srh", "seg-left"): 8, ("srh", "last-entry"): 8, ("maxseg", "size"): 16,
    ("window", "count"): 8, ("timestamp", "tsval"): 32, ("timestamp", "tsecr"): 32,
}  # fmt: skip


def part_of(value: Json, family: Family, *, inner: bool = False) -> Part:
    """Return what a selector stands for; NotModelled where it is nftables' but not ours.

    With `inner` also for what is behind the transport header: who asks knows that only some protocols have that.
    """
    found = as_object(value, "selector")
    if len(found) != 1:
        raise Refused("FWT112", "a selector has one key")
    kind, content = next(iter(found.items()))
    if kind == "payload":
        return _payload(as_object(content, kind), family, inner=inner)
    if kind == "meta":
        return _meta(as_text(as_object(content, kind).get("key"), kind))
    if kind == "ct":
        return _conntrack(as_object(content, kind), family)
    if kind == "fib":
        return _fib(as_object(content, kind))
    if kind in {"exthdr", "tcp option", "ip option", "sctp chunk"}:
        return _header(kind, as_object(content, kind))
    if kind == "socket":
        return _named("socket", as_text(as_object(content, kind).get("key"), kind))
    if kind == "rt" and content == {"key": "classid"}:
        return _whole(catalogue.REALM)
    if kind == "rt":
        return _named("rt", as_text(as_object(content, kind).get("key"), kind))
    if kind == "osf":
        return _fingerprint(as_object(content, kind))
    if kind == "ipsec":
        return _ipsec(as_object(content, kind))
    raise NotModelled(kind)


def _payload(content: JsonObject, family: Family, *, inner: bool) -> Part:
    if "base" in content:
        base = as_text(content.get("base"), "base")
        offset, length = as_number(content.get("offset"), "offset"), as_number(content.get("len"), "len")
        if base == "ih" and not inner:
            raise NotModelled(f"@{base},{offset},{length}")
        return raw_part(base, offset, length, family)
    protocol, name = as_text(content.get("protocol"), "protocol"), as_text(content.get("field"), "field")
    if (protocol, name) == ("ip", "protocol") and family in {Family.BRIDGE, Family.NETDEV}:
        # who prints the test of the network protocol asks the frame for it: there is no other word here
        return _whole(catalogue.L4PROTO, number(catalogue.ETHER_PROTOCOL, _FRAME_OF_IPV4))
    found = _PAYLOADS.get((protocol, name))
    if found is None:
        raise NotModelled(f"{protocol} {name}")
    return found


@lru_cache(maxsize=4096)
def raw_part(base: str, offset: int, length: int, family: Family) -> Part:
    """Return raw payload bits, as the named field they are where one covers them."""
    if base == "nh" and (offset, length) == (8, 8) and family is Family.IP:
        return _whole(catalogue.IP_TOS)
    if base == "nh" and (offset, length) == (4, 8) and family is Family.IP6:
        return _whole(catalogue.IP6_CLASS)
    if base == "th" and (offset, length) in {(0, 16), (16, 16)}:
        return _whole(catalogue.DPORT if offset else catalogue.SPORT)  # nft lists them so, too
    if base not in {"ll", "nh", "th", "ih"} or not 0 < length <= 2048:
        raise NotModelled(f"@{base},{offset},{length}")
    return _whole(catalogue.raw_payload(base, offset, length))


def _meta(key: str) -> Part:
    found = _META.get(key)
    if found is None:
        raise NotModelled(f"meta {key}")
    return _whole(found)


def _conntrack(content: JsonObject, family: Family) -> Part:
    key = as_text(content.get("key"), "ct key")
    direction = as_text(content.get("dir", ""), "ct dir")
    if key in {"bytes", "packets", "avgpkt"}:
        return _whole(catalogue.conntrack_count(direction, key))
    if direction and key in {"proto-src", "proto-dst"}:
        return _whole(catalogue.conntrack_port(direction, key))
    if direction and key in {"saddr", "daddr", "ip saddr", "ip daddr", "ip6 saddr", "ip6 daddr"}:
        layer, _, end = key.rpartition(" ")
        layer = layer or as_text(content.get("family", family.value), "ct family")
        if layer not in {"ip", "ip6"}:
            raise NotModelled(f"ct {direction} {key}")
        return _whole(catalogue.conntrack_address(Family(layer), direction, end))
    if direction and key == "zone":
        return _whole(catalogue.CT_ZONE_ORIGINAL if direction == "original" else catalogue.CT_ZONE_REPLY)
    found = _CT.get(key)
    if found is None or (direction and direction != "original"):
        raise NotModelled(f"ct {direction} {key}")
    return _whole(found)


def _fib(content: JsonObject) -> Part:
    flags = tuple(as_text(flag, "fib flag") for flag in as_list(content.get("flags")))
    result = as_text(content.get("result"), "fib result")
    if result == "check":
        result = "oif"  # what newer versions of nft say where only an answer is asked for: `check exists`
    order = ["saddr", "daddr", "mark", "iif", "oif"]
    if not set(flags) <= set(order):
        raise NotModelled("fib " + " . ".join(flags))
    return _whole(catalogue.fib(tuple(sorted(flags, key=order.index)), result))


def _header(kind: str, content: JsonObject) -> Part:
    if kind == "tcp option" and content.get("len") == 8 and content.get("offset") == 0:
        return _whole(catalogue.header_present(kind, str(as_number(content.get("base"), kind))))
    if "base" in content:
        raise NotModelled(kind)
    name = as_text(content.get("name", ""), f"{kind} name")
    part = content.get("field")
    if not name:
        raise NotModelled(kind)
    if part is None:
        return _whole(catalogue.header_present(kind, name))
    word = as_text(part, f"{kind} field")
    if (kind, word) == ("sctp chunk", "flags"):
        return _whole(catalogue.header_field(kind, name, word, 8, catalogue.FieldKind.BITS))
    if name == "srh" and word.startswith("sid["):
        return _whole(catalogue.header_field(kind, name, word, 128, catalogue.FieldKind.IPV6))
    width = _HEADER_WIDTHS.get((name, word))
    if width is None:
        raise NotModelled(f"{kind} {name} {word}")
    return _whole(catalogue.header_field(kind, name, word, width))


def _fingerprint(content: JsonObject) -> Part:
    if content.get("key", "name") != "name":
        raise NotModelled("osf version")
    return _whole(catalogue.os_name(as_text(content.get("ttl", ""), "osf ttl")))


def _named(kind: str, key: str) -> Part:
    for field in FIELDS.values():
        if field.spelling == (kind, key):
            return _whole(field)
    raise NotModelled(f"{kind} {key}")


def _ipsec(content: JsonObject) -> Part:
    key = as_text(content.get("key"), "ipsec key")
    family = as_text(content.get("family", ""), "ipsec family")
    spnum = as_number(content.get("spnum", 0), "ipsec spnum")
    full = f"{family} {key}" if family else key
    return _whole(catalogue.ipsec(as_text(content.get("dir"), "ipsec dir"), spnum, full))


def is_flags(field: Field) -> bool:
    """Tell whether a list of words on the right means any of these bits."""
    return field.kind is FieldKind.BITS
