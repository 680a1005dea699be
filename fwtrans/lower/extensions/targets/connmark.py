"""`-j CONNMARK`: sets the connection's mark, or copies between it and the packet's mark.

    --set-xmark v/m     ct = ((ct & ~m) ^ v) shifted
    --save-mark         ct = (ct & ~ctmask) ^ ((mark & nfmask) shifted)
    --restore-mark      mark = (mark & ~nfmask) ^ ((ct & ctmask) shifted)

Shifts came with revision 2 of the target (Linux 4.17); iptables-save prints them. The kernel refuses shifts of 32 bits.
With a shift, the bits of the packet's mark that --save-mark shifts out are lost, as in C.
Where the packet has no connection nothing happens, and the next rule goes on (net/netfilter/xt_connmark.c, Linux 6.1);
the same is true of nftables' statements, because the field is not there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir.effect import Assign, BitsOf
from fwtrans.ir.fields import CT_MARK, MARK
from fwtrans.lower.extensions.base import BOTH, Outcome, Place, Target, Use
from fwtrans.lower.extensions.targets.mark import ALL_BITS, SETTERS, read_operation
from fwtrans.lower.values import read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.parsers.iptables_save.syntax import OptionUse

_ACTIONS = (*SETTERS, "--save-mark", "--restore-mark")


@dataclass(slots=True)
class _Registers:
    """What iptables fills in as it reads the options: a later one overwrites an earlier one."""

    ctmark: int = 0
    ctmask: int = ALL_BITS
    nfmask: int = ALL_BITS
    shift: int = 0

    def read(self, option: OptionUse) -> None:
        name = option.name
        if name in SETTERS:
            operation = read_operation(option)
            self.ctmask, self.ctmark = ALL_BITS & ~operation.keep, operation.constant
        elif name in {"--left-shift-mark", "--right-shift-mark"}:
            bits = read_number(option.values[0], name, high=31)
            self.shift = bits if name == "--left-shift-mark" else -bits
        elif name == "--ctmask":
            self.ctmask = read_number(option.values[0], name)
        elif name == "--nfmask":
            self.nfmask = read_number(option.values[0], name)
        elif name == "--mask":
            self.ctmask = self.nfmask = read_number(option.values[0], name)

    def set(self) -> Assign:
        """Return ct = ((ct & ~ctmask) ^ ctmark) shifted."""
        keep = ALL_BITS & ~self.ctmask
        if not self.shift:
            return Assign(CT_MARK, keep, self.ctmark)
        moved = self.ctmark << self.shift if self.shift > 0 else self.ctmark >> -self.shift
        return Assign(CT_MARK, 0, moved & ALL_BITS, BitsOf(CT_MARK, keep, self.shift))

    def save(self) -> Assign:
        """Return ct = (ct & ~ctmask) ^ ((mark & nfmask) shifted)."""
        return Assign(CT_MARK, ALL_BITS & ~self.ctmask, 0, BitsOf(MARK, self.nfmask, self.shift))

    def restore(self) -> Assign:
        """Return mark = (mark & ~nfmask) ^ ((ct & ctmask) shifted)."""
        return Assign(MARK, ALL_BITS & ~self.nfmask, 0, BitsOf(CT_MARK, self.ctmask, self.shift))


def _lower(use: Use, _place: Place) -> Outcome:
    use.exclusive(*_ACTIONS)
    use.exclusive("--mask", "--nfmask")
    use.exclusive("--mask", "--ctmask")
    action = next((option for option in use.options if option.name in _ACTIONS), None)
    if action is None:
        raise Refused("FWT116", f"`CONNMARK` needs one of `{'`, `'.join(_ACTIONS)}`", option="CONNMARK")
    registers = _Registers()
    for option in use.options:
        registers.read(option)
    if action.name == "--save-mark":
        return Outcome((registers.save(),))
    if action.name == "--restore-mark":
        return Outcome((registers.restore(),))
    return Outcome((registers.set(),))


EXTENSION = Target(
    name="CONNMARK",
    families=BOTH,
    options=(
        *(Option(name=name) for name in SETTERS),
        Option(name="--save-mark", arity=0),
        Option(name="--restore-mark", arity=0),
        Option(name="--nfmask"),
        Option(name="--ctmask"),
        Option(name="--mask"),
        Option(name="--left-shift-mark"),
        Option(name="--right-shift-mark"),
    ),
    lower=_lower,
)
