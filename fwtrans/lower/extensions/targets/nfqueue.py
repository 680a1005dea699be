"""`-j NFQUEUE`: hands the packet to a program.

`--queue-balance a:b` spreads connections by a hash whose seed the kernel draws at random, with nft's `queue to a-b` just
the same, or with `--queue-cpu-fanout` by processor. With `--queue-bypass` the packet is accepted where no program
listens (Linux 3.10 and later).
"""

from __future__ import annotations

from fwtrans.diagnostics import Refused
from fwtrans.ir.verdict import Queue
from fwtrans.lower.extensions.base import BOTH, Outcome, Place, Target, Use
from fwtrans.lower.values import bad_value, read_number
from fwtrans.parsers.iptables_save.options import Option

_LAST = 0xFFFF


def _balance(text: str) -> tuple[int, int]:
    low_text, found, high_text = text.partition(":")
    if not found:
        raise bad_value(text, "a range of queues: FIRST:LAST", "--queue-balance")
    low = read_number(low_text, "--queue-balance", high=_LAST) if low_text else 0
    high = read_number(high_text, "--queue-balance", high=_LAST) if high_text else _LAST
    if high <= low:
        raise bad_value(text, "a range: its first queue must be less than its last", "--queue-balance")
    if high - low == _LAST:
        raise bad_value(text, "a range that the kernel takes: at most 65535 queues", "--queue-balance")
    return low, high


def _lower(use: Use, _place: Place) -> Outcome:
    use.exclusive("--queue-num", "--queue-balance")
    fanout = use.has("--queue-cpu-fanout")
    if fanout and not use.has("--queue-balance"):
        raise Refused("FWT116", "`--queue-cpu-fanout` needs `--queue-balance`", option="--queue-cpu-fanout")
    if use.has("--queue-balance"):
        low, high = _balance(use.value("--queue-balance"))
    else:
        low = high = read_number(use.value("--queue-num", "0"), "--queue-num", high=_LAST)
    return Outcome((), Queue(low, high, use.has("--queue-bypass"), fanout))


EXTENSION = Target(
    name="NFQUEUE",
    families=BOTH,
    options=(
        Option(name="--queue-num"),
        Option(name="--queue-balance"),
        Option(name="--queue-bypass", arity=0),
        Option(name="--queue-cpu-fanout", arity=0),
    ),
    lower=_lower,
)
