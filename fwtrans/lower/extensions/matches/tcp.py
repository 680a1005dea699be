"""`-m tcp`: ports, flags and options of TCP.

The kernel's match is false for later fragments and for headers cut short, negated or not; the fields say so themselves.
A search for an option ends one byte earlier in nftables (net/netfilter/nft_exthdr.c) than in iptables. The last byte can
only be an option of one byte, which is the filler, number 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.bits import BitSet
from fwtrans.ir.fields import DPORT, HAS_TRANSPORT, SPORT, TCP_FLAGS, header_present
from fwtrans.ir.match import FieldTest, negated_if, number_range, present
from fwtrans.ir.match import absent as is_absent
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use, no_exact_form
from fwtrans.lower.values import bad_value, read_number, read_port_range
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step
    from fwtrans.parsers.iptables_save.syntax import OptionUse

FLAGS = {"FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16, "URG": 32, "ALL": 63, "NONE": 0}


_FILLER = 1
# nft's words for options; the others go by their number.
_WORDS = {
    2: "maxseg", 3: "window", 4: "sack-perm", 5: "sack", 8: "timestamp", 19: "md5sig", 30: "mptcp", 34: "fastopen",
}  # fmt: skip


def _flags(text: str) -> int:
    value = 0
    for word in filter(None, text.split(",")):
        if word.upper() not in FLAGS:
            raise bad_value(word, "a TCP flag", "--tcp-flags")
        value |= FLAGS[word.upper()]
    return value


def _option(option: OptionUse) -> FieldTest:
    number = read_number(option.values[0], option.name, low=1, high=255)
    if number == _FILLER:
        raise no_exact_form("tcp", "it does not look at the last byte of the options", option=option.name)
    field = header_present("tcp option", _WORDS.get(number, str(number)))
    return is_absent(field) if option.negated else present(field)


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    place.require_protocol("tcp", 6)
    use.exclusive("--syn", "--tcp-flags")
    steps: list[Step] = [present(HAS_TRANSPORT)]
    for option in use.options:
        if option.name in {"--sport", "--dport"}:
            field = SPORT if option.name == "--sport" else DPORT
            steps.append(
                negated_if(number_range(field, *read_port_range(option.values[0], option.name)), option.negated)
            )
        elif option.name == "--tcp-flags":
            flags = BitSet.cube(8, _flags(option.values[0]), _flags(option.values[1]))
            steps.append(negated_if(FieldTest(TCP_FLAGS, flags), option.negated))
        elif option.name == "--syn":
            steps.append(negated_if(FieldTest(TCP_FLAGS, BitSet.cube(8, 0x17, 0x02)), option.negated))
        else:
            steps.append(_option(option))
    return tuple(steps)


EXTENSION = Match(
    name="tcp",
    families=BOTH,
    options=(
        Option(name="--sport", aliases=("--source-port",), negatable=True),
        Option(name="--dport", aliases=("--destination-port",), negatable=True),
        Option(name="--tcp-flags", arity=2, negatable=True),
        Option(name="--syn", arity=0, negatable=True),
        Option(name="--tcp-option", negatable=True),
    ),
    lower=_lower,
)
