"""`-m hl`: the hop limit of IPv6."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir.fields import IP6_HOPLIMIT
from fwtrans.ir.match import FieldTest, negated_if
from fwtrans.lower.extensions.base import IP6_ONLY, Match, Place, Use
from fwtrans.lower.values import range_set, read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step

_NAMES = ("--hl-eq", "--hl", "--hl-lt", "--hl-gt")


def _lower(use: Use, _place: Place) -> tuple[Step, ...]:
    use.exclusive(*_NAMES)
    if not use.options:
        raise Refused("FWT116", "`hl` needs one of `--hl-eq`, `--hl-lt`, `--hl-gt`", option="hl")
    option = use.options[0]
    value = read_number(option.values[0], option.name, high=255)
    low, high = {"--hl-lt": (0, value - 1), "--hl-gt": (value + 1, 255)}.get(option.name, (value, value))
    return (negated_if(FieldTest(IP6_HOPLIMIT, range_set(8, low, high)), option.negated),)


EXTENSION = Match(
    name="hl",
    families=IP6_ONLY,
    options=(
        Option(name="--hl-eq", negatable=True),
        Option(name="--hl"),
        Option(name="--hl-lt"),
        Option(name="--hl-gt"),
    ),
    lower=_lower,
)
