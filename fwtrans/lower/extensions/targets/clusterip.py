"""`-j CLUSTERIP`: several nodes share one address, each answering for its part of the connections; IPv4, INPUT only.

The target answers ARP for the address with a multicast MAC, keeps which nodes this machine stands in for in
/proc/net/ipt_CLUSTERIP, and drops what belongs to others. It has no nftables form.
"""

from __future__ import annotations

from fwtrans.diagnostics import Refused
from fwtrans.lower.extensions.base import IP_ONLY, Outcome, Place, Target, Use, no_exact_form
from fwtrans.lower.values import bad_value, read_mac, read_number
from fwtrans.parsers.iptables_save.options import Option

_MODES = frozenset({"sourceip", "sourceip-sourceport", "sourceip-sourceport-destport"})
_NODES = 16
_NEW_CLUSTER = ("--new", "--hashmode", "--clustermac", "--total-nodes", "--local-node")


def _lower(use: Use, _place: Place) -> Outcome:
    if use.options:
        for name in _NEW_CLUSTER:
            use.need(name)
        if use.value("--hashmode") not in _MODES:
            raise bad_value(use.value("--hashmode"), "a hash mode: " + ", ".join(sorted(_MODES)), "--hashmode")
        if not read_mac(use.value("--clustermac"), "--clustermac") >> 40 & 1:
            raise Refused(
                "FWT112", f"`{use.value('--clustermac')}` is not a multicast MAC address", option="--clustermac"
            )
        for name in ("--total-nodes", "--local-node"):
            read_number(use.value(name), name, high=_NODES)
        read_number(use.value("--hash-init", "0"), "--hash-init")
    raise no_exact_form(
        "CLUSTERIP",
        "besides choosing connections by a hash it answers ARP with a multicast MAC address and keeps the nodes in "
        "/proc, which nftables does not do",
        hint="the match `cluster` with a multicast address set by hand took its place",
    )


EXTENSION = Target(
    name="CLUSTERIP",
    families=IP_ONLY,
    options=(
        Option(name="--new", arity=0),
        Option(name="--hashmode"),
        Option(name="--clustermac"),
        Option(name="--total-nodes"),
        Option(name="--local-node"),
        Option(name="--hash-init"),
    ),
    lower=_lower,
)
