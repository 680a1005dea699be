"""`-m hashlimit`: a bucket for each value of a key, kept in a table that several rules may name.

Facts from net/netfilter/xt_hashlimit.c and libxt_hashlimit.c:

- The table belongs to its name and family. The first rule that names it makes it; later ones use it as it is and bring
  only their direction (upto or above), whatever rate, key or timeout they state.
- An entry that no packet came for in `--hashlimit-htable-expire` (one unit of the rate unless told otherwise) is
  forgotten, and its bucket is full again. A dynamic set with a timeout does just that.
- A table holds eight times its size at most, 65,536 entries on any machine of today. Packets of further keys are
  dropped; with nftables the rule does not match them.
- Byte rates count sixteen bytes at a time, and a packet never costs more than a second's worth. Their burst is used up
  once for each entry, and is not filled again.
- Ports are those of TCP, UDP, UDP-Lite, DCCP, SCTP and ESP (its SPI); every other protocol has port 0.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.diagnostics import Refused
from fwtrans.ir.fields import DPORT, ETHER_PROTOCOL, SPORT, destination_address, source_address
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import KeyPart
from fwtrans.ir.stateful import Limit, LimitUnit, StatefulObject, StatefulTest
from fwtrans.lower.arriving import arriving_protocols
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use, no_exact_form
from fwtrans.lower.extensions.token_bucket import effective_burst, leading_number, read_rate
from fwtrans.lower.values import address_width, bad_value, read_mask, read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step

_TICKS_A_SECOND = 1_000_000
# The kernel's credits for a tick, with the clock of Debian's kernels (HZ 250): 250 * 2**39 // 10**6.
_CREDITS_A_TICK = 250 * 2**39 // _TICKS_A_SECOND
_MOST_BURST = 1_000_000
_LARGEST_TABLE = 1 << 20
_DEFAULT_TABLE = 8192
_LONGEST_PACKET = 0xFFFF
_PROTOCOLS_WITH_PORTS = IntervalSet.values(8, (6, 17, 33, 50, 132, 136))
# AH is a matter of its own: the kernel reads its SPI where the ports would be.
_PROTOCOLS_WITHOUT = IntervalSet.values(8, (6, 17, 33, 50, 51, 132, 136)).complement()
_MODES = ("srcip", "srcport", "dstip", "dstport")


class _Table(NamedTuple):
    """What the first rule that names a table settles."""

    object: StatefulObject
    key: tuple[KeyPart, ...]


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    use.exclusive("--hashlimit-upto", "--hashlimit-above")
    name = _name(use)
    if use.has("--hashlimit-rate-match"):
        raise no_exact_form(
            "hashlimit",
            "`--hashlimit-rate-match` compares the packets of one interval with the rate of the one before; nftables has token buckets only",
            option="--hashlimit-rate-match",
        )
    option = use.find("--hashlimit-above") or use.find("--hashlimit-upto")
    if option is None:
        raise Refused("FWT116", "`hashlimit` needs `--hashlimit-upto` or `--hashlimit-above`", option="hashlimit")
    above = (option.name == "--hashlimit-above") != option.negated
    identity = f"hashlimit-{place.family.value}-{name}"
    table = _table(use, place, option.name, option.values[0], identity)
    first, direction = _first_of_name(place, identity, table, above=above)
    if first != table:
        place.assume(
            f"rules that name hashlimit table `{name}` state different parameters; as in the kernel, those of the first rule in the dump count for all"
        )
    if direction != above:
        raise no_exact_form(
            "hashlimit",
            f"rules ask table `{name}` both for keys below their rate and for keys above it, and the buckets of an nftables set answer one of the two",
            option=option.name,
            hint="give the rules table names of their own if it does not matter that both charge one bucket",
        )
    if first.key:
        place.assume(
            f"hashlimit table `{name}` never has to hold more than {first.object.size} entries at a time: iptables drops packets of further keys, nftables does not match them"
        )
    return (StatefulTest(first.object, first.key, over=above),)


def _first_of_name(place: Place, identity: str, table: _Table, *, above: bool) -> tuple[_Table, bool]:
    if place.shared is None:
        return table, above
    found = place.shared.setdefault(identity, (table, above))
    assert isinstance(found, tuple)  # noqa: S101 -- the identity is ours alone
    return found


def _name(use: Use) -> str:
    option = use.need("--hashlimit-name")
    name = option.values[0]
    if not name or name in {".", ".."} or "/" in name:
        raise bad_value(name, "a table name: the kernel makes a file of that name", option.name)
    return name[:254]


def _table(use: Use, place: Place, option: str, text: str, identity: str) -> _Table:
    """Return the table as this rule alone would make it."""
    key = _key(use, place)
    byte_rate = _read_byte_rate(text, option)
    if byte_rate is None:
        kind, unit, refill = _packet_limit(use, place, option, text)
    else:
        kind, unit, refill = _byte_limit(use, byte_rate, option), 15, 1.0
    read_number(use.value("--hashlimit-htable-gcinterval", "1000"), "--hashlimit-htable-gcinterval", low=1)
    expire = read_number(use.value("--hashlimit-htable-expire", str(unit * 1000)), "--hashlimit-htable-expire", low=1)
    size = min(read_number(use.value("--hashlimit-htable-size", "0"), "--hashlimit-htable-size"), _LARGEST_TABLE)
    most = min(read_number(use.value("--hashlimit-htable-max", "0"), "--hashlimit-htable-max"), _LARGEST_TABLE)
    size = size or _DEFAULT_TABLE
    most = max(most, size) if most else 8 * size
    if not key:
        if expire >= refill * 1000:
            return _Table(StatefulObject(identity, kind), ())
        # one bucket that is forgotten before it would be full by itself: a key with a single value
        key = (KeyPart(ETHER_PROTOCOL),)
    return _Table(StatefulObject(identity, kind, timeout=expire / 1000, size=most), key)


def _packet_limit(use: Use, place: Place, option: str, text: str) -> tuple[Limit, int, float]:
    """Return the limit, its unit in seconds, and how many seconds an empty bucket takes to be full."""
    rate = read_rate(text, option, _TICKS_A_SECOND)
    wanted = _read_burst(use)
    if wanted > _MOST_BURST:
        raise bad_value(use.value("--hashlimit-burst"), f"a burst of 1 to {_MOST_BURST} packets", "--hashlimit-burst")
    burst = effective_burst(rate.ticks, wanted, lambda ticks: ticks * _CREDITS_A_TICK, 64)
    if not burst:
        blamed = "--hashlimit-burst" if use.has("--hashlimit-burst") else option
        raise bad_value(use.value(blamed), f"possible: the kernel refuses a burst of {wanted} at this rate", blamed)
    if burst != wanted:
        place.assume(
            f"`--hashlimit-burst {wanted}` at this rate overflows in the kernel, where the bucket holds {burst} packets; so it does here"
        )
    return Limit(rate.number, rate.unit, burst), rate.written_unit.value, rate.ticks * burst / _TICKS_A_SECOND


def _read_burst(use: Use) -> int:
    """Return packets, or bytes where a byte rate asks: `k` and `m` are powers of 1024, other letters are nothing."""
    text = use.value("--hashlimit-burst", "5")
    found = re.match(r"(0[xX][0-9a-fA-F]+|[0-9]+)(.?)", text)
    if found is None:
        raise bad_value(text, "a number, with k or m behind it for bytes", "--hashlimit-burst")
    number = read_number(found.group(1), "--hashlimit-burst", low=1, high=(1 << 64) - 1)
    if not found.group(2) and number > _MOST_BURST:
        raise bad_value(text, f"a burst of 1 to {_MOST_BURST}", "--hashlimit-burst")
    return number * {"k": 1024, "m": 1024 * 1024}.get(found.group(2), 1)


# --- byte rates ---


def _read_byte_rate(text: str, option: str) -> int | None:
    """Return bytes a second of `100b/s`, `20kb/s`, `1mb/s`; None where this is a rate of packets."""
    position = text.find("b/s")
    if position < 1:
        return None
    number = leading_number(text)
    if not number:
        return None
    rate = number * {"k": 1024, "m": 1024 * 1024}.get(text[position - 1], 1)
    if rate >> 4 > 0x7FFFFFFE:
        raise bad_value(text, "a byte rate that the kernel can keep", option)
    return rate


def _byte_limit(use: Use, rate: int, option: str) -> Limit:
    if use.has("--hashlimit-burst"):
        raise no_exact_form(
            "hashlimit",
            "the burst of a byte rate is used up once for each entry and not filled again, while the burst of an nftables limit is",
            option="--hashlimit-burst",
        )
    if rate <= _LONGEST_PACKET:
        raise no_exact_form(
            "hashlimit",
            f"at {rate} bytes a second a full bucket lets a longer packet through; nftables never matches a packet longer than its bucket",
            option=option,
            hint="a byte rate of 64kb/s or more can be translated",
        )
    return Limit(_as_kept(rate), LimitUnit.SECOND, 0, in_bytes=True)


def _as_kept(rate: int) -> int:
    """Return the rate as written, or as the kernel's rounding leaves it where that is more than one percent off."""
    chunks = rate // 16 + 1
    credits_a_second = 250 << 24
    kept = credits_a_second // (0xFFFFFFFF // chunks * credits_a_second >> 32)
    return rate if abs(kept - chunks) * 100 <= chunks else kept * 16


