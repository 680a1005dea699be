"""Named sets and maps of an nft ruleset to IR."""

from __future__ import annotations

from math import ceil

from fwtrans.diagnostics import Refused
from fwtrans.ir import fields as catalogue
from fwtrans.ir.fields import FIELDS, Family, Field, FieldKind
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.names import NamePattern
from fwtrans.ir.sets import Declared, Element, MapElement, MapValue, NamedMap, NamedSet, example_of
from fwtrans.ir.sets import Part as KeyPiece
from fwtrans.ir.verdict import Accept, Drop, Goto, Jump, Return, Verdict
from fwtrans.lower.nft.json_types import (
    Json,
    JsonObject,
    NotModelled,
    as_list,
    as_number,
    as_object,
    as_seconds,
    as_text,
)
from fwtrans.lower.nft.selectors import Part, part_of
from fwtrans.lower.nft.values import interval, name_pattern, single

_TYPES: dict[str, Field] = {
    "ipv4_addr": catalogue.IP_SADDR, "ipv6_addr": catalogue.IP6_SADDR, "ether_addr": catalogue.ETHER_SADDR,
    "inet_proto": catalogue.L4PROTO, "inet_service": catalogue.DPORT, "mark": catalogue.MARK,
    "ifname": catalogue.IIFNAME, "ct_state": catalogue.CT_STATE, "ether_type": catalogue.ETHER_TYPE,
    "icmp_type": catalogue.ICMP_TYPE, "icmpv6_type": catalogue.ICMP6_TYPE, "pkt_type": catalogue.PACKET_TYPE,
    "icmp_code": catalogue.ICMP_CODE, "icmpv6_code": catalogue.ICMP6_CODE, "uid": catalogue.SOCKET_UID,
    "gid": catalogue.SOCKET_GID, "nf_proto": catalogue.NFPROTO, "arp_op": catalogue.ARP_OPERATION,
    "ct_dir": catalogue.CT_DIRECTION, "classid": catalogue.PRIORITY, "realm": catalogue.REALM,
    "fib_addrtype": catalogue.fib(("daddr",), "type"), "dscp": catalogue.IP_TOS,
}  # fmt: skip


def key_fields(content: JsonObject, family: Family) -> tuple[Field, ...]:
    """Return example fields for a set's `type` or `typeof`."""
    found = content.get("type")
    if isinstance(found, dict):
        # nft 1.1 lists `typeof` sets as an object; 1.0.6 lists the plain types in both cases
        inner = found.get("typeof", found)
        selectors = as_list(inner["concat"]) if isinstance(inner, dict) and "concat" in inner else [inner]
        return tuple(_example(part_of(item, family)) for item in selectors)
    fields = []
    for name in as_list(found):
        field = _TYPES.get(as_text(name, "set type"))
        if field is None:
            raise NotModelled(f"a set of type {name}")
        fields.append(field)
    return tuple(fields)


def _example(part: Part) -> Field:
    """Return the field that stands for the type of a part."""
    if not part.whole:
        raise NotModelled(f"a set of parts of {part.field.name}")
    return example_of(part.field)


def lower_set(content: JsonObject, family: Family, *, dynamic: bool) -> NamedSet:
    """Return an IR set."""
    fields = key_fields(content, family)
    flags = as_list(content.get("flags"))
    found = _declared(content)
    items = as_list(content.get("elem"))
    elements = tuple(set_element(fields, item) for item in items)
    if any(map(_is_rest, items)):
        beside = (element for element, item in zip(elements, items, strict=True) if not _is_rest(item))
        found = found._replace(beside_rest=tuple(beside))
    return NamedSet(
        as_text(content.get("name"), "set name"),
        fields,
        _without_covered(fields, _merged(content, elements)),
        dynamic=dynamic or "dynamic" in flags,
        timeout=found.timeout,
        size=found.size,
        comment=found.comment,
        takes_ranges=found.takes_ranges,
        merges=bool(content.get("auto-merge")),
        has_counters=found.has_counters,
        declared=found,
    )


