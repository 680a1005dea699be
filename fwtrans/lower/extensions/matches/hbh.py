"""`-m hbh`: the IPv6 hop-by-hop options header and its length; `-m dst` is the same for the destination options header.

Which options are inside cannot be asked: nftables 1.0.6 has the fixed fields of these headers only, and where an option
stands depends on all that come before it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fwtrans.ir.fields import header_field, header_present
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest, negated_if, present
from fwtrans.lower.extensions.base import IP6_ONLY, Match, Place, Use, no_exact_form
from fwtrans.lower.values import bad_value, read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step
    from fwtrans.parsers.iptables_save.syntax import OptionUse

_MOST_OPTIONS = 16


def _length(option: OptionUse, header: str) -> FieldTest:
    """Return the test of the length in bytes; the header holds it in units of eight bytes less one."""
    units, rest = divmod(read_number(option.values[0], option.name), 8)
    values = IntervalSet.empty(8) if rest or not 1 <= units <= 256 else IntervalSet.single(8, units - 1)
    return negated_if(FieldTest(header_field("exthdr", header, "hdrlength", 8), values), option.negated)


def _refuse_options(option: OptionUse, header: str) -> None:
    parts = option.values[0].split(",")
    well_formed = all(re.fullmatch(r"(0[xX][0-9a-fA-F]+|[0-9]+)(:(0[xX][0-9a-fA-F]+|[0-9]+))?", part) for part in parts)
    if not well_formed or len(parts) > _MOST_OPTIONS:
        raise bad_value(option.values[0], "a list of at most 16 options TYPE[:LENGTH]", option.name)
    raise no_exact_form(
        header, "nftables 1.0.6 reads the length of this header, not the options inside", option=option.name
    )


def options_header(name: str) -> Match:
    """Return the match of one of the two headers that hold options."""

    def lower(use: Use, _place: Place) -> tuple[Step, ...]:
        steps: list[Step] = [present(header_present("exthdr", name))]
        for option in use.options:
            if option.name == f"--{name}-opts":
                _refuse_options(option, name)
            steps.append(_length(option, name))
        return tuple(steps)

    options = (Option(name=f"--{name}-len", negatable=True), Option(name=f"--{name}-opts"))
    return Match(name=name, families=IP6_ONLY, options=options, lower=lower)


EXTENSION = options_header("hbh")
