"""`-m quota`: a number of bytes that is used up once; every rule has its own.

Both kernels' forms count the whole packet and let it through while the sum stays within the quota, the last byte
included: nft_quota has counted so since 6.16 and in the stable kernels of mid-2025 (6.1.142, 6.6.94, 6.12.34); before,
it stopped one byte earlier.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.fields import PACKET_LENGTH
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest
from fwtrans.ir.stateful import Quota, StatefulObject, StatefulTest
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use, no_exact_form
from fwtrans.lower.values import read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step

_HIGHEST = (1 << 64) - 1
# net/netfilter/nft_quota.c refuses more.
_NFT_HIGHEST = (1 << 63) - 1


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    option = use.need("--quota")
    amount = read_number(option.values[0], option.name, high=_HIGHEST)
    if amount == 0:
        # Used up before it begins.
        return () if option.negated else (FieldTest(PACKET_LENGTH, IntervalSet.empty(32)),)
    if amount > _NFT_HIGHEST:
        raise no_exact_form("quota", "a quota of nftables holds at most 2^63-1 bytes", option=option.name)
    place.assume("a quota of nftables ends with its last byte, as it does in kernels 6.1.142, 6.12.34, 6.16 and later")
    return (StatefulTest(StatefulObject(place.identity, Quota(amount)), over=option.negated),)


EXTENSION = Match(
    name="quota",
    families=BOTH,
    options=(Option(name="--quota", negatable=True),),
    lower=_lower,
    in_context=True,
)
