"""`-m nfacct`: counts the packet under a name of its own and goes on; nftables' named counters do the same.

An accounting object may also hold a quota, and then the match is true only once it is used up; a dump does not show it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.effect import Count
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use
from fwtrans.lower.values import bad_value
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step

_LONGEST = 31


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    option = use.need("--nfacct-name")
    name = option.values[0]
    if not 1 <= len(name.encode()) <= _LONGEST:
        raise bad_value(name, "a name of 1 to 31 bytes", option.name)
    place.assume(f"the accounting object `{name}` has no quota; it becomes a named counter and starts from 0")
    return (Count(name=name),)


EXTENSION = Match(
    name="nfacct",
    families=BOTH,
    options=(Option(name="--nfacct-name"),),
    lower=_lower,
    in_context=True,
)
