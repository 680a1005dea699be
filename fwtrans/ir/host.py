"""What is known of the host beside its rules: a ruleset can mean different things on different hosts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Interface, IPv6Interface


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The host's addresses with their networks, and the hardware address of the guest behind a port.

    `bridged` says whether bridged packets pass iptables (bridge-nf-call-iptables); None where nobody said.
    """

    addresses: tuple[IPv4Interface | IPv6Interface, ...] = ()
    hardware: Mapping[str, int] = field(default_factory=dict)
    bridged: bool | None = None

    def joined(self, other: Host) -> Host:
        """Return what either says; where both say something, the other's word counts."""
        return Host(
            addresses=tuple(dict.fromkeys((*self.addresses, *other.addresses))),
            hardware={**self.hardware, **other.hardware},
            bridged=self.bridged if other.bridged is None else other.bridged,
        )
