"""`-j CLASSIFY`: sets the packet's priority, by which queueing disciplines choose a class.

Both numbers are hexadecimal and are cut to 16 bits. iptables reads as far as it understands: `1:2x` is 1:2.
"""

from __future__ import annotations

import re

from fwtrans.ir.effect import Assign
from fwtrans.ir.fields import PRIORITY
from fwtrans.lower.extensions.base import BOTH, Outcome, Place, Target, Use
from fwtrans.lower.extensions.targets.placement import WITH_ROUTE, require_hooks
from fwtrans.lower.values import bad_value
from fwtrans.parsers.iptables_save.options import Option

_CLASS = re.compile(r"(?:0[xX])?([0-9a-fA-F]+):(?:0[xX])?([0-9a-fA-F]+)", re.ASCII)


def _lower(use: Use, place: Place) -> Outcome:
    require_hooks(use, place, WITH_ROUTE)
    text = use.need("--set-class").values[0]
    found = _CLASS.match(text)
    if found is None:
        raise bad_value(text, "a class: MAJOR:MINOR in hexadecimal", "--set-class")
    major, minor = (int(part, 16) & 0xFFFF for part in found.groups())
    return Outcome((Assign(PRIORITY, 0, major << 16 | minor),))


EXTENSION = Target(name="CLASSIFY", families=BOTH, options=(Option(name="--set-class"),), lower=_lower, in_context=True)
