"""Where the kernel lets a target stand.

Each xt target names the hooks it may be reached from; a rule elsewhere is refused when the ruleset is loaded. A user
chain counts as every built-in chain that leads to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused

if TYPE_CHECKING:
    from fwtrans.lower.extensions.base import Place, Use

# iptables' tables by what the targets that change packets demand.
MANGLE = frozenset({"mangle"})
NAT = frozenset({"nat"})
RAW = frozenset({"raw"})
SECURITY = frozenset({"mangle", "security"})

# The hooks before and behind routing, as the NAT targets need them.
TO_DESTINATION = frozenset({"PREROUTING", "OUTPUT"})
TO_SOURCE = frozenset({"POSTROUTING", "INPUT"})
WITH_ROUTE = frozenset({"FORWARD", "OUTPUT", "POSTROUTING"})


def require_hooks(use: Use, place: Place, allowed: frozenset[str], *, option: str = "") -> None:
    """Refuse the use where its chain is reached from a built-in chain that the kernel does not allow."""
    wrong = sorted(place.hooks - allowed)
    if wrong:
        what = f"`{use.name} {option}`" if option else f"`{use.name}`"
        where = ", ".join(sorted(allowed))
        raise Refused(
            "FWT117",
            f"{what} is legal in chains reached from {where}, and this one is reached from {wrong[0]}",
            option=option or use.name,
        )
