"""What the model can say and the nft of our targets cannot: refused by both printers, with the way out where there is one.

Each was tried on nft 1.0.6 and, where that refused it, on 1.1.3.
"""

from __future__ import annotations

from fwtrans.backend.nft import expressions as ex
from fwtrans.backend.nft import objects as ob
from fwtrans.backend.nft.statements import DEFAULT_PACKET_BURST, ObjectKind, Period, Rate
from fwtrans.diagnostics import Refused

_CONSTANTS = (ex.Number, ex.Address, ex.MacAddress, ex.Symbol)
_WITHOUT_MAPS = (ObjectKind.CT_HELPER, ObjectKind.CT_TIMEOUT, ObjectKind.CT_EXPECTATION)
_NAME_BYTES = 15
_NANOSECONDS = {
    Period.SECOND: 10**9,
    Period.MINUTE: 60 * 10**9,
    Period.HOUR: 3600 * 10**9,
    Period.DAY: 86400 * 10**9,
    Period.WEEK: 7 * 86400 * 10**9,
}


def check_rate(rate: Rate) -> None:
    """Refuse a rate whose bucket does not fit the kernel's 64 bits of nanoseconds (net/netfilter/nft_limit.c).

    Newer kernels say so, older ones take the overflowed number for the limit.
    """
    if rate.amount < 1:
        raise Refused("FWT501", f"a rate of {rate.amount} is none")
    period = _NANOSECONDS[rate.period]
    burst = rate.burst or 0
    if not rate.in_bytes:
        burst = DEFAULT_PACKET_BURST if rate.burst is None else rate.burst
        if burst < 1:
            raise Refused("FWT501", "a rate in packets needs a burst of at least one packet")
    bucket = period * (rate.amount + burst) if rate.in_bytes else period // rate.amount * burst
    if not 0 < bucket < 1 << 64 or burst >= 1 << 32:
        unit = "bytes" if rate.in_bytes else "packets"
        raise Refused(
            "FWT502", f"{rate.amount} {unit}/{rate.period.value} burst {burst} is more than the kernel counts"
        )


def check_string(left: ex.Expression, right: ex.QuotedString) -> None:
    """Refuse a string that no name in the kernel can equal: all but the path of a control group hold 15 bytes."""
    if not isinstance(left, ex.Socket) and len(right.text.encode(errors="surrogatepass")) > _NAME_BYTES:
        raise Refused("FWT501", f"{right.text!r} is longer than {_NAME_BYTES} bytes, all that nft can compare with")


def check_operands(operation: ex.Binary) -> None:
    """Refuse a computed right side: two registers are joined from kernel 6.13 on, later than both targets."""
    if not _is_constant(operation.right):
        sign = operation.operator.value
        raise Refused("FWT502", f"nft takes only a constant on the right of `{sign}`, not another field of the packet")


def _is_constant(expression: ex.Expression) -> bool:
    if isinstance(expression, ex.Binary):
        return _is_constant(expression.left) and _is_constant(expression.right)
    return isinstance(expression, _CONSTANTS)


def check_map_types(item: ob.Map) -> None:
    """Refuse pairs of key and value that cannot be declared together."""
    value_is_object = isinstance(item.value, ObjectKind)
    if item.value in _WITHOUT_MAPS:
        raise Refused("FWT502", f"nft has no map to a {item.value.value}")
    if isinstance(item.key, ob.TypeOf):
        if item.value_is_interval:
            raise Refused("FWT502", "nft 1.0.6 lists a map from typeof to ranges as what it cannot load again")
        if value_is_object:
            raise Refused("FWT502", "nft 1.0.6 has no map from typeof to named objects, only from named types")
        if isinstance(item.value, ob.DataTypes):
            raise Refused("FWT300", f"map {item.name} has typeof for its key and a named type for its value")
    elif isinstance(item.value, ob.TypeOf):
        raise Refused("FWT300", f"map {item.name} has a named type for its key and typeof for its value")


def check_set_key(key: ob.DataTypes | ob.TypeOf) -> None:
    """Refuse a computed key: a masked field is declared as the field, `typeof ip saddr` for `ip saddr & 255.0.0.0`."""
    if isinstance(key, ob.TypeOf):
        parts = key.expression.parts if isinstance(key.expression, ex.Concatenation) else (key.expression,)
        if any(isinstance(part, ex.Binary) for part in parts):
            raise Refused("FWT300", "a set is declared with a masked field; nft wants the field alone")
