"""Effects and verdicts of the IR as nft statements, as far as one statement says them.

What takes several rules (copying masked bits from one mark to the other) is `steps.py`'s business.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from fwtrans.backend.nft import model as nft
from fwtrans.backend.nft.selectors import key_expression, literal, selector
from fwtrans.diagnostics import Refused
from fwtrans.ir import effect as ir
from fwtrans.ir import verdict as verdicts
from fwtrans.ir.fields import CT_LABEL, Family
from fwtrans.ir.stateful import (
    ConnectionCount,
    Drawn,
    EveryNth,
    Limit,
    LimitUnit,
    Quota,
    Random,
    StatefulTest,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from fwtrans.ir.fields import Field

_PERIODS = {
    LimitUnit.SECOND: nft.Period.SECOND,
    LimitUnit.MINUTE: nft.Period.MINUTE,
    LimitUnit.HOUR: nft.Period.HOUR,
    LimitUnit.DAY: nft.Period.DAY,
    LimitUnit.WEEK: nft.Period.WEEK,
}
_REJECTS = {
    "tcp reset": nft.RejectKind.TCP_RESET,
    "icmp": nft.RejectKind.ICMP,
    "icmpv6": nft.RejectKind.ICMPV6,
    "icmpx": nft.RejectKind.ICMPX,
    "": nft.RejectKind.DEFAULT,
}
_OPERATIONS = {
    ir.SetOperation.ADD: nft.UpdateKind.ADD,
    ir.SetOperation.UPDATE: nft.UpdateKind.UPDATE,
    ir.SetOperation.DELETE: nft.UpdateKind.DELETE,
}


@cache
def rate(limit: Limit, *, over: bool) -> nft.Rate:
    """Return a limit's rate."""
    burst: int | None = limit.burst
    if limit.in_bytes and not limit.burst:
        burst = None
    return nft.Rate(limit.rate, _PERIODS[limit.unit], burst, over, limit.in_bytes)


def stateful_statement(test: StatefulTest) -> nft.Statement:
    """Return the statement of a stateful test that stands in one rule (or in the element of a keyed set)."""
    kind = test.object.kind
    if isinstance(kind, Limit):
        return nft.Limit(rate(kind, over=test.over))
    if isinstance(kind, Quota):
        return nft.Quota(kind.amount, test.over, kind.used)
    if isinstance(kind, ConnectionCount):
        return nft.ConnectionCount(kind.limit, test.over)
    if isinstance(kind, EveryNth):
        operator = nft.Operator.NOT_EQUAL if test.over else nft.Operator.IMPLICIT
        return nft.Match(nft.NumberGenerator("inc", kind.every), nft.Number(kind.packet), operator)
    if isinstance(kind, Drawn):
        raise Refused("FWT200", "a look-up by a number that is drawn can be printed as a whole only")
    assert isinstance(kind, Random)  # noqa: S101 -- the last kind there is
    operator = nft.Operator.GREATER_OR_EQUAL if test.over else nft.Operator.LESS
    return nft.Match(nft.NumberGenerator("random", 1 << 31), nft.Number(kind.threshold), operator)


# --- assignments ---


def assignment(step: ir.Assign) -> nft.Assignment | None:
    """Return the assignment, None where it changes nothing. A source beside kept bits is not for one statement."""
    field = step.field
    ones = (1 << field.width) - 1
    target = selector(field)
    if step.source is not None:
        return nft.Assignment(target, _with_source(step.source, field, step.constant))
    if step.keep == ones and step.constant == 0:
        return None
    if field is CT_LABEL:
        return nft.Assignment(target, _label_bit(step))
    if step.keep == 0:
        return nft.Assignment(target, literal(field, step.constant))
    return nft.Assignment(target, _kept_bits(target, field, step.keep & ones, step.constant, ones))


def _label_bit(step: ir.Assign) -> nft.Expression:
    """Return the position of the bit: `ct label set` sets one and leaves the others as they are."""
    ones = (1 << CT_LABEL.width) - 1
    if step.constant.bit_count() != 1 or step.keep & ones != ones & ~step.constant:
        raise Refused("FWT200", "of connection labels nft can set one, and clear none")
    return nft.Number(step.constant.bit_length() - 1)


def _kept_bits(target: nft.Selector, field: Field, keep: int, constant: int, ones: int) -> nft.Expression:
    value: nft.Expression = target
    if keep != ones:
        value = nft.Binary(nft.BinaryOperator.AND, value, literal(field, keep))
    if constant:
        operator = nft.BinaryOperator.XOR if constant & keep else nft.BinaryOperator.OR
        value = nft.Binary(operator, value, literal(field, constant))
    return value


def _with_source(source: ir.BitsOf, field: Field, constant: int) -> nft.Expression:
    value: nft.Expression = selector(source.field)
    if source.mask != (1 << source.field.width) - 1:
        value = nft.Binary(nft.BinaryOperator.AND, value, literal(source.field, source.mask))
    if source.shift:
        operator = nft.BinaryOperator.LEFT_SHIFT if source.shift > 0 else nft.BinaryOperator.RIGHT_SHIFT
        value = nft.Binary(operator, value, nft.Number(abs(source.shift)))
    if constant:
        value = nft.Binary(nft.BinaryOperator.XOR, value, literal(field, constant))
    return value


# --- other effects, one function a kind ---


