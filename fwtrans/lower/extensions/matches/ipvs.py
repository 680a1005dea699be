"""`-m ipvs`: the packet belongs to a connection of the IP Virtual Server. Refused: nftables knows nothing of IPVS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use, no_exact_form
from fwtrans.lower.values import bad_value, read_network, read_port, read_protocol
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step

_WORDS = {"--vdir": ("ORIGINAL", "REPLY"), "--vmethod": ("GATE", "IPIP", "MASQ")}


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    if not use.options:
        raise Refused("FWT116", "`ipvs` needs at least one option", option="ipvs")
    for option in use.options:
        if option.name in _WORDS and option.values[0].upper() not in _WORDS[option.name]:
            raise bad_value(option.values[0], f"one of {', '.join(_WORDS[option.name])}", option.name)
        if option.name == "--vproto":
            read_protocol(option.values[0], option.name, place.family)
        elif option.name == "--vaddr":
            read_network(option.values[0], option.name, place.family)
        elif option.name in {"--vport", "--vportctl"}:
            read_port(option.values[0], option.name)
    if use.negated("--ipvs") and len(use.options) > 1:
        raise Refused("FWT117", "`! --ipvs` and other options of `ipvs` exclude each other", option="--ipvs")
    raise no_exact_form("ipvs", "nftables has no look-up of IPVS connections", option="ipvs")


EXTENSION = Match(
    name="ipvs",
    families=BOTH,
    options=(
        Option(name="--ipvs", arity=0, negatable=True),
        Option(name="--vproto", negatable=True),
        Option(name="--vaddr", negatable=True),
        Option(name="--vport", negatable=True),
        Option(name="--vdir"),
        Option(name="--vmethod", negatable=True),
        Option(name="--vportctl", negatable=True),
    ),
    lower=_lower,
)
