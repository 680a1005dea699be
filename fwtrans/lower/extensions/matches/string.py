"""`-m string`: searches the packet for text. nftables compares bytes at a fixed place and searches nothing.

Not even `--from` and `--to` around one place say the same on all kernels: up to 6.1 the text may begin anywhere up to
`--to`, later it has to end there; and `--algo bm` overlooks text that lies across two pages of memory.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use, no_exact_form
from fwtrans.lower.values import bad_value, read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step

_LONGEST = 128
_HEX_BLOCK = re.compile(r"\|([0-9a-fA-F ]*)\|", re.ASCII)


def _hex_length(text: str) -> int:
    """Return how many bytes `ab|0d 0a|c` stands for."""
    plain = _HEX_BLOCK.sub("", text)
    digits = "".join(_HEX_BLOCK.findall(text)).replace(" ", "")
    if "|" in plain or len(digits) % 2:
        raise bad_value(text, "text with blocks of hexadecimal digits between `|`", "--hex-string")
    return len(plain.encode()) + len(digits) // 2


def _lower(use: Use, _place: Place) -> tuple[Step, ...]:
    algorithm = use.need("--algo").values[0]
    if algorithm not in {"bm", "kmp", "fsm"}:
        raise bad_value(algorithm, "a way of searching: `bm` or `kmp`", "--algo")
    use.exclusive("--string", "--hex-string")
    option = use.find("--string") or use.find("--hex-string")
    if option is None:
        raise Refused("FWT116", "`string` needs `--string` or `--hex-string`", option="string")
    text = option.values[0]
    length = len(text.encode()) if option.name == "--string" else _hex_length(text)
    if not 1 <= length <= _LONGEST:
        raise Refused("FWT112", f"`{option.name}` takes 1 to 128 bytes; here are {length}", option=option.name)
    first = read_number(use.value("--from", "0"), "--from", high=0xFFFF)
    if read_number(use.value("--to", "65535"), "--to", high=0xFFFF) < first:
        raise bad_value(use.value("--to"), f"an end behind `--from {first}`", "--to")
    raise no_exact_form(
        "string", "it compares bytes at fixed places and cannot search a packet", option=option.name,
        hint="what the text was meant to catch may be seen in a port, a set of addresses, or by a proxy behind NFQUEUE",
    )  # fmt: skip


EXTENSION = Match(
    name="string",
    families=BOTH,
    options=(
        Option(name="--string", negatable=True),
        Option(name="--hex-string", negatable=True),
        Option(name="--algo"),
        Option(name="--from"),
        Option(name="--to"),
        Option(name="--icase", arity=0),
    ),
    lower=_lower,
)
