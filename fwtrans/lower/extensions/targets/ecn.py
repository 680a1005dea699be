"""`-j ECN`: takes the ECN bits out of TCP's flags, or sets single ECN bits; IPv4, mangle only.

`--ecn-tcp-remove` clears ECE and CWR. The three others are in iptables' code but not in its manual. The kernel wants
`-p tcp` for all that touch TCP. Where the header does not reach the flags, the kernel drops the packet; nftables leaves
it to the next rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir.effect import Assign
from fwtrans.ir.fields import IP_TOS, TCP_FLAGS
from fwtrans.lower.extensions.base import IP_ONLY, Outcome, Place, Target, Use
from fwtrans.lower.extensions.targets.placement import MANGLE
from fwtrans.lower.values import read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step

_ECE, _CWR = 0x40, 0x80
_FLAGS = {"--ecn-tcp-ece": _ECE, "--ecn-tcp-cwr": _CWR}
_ECN_BITS = 3


def _lower(use: Use, place: Place) -> Outcome:
    for name in _FLAGS:
        use.exclusive("--ecn-tcp-remove", name)
    if not use.options:
        raise Refused("FWT116", "`ECN` needs `--ecn-tcp-remove`", option="ECN")
    steps: list[Step] = []
    if use.has("--ecn-ip-ect"):
        codepoint = read_number(use.value("--ecn-ip-ect"), "--ecn-ip-ect", high=_ECN_BITS)
        steps.append(Assign(IP_TOS, 0xFF & ~_ECN_BITS, codepoint))
    clear = set_bits = 0
    if use.has("--ecn-tcp-remove"):
        clear = _ECE | _CWR
    for name, bit in _FLAGS.items():
        if use.has(name):
            clear |= bit
            set_bits |= bit * read_number(use.value(name), name, high=1)
    if clear:
        place.require_protocol("ECN", 6)
        place.assume("no TCP packet is cut so short that its flags are missing: ECN of iptables dropped such packets")
        steps.append(Assign(TCP_FLAGS, 0xFF & ~clear, set_bits))
    return Outcome(tuple(steps))


EXTENSION = Target(
    name="ECN",
    families=IP_ONLY,
    options=(
        Option(name="--ecn-tcp-remove", arity=0),
        Option(name="--ecn-tcp-cwr"),
        Option(name="--ecn-tcp-ece"),
        Option(name="--ecn-ip-ect"),
    ),
    lower=_lower,
    in_context=True,
    tables=MANGLE,
)
