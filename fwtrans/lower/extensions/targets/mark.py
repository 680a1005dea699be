"""`-j MARK`: sets the packet's mark, bit by bit: new = (old & ~mask) ^ value."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.diagnostics import Refused
from fwtrans.ir.effect import Assign
from fwtrans.ir.fields import MARK
from fwtrans.lower.extensions.base import BOTH, Outcome, Place, Target, Use
from fwtrans.lower.values import read_number, read_value_mask
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.parsers.iptables_save.syntax import OptionUse

ALL_BITS = 0xFFFFFFFF

# The ways to write the same operation; iptables-save prints the first.
SETTERS = ("--set-xmark", "--set-mark", "--and-mark", "--or-mark", "--xor-mark")


class Operation(NamedTuple):
    """new = (old & keep) ^ constant."""

    keep: int
    constant: int


def read_operation(option: OptionUse) -> Operation:
    """Return what one of the `SETTERS` does to a mark of 32 bits."""
    name, text = option.name, option.values[0]
    if name in {"--set-xmark", "--set-mark"}:
        value, mask = read_value_mask(text, name)
        # --set-mark ORs the value into the mask, so bits outside the mask are set too
        return Operation(ALL_BITS & ~(mask | value if name == "--set-mark" else mask), value)
    value = read_number(text, name)
    if name == "--and-mark":
        return Operation(value, 0)
    if name == "--or-mark":
        return Operation(ALL_BITS & ~value, value)
    return Operation(ALL_BITS, value)


def _lower(use: Use, _place: Place) -> Outcome:
    use.exclusive(*SETTERS)
    if not use.options:
        raise Refused("FWT116", f"`MARK` needs one of `{'`, `'.join(SETTERS)}`", option="MARK")
    keep, constant = read_operation(use.options[0])
    return Outcome((Assign(MARK, keep, constant),))


EXTENSION = Target(
    name="MARK",
    families=BOTH,
    options=tuple(Option(name=name) for name in SETTERS),
    lower=_lower,
)