def _is_rest(item: Json) -> bool:
    """Tell whether an element is the catch-all."""
    held = item.get("elem") if isinstance(item, dict) else None
    return item == "*" or (isinstance(held, dict) and held.get("val") == "*")


def _without_covered(fields: tuple[Field, ...], elements: tuple[Element, ...]) -> tuple[Element, ...]:
    """Return the elements; of those beside a catch-all none matters."""
    anything = tuple(_piece(field, "*") for field in fields)
    if len(elements) < 2 or not any(item.key == anything for item in elements):
        return elements
    if any(item != Element(item.key) for item in elements):
        raise NotModelled("a catch-all element beside elements with a time of their own")
    return (Element(anything),)


def _merged(content: JsonObject, elements: tuple[Element, ...]) -> tuple[Element, ...]:
    """Return the elements as nft keeps them in a set with `auto-merge`: intervals that touch become one."""
    if not content.get("auto-merge") or any(len(item.key) != 1 or item != Element(item.key) for item in elements):
        return elements
    pieces = [item.key[0] for item in elements]
    intervals = [piece for piece in pieces if not isinstance(piece, NamePattern)]
    if len(intervals) != len(pieces):
        return elements
    merged = IntervalSet.of(max((high for _, high in intervals), default=0).bit_length() or 1, intervals)
    return tuple(Element((piece,)) for piece in merged.ranges)


def set_element(fields: tuple[Field, ...], item: Json) -> Element:
    """Return one element with its timeout, comment and counter."""
    extras: JsonObject = {}
    value = item
    if isinstance(item, dict) and set(item) == {"elem"}:
        extras = as_object(item["elem"], "elem")
        value = extras.get("val")
    timeout, expires, counter = extras.get("timeout"), extras.get("expires"), extras.get("counter")
    counters: tuple[int, int] | None = None
    if "counter" in extras:
        counter = counter if isinstance(counter, dict) else {}  # one that has counted nothing is a word alone
        counters = (as_number(counter.get("packets", 0), "packets"), as_number(counter.get("bytes", 0), "bytes"))
    return Element(
        key_pieces(fields, value),
        timeout=as_seconds(timeout, "timeout") if timeout is not None else None,
        expires=_whole(expires, "expires") if expires is not None else None,
        comment=as_text(extras.get("comment", ""), "comment"),
        counters=counters,
    )


def _whole(time: Json, what: str) -> int:
    """Return whole seconds; a listing tells milliseconds of what is left, and part of a second is not yet over."""
    return ceil(time) if isinstance(time, float) else as_number(time, what)


def key_pieces(fields: tuple[Field, ...], value: Json) -> tuple[KeyPiece, ...]:
    """Return an element's key, one piece a dimension."""
    parts = as_list(value["concat"]) if isinstance(value, dict) and "concat" in value else [value]
    if len(parts) != len(fields):
        raise Refused("FWT112", f"an element of {len(parts)} parts in a set of {len(fields)}")
    return tuple(_piece(field, part) for field, part in zip(fields, parts, strict=True))


def _piece(field: Field, value: Json) -> KeyPiece:
    if value == "*":
        if field.kind is FieldKind.NAME:
            return name_pattern("*")
        return (0, (1 << field.width) - 1)
    if field.kind is FieldKind.NAME:
        return name_pattern(value)
    return interval(as_part(field), value)


def as_part(field: Field) -> Part:
    """Return the whole of a field as a part."""
    return Part(field, field.width)


# --- maps ---


def lower_map(content: JsonObject, family: Family) -> NamedMap:
    """Return an IR map."""
    if content.get("stmt") and content.get("map") != "verdict":
        raise NotModelled("a map that counts")
    fields = key_fields(content, family)
    value = map_value(content.get("map"), family)
    return NamedMap(
        as_text(content.get("name"), "map name"),
        fields,
        value,
        map_elements(fields, value, as_list(content.get("elem"))),
        declared=_declared(content),
    )


