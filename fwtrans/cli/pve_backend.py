"""The option that says which of Proxmox VE's two backends a configuration is read for."""

from enum import Enum
from typing import Annotated

import typer


class PveBackend(Enum):
    """What makes rules of a Proxmox VE configuration: pve-firewall, or proxmox-firewall, which knows more of it."""

    IPTABLES = "iptables"
    NFTABLES = "nftables"


PveBackendOption = Annotated[
    PveBackend,
    typer.Option(
        "--pve-backend",
        help="Read a Proxmox VE configuration for this backend: nftables adds FORWARD rules and firewalls of vnets",
    ),
]
