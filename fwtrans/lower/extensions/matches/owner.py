"""`-m owner`: the user and group of the local socket that a packet comes from.

net/netfilter/xt_owner.c: without a socket, or for a socket that no process holds open (the kernel's own, or one closed
already), a plain test is false and a negated one true. nftables' `meta skuid` is there for exactly the sockets that a
process holds open, so that users and groups come out the same. Whether there is a socket at all it cannot tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir.fields import HAS_SOCKET, SOCKET_GID, SOCKET_UID, Field
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import AnyOf, FieldTest, PureTest, absent, negated, number_range
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use, no_exact_form
from fwtrans.lower.values import bad_value, read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step
    from fwtrans.parsers.iptables_save.syntax import OptionUse

_HIGHEST = 0xFFFFFFFE


def _read_ids(option: OptionUse) -> tuple[int, int]:
    text = option.values[0]
    if text == "root":
        return 0, 0
    if text[:1].isalpha():
        raise Refused(
            "FWT112", f"`{text}` is not a number", option=option.name,
            hint="the names of users and groups are those of one machine: write the number",
        )  # fmt: skip
    first, found, last = text.partition("-")
    low = read_number(first, option.name, high=_HIGHEST)
    high = read_number(last, option.name, high=_HIGHEST) if found else low
    if high < low:
        raise bad_value(text, "a range: its first number is larger than its last", option.name)
    return low, high


def _owned_by(field: Field, option: OptionUse) -> PureTest:
    test = number_range(field, *_read_ids(option))
    if option.negated:
        return AnyOf(((negated(test),), (absent(HAS_SOCKET),)))
    return test


def _lower(use: Use, _place: Place) -> tuple[Step, ...]:
    user, group, socket = use.find("--uid-owner"), use.find("--gid-owner"), use.find("--socket-exists")
    if use.has("--suppl-groups") and group is None:
        raise Refused("FWT116", "`--suppl-groups` needs `--gid-owner`", option="--suppl-groups")
    owners = [(SOCKET_UID, user), (SOCKET_GID, group)]
    tests = [_owned_by(field, option) for field, option in owners if option is not None]
    if not tests and socket is None:
        raise Refused("FWT116", "`owner` needs `--uid-owner`, `--gid-owner` or `--socket-exists`", option="owner")
    if use.has("--suppl-groups"):
        raise no_exact_form("owner", "it does not look at supplementary groups", option="--suppl-groups")
    names_owner = any(option is not None and not option.negated for _, option in owners)
    # An owner that is named needs a socket in any case: asking for one adds nothing, asking for none excludes it.
    if socket is not None and not names_owner:
        raise no_exact_form(
            "owner", "it cannot tell a socket of the kernel's own from no socket", option="--socket-exists"
        )
    if socket is not None and socket.negated:
        tests.append(FieldTest(SOCKET_UID, IntervalSet.empty(32)))
    return tuple(tests)


EXTENSION = Match(
    name="owner",
    families=BOTH,
    options=(
        Option(name="--uid-owner", negatable=True),
        Option(name="--gid-owner", negatable=True),
        Option(name="--socket-exists", arity=0, negatable=True),
        Option(name="--suppl-groups", arity=0),
    ),
    lower=_lower,
    hooks=frozenset({"OUTPUT", "POSTROUTING"}),
)
