"""The passes, in the order in which they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.optimizer import dispatch

if TYPE_CHECKING:
    from fwtrans.optimizer.base import Pass

PASSES: tuple[Pass, ...] = (dispatch.PASS,)
