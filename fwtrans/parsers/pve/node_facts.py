"""Reads what is known of a node beside its configuration: vms.json (its name and addresses, its guests' ports) and sdn.json.

vms.json is what `fwtrans collect` notes down of a live node, since its name, its address and its network are in no file
of PVE's. sdn.json holds the sets that SDN makes: {"ipset": {"vnet1-all": [{"cidr": "10.0.0.0/24", "nomatch": 0}]}}.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fwtrans.diagnostics import Diagnostic, DiagnosticSink
from fwtrans.parsers.pve.complaints import Complaints, shortened
from fwtrans.parsers.pve.guest_conf import network_index, parse_network_line
from fwtrans.parsers.pve.sdn_sets import NotSdn, sets_of_sdn
from fwtrans.parsers.pve.syntax import GuestConf, GuestKind, NodeFacts, Sdn, SdnEntry, Token
from fwtrans.parsers.pve.values import Mistake, read_cidr
from fwtrans.source import SourceFile, Span

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Wrong(Exception):  # noqa: N818 -- it ends the reading of one file, and is not seen outside
    """Something in the file is not what it should be; `text` is what to point at."""

    def __init__(self, message: str, text: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.text = text


def parse_node_facts(source: SourceFile, sink: DiagnosticSink) -> NodeFacts | None:
    """Return the facts of vms.json, or None where they cannot be read."""
    try:
        facts = _object(_loaded(source), "the file")
        complaints = Complaints(source, sink)
        guests = tuple(guest for kind in GuestKind for guest in _guests(source, facts, kind, complaints))
        return NodeFacts(
            source,
            _text(facts, "nodename"),
            _network(facts, "local_network"),
            _network(facts, "host_ip").partition("/")[0],
            guests,
        )
    except _Wrong as wrong:
        _complain(source, sink, wrong)
    return None


def parse_sdn(source: SourceFile, sink: DiagnosticSink) -> Sdn | None:
    """Return the sets of sdn.json, or None where they cannot be read."""
    try:
        sets = _object(_object(_loaded(source), "the file").get("ipset", {}), "`ipset`")
        return Sdn(source, tuple((name, tuple(_entries(name, entries))) for name, entries in sets.items()))
    except _Wrong as wrong:
        _complain(source, sink, wrong)
    return None


def read_sdn(source: SourceFile, running: str, leases: str, sink: DiagnosticSink) -> Sdn | None:
    """Return the sets of what SDN runs with and of the guests' addresses; `source` is the file to point at."""
    try:
        sets = sets_of_sdn(running, leases)
    except NotSdn as fault:
        _complain(source, sink, _Wrong(str(fault)))
        return None
    return Sdn(source, tuple((name, tuple(_entries(name, entries))) for name, entries in sets.items()))


def _loaded(source: SourceFile) -> Any:
    try:
        return json.loads(source.text)
    except json.JSONDecodeError as error:
        raise _Wrong(f"this is no JSON: {error.msg}", f"{error.lineno}:{error.colno}") from None
    except (RecursionError, ValueError):  # brackets in brackets without end; a number with too many digits
        raise _Wrong("this is no JSON that anybody would write") from None


def _complain(source: SourceFile, sink: DiagnosticSink, wrong: _Wrong) -> None:
    line, column, length = 1, 0, 1
    place, colon, at = wrong.text.partition(":")
    if colon and place.isdigit() and at.isdigit():
        line, column = int(place), int(at) - 1
    elif wrong.text and (offset := source.text.find(json.dumps(wrong.text))) >= 0:
        line = source.text.count("\n", 0, offset) + 1
        column = offset - (source.text.rfind("\n", 0, offset) + 1)
        length = len(json.dumps(wrong.text))
    sink.add(Diagnostic(code="FWT171", message=wrong.message, span=Span(source, line, column, column + length)))


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Wrong(f"{what} is no JSON object")
    return value


def _text(facts: dict[str, Any], key: str) -> str:
    value = facts.get(key, "")
    if not isinstance(value, str) or not value.isprintable():
        raise _Wrong(f"`{key}` is no text", key)
    return value


def _network(facts: dict[str, Any], key: str) -> str:
    value = _text(facts, key)
    if value and isinstance(read_cidr(value), Mistake):
        raise _Wrong(f"`{shortened(value)}` is neither an address nor a network", value)
    return value


def _guests(source: SourceFile, facts: dict[str, Any], kind: GuestKind, complaints: Complaints) -> Iterator[GuestConf]:
    for vmid, settings in _object(facts.get(kind.value, {}), f"`{kind.value}`").items():
        if not (vmid.isascii() and vmid.isdigit() and len(vmid) <= 9):
            raise _Wrong(f"`{shortened(vmid)}` is no number of a guest", vmid)
        devices = []
        for key, value in _object(settings, f"guest {vmid}").items():
            index = network_index(key)
            if index is None:
                continue
            if not isinstance(value, str):
                raise _Wrong(f"`{key}` of guest {vmid} is no text", key)
            line, start = _place(source, value)
            device = parse_network_line(source, line, index, Token(value, start), kind, complaints)
            if device is not None:
                devices.append(device)
        devices.sort(key=lambda device: device.index)
        yield GuestConf(source, int(vmid), kind, tuple(devices))


def _place(source: SourceFile, value: str) -> tuple[int, int]:
    """Return line and column of a text in the file: each stands in a line of its own, as `collect` writes them."""
    offset = source.text.find(value)
    if offset < 0:
        return 1, 0
    return source.text.count("\n", 0, offset) + 1, offset - (source.text.rfind("\n", 0, offset) + 1)


def _entries(name: str, entries: Any) -> Iterator[SdnEntry]:
    if not isinstance(entries, list):
        raise _Wrong(f"the set `{shortened(name)}` is no list", name)
    for entry in entries:
        address = _object(entry, f"an entry of the set `{shortened(name)}`").get("cidr")
        if not isinstance(address, str) or isinstance(read_cidr(address), Mistake):
            raise _Wrong(f"an entry of the set `{shortened(name)}` has no address", name)
        yield SdnEntry(address, bool(entry.get("nomatch")))
