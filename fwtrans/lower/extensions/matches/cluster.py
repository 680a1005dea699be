"""`-m cluster`: this node's share of the connections, by a hash of their source address. Refused.

The hash is one that nftables has as well (jhash of the original source address, scaled to the number of nodes, with the
same seed). But a connection that another one expected (FTP data) goes where that one went, by a hash of *its* source
address, which nftables cannot read; and the match makes unicast packets in multicast frames look like packets for this host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use, no_exact_form
from fwtrans.lower.values import bad_value, read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step

_MOST_NODES = 32


def _lower(use: Use, _place: Place) -> tuple[Step, ...]:
    use.exclusive("--cluster-local-node", "--cluster-local-nodemask")
    total = read_number(use.need("--cluster-total-nodes").values[0], "--cluster-total-nodes", low=1, high=_MOST_NODES)
    read_number(use.need("--cluster-hash-seed").values[0], "--cluster-hash-seed")
    option = use.find("--cluster-local-node") or use.find("--cluster-local-nodemask")
    if option is None:
        raise Refused(
            "FWT116", "`cluster` needs `--cluster-local-node` or `--cluster-local-nodemask`", option="cluster"
        )
    value = read_number(option.values[0], option.name, low=1, high=_MOST_NODES)
    mask = 1 << (value - 1) if option.name == "--cluster-local-node" else value
    if mask >= 1 << total:
        raise bad_value(option.values[0], f"among the {total} nodes of `--cluster-total-nodes`", option.name)
    raise no_exact_form(
        "cluster",
        "a connection that another one expected belongs to the node of that one, whose address nftables cannot read",
        option="cluster",
    )


EXTENSION = Match(
    name="cluster",
    families=BOTH,
    options=(
        Option(name="--cluster-total-nodes"),
        Option(name="--cluster-local-node", negatable=True),
        Option(name="--cluster-local-nodemask", negatable=True),
        Option(name="--cluster-hash-seed"),
    ),
    lower=_lower,
)
