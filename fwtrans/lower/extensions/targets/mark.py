"""`-j MARK`: sets the packet's mark, bit by bit: new = (old & ~mask) ^ value."""

from __future__ import annotations

from fwtrans.diagnostics import Refused
from fwtrans.ir.effect import Assign
from fwtrans.ir.fields import MARK
from fwtrans.lower.extensions.base import BOTH, Outcome, Place, Target, Use
from fwtrans.lower.values import read_number, read_value_mask
from fwtrans.parsers.iptables_save.options import Option

_ONES = 0xFFFFFFFF


def _lower(use: Use, _place: Place) -> Outcome:
    if not use.options:
        raise Refused(
            "FWT116",
            "`MARK` needs one of `--set-xmark`, `--set-mark`, `--and-mark`, `--or-mark`, `--xor-mark`",
            option="MARK",
        )
    option = use.options[-1]
    text, name = option.values[0], option.name
    if name in {"--set-xmark", "--set-mark"}:
        value, mask = read_value_mask(text, name)
        # --set-mark ORs the value into the mask, so bits outside the mask are set too
        keep = _ONES & ~(mask | value if name == "--set-mark" else mask)
    elif name == "--and-mark":
        keep, value = read_number(text, name), 0
    elif name == "--or-mark":
        value = read_number(text, name)
        keep = _ONES & ~value
    else:
        keep, value = _ONES, read_number(text, name)
    return Outcome((Assign(MARK, keep, value),))


EXTENSION = Target(
    name="MARK",
    families=BOTH,
    options=(
        Option(name="--set-xmark"),
        Option(name="--set-mark"),
        Option(name="--and-mark"),
        Option(name="--or-mark"),
        Option(name="--xor-mark"),
    ),
    lower=_lower,
)
