"""`-m connlimit`: how many connections are open for each source (or destination) address or network.

Both kernels' sides use the same counter of connections (net/netfilter/nf_conncount.c): `--connlimit-above n` holds with
more than n, `--connlimit-upto n` with n at most, the packet's own connection counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir.fields import destination_address, source_address
from fwtrans.ir.match import KeyPart
from fwtrans.ir.stateful import ConnectionCount, StatefulObject, StatefulTest
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use
from fwtrans.lower.extensions.matches.conntrack import read_length_mask
from fwtrans.lower.values import address_width, read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step

_SIZE = 65535


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    use.exclusive("--connlimit-upto", "--connlimit-above")
    use.exclusive("--connlimit-saddr", "--connlimit-daddr")
    option = use.find("--connlimit-above") or use.find("--connlimit-upto")
    if option is None:
        raise Refused("FWT116", "`connlimit` needs `--connlimit-upto` or `--connlimit-above`", option="connlimit")
    limit = read_number(option.values[0], option.name)
    over = (option.name == "--connlimit-above") != option.negated
    key = _key(use, place)
    place.assume("connlimit: the connections that are counted together are in one conntrack zone")
    if key:
        place.assume(f"connlimit: no more than {_SIZE} addresses have open connections at a time")
    count = StatefulObject(place.identity, ConnectionCount(limit), size=_SIZE if key else 0)
    return (StatefulTest(count, key, over=over),)


def _key(use: Use, place: Place) -> tuple[KeyPart, ...]:
    """Return the masked address."""
    width = address_width(place.family)
    ones = (1 << width) - 1
    mask = ones
    if use.has("--connlimit-mask"):
        mask = read_length_mask(use.value("--connlimit-mask"), "--connlimit-mask", place.family)
    field = destination_address(place.family) if use.has("--connlimit-daddr") else source_address(place.family)
    if not mask:
        return ()
    return (KeyPart(field, None if mask == ones else mask),)


EXTENSION = Match(
    name="connlimit",
    families=BOTH,
    options=(
        Option(name="--connlimit-upto", negatable=True),
        Option(name="--connlimit-above", negatable=True),
        Option(name="--connlimit-mask"),
        Option(name="--connlimit-saddr", arity=0),
        Option(name="--connlimit-daddr", arity=0),
    ),
    lower=_lower,
    in_context=True,
)
