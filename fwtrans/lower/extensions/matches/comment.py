"""`-m comment`: asks nothing. Its text becomes the rule's comment, which the driver of the lowering takes from here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.lower.extensions.base import BOTH, Match, Place, Use
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step


def _lower(use: Use, _place: Place) -> tuple[Step, ...]:
    use.need("--comment")
    return ()


EXTENSION = Match(
    name="comment",
    families=BOTH,
    options=(Option(name="--comment"),),
    lower=_lower,
)
