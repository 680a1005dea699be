"""`-j SNPT`: stateless translation of the source's prefix; IPv6, mangle only. It has no exact nftables form."""

from __future__ import annotations

from fwtrans.lower.extensions.base import IP6_ONLY, Outcome, Place, Target, Use
from fwtrans.lower.extensions.targets.placement import MANGLE, TO_SOURCE, require_hooks
from fwtrans.lower.extensions.targets.prefix_translation import OPTIONS, check_prefixes, not_in_nftables


def _lower(use: Use, place: Place) -> Outcome:
    require_hooks(use, place, TO_SOURCE)
    check_prefixes(use)
    raise not_in_nftables(use)


EXTENSION = Target(name="SNPT", families=IP6_ONLY, options=OPTIONS, lower=_lower, in_context=True, tables=MANGLE)
