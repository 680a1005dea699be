"""TTL and hop limit: set, or raise or lower by a number of hops, staying within 0 to 255."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir.effect import Assign, AssignFromTable
from fwtrans.lower.extensions.base import Outcome, Use
from fwtrans.lower.values import read_number

if TYPE_CHECKING:
    from fwtrans.ir.fields import Field

_MOST = 255


def lower_hop_count(use: Use, field: Field, prefix: str) -> Outcome:
    """Return what `--PREFIX-set`, `--PREFIX-inc` or `--PREFIX-dec` does to the field."""
    actions = tuple(f"--{prefix}-{word}" for word in ("set", "inc", "dec"))
    use.exclusive(*actions)
    if not use.options:
        raise Refused("FWT116", f"`{use.name}` needs one of `{'`, `'.join(actions)}`", option=use.name)
    name, text = use.options[0].name, use.options[0].values[0]
    if name.endswith("-set"):
        return Outcome((Assign(field, 0, read_number(text, name, high=_MOST)),))
    change = read_number(text, name, low=1, high=_MOST)
    if name.endswith("-dec"):
        change = -change
    if abs(change) == _MOST:
        return Outcome((Assign(field, 0, max(change, 0)),))
    table = tuple((old, min(max(old + change, 0), _MOST)) for old in range(_MOST + 1))
    return Outcome((AssignFromTable(field, table),))
