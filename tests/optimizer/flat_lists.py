"""The bench's generator of flat lists, and packets that its rules ask for."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING, Any

from fwtrans.ir import fields as known
from fwtrans.semantics.packet import Packet
from tests.places import REPOSITORY

if TYPE_CHECKING:
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
