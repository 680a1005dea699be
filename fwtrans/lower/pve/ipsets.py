"""The sets that pve-firewall makes: those of the files, of SDN, `management`, and each NIC's own addresses.

Every set exists for both families, as hash:net. A guest's `ipfilter-net<n>` also holds the link-local address that comes
of its MAC and nothing else of fe80::/10, and a container's the addresses of its configuration.
"""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.lower.pve.chains import Line
from fwtrans.lower.pve.guests import filtered_devices, own_addresses
from fwtrans.lower.pve.scope import CLUSTER_SETS, SetName, read_address
from fwtrans.parsers.pve.values import ALIAS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fwtrans.lower.pve.node import CheckedGuest, Node, SetSection
    from fwtrans.lower.pve.scope import Address, Scope
    from fwtrans.parsers.pve.syntax import NetworkDevice
    from fwtrans.source import Origin

_SMALLEST = 64
_BUCKET = 12
_FAMILIES = {4: "inet", 6: "inet6"}


class Member(NamedTuple):
    """An entry of a set, which may be an alias still."""

    text: str
    nomatch: bool = False
    origin: Origin | None = None


class _MadeSet(NamedTuple):
    """A set with all its entries, in whose names' terms they are, and where it stands."""

    name: SetName
    members: tuple[Member, ...]
    scope: Scope
    origin: Origin | None = None


def ipset_lines(node: Node, local: Address) -> list[Line]:
    """Return what pve-firewall gives to `ipset restore`."""
    lines: dict[str, list[Line]] = {}
    for made in _all_sets(node, local):
        for version in (4, 6):
            lines[made.name.for_version(version)] = _set_lines(made, version)
    return [line for name in sorted(lines) for line in lines[name]]


def _all_sets(node: Node, local: Address) -> Iterator[_MadeSet]:
    for guest in node.guests:
        yield from _guest_sets(node, guest)
    # the cluster's network is put into `management` twice; the second time only makes room for one more
    network = Member(local.text, origin=local.origin)
    own = node.cluster.sets.get("management")
    yield _made_set(CLUSTER_SETS, "management", own, (network, network), node.scope())
    for name, section in node.cluster.sets.items():
        if name != "management":
            yield _made_set(CLUSTER_SETS, name, section, (), node.scope())
    if node.config.sdn is not None:  # PVE makes these last: where the data center has a set of the name, it is lost
        for name, entries in node.config.sdn.ipsets:
            members = tuple(Member(entry.address, entry.nomatch) for entry in entries)
            yield _MadeSet(SetName(CLUSTER_SETS, name), members, node.scope())


def _guest_sets(node: Node, guest: CheckedGuest) -> Iterator[_MadeSet]:
    """Yield a guest's sets, whether its firewall is on or not."""
    of_devices = {f"ipfilter-{device.name}": _device_members(device) for device in filtered_devices(guest)}
    names = dict.fromkeys(guest.file.sets)
    if guest.file.options.flag("ipfilter", default=False):
        names.update(dict.fromkeys(of_devices))
    for name in names:
        section = guest.file.sets.get(name)
        yield _made_set(guest.conf.vmid, name, section, of_devices.get(name, ()), node.scope(guest))


def _made_set(vmid: int, name: str, section: SetSection | None, more: Sequence[Member], scope: Scope) -> _MadeSet:
    entries = section.entries if section is not None else ()
    members = [Member(entry.address.text, entry.nomatch, entry.origin) for entry in entries]
    origin = section.section.origin if section is not None and section.section is not None else None
    return _MadeSet(SetName(vmid, name), (*members, *more), scope, origin or next((item.origin for item in more), None))


def _device_members(device: NetworkDevice) -> tuple[Member, ...]:
    members = []
    if device.mac:
        members.append(Member(link_local(device.mac), origin=device.origin))
    members.append(Member("fe80::/10", nomatch=True, origin=device.origin))
    members.extend(Member(address, origin=device.origin) for address in own_addresses(device))
    return tuple(members)


def link_local(mac: str) -> str:
    """Return the link-local address that a MAC leads to (RFC 4291, modified EUI-64)."""
    parts = [int(part, 16) for part in mac.split(":")]
    identifier = bytes([parts[0] ^ 2, *parts[1:3], 0xFF, 0xFE, *parts[3:]])
    return str(IPv6Address(b"\xfe\x80" + bytes(6) + identifier))


def _set_lines(made: _MadeSet, version: int) -> list[Line]:
    name = made.name.for_version(version)
    size = _room_for(len(made.members))
    create = f"create {name} hash:net family {_FAMILIES[version]} hashsize {size} maxelem {size} bucketsize {_BUCKET}"
    entries: dict[str, Member] = {}
    for member in made.members:
        address = _resolved(member, made.scope)
        if address is not None and address.version == version:
            entries[address.text] = member
    add = [
        Line(f"add {name} {text}{' nomatch' if entries[text].nomatch else ''}", entries[text].origin)
        for text in sorted(entries)
    ]
    return [Line(create, made.origin), *add]


def _resolved(member: Member, scope: Scope) -> Address | None:
    """Return a member's address as the set has it; names were checked when the file was read."""
    address = scope.alias(member.text) if ALIAS.fullmatch(member.text) else read_address(member.text)
    if address is None or address.version == 4:
        return address
    text, slash, length = address.text.partition("/")
    return read_address(f"{IPv6Address(text).compressed}{slash}{length}")


def _room_for(count: int) -> int:
    """Return the size that PVE gives a set: a power of two, and 64 at least."""
    return _SMALLEST if count <= _SMALLEST else 1 << (count - 1).bit_length()
