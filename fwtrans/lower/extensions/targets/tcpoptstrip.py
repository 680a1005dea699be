"""`-j TCPOPTSTRIP`: overwrites TCP options with NOPs; mangle, `-p tcp` only.

nft's `reset tcp option` (nft 1.0.2, Linux 5.18) does it for the first option of a kind, iptables for all of them.
"""

from __future__ import annotations

from fwtrans.diagnostics import Refused
from fwtrans.ir.effect import ResetTcpOption
from fwtrans.lower.extensions.base import BOTH, Outcome, Place, Target, Use
from fwtrans.lower.extensions.targets.placement import MANGLE
from fwtrans.lower.values import bad_value, read_number
from fwtrans.parsers.iptables_save.options import Option

_TCP = 6
_NAMES = {"wscale": 3, "mss": 2, "sack-permitted": 4, "sack": 5, "timestamp": 8, "md5": 19}
_OPTION = "--strip-options"


def _kinds(text: str) -> tuple[int, ...]:
    found: list[int] = []
    for word in text.split(","):
        kind = _NAMES.get(word)
        if kind is None:
            if not word[:1].isdigit():
                raise bad_value(word, "a TCP option: a number from 2 to 255, or one of " + ", ".join(_NAMES), _OPTION)
            kind = read_number(word, _OPTION, low=2, high=255)
        if kind in found:
            raise Refused("FWT112", f"TCP option `{word}` stands twice in `{text}`", option=_OPTION)
        found.append(kind)
    return tuple(sorted(found))


def _lower(use: Use, place: Place) -> Outcome:
    place.require_protocol("TCPOPTSTRIP", _TCP)
    option = use.find(_OPTION)
    kinds = _kinds(option.values[0]) if option is not None else ()
    if kinds:
        place.assume("no TCP header that TCPOPTSTRIP sees has an option twice, or is cut short (iptables drops that)")
    return Outcome(tuple(ResetTcpOption(kind) for kind in kinds))


EXTENSION = Target(
    name="TCPOPTSTRIP",
    families=BOTH,
    options=(Option(name=_OPTION),),
    lower=_lower,
    in_context=True,
    tables=MANGLE,
)
