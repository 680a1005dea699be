"""`-m osf`: the operating system that a SYN's fingerprint gives away, from the same list in the kernel (nfnl_osf).

nftables takes the first fingerprint that fits, iptables looks among those of the genre asked for. `!` is read by
iptables and ignored by the kernel (nf_osf_match looks at no such flag), so nobody can say what such a rule was meant for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.fields import HAS_TRANSPORT, os_name
from fwtrans.ir.match import FieldTest, present
from fwtrans.ir.names import NameSet
from fwtrans.lower.extensions.base import IP_ONLY, Match, Place, Use, no_exact_form
from fwtrans.lower.values import read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step

# How strictly the TTL is compared, in nftables' words.
_TTL = ("", "loose", "skip")
# iptables keeps so many bytes of a genre.
_LONGEST = 31
_NFT_LONGEST = 15


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    place.require_protocol("osf", 6)
    option = use.need("--genre")
    ttl = _TTL[read_number(use.value("--ttl", "0"), "--ttl", high=2)]
    log = use.find("--log")
    if log is not None:
        read_number(log.values[0], log.name, high=2)
        raise no_exact_form("osf", "it does not write the systems it finds to the kernel's log", option="--log")
    if option.negated:
        raise no_exact_form(
            "osf", "the kernel ignores the `!` of `! --genre`, so the rule does not do what it says",
            option="--genre", hint="without `!` it means what the kernel does with it",
        )  # fmt: skip
    genre = option.values[0].encode()[:_LONGEST].decode(errors="ignore")
    # nftables' word for no fingerprint at all, which is no genre of the list.
    if len(genre.encode()) > _NFT_LONGEST:
        raise no_exact_form("osf", f"it keeps {_NFT_LONGEST} bytes of a system's name", option="--genre")
    names = NameSet.empty() if genre == "unknown" else NameSet.exact(genre)
    place.assume("no packet fits the fingerprints of two systems (nftables takes the first in the list)")
    return present(HAS_TRANSPORT), FieldTest(os_name(ttl), names)


EXTENSION = Match(
    name="osf",
    families=IP_ONLY,
    options=(Option(name="--genre", negatable=True), Option(name="--ttl"), Option(name="--log")),
    lower=_lower,
    in_context=True,
    hooks=frozenset({"PREROUTING", "INPUT", "FORWARD"}),
)
