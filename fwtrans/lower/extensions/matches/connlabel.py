"""`-m connlabel`: one of 128 bits of a connection, asked for, or set and then true.

A packet without a connection entry counts as one whose bit is clear. With `--set` the kernel sets the bit on the way, so
that for a connection that can have labels the answer is always yes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir.effect import Assign
from fwtrans.ir.fields import CT_LABEL, HAS_CONNTRACK
from fwtrans.ir.match import AnyOf, bits, opposite, present
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use, no_exact_form
from fwtrans.lower.values import read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step
    from fwtrans.parsers.iptables_save.syntax import OptionUse

_LARGEST = 127


def _number(option: OptionUse) -> int:
    text = option.values[0]
    if not text[:1].isdigit():
        raise Refused(
            "FWT112",
            f"label `{text}` is a name",
            option=option.name,
            hint="what names mean stands in /etc/xtables/connlabel.conf of the machine: write the number",
        )
    return read_number(text, option.name, high=_LARGEST)


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    option = use.need("--label")
    bit = 1 << _number(option)
    test = bits(CT_LABEL, bit, bit)
    if not use.has("--set"):
        return (AnyOf(opposite(test)),) if option.negated else (test,)
    if option.negated:
        raise no_exact_form(
            "connlabel",
            "`! --label --set` sets the bit of every connection and then matches only packets without one; an nftables rule cannot change what it does not match",
            option="--set",
        )
    place.assume("connlabel: connections can have labels, as all can that began after a rule with labels was loaded")
    ones = (1 << CT_LABEL.width) - 1
    return (present(HAS_CONNTRACK), Assign(CT_LABEL, ones & ~bit, bit))


EXTENSION = Match(
    name="connlabel",
    families=BOTH,
    options=(Option(name="--label", negatable=True), Option(name="--set", arity=0)),
    lower=_lower,
    in_context=True,
)
