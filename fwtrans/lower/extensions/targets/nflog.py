"""`-j NFLOG`: a message to a netlink group, for ulogd and the like; the next rule goes on.

    --nflog-group N       group N              the default is group 0, which nft must be told
    --nflog-size N        snaplen N            0 sends the message without any of the packet
    --nflog-range N       nothing              it never had an effect (iptables warns); only --nflog-size sets the flag
    --nflog-threshold N   queue-threshold N    0 is the listener's own

iptables-legacy keeps 63 bytes of the prefix, iptables-nft 127, the most that the kernel's nft log statement holds. A dump
says what is in the kernel, so a longer prefix can only have come from iptables-nft or from a script.
"""

from __future__ import annotations

from fwtrans.ir.effect import Log
from fwtrans.lower.extensions.base import BOTH, Outcome, Place, Target, Use
from fwtrans.lower.extensions.targets.log_text import read_prefix
from fwtrans.lower.values import read_number
from fwtrans.parsers.iptables_save.options import Option

_LEGACY_BYTES = 63
_PREFIX_BYTES = 127


def _prefix(use: Use, place: Place) -> str:
    option = use.find("--nflog-prefix")
    if option is None:
        return ""
    text = read_prefix(option.values[0], "--nflog-prefix", _PREFIX_BYTES)
    if len(text.encode("utf-8", "surrogateescape")) > _LEGACY_BYTES:
        place.assume("NFLOG prefixes longer than 63 bytes were made by iptables-nft: iptables-legacy cuts them there")
    return text


def _lower(use: Use, place: Place) -> Outcome:
    use.exclusive("--nflog-range", "--nflog-size")
    if use.has("--nflog-range"):
        read_number(use.value("--nflog-range"), "--nflog-range")
    return Outcome(
        (
            Log(
                _prefix(use, place),
                group=read_number(use.value("--nflog-group", "0"), "--nflog-group", high=0xFFFF),
                snaplen=read_number(use.value("--nflog-size"), "--nflog-size") if use.has("--nflog-size") else None,
                queue_threshold=read_number(use.value("--nflog-threshold", "0"), "--nflog-threshold", high=0xFFFF),
            ),
        )
    )


EXTENSION = Target(
    name="NFLOG",
    families=BOTH,
    options=(
        Option(name="--nflog-prefix"),
        Option(name="--nflog-group"),
        Option(name="--nflog-size"),
        Option(name="--nflog-range"),
        Option(name="--nflog-threshold"),
    ),
    lower=_lower,
    in_context=True,
)
