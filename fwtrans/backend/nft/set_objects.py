"""Named sets and maps of the IR as nft objects, with the types of their keys."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.backend.nft import model as nft
from fwtrans.backend.nft.effects import verdict_statement
from fwtrans.backend.nft.selectors import selector, set_part
from fwtrans.ir.fields import FIELDS, FieldKind
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.names import NamePattern
from fwtrans.ir.sets import Element, MapElement, example_of
from fwtrans.ir.stateful import StatefulTest

if TYPE_CHECKING:
    from collections.abc import Callable

    from fwtrans.ir.fields import Field
    from fwtrans.ir.sets import NamedMap, NamedSet, Part

_BY_KIND = {FieldKind.IPV4: "ipv4_addr", FieldKind.IPV6: "ipv6_addr", FieldKind.MAC: "ether_addr"}
_BY_NAME = {
    "mark": "mark", "ct.mark": "mark", "iifname": "ifname", "oifname": "ifname", "ibrname": "ifname",
    "obrname": "ifname", "bridge.port_in": "ifname", "bridge.port_out": "ifname", "l4proto": "inet_proto",
    "th.sport": "inet_service", "th.dport": "inet_service", "ct.state": "ct_state", "ether.type": "ether_type", "protocol": "ether_type",
    "icmp.type": "icmp_type", "icmp6.type": "icmpv6_type", "pkttype": "pkt_type",
}  # fmt: skip
_OBJECT_KINDS = {"limit", "quota"}


def data_type(fields: tuple[Field, ...]) -> nft.DataTypes | nft.TypeOf:
    """Return the type of a key; by name where every part has one, else by the selectors themselves."""
    names = tuple(_BY_KIND.get(field.kind) or _BY_NAME.get(field.name) for field in fields)
    if all(names):
        return nft.DataTypes(tuple(name for name in names if name))
    return _type_of(fields)


def _type_of(fields: tuple[Field, ...]) -> nft.TypeOf:
    parts = tuple(selector(field) for field in fields)
    return nft.TypeOf(parts[0] if len(parts) == 1 else nft.Concatenation(parts))


def named_set(item: NamedSet, name: str) -> nft.Set:
    """Return the set under its printed name."""
    told = item.declared
    elements = item.elements
    if told.beside_rest is not None and item.is_live:
        elements = (*told.beside_rest, Element((NamePattern("", is_prefix=True),)))
    flags = [nft.SetFlag.CONSTANT] if told.is_constant else []
    has_ranges = any(_is_interval(part) for element in elements for part in element.key)
    if has_ranges or _may_hold_ranges(item) or told.takes_ranges:
        flags.append(nft.SetFlag.INTERVAL)
    if item.timeout is not None or any(element.timeout is not None for element in item.elements):
        flags.append(nft.SetFlag.TIMEOUT)
    if item.dynamic:
        flags.append(nft.SetFlag.DYNAMIC)
    return nft.Set(
        name=name,
        key=data_type(item.fields),
        flags=tuple(flags),
        elements=tuple(_element(item.fields, element) for element in elements),
        size=item.size if item.dynamic else told.size,
        timeout=_milliseconds(item.timeout),
        gc_interval=_milliseconds(told.gc_interval),
        prefers_memory=told.prefers_memory,
        statements=(nft.Counter(),) if item.has_counters else (),
        auto_merge=item.merges and nft.SetFlag.INTERVAL in flags,
        comment=item.comment,
    )


def _milliseconds(seconds: float | None) -> int | None:
    return round(seconds * 1000) if seconds else None


def _may_hold_ranges(item: NamedSet) -> bool:
    """Tell whether whoever fills the set may put a network into it. One without is a hash, which is faster to ask."""
    plain = all(field.kind is not FieldKind.NAME and field.kind is not FieldKind.MAC for field in item.fields)
    return item.takes_ranges and item.is_live and not item.dynamic and plain


def _is_interval(part: Part) -> bool:
    return part.is_prefix and bool(part.text) if isinstance(part, NamePattern) else part[0] != part[1]


def _key(fields: tuple[Field, ...], key: tuple[Part, ...]) -> nft.Expression:
    if len(key) == 1 and isinstance(key[0], NamePattern) and key[0].is_prefix and not key[0].text:
        return nft.AnyElement()
    parts = tuple(set_part(field, part) for field, part in zip(fields, key, strict=True))
    return parts[0] if len(parts) == 1 else nft.Concatenation(parts)


def _element(fields: tuple[Field, ...], element: Element) -> nft.Element:
    return nft.Element(
        _key(fields, element.key),
        timeout=round(element.timeout * 1000) if element.timeout is not None else None,
        expires=element.expires * 1000 if element.expires is not None else None,
        comment=element.comment,
        statements=(nft.Counter(*element.counters),) if element.counters is not None else (),
    )


def named_map(
    item: NamedMap, name: str, chain_name: Callable[[str], str], object_name: Callable[[StatefulTest], str]
) -> nft.Map:
    """Return the map under its printed name; chains and objects are told by theirs.

    How often the kernel looks for elements that are over is not told: nft 1.0.6 reads that of sets only.
    """
    shown = _with_catch_all(item)
    flags = [nft.SetFlag.CONSTANT] if item.declared.is_constant else []
    if item.declared.takes_ranges or any(_is_interval(part) for element in shown for part in element.key):
        flags.append(nft.SetFlag.INTERVAL)
    if item.declared.timeout is not None:
        flags.append(nft.SetFlag.TIMEOUT)
    if item.value == "verdict":
        value: nft.VerdictType | nft.DataTypes | nft.TypeOf | nft.ObjectKind = nft.VerdictType()
    elif item.value in _OBJECT_KINDS:
        value = nft.ObjectKind(item.value)
    else:
        value = data_type((FIELDS[item.value],))
    key = data_type(item.fields)
    if isinstance(key, nft.TypeOf) and isinstance(value, nft.DataTypes):
        value = _type_of((example_of(FIELDS[item.value]),))  # as whoever reads it calls the type
    elif isinstance(key, nft.DataTypes) and isinstance(value, nft.TypeOf):
        key = _type_of(item.fields)  # nft takes both by name or none
    return nft.Map(
        name=name,
        key=key,
        value=value,
        flags=tuple(flags),
        elements=tuple(_map_element(item, element, chain_name, object_name) for element in shown),
        size=item.declared.size,
        timeout=_milliseconds(item.declared.timeout),
        prefers_memory=item.declared.prefers_memory,
        statements=(nft.Counter(),) if item.declared.has_counters else (),
        comment=item.declared.comment,
    )


def _with_catch_all(item: NamedMap) -> tuple[MapElement, ...]:
    """Return the elements, parts of a catch-all as the one that they were: no element that is added later may overlap them."""
    rest = [element for element in item.elements if element.is_rest]
    if not rest or len({element.value for element in rest}) > 1:
        return item.elements
    numbers = [element.key[0] for element in item.elements if not isinstance(element.key[0], NamePattern)]
    if len(rest) > 1 and not IntervalSet.of(item.fields[0].width, numbers).is_full:
        return item.elements
    others = (element for element in item.elements if not element.is_rest)
    return (*others, MapElement((NamePattern("", is_prefix=True),), rest[0].value, rest[0].kept))


def _map_element(
    item: NamedMap, element: MapElement, chain_name: Callable[[str], str], object_name: Callable[[StatefulTest], str]
) -> nft.Element:
    made = _element(item.fields, element.kept._replace(key=element.key) if element.kept else Element(element.key))
    value = element.value
    if item.value == "verdict":
        found = verdict_statement(value, chain_name)  # type: ignore[arg-type] # a verdict map holds verdicts
        assert isinstance(found, nft.Verdict)  # noqa: S101 -- the IR's checks let nothing else into a verdict map
        return replace(made, value=found)
    if isinstance(value, StatefulTest):
        return replace(made, value=nft.QuotedString(object_name(value)))
    assert isinstance(value, int)  # noqa: S101 -- maps of data hold numbers
    return replace(made, value=set_part(FIELDS[item.value], (value, value)))