# --- the key ---


def _key(use: Use, place: Place) -> tuple[KeyPart, ...]:
    words = {word for word in re.split(r"[,|]", use.value("--hashlimit-mode")) if word}
    for word in words:
        if word not in _MODES:
            raise bad_value(word, f"a mode: {', '.join(_MODES)}", "--hashlimit-mode")
    # masks are checked whether or not the mode asks for them
    source = _address_part(use, place, "--hashlimit-srcmask")
    destination = _address_part(use, place, "--hashlimit-dstmask")
    parts: list[KeyPart] = []
    if "srcip" in words:
        parts.extend(source)
    if "srcport" in words and _has_ports(place):
        parts.append(KeyPart(SPORT))
    if "dstip" in words:
        parts.extend(destination)
    if "dstport" in words and _has_ports(place):
        parts.append(KeyPart(DPORT))
    return tuple(parts)


def _address_part(use: Use, place: Place, option: str) -> tuple[KeyPart, ...]:
    width = address_width(place.family)
    ones = (1 << width) - 1
    mask = read_mask(use.value(option), option, place.family) if use.has(option) else ones
    if (ones & ~mask) & ((ones & ~mask) + 1):
        raise bad_value(use.value(option), "a prefix length or a mask without holes", option)
    field = source_address(place.family) if option == "--hashlimit-srcmask" else destination_address(place.family)
    if not mask:
        return ()
    return (KeyPart(field, None if mask == ones else mask),)


