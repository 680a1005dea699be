"""`-m physdev`: the bridge ports that a packet came in by and leaves by, as br_netfilter remembers them.

net/netfilter/xt_physdev.c: a packet that never came in by a bridge port makes every negated test true and every other
one false. One that came in by a port and is routed or is for the host has a port in but none out; for it
`! --physdev-out` is false too, whatever it names. `--physdev-is-bridged` asks, like `--physdev-is-out`, for a port out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir.fields import BRIDGED, PORT_IN, PORT_OUT
from fwtrans.ir.match import AnyOf, FieldTest, PureTest, absent, negated, negated_if, present
from fwtrans.ir.names import NameSet
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use
from fwtrans.lower.values import read_interface
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step
    from fwtrans.parsers.iptables_save.syntax import OptionUse

# The name of no port is empty.
_NO_PORT = NameSet.exact("")


def _names(option: OptionUse) -> NameSet:
    """Return the ports meant; iptables takes an empty name, and it stands for any port, like `+`."""
    text = option.values[0]
    return (read_interface(text, option.name) if text else NameSet.full()).difference(_NO_PORT)


def _lower_option(option: OptionUse) -> PureTest:
    if option.name == "--physdev-in":
        return negated_if(FieldTest(PORT_IN, _names(option)), option.negated)
    if option.name == "--physdev-out":
        plain = FieldTest(PORT_OUT, _names(option))
        if not option.negated:
            return plain
        others = FieldTest(PORT_OUT, plain.values.complement().difference(_NO_PORT))  # type: ignore[arg-type] # names
        return AnyOf(((FieldTest(PORT_IN, _NO_PORT),), (others,)))
    if option.name == "--physdev-is-bridged":
        return absent(BRIDGED) if option.negated else present(BRIDGED)
    none = FieldTest(PORT_IN if option.name == "--physdev-is-in" else PORT_OUT, _NO_PORT)
    return none if option.negated else negated(none)


def _check_output(use: Use, place: Place) -> None:
    """Refuse what the kernel refuses: on OUTPUT the way out is not known yet, except for bridged packets."""
    bridged = use.has("--physdev-is-bridged") and not use.negated("--physdev-is-bridged")
    if "OUTPUT" not in place.hooks or bridged:
        return
    for name in ("--physdev-out", "--physdev-is-out"):
        if use.has(name):
            raise Refused("FWT117", f"`{name}` on OUTPUT needs `--physdev-is-bridged`", option=name)


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    if not use.options:
        raise Refused("FWT116", "`physdev` needs an option", option="physdev")
    _check_output(use, place)
    return tuple(_lower_option(option) for option in use.options)


EXTENSION = Match(
    name="physdev",
    families=BOTH,
    options=(
        Option(name="--physdev-in", negatable=True),
        Option(name="--physdev-out", negatable=True),
        Option(name="--physdev-is-in", arity=0, negatable=True),
        Option(name="--physdev-is-out", arity=0, negatable=True),
        Option(name="--physdev-is-bridged", arity=0, negatable=True),
    ),
    lower=_lower,
    in_context=True,
)
