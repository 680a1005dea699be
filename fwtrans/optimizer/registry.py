"""The passes, in the order in which they run.

Translations and long runs come first, while the rules still stand as they were written; rules that differ in one value are
joined before verdict maps are made, so that a map's key finds whole sets; maps come last, over what is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.optimizer import cuts, dispatch, nat_maps, sets

if TYPE_CHECKING:
    from fwtrans.optimizer.base import Pass

PASSES: tuple[Pass, ...] = (nat_maps.PASS, cuts.PASS, sets.PASS, dispatch.PASS)
