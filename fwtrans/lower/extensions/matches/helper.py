"""`-m helper`: the packet belongs to a connection that a conntrack helper expected.

Both kernels' sides ask for the helper of the *master* connection, so that an expected connection is one whose master has
a helper. A packet without one counts as not matching, and so matches negated. iptables compares as many letters as the
helper's own name has (`--helper ftp-2121` also matches the helper ftp), and an empty name means any helper.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fwtrans.ir.fields import CT_HELPER, CT_STATUS
from fwtrans.ir.match import AnyOf, FieldTest, bits, negated, opposite
from fwtrans.ir.names import NameSet
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step

_KERNEL_HELPERS = (
    "amanda", "ftp", "irc", "netbios-ns", "pptp", "sane", "sip", "snmp", "snmp_trap", "tftp", "RAS", "Q.931", "H.245",
)  # fmt: skip
_LONGEST_OPTION = 29
_LONGEST_NAME = 15
_EXPECTED = 1


def _names(text: str) -> tuple[str, ...]:
    """Return the helpers whose whole name the text starts with, as far as helpers of that name can exist.

    A helper on a port of its own is called by both: `ftp-2121`, so that `ftp-21` and `ftp-2` fit as well.
    """
    found = {text}
    found.update(name for name in _KERNEL_HELPERS if text.startswith(name))
    with_port = re.match(r"(.+-)([0-9]+)", text)
    if with_port is not None and with_port.group(1)[:-1] in _KERNEL_HELPERS:
        digits = with_port.group(2)
        found.update(with_port.group(1) + digits[:count] for count in range(1, len(digits) + 1))
    return tuple(sorted(name for name in found if len(name.encode()) <= _LONGEST_NAME))


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    option = use.need("--helper")
    text = option.values[0][:_LONGEST_OPTION]
    expected = bits(CT_STATUS, _EXPECTED, _EXPECTED)
    place.assume("helper: every expected connection was expected by a helper that is still loaded")
    if not text:
        return (AnyOf(opposite(expected)),) if option.negated else (expected,)
    test = FieldTest(CT_HELPER, NameSet.exact(*_names(text)))
    if not option.negated:
        return (test,)
    return (AnyOf((*opposite(expected), (expected, negated(test)))),)


EXTENSION = Match(
    name="helper",
    families=BOTH,
    options=(Option(name="--helper", negatable=True),),
    lower=_lower,
    in_context=True,
)
