"""`-m connbytes`: how much a connection has carried: packets, bytes, or bytes a packet, one way or both.

False where there is no connection entry, negated or not. Without a second number the range is open. iptables keeps a
negation by swapping the ends of the range, so `! --connbytes 5:5` is not negated at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.fields import conntrack_count
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest, negated_if
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use
from fwtrans.lower.values import bad_value, read_number_range
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step

_LARGEST = (1 << 64) - 1
_DIRECTIONS = {"original": "original", "reply": "reply", "both": ""}
_MODES = {"packets": "packets", "bytes": "bytes", "avgpkt": "avgpkt"}


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    option = use.need("--connbytes")
    direction = _word(use, "--connbytes-dir", _DIRECTIONS)
    what = _word(use, "--connbytes-mode", _MODES)
    text = option.values[0]
    low, high = read_number_range(text if ":" in text else f"{text}:", option.name, high=_LARGEST)
    place.assume("connbytes: the kernel has counted for the connection since its start (nf_conntrack_acct was on)")
    test = FieldTest(conntrack_count(direction, what), IntervalSet.of(64, ((low, high),)))
    return (negated_if(test, option.negated and low != high),)


def _word(use: Use, name: str, words: dict[str, str]) -> str:
    text = use.need(name).values[0]
    if text not in words:
        raise bad_value(text, f"one of {', '.join(words)}", name)
    return words[text]


EXTENSION = Match(
    name="connbytes",
    families=BOTH,
    options=(
        Option(name="--connbytes", negatable=True),
        Option(name="--connbytes-dir"),
        Option(name="--connbytes-mode"),
    ),
    lower=_lower,
    in_context=True,
)
