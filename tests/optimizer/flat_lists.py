"""The bench's generator of flat lists, and packets that its rules ask for."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING, Any

from fwtrans.ir import fields as known
from fwtrans.ir.fields import Family
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest
from fwtrans.ir.rule import Rule
from fwtrans.ir.ruleset import Chain, Ruleset, Table
from fwtrans.ir.verdict import Accept, Drop
from fwtrans.semantics.packet import Packet
from tests.optimizer.texts import read_nft
from tests.places import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

_PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1, "": 47}


def _lists() -> ModuleType:
    """Return the bench's generator: bench/ is no package."""
    spec = importlib.util.spec_from_file_location("bench_lists", REPOSITORY / "bench" / "lists.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


LISTS = _lists()


def packet_of(entry: Any) -> Packet:
    """Return a packet that the entry's rule takes, if no earlier one does."""
    values = {
        known.NFPROTO: 2, known.ETHER_PROTOCOL: 0x800, known.HAS_CONNTRACK: 1, known.CT_STATE: 3,
        known.IP_SADDR: int(LISTS.first_address(entry.source)), known.IP_DADDR: int(LISTS.first_address(entry.target)),
        known.L4PROTO: _PROTOCOLS[entry.protocol],
    }  # fmt: skip
    if entry.protocol in {"tcp", "udp"}:
        values |= {known.HAS_TRANSPORT: 1, known.SPORT: entry.from_ports[0], known.DPORT: entry.to_ports[0]}
    return Packet(values)


def ruleset_of(listed: list[Any]) -> Ruleset:
    """Return the ruleset of a list that accepts the rest, without the text that a long one takes seconds to read."""
    rules = tuple(Rule(tuple(_tests(entry)), Accept() if entry.verdict == "accept" else Drop(), ()) for entry in listed)
    (base,) = (chain.base for table in read_nft(LISTS.ruleset([], last="accept")).tables for chain in table.chains)
    return Ruleset((Table(Family.IP, "bench", (Chain("forward", rules, base),)),))


def _tests(entry: Any) -> Iterator[FieldTest]:
    for field, network in ((known.IP_SADDR, entry.source), (known.IP_DADDR, entry.target)):
        if network is not None:
            low = int(network.network_address)
            yield FieldTest(field, IntervalSet(32, ((low, low + network.num_addresses - 1),)))
    if entry.protocol:
        yield FieldTest(known.L4PROTO, IntervalSet.single(8, _PROTOCOLS[entry.protocol]))
    for field, ports in ((known.SPORT, entry.from_ports), (known.DPORT, entry.to_ports)):
        if ports != (0, 65535):
            yield FieldTest(field, IntervalSet(16, (ports,)))
