"""What a step costs in the kernel, in nanoseconds: the table that passes decide by.

Measured as KERNEL_LAB of the project's notes tells it: a 60-byte packet through a bridge, kernel 6.18, own cost above the
control; bench/bench_steps.py makes the same table on another machine. Only ratios matter here. A map for two rules is a
loss, exact keys in a hash are worth about four rules at any size, and concatenated intervals grow with the set.
"""

from __future__ import annotations

from math import log2
from typing import TYPE_CHECKING

from fwtrans.ir import fields as known
from fwtrans.ir.fields import FieldKind
from fwtrans.optimizer import calibration

if TYPE_CHECKING:
    from fwtrans.ir.fields import Field

HASH = 75
JUMP = 16
VERDICT = 4
ANOTHER_FIELD_OF_PIPAPO = 45
# The sets that were measured have, for each element, one prefix of an address, one of a protocol and two of a port.
_WORDS_MEASURED = (32 + 8 + 2 * 16) / 4 / 64

_TESTS: dict[Field, int] = {
    known.MARK: 6,
    known.CT_MARK: 8,
    known.CT_STATE: 8,
    known.L4PROTO: 8,
    known.IIFNAME: 16,
    known.OIFNAME: 16,
    known.IBRNAME: 20,
    known.OBRNAME: 20,
    known.DPORT: 14,
    known.SPORT: 14,
    known.ETHER_SADDR: 11,
    known.ETHER_DADDR: 11,
}
_OTHER_TEST = 9


def test_cost(field: Field) -> int:
    """Return what one comparison of the field costs, where it does not match."""
    return _TESTS.get(field, 16 if field.kind is FieldKind.NAME else _OTHER_TEST)


def hash_cost(fields: int) -> float:
    """Return what a look-up of an exact key costs."""
    return calibration.ONE_KEY_HASH if fields == 1 else calibration.HASH


def interval_cost(elements: int) -> float:
    """Return what a look-up among intervals of one field costs: a tree."""
    return calibration.INTERVAL_BASE + calibration.INTERVAL_FACTOR * log2(max(elements, 2))


def pipapo_cost(fields: int, words: float) -> float:
    """Return what a look-up among concatenated intervals costs: it goes through all words of bits that the set has.

    nft_set_pipapo keeps a bit for each prefix of a field's ranges, for each group of four bits of the field.
    """
    more = max(fields - 3, 0) * ANOTHER_FIELD_OF_PIPAPO
    return calibration.PIPAPO_BASE + calibration.PIPAPO_FACTOR / _WORDS_MEASURED * words + more
