"""Expressions as nft text. Each class of expressions.py has one small printer here, found by its type.

Binary operators bind as in C, tighter than the dot of a concatenation: `ip saddr & 255.255.0.0 . tcp dport`. Brackets
are printed only where another tree would be read without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fwtrans.backend.nft import expressions as ex
from fwtrans.backend.nft import literals, names
from fwtrans.backend.nft.restrictions import check_operands
from fwtrans.backend.nft.statements import Verdict, VerdictKind

if TYPE_CHECKING:
    from collections.abc import Callable

_PRECEDENCE = {
    ex.BinaryOperator.OR: 1,
    ex.BinaryOperator.XOR: 2,
    ex.BinaryOperator.AND: 3,
    ex.BinaryOperator.LEFT_SHIFT: 4,
    ex.BinaryOperator.RIGHT_SHIFT: 4,
}
# nft lists these without the word meta
_SHORT_META = frozenset({"iif", "oif", "iifname", "oifname", "iifgroup", "oifgroup"})
_VERDICT_WITH_CHAIN = (VerdictKind.JUMP, VerdictKind.GOTO)


def expression_text(expression: ex.Expression | ex.AnonymousMap) -> str:
    """Return the expression as nft reads it."""
    return _PRINTERS[type(expression)](expression)


def verdict_text(verdict: Verdict) -> str:
    """Return `accept` or `jump chain`."""
    if verdict.kind in _VERDICT_WITH_CHAIN:
        return f"{verdict.kind.value} {names.checked(verdict.chain, names.NameKind.CHAIN)}"
    return verdict.kind.value


def quoted(text: str, what: str, limit: int) -> str:
    """Return the text between quotation marks, or refuse what cannot stand there."""
    return f'"{literals.string(text, what, limit)}"'


def _number(value: ex.Number) -> str:
    if value.hexadecimal_digits:
        return f"0x{literals.number(value):0{value.hexadecimal_digits}x}"
    return str(literals.number(value))


def _interface(value: ex.InterfaceName) -> str:
    return f'"{literals.interface(value.name, is_prefix=value.is_prefix)}"'


def _prefix(value: ex.Prefix) -> str:
    length = literals.prefix_length(value.address, value.length)
    text = literals.address(value.address)
    return text if length == value.address.width else f"{text}/{length}"


def _range(value: ex.Range) -> str:
    if value.low == value.high:
        return expression_text(value.low)
    return f"{expression_text(value.low)}-{expression_text(value.high)}"


def _meta(selector: ex.Meta) -> str:
    return selector.key if selector.key in _SHORT_META else f"meta {selector.key}"


def _conntrack(selector: ex.Conntrack) -> str:
    direction = f"{selector.direction.value} " if selector.direction else ""
    family = f"{selector.family} " if selector.family else ""
    return f"ct {direction}{family}{selector.key}"


def _extension_header(selector: ex.ExtensionHeader) -> str:
    return f"{selector.header} {selector.field}" if selector.field else f"exthdr {selector.header}"


def _with_field(words: str, field: str) -> str:
    return f"{words} {field}" if field else words


def _route(selector: ex.Route) -> str:
    return f"rt {selector.family} {selector.key}" if selector.family else f"rt {selector.key}"


def _socket(selector: ex.Socket) -> str:
    return f"socket {selector.key} level {selector.level}" if selector.level else f"socket {selector.key}"


def _ipsec(selector: ex.Ipsec) -> str:
    family = f"{selector.family} " if selector.family else ""
    return f"ipsec {selector.direction} spnum {selector.sequence_number} {family}{selector.key}"


def _osf(selector: ex.Osf) -> str:
    return f"osf ttl {selector.ttl} {selector.key}" if selector.ttl else f"osf {selector.key}"


def _number_generator(value: ex.NumberGenerator) -> str:
    offset = f" offset {value.offset}" if value.offset else ""
    return f"numgen {value.mode} mod {value.modulus}{offset}"


def _jenkins_hash(value: ex.JenkinsHash) -> str:
    seed = "" if value.seed is None else f" seed 0x{value.seed:x}"
    offset = f" offset {value.offset}" if value.offset else ""
    return f"jhash {expression_text(value.expression)} mod {value.modulus}{seed}{offset}"


def _symmetric_hash(value: ex.SymmetricHash) -> str:
    offset = f" offset {value.offset}" if value.offset else ""
    return f"symhash mod {value.modulus}{offset}"


def _binary(value: ex.Binary) -> str:
    check_operands(value)
    rank = _PRECEDENCE[value.operator]
    left, right = expression_text(value.left), expression_text(value.right)
    if isinstance(value.left, ex.Binary) and _PRECEDENCE[value.left.operator] < rank:
        left = f"({left})"
    if isinstance(value.right, ex.Binary) and _PRECEDENCE[value.right.operator] <= rank:
        right = f"({right})"
    return f"{left} {value.operator.value} {right}"


def _anonymous_map(value: ex.AnonymousMap) -> str:
    return "{ " + ", ".join(f"{expression_text(key)} : {data_text(data)}" for key, data in value.entries) + " }"


def data_text(data: ex.Expression | Verdict) -> str:
    """Return what stands on the right of a map's entry."""
    return verdict_text(data) if isinstance(data, Verdict) else expression_text(data)


def _set_reference(value: ex.SetReference) -> str:
    return f"@{names.checked(value.name, names.NameKind.SET)}"


_PRINTERS: dict[type, Callable[[Any], str]] = {
    ex.Number: _number,
    ex.Address: literals.address,
    ex.MacAddress: literals.mac_address,
    ex.Symbol: lambda value: literals.word(value.name),
    ex.QuotedString: lambda value: quoted(value.text, "string", literals.STRING_LIMIT),
    ex.InterfaceName: _interface,
    ex.Prefix: _prefix,
    ex.Range: _range,
    ex.AnyElement: lambda _: "*",
    ex.Payload: lambda value: f"{value.protocol} {value.field}",
    ex.RawPayload: lambda value: f"@{value.base},{value.offset},{value.length}",
    ex.Meta: _meta,
    ex.Conntrack: _conntrack,
    ex.Fib: lambda value: f"fib {' . '.join(value.flags)} {value.result}",
    ex.ExtensionHeader: _extension_header,
    ex.TcpOption: lambda value: _with_field(f"tcp option {value.option}", value.field),
    ex.RawTcpOption: lambda value: f"tcp option @{value.kind},{value.offset},{value.length}",
    ex.IpOption: lambda value: _with_field(f"ip option {value.option}", value.field),
    ex.SctpChunk: lambda value: _with_field(f"sctp chunk {value.chunk}", value.field),
    ex.Route: _route,
    ex.Socket: _socket,
    ex.Ipsec: _ipsec,
    ex.Osf: _osf,
    ex.NumberGenerator: _number_generator,
    ex.JenkinsHash: _jenkins_hash,
    ex.SymmetricHash: _symmetric_hash,
    ex.Binary: _binary,
    ex.FlagList: lambda value: ",".join(map(expression_text, value.flags)),
    ex.Concatenation: lambda value: " . ".join(map(expression_text, value.parts)),
    ex.AnonymousSet: lambda value: "{ " + ", ".join(map(expression_text, value.elements)) + " }",
    ex.AnonymousMap: _anonymous_map,
    ex.SetReference: _set_reference,
    ex.MapLookup: lambda value: f"{expression_text(value.key)} map {expression_text(value.mapping)}",
}