def _declared(content: JsonObject) -> Declared:
    flags = as_list(content.get("flags"))
    # the flag alone lets elements have a time of their own: 0, as in ipset
    timeout = content.get("timeout", 0 if "timeout" in flags else None)
    size, interval = content.get("size"), content.get("gc-interval")
    return Declared(
        takes_ranges="interval" in flags,
        has_counters=any("counter" in as_object(item, "stmt") for item in as_list(content.get("stmt"))),
        timeout=as_seconds(timeout, "timeout") if timeout is not None else None,
        size=as_number(size, "size") if size is not None else None,
        comment=as_text(content.get("comment", ""), "comment"),
        is_constant="constant" in flags,
        gc_interval=as_seconds(interval, "gc-interval") if interval is not None else None,
        prefers_memory=content.get("policy") == "memory",
    )


def map_value(found: Json, family: Family) -> str:
    """Return what the IR calls a map's value type."""
    if isinstance(found, dict):
        selector = found.get("typeof", found)
        if not (isinstance(selector, dict) and "concat" in selector):
            return _example(part_of(selector, family)).name
    if not isinstance(found, str):
        raise NotModelled("a map to a concatenation")
    if found in {"verdict", "limit", "quota"}:
        return found
    field = _TYPES.get(found)
    if field is None:
        raise NotModelled(f"a map to {found}")
    return field.name


def map_elements(fields: tuple[Field, ...], value: str, entries: list[Json]) -> tuple[MapElement, ...]:
    """Return key and value pairs; a catch-all `*` stands last, because the first fit decides."""
    found: list[MapElement] = []
    catch_all: list[MapElement] = []
    for entry in entries:
        pair = as_list(entry)
        if len(pair) != 2:
            raise Refused("FWT112", "a map element has a key and a value")
        key = pair[0]
        if isinstance(key, dict) and set(key) == {"elem"}:
            key = as_object(key["elem"], "elem").get("val")
        held = _value(value, pair[1])
        if key == "*":
            anything = tuple(_piece(field, "*") for field in fields)
            catch_all.append(MapElement(anything, held, set_element(fields[:1], pair[0])._replace(key=())))
        else:
            kept = set_element(fields, pair[0])
            found.append(MapElement(kept.key, held, kept if kept != Element(kept.key) else None))
    return (*found, *(one for item in catch_all for one in _all_others(fields, item, found)))


def _all_others(fields: tuple[Field, ...], item: MapElement, known: list[MapElement]) -> tuple[MapElement, ...]:
    """Return a catch-all element as the ranges that no other element has, where the keys are numbers."""
    if len(fields) != 1 or fields[0].kind is FieldKind.NAME:
        return (item,)
    pieces = [one.key[0] for one in known]
    taken = IntervalSet.of(fields[0].width, (piece for piece in pieces if not isinstance(piece, NamePattern)))
    return tuple(MapElement((piece,), item.value, item.kept) for piece in taken.complement().ranges)


def _value(kind: str, value: Json) -> MapValue:
    if kind == "verdict":
        return lower_verdict(value)
    if kind in FIELDS:
        return single(as_part(FIELDS[kind]), value)
    return as_text(value, "map value")


_PLAIN: dict[str, Verdict] = {"accept": Accept(), "drop": Drop(), "return": Return()}


def lower_verdict(value: Json) -> Verdict:
    """Return the IR verdict of a map's value."""
    found = as_object(value, "verdict")
    kind, content = next(iter(found.items()))
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind in {"jump", "goto"}:
        target = as_text(as_object(content, kind).get("target"), "target")
        return Jump(target) if kind == "jump" else Goto(target)
    raise NotModelled(f"{kind} in a verdict map")
