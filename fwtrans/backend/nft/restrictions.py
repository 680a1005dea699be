"""What the model can say and the nft of our targets cannot: refused by both printers, with the way out where there is one.

Each was tried on nft 1.0.6 and, where that refused it, on 1.1.3.
"""

from __future__ import annotations

from fwtrans.backend.nft import expressions as ex
from fwtrans.backend.nft import objects as ob
from fwtrans.backend.nft.statements import ObjectKind
from fwtrans.diagnostics import Refused

_CONSTANTS = (ex.Number, ex.Address, ex.MacAddress, ex.Symbol)
_WITHOUT_MAPS = (ObjectKind.CT_HELPER, ObjectKind.CT_TIMEOUT, ObjectKind.CT_EXPECTATION)


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
