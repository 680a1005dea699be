"""Assignments to packet headers as nft rules: the TOS byte, time to live, TCP's flags.

nft keeps a header's checksum right only where the field is written by its name, and by its name it writes constants
only: `ip ttl set ip ttl map {...}` and `tcp flags set tcp flags & 0x3f` are refused, and `@nh,8,8 set ...` writes past the
checksum (nft 1.0.6, seen in its netlink messages). So what keeps some bits, or counts, becomes a chain with one rule for
each result: the old value is tested, the new one written.

    Assign(ip.tos, keep 0xc0, 0x10)   @nh,8,8 & 0xc0 == 0x40 ip dscp set 20 return     and so on, then ip ecn set 0
    TTL minus one                     ip ttl 64 ip ttl set 63 return

nft has no word for the whole TOS byte or traffic class, so it is written as DSCP and ECN. The hop limit of IPv6 is under
no checksum and has a word: it takes the plain way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.backend.nft import model as nft
from fwtrans.backend.nft.selectors import literal, match_of, selector
from fwtrans.ir.bits import BitSet
from fwtrans.ir.effect import Assign, AssignFromTable
from fwtrans.ir.fields import IP6_CLASS, IP_TOS, IP_TTL, TCP_FLAGS, Family
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest

if TYPE_CHECKING:
    from collections.abc import Callable

    from fwtrans.ir.fields import Field

Statements = tuple[nft.Statement, ...]

# More rules than this are split over chains of this size, so that a packet passes few of them.
_BLOCK = 16

_RETURN = nft.Verdict(nft.VerdictKind.RETURN)


class _Part(NamedTuple):
    """Bits of a field that nft writes under one name, and their lowest bit."""

    mask: int
    shift: int
    target: nft.Selector


def is_header_write(step: Assign | AssignFromTable) -> bool:
    """Tell whether the step needs this module. Constants for whole fields with a name do not."""
    if isinstance(step, AssignFromTable):
        return step.field is IP_TTL
    return step.source is None and (step.field in {IP_TOS, IP6_CLASS} or (step.field is TCP_FLAGS and step.keep != 0))


def header_write(
    step: Assign | AssignFromTable, helper_chain: Callable[[str, tuple[Statements, ...]], str], family: Family
) -> Statements:
    """Return the statements; a jump, which must be the rule's last, only where one write is not enough."""
    if isinstance(step, AssignFromTable):
        return (_jump(helper_chain("change-ttl", _blocks(step, helper_chain))),)
    plain: list[nft.Statement] = []
    chains: list[str] = []
    for part in _parts(step.field):
        if _is_untouched(step, part.mask):
            continue
        if step.keep & part.mask == 0:
            plain.append(_write(part, step.constant))
        else:
            chains.append(helper_chain(f"change-{step.field.name}", _rules(step, part, family)))
    if len(chains) > 1:
        chains = [helper_chain(f"change-{step.field.name}", tuple((_jump(name),) for name in chains))]
    return (*plain, *(_jump(name) for name in chains))


def _parts(field: Field) -> tuple[_Part, ...]:
    if field is TCP_FLAGS:
        return (_Part(0xFF, 0, selector(TCP_FLAGS)),)
    header = "ip" if field is IP_TOS else "ip6"
    return _Part(0xFC, 2, nft.Payload(header, "dscp")), _Part(0x03, 0, nft.Payload(header, "ecn"))


def _is_untouched(step: Assign, mask: int) -> bool:
    return step.keep & mask == mask and step.constant & mask == 0


def _jump(chain: str) -> nft.Verdict:
    return nft.Verdict(nft.VerdictKind.JUMP, chain)


def _write(part: _Part, value: int) -> nft.Assignment:
    number = (value & part.mask) >> part.shift
    return nft.Assignment(part.target, literal(TCP_FLAGS, number) if part.mask == 0xFF else nft.Number(number))


def _rules(step: Assign, part: _Part, family: Family) -> tuple[Statements, ...]:
    """Return a rule for each value of the kept bits. Where the written bits are right already, nothing is done."""
    kept, rest = step.keep & part.mask, part.mask & ~step.keep
    constant = step.constant & part.mask
    rules: list[Statements] = []
    if constant & kept == 0:
        rules.append((*_test(step.field, BitSet.cube(8, rest, constant), family), _RETURN))
    for value in _values(kept):
        new = value ^ constant
        rules.append((*_test(step.field, BitSet.cube(8, kept, value), family), _write(part, new), _RETURN))
    return tuple(rules)


def _values(mask: int) -> list[int]:
    """Return every number that has bits of the mask only."""
    found = [0]
    for position in range(mask.bit_length()):
        if mask >> position & 1:
            found.extend([value | 1 << position for value in found])
    return sorted(found)


def _test(field: Field, values: BitSet, family: Family) -> Statements:
    return match_of(FieldTest(field, values), family, 6 if field is TCP_FLAGS else None)


def _blocks(
    step: AssignFromTable, helper_chain: Callable[[str, tuple[Statements, ...]], str]
) -> tuple[Statements, ...]:
    """Return a rule for each block of old values, leading to the rules for the values themselves."""
    changed = [(old, new) for old, new in sorted(step.table) if old != new]
    rules: list[Statements] = []
    for start in range(0, len(changed), _BLOCK):
        block = changed[start : start + _BLOCK]
        writes = tuple(
            (
                *_number_test(step.field, old, old),
                nft.Assignment(selector(step.field), literal(step.field, new)),
                _RETURN,
            )
            for old, new in block
        )
        name = helper_chain(f"change-ttl-{block[0][0]}", writes)
        rules.append((*_number_test(step.field, block[0][0], block[-1][0]), nft.Verdict(nft.VerdictKind.GOTO, name)))
    return tuple(rules)


def _number_test(field: Field, low: int, high: int) -> Statements:
    return match_of(FieldTest(field, IntervalSet(field.width, ((low, high),))), Family.INET, None)
