"""`-j HMARK`: sets the mark to a hash of addresses and ports. It has no exact nftables form.

The kernel sorts the two addresses by size, so that both directions get one mark, hashes them with the ports by
jhash_3words and XORs the protocol into the hash (net/netfilter/xt_HMARK.c, Linux 6.1). For ICMP errors it hashes the
packet inside. nft's `jhash` takes header bytes as they stand, and there is no XOR of a hash with a field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.lower.extensions.base import BOTH, Outcome, Place, Target, Use, no_exact_form
from fwtrans.lower.values import bad_value, read_mask, read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.fields import Family

# Option and the most it takes; --hmark-proto-mask has 16 bits in iptables although a protocol has 8.
_NUMBERS = {
    "--hmark-sport-mask": 0xFFFF, "--hmark-dport-mask": 0xFFFF, "--hmark-spi-mask": 0xFFFFFFFF,
    "--hmark-sport": 0xFFFF, "--hmark-dport": 0xFFFF, "--hmark-spi": 0xFFFFFFFF, "--hmark-proto-mask": 0xFFFF,
    "--hmark-rnd": 0xFFFFFFFF, "--hmark-offset": 0xFFFFFFFF,
}  # fmt: skip
_PREFIXES = ("--hmark-src-prefix", "--hmark-dst-prefix")
_PARTS = ("ct", "src", "dst", "sport", "dport", "proto", "spi")


def _check(use: Use, family: Family) -> None:
    read_number(use.need("--hmark-mod").values[0], "--hmark-mod", low=1)
    use.need("--hmark-rnd")
    for name, high in _NUMBERS.items():
        if use.has(name):
            read_number(use.value(name), name, high=high)
    for name in _PREFIXES:
        if use.has(name):
            read_mask(use.value(name), name, family)
    for word in use.value("--hmark-tuple", "src").lower().split(","):
        # the beginning of a part's name is enough
        if not word or not any(part.startswith(word) for part in _PARTS):
            raise bad_value(word, "a part of a tuple: " + ", ".join(_PARTS), "--hmark-tuple")
    if not use.has("--hmark-tuple") and not any(
        use.has(name) for name in (*_PREFIXES, *_NUMBERS) if name not in {"--hmark-rnd", "--hmark-offset"}
    ):
        raise Refused("FWT116", "`HMARK` needs `--hmark-tuple`, or a prefix or mask of its own", option="HMARK")


def _lower(use: Use, place: Place) -> Outcome:
    _check(use, place.family)
    raise no_exact_form(
        "HMARK",
        "it hashes the smaller address first and mixes the protocol into the result; nft's jhash takes header bytes "
        "as they stand, so that the marks would be others, and others for the two directions of a connection",
        hint="where any even spread will do: `meta mark set jhash ip saddr . ip daddr mod N seed S offset O`",
    )


EXTENSION = Target(
    name="HMARK",
    families=BOTH,
    options=(
        Option(name="--hmark-tuple"),
        *(Option(name=name) for name in (*_PREFIXES, *_NUMBERS)),
        Option(name="--hmark-mod"),
    ),
    lower=_lower,
)
