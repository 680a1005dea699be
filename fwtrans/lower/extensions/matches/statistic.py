"""`-m statistic`: one packet in so many, by chance or by counting; every rule counts for itself.

By chance: the kernel compares 31 random bits with the probability times 2**31, rounded; `numgen random mod 2**31` is the
same number. Counting: `--every n --packet p` holds for packets p, p+n, p+2n ... (from 0), as `numgen inc mod n` is p.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir.fields import PACKET_LENGTH
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest
from fwtrans.ir.stateful import EveryNth, Random, StatefulKind, StatefulObject, StatefulTest
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use
from fwtrans.lower.values import bad_value, read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step

_ALWAYS = 1 << 31
_DECIMAL = re.compile(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def _threshold(text: str) -> int:
    if not _DECIMAL.fullmatch(text) or not 0 <= float(text) <= 1:
        raise bad_value(text, "a probability from 0 to 1", "--probability")
    return math.floor(float(text) * _ALWAYS + 0.5)


def _known(*, holds: bool) -> tuple[Step, ...]:
    return () if holds else (FieldTest(PACKET_LENGTH, IntervalSet.empty(32)),)


def _random(use: Use, place: Place) -> tuple[Step, ...]:
    option = use.need("--probability")
    threshold = _threshold(option.values[0])
    if threshold in {0, _ALWAYS}:
        return _known(holds=(threshold == _ALWAYS) != option.negated)
    return _test(Random(threshold), place, negated=option.negated)


def _nth(use: Use, place: Place) -> tuple[Step, ...]:
    option = use.need("--every")
    every = read_number(option.values[0], option.name, low=1)
    packet = read_number(use.need("--packet").values[0], "--packet")
    if packet >= every:
        raise Refused("FWT112", f"`--packet {packet}` is not one of the {every}, counted from 0", option="--packet")
    if every == 1:
        return _known(holds=not option.negated)
    return _test(EveryNth(every, packet), place, negated=option.negated)


def _test(kind: StatefulKind, place: Place, *, negated: bool) -> tuple[Step, ...]:
    return (StatefulTest(StatefulObject(place.identity, kind), over=negated),)


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    mode = use.need("--mode").values[0]
    use.exclusive("--probability", "--every")
    use.exclusive("--probability", "--packet")
    if mode == "random":
        return _random(use, place)
    if mode == "nth":
        return _nth(use, place)
    raise bad_value(mode, "a mode: `random` or `nth`", "--mode")


EXTENSION = Match(
    name="statistic",
    families=BOTH,
    options=(
        Option(name="--mode"),
        Option(name="--probability", negatable=True),
        Option(name="--every", negatable=True),
        Option(name="--packet"),
    ),
    lower=_lower,
    in_context=True,
)
