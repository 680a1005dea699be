"""Networks to put a ruleset into, as values: a Proxmox VE host with its guests, or any host with interfaces."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "host"
OUTSIDE = "outside"


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestNic:
    """A guest's network card, named as its port on the host: `tap100i0` (KVM) or `veth100i0` (a container)."""

    name: str
    bridge: str
    mac: str
    addresses: tuple[str, ...] = ()
    tag: int | None = None
    firewalled: bool = True
    """A card without firewall always sits on its bridge directly."""
    firewall_bridge: bool | None = None
    """Whether this one still hangs on a firewall bridge; if not said, as the whole topology."""

    @property
    def number(self) -> str:
        """Return `100i0`."""
        return self.name.lstrip("tapveh")


@dataclass(frozen=True, slots=True, kw_only=True)
class Uplink:
    """The world behind a bridge: a port such as eth0, and a router with this hardware address behind it."""

    bridge: str = "vmbr0"
    name: str = "eth0"
    mac: str = "02:00:5e:00:00:01"
    addresses: tuple[str, ...] = ("203.0.113.200", "2001:db8:ffff::200")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostAddress:
    """An address of the host with its prefix length, on a bridge or a VLAN of one (`vmbr0.50`)."""

    interface: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PveTopology:
    """A Proxmox VE host. Bridges are those that guests, addresses and uplinks name."""

    guests: tuple[GuestNic, ...]
    host: tuple[HostAddress, ...] = ()
    uplinks: tuple[Uplink, ...] = (Uplink(),)
    with_firewall_bridges: bool = True
    vlan_aware: bool = True
    """A tagged guest's port is an access port of a VLAN-aware bridge; otherwise it sits in a bridge such as vmbr0v50."""
    forwarding: bool = False
    """Whether the host routes."""

    def bridges(self) -> tuple[str, ...]:
        """Return the bridges, in the order in which they are named."""
        names = (
            *(uplink.bridge for uplink in self.uplinks),
            *(guest.bridge for guest in self.guests),
            *(address.interface.partition(".")[0] for address in self.host),
        )
        return tuple(dict.fromkeys(names))

    def endpoints(self) -> Iterator[tuple[str, str, tuple[str, ...], str, int | None]]:
        """Yield name, hardware address, addresses, bridge and tag of what is not the host."""
        for guest in self.guests:
            yield guest.name, guest.mac, guest.addresses, guest.bridge, guest.tag
        for uplink in self.uplinks:
            yield uplink.name, uplink.mac, uplink.addresses, uplink.bridge, None

    def has_firewall_bridge(self, guest: GuestNic) -> bool:
        """Tell whether a guest's card hangs on a firewall bridge."""
        wanted = self.with_firewall_bridges if guest.firewall_bridge is None else guest.firewall_bridge
        return guest.firewalled and wanted

    def as_json(self) -> dict[str, Any]:
        """Return what travels."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterTopology:
    """A host that routes between its interfaces, with a neighbour behind each who has every address there is.

    Which interface a packet leaves by is no property of the topology: each probe names it, and routes are set for it.
    """

    interfaces: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return what travels."""
        return asdict(self)

    @staticmethod
    def host_address(place: int, *, is_v6: bool) -> str:
        """Return the host's own address on its n-th interface (RFC 6598, RFC 4193)."""
        return f"fd00:6c:{place:x}::1" if is_v6 else f"100.{64 + (place >> 8)}.{place & 255}.1"


def topology_from_json(value: dict[str, Any]) -> PveTopology | RouterTopology:
    """Return a topology that has travelled."""
    if "interfaces" in value:
        return RouterTopology(interfaces=tuple(value["interfaces"]))
    return pve_from_json(value)


def pve_from_json(value: dict[str, Any]) -> PveTopology:
    """Return a topology that has travelled."""
    return PveTopology(
        **{
            **value,
            "guests": tuple(GuestNic(**{**one, "addresses": tuple(one["addresses"])}) for one in value["guests"]),
            "host": tuple(HostAddress(**one) for one in value["host"]),
            "uplinks": tuple(Uplink(**{**one, "addresses": tuple(one["addresses"])}) for one in value["uplinks"]),
        }
    )
