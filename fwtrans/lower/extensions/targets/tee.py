"""`-j TEE`: sends a copy of the packet to a gateway; the packet itself goes on.

nft's `dup to` runs the same kernel code (net/ipv4/netfilter/nf_dup_ipv4.c). It finds the device when the rules are loaded,
where iptables follows the name while devices come and go.
"""

from __future__ import annotations

from fwtrans.ir.effect import Duplicate
from fwtrans.lower.extensions.base import BOTH, Outcome, Place, Target, Use
from fwtrans.lower.values import bad_value, read_host
from fwtrans.parsers.iptables_save.options import Option

_NAME_BYTES = 15


def _lower(use: Use, place: Place) -> Outcome:
    text = use.need("--gateway").values[0]
    gateway = read_host(text, "--gateway", place.family)
    if gateway == 0:
        raise bad_value(text, "a gateway: the kernel refuses the unspecified address", "--gateway")
    device = use.value("--oif")
    if len(device.encode()) > _NAME_BYTES:
        device = device.encode()[:_NAME_BYTES].decode("utf-8", "ignore")
    if device:
        place.assume(f"device {device} is there when the rules are loaded, and stays: nftables copies to it by number")
    return Outcome((Duplicate(gateway, device),))


EXTENSION = Target(
    name="TEE",
    families=BOTH,
    options=(Option(name="--gateway"), Option(name="--oif")),
    lower=_lower,
    in_context=True,
)
