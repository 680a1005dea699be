"""`-m realm`: the routing realm, 16 bits of the source's above 16 of the destination's.

Names come from /etc/iproute2/rt_realms of the machine where the rule was made; only `cosmos` is the same everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir.fields import REALM
from fwtrans.ir.match import bits, negated_if
from fwtrans.lower.extensions.base import IP_ONLY, Match, Place, Use
from fwtrans.lower.values import read_value_mask
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step


def _lower(use: Use, _place: Place) -> tuple[Step, ...]:
    option = use.need("--realm")
    text = option.values[0]
    if text[:1].isalpha() and text != "cosmos":
        raise Refused(
            "FWT112", f"`{text}` is not a realm's number", option=option.name,
            hint="the names of realms are those of one machine: write the number from its /etc/iproute2/rt_realms",
        )  # fmt: skip
    value, mask = read_value_mask("0" if text == "cosmos" else text, option.name)
    return (negated_if(bits(REALM, mask, value), option.negated),)


EXTENSION = Match(
    name="realm",
    families=IP_ONLY,
    options=(Option(name="--realm", negatable=True),),
    lower=_lower,
    hooks=frozenset({"INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}),
)
