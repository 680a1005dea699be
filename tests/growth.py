"""How work grows with the size of its input, counted in calls of functions.

A time depends on what else the machine does; the number of calls does not, and a square shows in it just as well.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


def calls(work: Callable[[], object]) -> int:
    """Return how many functions, of Python and of C, are called until the work is done."""
    count = 0

    def seen(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def assert_grows_with(size: float, small: Callable[[], object], large: Callable[[], object]) -> None:
    """Fail where an input `size` times as large takes more than half as many calls again as that."""
    few, many = calls(small), calls(large)
    assert many <= 1.5 * size * few, f"{few} calls, and {many} of an input {size:g} times as large"
