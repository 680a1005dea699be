"""Do guests share what is made for them? Where a bridge has one or two, a map for all takes longer than a rule for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.fields import IIFNAME, OIFNAME, Family
from fwtrans.ir.names import NamePattern
from fwtrans.ir.remembering import once
from fwtrans.ir.sets import keys_of

if TYPE_CHECKING:
    from fwtrans.ir.ruleset import Table

_PORTS = frozenset((IIFNAME, OIFNAME))
_FEW_GUESTS = 2


@once
def has_many_guests(table: Table) -> bool:
    """Tell whether maps of a bridge's table tell more than two ports apart."""
    if table.family is not Family.BRIDGE:
        return False
    named = (part for item in table.maps for part in keys_of(item, _PORTS) if isinstance(part, NamePattern))
    return len({part.text for part in named}) > _FEW_GUESTS
