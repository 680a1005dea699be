"""`-j LOG`: a line in the kernel's log; the next rule goes on.

The prefix is cut after 29 bytes (the kernel's field holds 30 with its end). The level is a word or a number from 0 to 7,
warning if none is given; `err` and `warn` are nftables' words and no words of iptables.
"""

from __future__ import annotations

from fwtrans.ir.effect import Log
from fwtrans.lower.extensions.base import BOTH, Outcome, Place, Target, Use
from fwtrans.lower.extensions.targets.log_text import read_prefix
from fwtrans.lower.values import bad_value, read_number
from fwtrans.parsers.iptables_save.options import Option

_PREFIX_BYTES = 29

# syslog's numbers in nftables' words; "" is warning, the level that nft takes where none is given.
_LEVELS = ("emerg", "alert", "crit", "err", "", "notice", "info", "debug")
_NAMES = {
    "alert": 1, "crit": 2, "debug": 7, "emerg": 0, "error": 3, "info": 6, "notice": 5, "panic": 0, "warning": 4,
}  # fmt: skip
_WARNING = "4"

_FLAGS = {
    "--log-tcp-sequence": "tcp sequence",
    "--log-tcp-options": "tcp options",
    "--log-ip-options": "ip options",
    "--log-uid": "skuid",
    "--log-macdecode": "ether",
}


def _level(text: str) -> str:
    number = _NAMES.get(text)
    if number is not None:
        return _LEVELS[number]
    if not text[:1].isdigit():
        raise bad_value(text, "a log level: 0 to 7, or one of " + ", ".join(_NAMES), "--log-level")
    return _LEVELS[read_number(text, "--log-level", high=7)]


def _lower(use: Use, _place: Place) -> Outcome:
    prefix = use.find("--log-prefix")
    return Outcome(
        (
            Log(
                read_prefix(prefix.values[0], "--log-prefix", _PREFIX_BYTES) if prefix is not None else "",
                _level(use.value("--log-level", _WARNING)),
                tuple(word for name, word in _FLAGS.items() if use.has(name)),
            ),
        )
    )


EXTENSION = Target(
    name="LOG",
    families=BOTH,
    options=(
        Option(name="--log-prefix"),
        Option(name="--log-level"),
        *(Option(name=name, arity=0) for name in _FLAGS),
    ),
    lower=_lower,
)
