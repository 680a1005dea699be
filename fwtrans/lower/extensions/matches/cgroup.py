"""`-m cgroup`: the class id of the sending (or receiving) socket's cgroup. False where there is no socket.

A path of the unified hierarchy is refused: nftables asks for the ancestor at a level, which has no answer, negated or
not, for a socket that lies higher; it looks for a socket by itself where iptables does not; and it takes the path for a
number when the ruleset is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir.bits import BitSet
from fwtrans.ir.fields import CGROUP
from fwtrans.ir.match import FieldTest, negated_if
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use, no_exact_form
from fwtrans.lower.extensions.targets.placement import require_hooks
from fwtrans.lower.values import read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step

_HOOKS = frozenset({"INPUT", "OUTPUT", "POSTROUTING"})


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    use.exclusive("--path", "--cgroup")
    if not use.options:
        raise Refused("FWT116", "`cgroup` needs `--cgroup` or `--path`", option="cgroup")
    require_hooks(use, place, _HOOKS)
    option = use.options[0]
    if option.name == "--path":
        raise no_exact_form(
            "cgroup",
            "`socket cgroupv2` has no answer for sockets above the level it asks for, and finds sockets where iptables sees none",
            option="--path",
        )
    value = BitSet.exact(32, read_number(option.values[0], option.name))
    return (negated_if(FieldTest(CGROUP, value), option.negated),)


EXTENSION = Match(
    name="cgroup",
    families=BOTH,
    options=(Option(name="--path", negatable=True), Option(name="--cgroup", negatable=True)),
    lower=_lower,
    in_context=True,
)
