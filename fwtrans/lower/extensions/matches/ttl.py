"""`-m ttl`: the time to live. IPv6 has `-m hl` for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir.fields import IP_TTL
from fwtrans.ir.match import FieldTest, negated_if
from fwtrans.lower.extensions.base import IP_ONLY, Match, Place, Use
from fwtrans.lower.values import range_set, read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step

_OPTIONS = ("--ttl-eq", "--ttl-lt", "--ttl-gt")


def _lower(use: Use, _place: Place) -> tuple[Step, ...]:
    use.exclusive(*_OPTIONS)
    if not use.options:
        raise Refused("FWT116", "`ttl` needs `--ttl-eq`, `--ttl-lt` or `--ttl-gt`", option="ttl")
    option = use.options[0]
    bound = read_number(option.values[0], option.name, high=255)
    low = bound + 1 if option.name == "--ttl-gt" else 0 if option.name == "--ttl-lt" else bound
    high = bound - 1 if option.name == "--ttl-lt" else 255 if option.name == "--ttl-gt" else bound
    return (negated_if(FieldTest(IP_TTL, range_set(8, low, high)), option.negated),)


EXTENSION = Match(
    name="ttl",
    families=IP_ONLY,
    options=(
        Option(name="--ttl-eq", aliases=("--ttl",), negatable=True),
        Option(name="--ttl-lt"),
        Option(name="--ttl-gt"),
    ),
    lower=_lower,
)
