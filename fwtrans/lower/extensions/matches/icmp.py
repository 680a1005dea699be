"""`-m icmp`: ICMP type and code.

The kernel's match (net/ipv4/netfilter/ip_tables.c) is false for later fragments, negated or not. Type 255 is its sign
for `any`: it holds for every type and code, and negated never. Names may be abbreviated as long as only one fits, in
any case; a code may be a range (`3/1:5`), a type may not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.fields import HAS_TRANSPORT, ICMP_CODE, ICMP_TYPE, Field
from fwtrans.ir.match import AnyOf, FieldTest, PureTest, full_values, negated, number, present
from fwtrans.lower.extensions.base import IP_ONLY, Match, Place, Use
from fwtrans.lower.values import bad_value, range_set, read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step


class Kind(NamedTuple):
    """A type with the first and last of its codes that are meant."""

    type: int
    first: int = 0
    last: int = 255


_ANY = 255

NAMES: dict[str, Kind] = {
    "any": Kind(_ANY),
    "echo-reply": Kind(0),
    "pong": Kind(0),
    "destination-unreachable": Kind(3),
    "network-unreachable": Kind(3, 0, 0),
    "host-unreachable": Kind(3, 1, 1),
    "protocol-unreachable": Kind(3, 2, 2),
    "port-unreachable": Kind(3, 3, 3),
    "fragmentation-needed": Kind(3, 4, 4),
    "source-route-failed": Kind(3, 5, 5),
    "network-unknown": Kind(3, 6, 6),
    "host-unknown": Kind(3, 7, 7),
    "network-prohibited": Kind(3, 9, 9),
    "host-prohibited": Kind(3, 10, 10),
    "tos-network-unreachable": Kind(3, 11, 11),
    "tos-host-unreachable": Kind(3, 12, 12),
    "communication-prohibited": Kind(3, 13, 13),
    "host-precedence-violation": Kind(3, 14, 14),
    "precedence-cutoff": Kind(3, 15, 15),
    "source-quench": Kind(4),
    "redirect": Kind(5),
    "network-redirect": Kind(5, 0, 0),
    "host-redirect": Kind(5, 1, 1),
    "tos-network-redirect": Kind(5, 2, 2),
    "tos-host-redirect": Kind(5, 3, 3),
    "echo-request": Kind(8),
    "ping": Kind(8),
    "router-advertisement": Kind(9),
    "router-solicitation": Kind(10),
    "time-exceeded": Kind(11),
    "ttl-exceeded": Kind(11),
    "ttl-zero-during-transit": Kind(11, 0, 0),
    "ttl-zero-during-reassembly": Kind(11, 1, 1),
    "parameter-problem": Kind(12),
    "ip-header-bad": Kind(12, 0, 0),
    "required-option-missing": Kind(12, 1, 1),
    "timestamp-request": Kind(13),
    "timestamp-reply": Kind(14),
    "address-mask-request": Kind(17),
    "address-mask-reply": Kind(18),
}


def find_kind(text: str, option: str, names: dict[str, Kind]) -> Kind | None:
    """Return what a name, or the start of one in any case, stands for; None for anything else."""
    fitting = [name for name in names if name.startswith(text.lower())]
    if len(fitting) > 1:
        raise bad_value(text, f"clear: it could be `{fitting[0]}` or `{fitting[1]}`", option)
    return names[fitting[0]] if fitting else None


def read_kind(text: str, option: str, names: dict[str, Kind]) -> Kind:
    """Return what a name (or the start of one), `type` or `type/code[:code]` stands for."""
    named = find_kind(text, option, names)
    if named is not None:
        return named
    type_text, found, code_text = text.partition("/")
    first, last = _read_range(type_text, option)
    if first != last:
        raise bad_value(text, "one ICMP type: iptables takes ranges of codes only", option)
    return Kind(first, *_read_range(code_text, option)) if found else Kind(first)


def _read_range(text: str, option: str) -> tuple[int, int]:
    first, found, last = text.partition(":")
    low = read_number(first, option, high=255)
    return low, read_number(last, option, high=255) if found else low


def kind_tests(type_field: Field, code_field: Field, kind: Kind, *, inverted: bool) -> tuple[PureTest, ...]:
    """Return the tests of type and code; inverted, they are true for another type or another code."""
    of_type = number(type_field, kind.type)
    of_code = FieldTest(code_field, range_set(8, kind.first, kind.last))
    if not inverted:
        return (of_type,) if of_code.values.is_full else (of_type, of_code)
    if of_code.values.is_full:
        return (negated(of_type),)
    if of_code.values.is_empty:
        return (FieldTest(type_field, full_values(type_field)),)
    return (AnyOf(((negated(of_type),), (of_type, negated(of_code)))),)


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    place.require_protocol("icmp", 1)
    option = use.need("--icmp-type")
    kind = read_kind(option.values[0], option.name, NAMES)
    if kind.type == _ANY:  # the header's being there says that it has a type
        never = negated(FieldTest(ICMP_TYPE, full_values(ICMP_TYPE)))
        return (present(HAS_TRANSPORT), *((never,) if option.negated else ()))
    return (present(HAS_TRANSPORT), *kind_tests(ICMP_TYPE, ICMP_CODE, kind, inverted=option.negated))


EXTENSION = Match(
    name="icmp",
    families=IP_ONLY,
    options=(Option(name="--icmp-type", negatable=True),),
    lower=_lower,
)
