"""Objects with a memory of their own: rate limits, quotas, connection counts, recent lists.

An object has an identity. Copying a rule that uses one must not make two buckets of one, and merging rules must not make
one of many: two steps speak of the same bucket exactly when their objects have the same identity.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fwtrans.ir.match import KeyPart


class LimitUnit(Enum):
    """What a rate counts by; the value is its length in seconds."""

    SECOND = 1
    MINUTE = 60
    HOUR = 3600
    DAY = 86400
    WEEK = 604800


@dataclass(frozen=True, slots=True)
class Limit:
    """A token bucket: `rate` packets (or bytes) a unit, after a first `burst`."""

    rate: int
    unit: LimitUnit
    burst: int
    in_bytes: bool = False


@dataclass(frozen=True, slots=True)
class Quota:
    """A number of bytes that is used up once; `used` is what has passed so far, as a counter's numbers no part of what it is."""

    amount: int
    used: int = field(default=0, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ConnectionCount:
    """How many connections are open; more than `limit` is over."""

    limit: int


@dataclass(frozen=True, slots=True)
class EveryNth:
    """Every `every`-th packet, the one numbered `packet` of each round (from 0)."""

    every: int
    packet: int


@dataclass(frozen=True, slots=True)
class Random:
    """One packet in so many by chance: `threshold` of 2**31."""

    threshold: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """One way of a look-up by a number that is drawn for each packet (`numgen inc mod 2 vmap { 0 : goto a, 1 : goto b }`).

    Its rules stand behind each other, the `way`-th of `ways` holds for `value`, a number or range; both texts are JSON, as they were read.
    """

    generator: str
    value: str
    way: int
    ways: int


StatefulKind = Limit | Quota | ConnectionCount | EveryNth | Random | Drawn


@dataclass(frozen=True, slots=True)
class StatefulObject:
    """One object, or one for each value of a key where the step that uses it gives a key.

    `timeout` (seconds) is how long an entry of a keyed object is kept unused, or, where it is not `refreshed`, kept at all;
    `size` is how many entries there may be.
    """

    identity: str
    kind: StatefulKind
    timeout: float = 0
    size: int = 0
    refreshed: bool = field(
        default=True, repr=False
    )  # chains are called by what their rules look like; only nft's own differ in it


@dataclass(frozen=True, slots=True)
class StatefulTest:
    """Charges the object (under the key, if there is one); holds if it is not used up, or with `over`, if it is."""

    object: StatefulObject
    key: tuple[KeyPart, ...] = ()
    over: bool = False


@dataclass(frozen=True, slots=True)
class StatefulFromMap:
    """The `StatefulTest` (one without a key) that the named map holds under the key; where it holds none, the rule ends.

    nftables: `limit name iifname map @limits`. The map's `value` is the kind of its objects, "limit" or "quota".
    """

    key: tuple[KeyPart, ...]
    map_name: str
