"""What the output has to load on: a version of nft and of the kernel. It decides what may be printed."""

from __future__ import annotations

from typing import NamedTuple


class Target(NamedTuple):
    """A version of nft (major, minor, patch) and of the kernel (major, minor)."""

    name: str
    nft: tuple[int, int, int]
    kernel: tuple[int, int]


DEBIAN_12 = Target("debian12", (1, 0, 6), (6, 1))
"""Debian 12 and Proxmox VE 8; what is printed for it loads on all later ones too."""

DEBIAN_13 = Target("debian13", (1, 1, 3), (6, 12))
"""Debian 13 and Proxmox VE 9."""

TARGETS = {target.name: target for target in (DEBIAN_12, DEBIAN_13)}
