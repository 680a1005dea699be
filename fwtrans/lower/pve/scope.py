"""What the names in rules stand for: aliases and sets of the data center, of the file itself, and of SDN.

`x` is the file's own, else the data center's, and of sets else SDN's; `guest/x`, `dc/x` and `sdn/x` say which. PVE looks names up while it reads, so a
rule sees only what stands above it; when the commands are made, the last definition of a name counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.parsers.pve.values import ALIAS, IPSET, without_full_prefix

if TYPE_CHECKING:
    from fwtrans.source import Origin

CLUSTER_SETS = 0
"""The guest's number that stands in the names of sets of the data center and of SDN."""

LONGEST_SET_ID = 31 - len("PVEFW-") - len("_swap")
_OFFSET, _PRIME = 0x811C9DC5, 0x01000193


class Address(NamedTuple):
    """An address or network as PVE keeps it (hosts without a length), and its IP version."""

    text: str
    version: int
    origin: Origin | None = None


class SetName(NamedTuple):
    """Whose set (CLUSTER_SETS or a guest) and its name."""

    vmid: int
    name: str

    def for_version(self, version: int) -> str:
        """Return the name in the kernel. It has room for 31 letters, so long ones become a hash of 31 bits."""
        name = f"{self.vmid}-{self.name}-v{version}"
        return f"PVEFW-{name if len(name) <= LONGEST_SET_ID else format(_hash(name), 'X')}"


def _hash(text: str) -> int:
    """Return FNV-1a of 32 bits without its top bit."""
    value = _OFFSET
    for byte in text.encode("utf-8", errors="surrogateescape"):
        value = (value ^ byte) * _PRIME & 0xFFFFFFFF
    return value & 0x7FFFFFFF


def read_address(text: str, origin: Origin | None = None) -> Address:
    """Return an address as PVE keeps it."""
    return Address(without_full_prefix(text), 6 if ":" in text else 4, origin)


@dataclass(slots=True)
class Names:
    """The aliases (in lower case) and sets that a file has defined so far."""

    aliases: dict[str, Address] = field(default_factory=dict)
    sets: set[str] = field(default_factory=set)


class Scope(NamedTuple):
    """What a rule can name. `own` is None where a file cannot have names of its own, or may not use them."""

    cluster: Names
    own: Names | None = None
    vmid: int = CLUSTER_SETS
    sdn: frozenset[str] = frozenset()

    def alias(self, text: str) -> Address | None:
        """Return what an alias stands for."""
        found = ALIAS.fullmatch(text)
        if found is None:
            return None
        scope, name = found[1], found[2].lower()
        if scope != "dc/" and self.own is not None and name in self.own.aliases:
            return self.own.aliases[name]
        return self.cluster.aliases.get(name) if scope != "guest/" else None

    def ipset(self, text: str) -> SetName | None:
        """Return the set that `+name` means."""
        found = IPSET.fullmatch(text)
        if found is None:
            return None
        scope, name = found[1], found[2]
        if scope in {None, "guest/"} and self.own is not None and name in self.own.sets:
            return SetName(self.vmid, name)
        of_cluster = scope in {None, "dc/"} and name in self.cluster.sets
        of_sdn = scope in {None, "sdn/"} and name in self.sdn
        return SetName(CLUSTER_SETS, name) if of_cluster or of_sdn else None

    def has_elsewhere(self, text: str) -> bool:
        """Tell whether the name of `dc/x`, `+guest/x` ... is there, be it in another place than the one it asks for."""
        name = text.rpartition("/")[2] if "/" in text else text.removeprefix("+")
        names = (self.cluster, *((self.own,) if self.own is not None else ()))
        if text.startswith("+"):
            return name in self.sdn or any(name in each.sets for each in names)
        return any(name.lower() in each.aliases for each in names)
