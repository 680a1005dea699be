"""The sets that Proxmox VE's firewall has from SDN, made of what SDN runs with, as PVE makes them.

PVE 8.2 and later: a vnet NAME has the sets NAME-all, NAME-gateway, NAME-no-gateway and NAME-dhcp of its subnets; a guest that
the built-in address management knows has guest-ipam-VMID. The running configuration is JSON of the form
{"zones": {"ids": {...}}, "vnets": {"ids": {NAME: {"zone": ...}}}, "subnets": {"ids": {"ZONE-ADDRESS-LENGTH": {"vnet": NAME,
"gateway": ..., "dhcp-range": ["start-address=A,end-address=B"]}}}}; that of addresses {"zones": {ZONE: {"subnets":
{NETWORK: {"ips": {ADDRESS: {"vmid": ...}}}}}}}. What somebody edits stands in vnets.cfg and subnets.cfg, and runs once it
is applied.
"""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network, summarize_address_range
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from ipaddress import IPv4Network, IPv6Network

Entries = list[dict[str, Any]]


class NotSdn(Exception):  # noqa: N818 -- it is an answer
    """A file of SDN is not what it should be."""


def sets_of_sdn(running: str, addresses: str) -> dict[str, Entries]:
    """Return the elements of each set; either text may be empty. Raises NotSdn."""
    try:
        found = {name: list(entries) for name, entries in _vnets(_loaded(running))}
        for guest, address in _leases(_loaded(addresses)):
            found.setdefault(f"guest-ipam-{guest}", []).append({"cidr": str(address)})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as fault:
        raise NotSdn(f"this configuration of SDN cannot be read: {type(fault).__name__} {fault}") from None
    return found


def running_of_sections(vnets: str, subnets: str) -> str:
    """Return the running configuration that applying vnets.cfg and subnets.cfg makes, as far as sets are made of it."""
    return json.dumps({"vnets": {"ids": _sections(vnets, "vnet")}, "subnets": {"ids": _sections(subnets, "subnet")}})


def _sections(text: str, kind: str) -> dict[str, dict[str, Any]]:
    """Return the sections of a file: `subnet: NAME` and below it lines with a blank before them, a key and a value each."""
    found: dict[str, dict[str, Any]] = {}
    own: dict[str, Any] = {}
    for line in text.splitlines():
        if line[:1].isspace():
            key, _, value = line.strip().partition(" ")
            if key == "dhcp-range":
                own.setdefault(key, []).append(value.strip())
            elif key:
                own[key] = value.strip()
        elif (head := line.partition(":"))[0].strip() == kind:
            own = found.setdefault(head[2].strip(), {})
        elif line.strip() and not line.startswith("#"):
            own = {}
    return found


def _loaded(text: str) -> Mapping[str, Any]:
    return json.loads(text) if text.strip() else {}


def _ids(running: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (running.get(kind) or {}).get("ids") or {}
    return found


def _vnets(running: Mapping[str, Any]) -> Iterator[tuple[str, Iterable[dict[str, Any]]]]:
    subnets = [(_network(name), subnet) for name, subnet in _ids(running, "subnets").items()]
    subnets.sort(key=lambda item: (item[0].version, item[0]))
    for vnet in sorted(_ids(running, "vnets")):
        own = [(network, subnet) for network, subnet in subnets if subnet["vnet"] == vnet]
        every: Entries = []
        gateways: Entries = []
        others: Entries = []
        leased: Entries = []
        for network, subnet in own:
            every.append({"cidr": str(network)})
            others.append({"cidr": str(network)})
            if subnet.get("gateway"):
                gateway = str(ip_address(subnet["gateway"]))
                gateways.append({"cidr": gateway})
                others.append({"cidr": gateway, "nomatch": 1})
            leased.extend({"cidr": str(part)} for text in subnet.get("dhcp-range") or () for part in _range(text))
        yield f"{vnet}-all", every
        yield f"{vnet}-gateway", gateways
        yield f"{vnet}-no-gateway", others
        yield f"{vnet}-dhcp", leased


def _network(name: str) -> IPv4Network | IPv6Network:
    """Return the network of a subnet, which is called by its zone and that: `zone1-10.0.0.0-24`."""
    address, _, length = name.partition("-")[2].rpartition("-")
    return ip_network(f"{address}/{length}")


def _range(text: str) -> Iterator[IPv4Network | IPv6Network]:
    parts = dict(part.split("=", 1) for part in text.split(","))
    first, last = ip_address(parts["start-address"]), ip_address(parts["end-address"])
    # of two versions it makes a TypeError
    yield from summarize_address_range(first, last)


def _leases(state: Mapping[str, Any]) -> Iterator[tuple[int, IPv4Address | IPv6Address]]:
    for _, zone in sorted((state.get("zones") or {}).items()):
        for _, subnet in sorted((zone.get("subnets") or {}).items()):
            for address, about in sorted((subnet.get("ips") or {}).items()):
                if isinstance(about, dict) and "vmid" in about:
                    yield int(about["vmid"]), ip_address(address)
