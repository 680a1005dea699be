"""`-m devgroup`: the group of the incoming or outgoing interface, masked.

The kernel takes a source group where there is an incoming interface only, and a destination group likewise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir.fields import IIFGROUP, OIFGROUP
from fwtrans.ir.match import bits, negated_if
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use
from fwtrans.lower.extensions.targets.placement import require_hooks
from fwtrans.lower.values import read_value_mask
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step

_SOURCE_HOOKS = frozenset({"PREROUTING", "INPUT", "FORWARD"})
_DESTINATION_HOOKS = frozenset({"OUTPUT", "POSTROUTING", "FORWARD"})


def _read(text: str, option: str) -> tuple[int, int]:
    if text == "default":  # the one name in the /etc/iproute2/group that Debian ships
        return 0, 0xFFFFFFFF
    if not text[:1].isdigit():
        raise Refused(
            "FWT112",
            f"device group `{text}` is a name",
            option=option,
            hint="what names mean stands in /etc/iproute2/group of the machine: write the number",
        )
    return read_value_mask(text, option)


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    if not use.options:
        raise Refused("FWT116", "`devgroup` needs `--src-group` or `--dst-group`", option="devgroup")
    steps: list[Step] = []
    for option in use.options:
        source = option.name == "--src-group"
        require_hooks(use, place, _SOURCE_HOOKS if source else _DESTINATION_HOOKS, option=option.name)
        value, mask = _read(option.values[0], option.name)
        test = bits(IIFGROUP if source else OIFGROUP, mask, value & mask)
        steps.append(negated_if(test, option.negated))
    return tuple(steps)


EXTENSION = Match(
    name="devgroup",
    families=BOTH,
    options=(Option(name="--src-group", negatable=True), Option(name="--dst-group", negatable=True)),
    lower=_lower,
    in_context=True,
)
