"""`-m ipcomp`: the CPI of an IPComp header.

Without `--ipcompspi` iptables asks for CPI 0, as it leaves the range at its zeroes. The kernel does not look at what
`--compres` asks for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.fields import COMP_CPI, HAS_TRANSPORT
from fwtrans.ir.match import FieldTest, negated_if, present
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use
from fwtrans.lower.values import range_set, read_loose_range
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step

_LARGEST_CPI = 0xFFFF


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    place.require_protocol("ipcomp", 108)
    low, high = read_loose_range(use.value("--ipcompspi", "0"), "--ipcompspi")
    test = FieldTest(COMP_CPI, range_set(16, low, min(high, _LARGEST_CPI)))
    return (present(HAS_TRANSPORT), negated_if(test, use.negated("--ipcompspi")))


EXTENSION = Match(
    name="ipcomp",
    families=BOTH,
    options=(Option(name="--ipcompspi", negatable=True), Option(name="--compres", arity=0)),
    lower=_lower,
)
