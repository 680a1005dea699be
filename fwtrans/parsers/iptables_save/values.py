"""The few numbers that the reader itself needs: counters and rule numbers. All other values are left as they are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fwtrans.parsers.iptables_save.words import BadLine

if TYPE_CHECKING:
    from collections.abc import Sequence

_COUNTERS = re.compile(r"\[ *(\d{1,20}):(\d{1,20}) *\]")
_DIGITS = re.compile(r"\d{1,20}")
_RULE_NUMBER = re.compile(r"\d{1,10}")


def read_counters(texts: Sequence[str], word: int) -> tuple[int, int]:
    """Return packets and bytes of `[5:6]`."""
    found = _COUNTERS.fullmatch(texts[0])
    if found is None:
        raise BadLine("FWT112", f"`{texts[0]}` are no counters; expected `[packets:bytes]`", word=word)
    return int(found.group(1)), int(found.group(2))


def read_counter_words(texts: Sequence[str], word: int) -> tuple[int, int]:
    """Return packets and bytes of `-c 5 6` or `-c 5,6`."""
    numbers = texts if len(texts) == 2 else texts[0].split(",", 1)
    if not all(_DIGITS.fullmatch(number) for number in numbers):
        raise BadLine("FWT112", f"`{' '.join(texts)}` are no counters; expected two numbers", word=word)
    return int(numbers[0]), int(numbers[1])


def read_rule_number(text: str, word: int) -> int:
    """Return the position that -I, -D or -R names; the first rule is 1."""
    if not _RULE_NUMBER.fullmatch(text) or not 0 < int(text) < 2**31:
        raise BadLine("FWT112", f"`{text}` is no rule number; the first rule is 1", word=word)
    return int(text)