def _has_ports(place: Place) -> bool:
    """Tell whether the protocols that come here have ports; where they do not, the kernel takes 0 for all of them."""
    protocols = arriving_protocols(place)
    if protocols.difference(_PROTOCOLS_WITH_PORTS).is_empty:
        place.assume(
            "hashlimit: fragments are put together before they are counted by port (connection tracking does it)"
        )
        return True
    if protocols.difference(_PROTOCOLS_WITHOUT).is_empty:
        return False
    raise no_exact_form(
        "hashlimit",
        "a key with ports needs `-p`: the kernel takes port 0 for protocols without ports, and one nftables key cannot do both",
        option="--hashlimit-mode",
        hint="write one rule with `-p tcp` and one with `-p udp`",
    )


EXTENSION = Match(
    name="hashlimit",
    families=BOTH,
    options=(
        Option(name="--hashlimit-upto", aliases=("--hashlimit",), negatable=True),
        Option(name="--hashlimit-above", negatable=True),
        Option(name="--hashlimit-burst"),
        Option(name="--hashlimit-mode"),
        Option(name="--hashlimit-srcmask"),
        Option(name="--hashlimit-dstmask"),
        Option(name="--hashlimit-name"),
        Option(name="--hashlimit-htable-size"),
        Option(name="--hashlimit-htable-max"),
        Option(name="--hashlimit-htable-gcinterval"),
        Option(name="--hashlimit-htable-expire"),
        Option(name="--hashlimit-rate-match", arity=0),
        Option(name="--hashlimit-rate-interval"),
    ),
    lower=_lower,
    in_context=True,
)