def _log(step: ir.Log, _family: Family) -> nft.Statement:
    if step.group is None:
        return nft.Log(step.prefix, step.level, step.flags)
    return nft.Log(
        step.prefix, group=step.group, snap_length=step.snaplen, queue_threshold=step.queue_threshold or None
    )


def _nat(step: ir.Nat, family: Family) -> nft.Statement:
    kind = nft.NatKind(step.kind.value)
    flags = tuple(nft.NatFlag(flag) for flag in step.flags)
    width = 128 if family is Family.IP6 else 32
    address: nft.Expression | None = None
    if step.map_name:
        address = nft.MapLookup(key_expression(step.key), nft.SetReference(step.map_name))
    elif step.addresses is not None:
        low, high = step.addresses
        address = _nat_address(low, high, width, prefix=step.prefix)
    port: nft.Expression | None = None
    if step.ports is not None:
        low, high = step.ports
        port = nft.Number(low) if low == high else nft.Range(nft.Number(low), nft.Number(high))
    return nft.Nat(kind, address, port, "", flags, step.prefix)


def _nat_address(low: int, high: int, width: int, *, prefix: bool) -> nft.Expression:
    if prefix:
        return nft.Prefix(nft.Address(low, width), width - (high - low + 1).bit_length() + 1)
    if low == high:
        return nft.Address(low, width)
    return nft.Range(nft.Address(low, width), nft.Address(high, width))


def _set_update(step: ir.SetUpdate, _family: Family) -> nft.Statement:
    timeout = None if step.timeout is None else round(step.timeout * 1000)
    return nft.SetUpdate(_OPERATIONS[step.operation], step.set_name, key_expression(step.key), timeout)


def _assign_from_table(step: ir.AssignFromTable, _family: Family) -> nft.Statement:
    entries = tuple((literal(step.field, old), literal(step.field, new)) for old, new in step.table)
    return nft.Assignment(selector(step.field), nft.MapLookup(selector(step.field), nft.AnonymousMap(entries)))


def _duplicate(step: ir.Duplicate, family: Family) -> nft.Statement:
    if family is Family.BRIDGE:
        raise Refused(
            "FWT200",
            "`dup` has no nftables form for packets on a bridge: no copy can be sent to another host from there",
        )
    device = nft.InterfaceName(step.device) if step.device else None
    return nft.Duplicate(nft.Address(step.gateway, 128 if family is Family.IP6 else 32), device)


# TCP options that nft 1.0.6 knows by name.
_OPTION_WORDS = {0: "eol", 1: "nop", 2: "maxseg", 3: "window", 4: "sack-perm", 5: "sack", 8: "timestamp", 30: "mptcp", 34: "fastopen"}  # fmt: skip


def _count(step: ir.Count, _family: Family) -> nft.Statement:
    if step.name:
        return nft.ObjectStatement(nft.ObjectKind.COUNTER, step.name)
    return nft.Counter(step.packets, step.byte_count)


_EFFECTS: dict[type, Callable[..., nft.Statement]] = {
    ir.Log: _log,
    ir.Nat: _nat,
    ir.SetUpdate: _set_update,
    ir.AssignFromTable: _assign_from_table,
    ir.Duplicate: _duplicate,
    ir.Count: _count,
    ir.ResetTcpOption: lambda step, _family: nft.ResetTcpOption(_OPTION_WORDS.get(step.kind, step.kind)),
    ir.NoTrack: lambda _step, _family: nft.Notrack(),
    ir.Forward: lambda step, _family: nft.Forward(nft.InterfaceName(step.device)),
}


def effect_statement(step: ir.Effect, family: Family) -> nft.Statement:
    """Return the statement of an effect other than an assignment or a use of a named object."""
    make = _EFFECTS.get(type(step))
    if make is None:
        raise Refused("FWT200", f"{type(step).__name__} has no nftables form")
    return make(step, family)


# --- verdicts ---

_PLAIN = {
    verdicts.Accept: nft.VerdictKind.ACCEPT,
    verdicts.Drop: nft.VerdictKind.DROP,
    verdicts.Return: nft.VerdictKind.RETURN,
}


def verdict_statement(verdict: verdicts.Verdict, chain_name: Callable[[str], str]) -> nft.Statement:
    """Return the statement of a verdict; `chain_name` gives a chain's printed name."""
    plain = _PLAIN.get(type(verdict))
    if plain is not None:
        return nft.Verdict(plain)
    if isinstance(verdict, verdicts.Jump):
        return nft.Verdict(nft.VerdictKind.JUMP, chain_name(verdict.chain))
    if isinstance(verdict, verdicts.Goto):
        return nft.Verdict(nft.VerdictKind.GOTO, chain_name(verdict.chain))
    if isinstance(verdict, verdicts.Reject):
        return nft.Reject(_REJECTS[verdict.protocol], verdict.kind)
    if isinstance(verdict, verdicts.Queue):
        first, last = nft.Number(verdict.first), nft.Number(verdict.last)
        number = first if verdict.first == verdict.last else nft.Range(first, last)
        return nft.Queue(number, verdict.bypass, verdict.fanout)
    if isinstance(verdict, verdicts.Dispatch):
        return nft.VerdictMap(key_expression(verdict.key), nft.SetReference(verdict.map_name))
    assert isinstance(verdict, verdicts.SynProxy)  # noqa: S101 -- TransparentProxy is two rules, see steps.py
    return nft.Synproxy(verdict.mss or None, verdict.window_scale, verdict.timestamp, verdict.sack_permitted)
