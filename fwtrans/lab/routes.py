"""Sends probes over the interfaces that they name: routes are set for a batch of probes, and taken back behind it.

A router chooses the way out by the destination. Here the way out comes with the probe: a batch is a number of probes whose
sources and destinations can have one set of routes, the sources back to where they came from, so that answers find home.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple, Self

from pyroute2 import IPRoute  # noqa: TID251 -- the lab builds networks
from pyroute2.netlink.exceptions import NetlinkError  # noqa: TID251 -- the lab builds networks

from fwtrans.lab.topology import HOST, RouterTopology
from fwtrans.lab.wiring import gateway_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LOCAL_TABLE, _LOCAL_TYPE, _HOST_SCOPE = 255, 2, 254
_ON_LINK = 4


class Journey(NamedTuple):
    """Where a probe comes from and goes to, as names of interfaces or `host`, and its addresses."""

    source: str
    target: str
    source_address: str
    target_address: str


class Ways(NamedTuple):
    """Which interface leads to an address; `host` where the host itself has it."""

    journeys: tuple[int, ...]
    ways: dict[str, str]


def batches(journeys: Iterable[Journey]) -> Iterator[Ways]:
    """Put journeys together that do not need two ways to one address, each as early as it fits."""
    open_batches: list[tuple[list[int], dict[str, str]]] = []
    for place, journey in enumerate(journeys):
        wanted = {journey.source_address: journey.source, journey.target_address: journey.target}
        for members, ways in open_batches:
            if all(ways.get(address, name) == name for address, name in wanted.items()):
                members.append(place)
                ways.update(wanted)
                break
        else:
            open_batches.append(([place], dict(wanted)))
    for members, ways in open_batches:
        yield Ways(tuple(members), ways)


class Router:
    """Sets the routes of the host."""

    def __init__(self, topology: RouterTopology) -> None:
        self.netlink = IPRoute()
        self.numbers = {name: self.netlink.link_lookup(ifname=name)[0] for name in topology.interfaces}
        self.places = {name: place for place, name in enumerate(topology.interfaces)}
        self.ways: dict[str, str] = {}

    def __enter__(self) -> Self:
        """Return the router itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the socket."""
        self.netlink.close()

    def lead(self, ways: dict[str, str]) -> None:
        """Have each address lead where it should; what was set before stays where nothing else is wanted."""
        for address, name in list(self.ways.items()):
            if ways.get(address, name) != name:
                self._change("del", address, name)
                del self.ways[address]
        for address, name in ways.items():
            if address not in self.ways and _can_have_a_route(address):
                self._change("add", address, name)
                self.ways[address] = name

    def _change(self, command: str, address: str, name: str) -> None:
        is_v6 = ":" in address
        length = 128 if is_v6 else 32
        family = socket.AF_INET6 if is_v6 else socket.AF_INET
        # an address of the host itself is there already, and a route over it would be refused
        with suppress(NetlinkError):
            if name == HOST:
                self.netlink.route(
                    command, dst=f"{address}/{length}", family=family, table=_LOCAL_TABLE, type=_LOCAL_TYPE,
                    scope=_HOST_SCOPE, oif=1,
                )  # fmt: skip
                return
            gateway = gateway_of(RouterTopology.host_address(self.places[name], is_v6=is_v6))
            self.netlink.route(
                command,
                dst=f"{address}/{length}",
                family=family,
                gateway=gateway,
                oif=self.numbers[name],
                flags=_ON_LINK,
            )


def _can_have_a_route(text: str) -> bool:
    address = ip_address(text)
    return not (address.is_multicast or address.is_unspecified or text == "255.255.255.255")
