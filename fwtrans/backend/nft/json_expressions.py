"""Expressions as libnftables-json(5) has them. Each class of expressions.py has one small printer here.

A plain JSON string is read as a value, but one that starts with `@` as the name of a set and a lone `*` as the catch-all
element; a user's string of that shape is refused, the text form can say it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from fwtrans.backend.nft import expressions as ex
from fwtrans.backend.nft import literals, names
from fwtrans.backend.nft.restrictions import check_operands
from fwtrans.backend.nft.statements import Verdict, VerdictKind
from fwtrans.diagnostics import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

Json: TypeAlias = "bool | int | str | list[Json] | dict[str, Json] | None"

_BOOLEANS = {"exists": True, "missing": False}


def expression_json(expression: ex.Expression | ex.AnonymousMap) -> Json:
    """Return the expression as libnftables reads it."""
    return _PRINTERS[type(expression)](expression)


def verdict_json(verdict: Verdict) -> Json:
    """Return `{"accept": null}` or `{"jump": {"target": chain}}`."""
    if verdict.kind in (VerdictKind.JUMP, VerdictKind.GOTO):
        return {verdict.kind.value: {"target": names.checked(verdict.chain, names.NameKind.CHAIN)}}
    return {verdict.kind.value: None}


def data_json(data: ex.Expression | Verdict) -> Json:
    """Return what stands on the right of a map's entry."""
    return verdict_json(data) if isinstance(data, Verdict) else expression_json(data)


def _plain(text: str) -> str:
    if text.startswith("@") or text == "*":
        raise Refused("FWT502", f"nft's JSON takes the string {text!r} for something else")
    return text


def _symbol(value: ex.Symbol) -> Json:
    word = literals.word(value.name)
    return _BOOLEANS.get(word, word)


def _prefix(value: ex.Prefix) -> Json:
    length = literals.prefix_length(value.address, value.length)
    text = literals.address(value.address)
    return text if length == value.address.width else {"prefix": {"addr": text, "len": length}}


def _range(value: ex.Range) -> Json:
    if value.low == value.high:
        return expression_json(value.low)
    return {"range": [expression_json(value.low), expression_json(value.high)]}


def _without_empty(**properties: Json) -> dict[str, Json]:
    return {name: value for name, value in properties.items() if value not in ("", None)}


def _conntrack(selector: ex.Conntrack) -> Json:
    key = f"{selector.family} {selector.key}" if selector.family else selector.key
    direction = selector.direction.value if selector.direction else ""
    return {"ct": _without_empty(key=key, dir=direction)}


def _fib(selector: ex.Fib) -> Json:
    return {"fib": {"result": selector.result, "flags": list(selector.flags)}}


def _tcp_option(selector: ex.TcpOption) -> Json:
    if isinstance(selector.option, int):
        return raw_tcp_option(selector.option, 0, 8)
    return {"tcp option": _without_empty(name=selector.option, field=selector.field)}


def raw_tcp_option(kind: int, offset: int, length: int) -> Json:
    """Return bits of a TCP option; the first eight stand for the option being there."""
    return {"tcp option": {"base": kind, "offset": offset, "len": length}}


def _raw_payload(selector: ex.RawPayload) -> Json:
    return {"payload": {"base": selector.base, "offset": selector.offset, "len": selector.length}}


def _socket(selector: ex.Socket) -> Json:
    if selector.level:
        raise Refused("FWT502", "nft's JSON has no level for `socket cgroupv2`")
    return {"socket": {"key": selector.key}}


def _ipsec(selector: ex.Ipsec) -> Json:
    words = _without_empty(key=selector.key, family=selector.family, dir=selector.direction)
    return {"ipsec": {**words, "spnum": selector.sequence_number}}


def _number_generator(value: ex.NumberGenerator) -> Json:
    return {"numgen": {"mode": value.mode, "mod": value.modulus, "offset": value.offset}}


def _jenkins_hash(value: ex.JenkinsHash) -> Json:
    words = _without_empty(mod=value.modulus, seed=value.seed, offset=value.offset or None)
    return {"jhash": {**words, "expr": expression_json(value.expression)}}


def _symmetric_hash(value: ex.SymmetricHash) -> Json:
    return {"symhash": _without_empty(mod=value.modulus, offset=value.offset or None)}


def _binary(value: ex.Binary) -> Json:
    check_operands(value)
    return {value.operator.value: [expression_json(value.left), expression_json(value.right)]}


def _anonymous_map(value: ex.AnonymousMap) -> Json:
    return {"set": [[expression_json(key), data_json(data)] for key, data in value.entries]}


def _map_lookup(value: ex.MapLookup) -> Json:
    return {"map": {"key": expression_json(value.key), "data": expression_json(value.mapping)}}


_PRINTERS: dict[type, Callable[[Any], Json]] = {
    ex.Number: literals.number,
    ex.Address: literals.address,
    ex.MacAddress: literals.mac_address,
    ex.Symbol: _symbol,
    ex.QuotedString: lambda value: _plain(literals.string(value.text, "string", literals.STRING_LIMIT)),
    ex.InterfaceName: lambda value: _plain(literals.interface(value.name, is_prefix=value.is_prefix)),
    ex.Prefix: _prefix,
    ex.Range: _range,
    ex.AnyElement: lambda _: "*",
    ex.Payload: lambda value: {"payload": {"protocol": value.protocol, "field": value.field}},
    ex.RawPayload: _raw_payload,
    ex.Meta: lambda value: {"meta": {"key": value.key}},
    ex.Conntrack: _conntrack,
    ex.Fib: _fib,
    ex.ExtensionHeader: lambda value: {"exthdr": _without_empty(name=value.header, field=value.field)},
    ex.TcpOption: _tcp_option,
    ex.RawTcpOption: lambda value: raw_tcp_option(value.kind, value.offset, value.length),
    ex.IpOption: lambda value: {"ip option": _without_empty(name=value.option, field=value.field)},
    ex.SctpChunk: lambda value: {"sctp chunk": _without_empty(name=value.chunk, field=value.field)},
    ex.Route: lambda value: {"rt": _without_empty(key=value.key, family=value.family)},
    ex.Socket: _socket,
    ex.Ipsec: _ipsec,
    ex.Osf: lambda value: {"osf": _without_empty(key=value.key, ttl=value.ttl)},
    ex.NumberGenerator: _number_generator,
    ex.JenkinsHash: _jenkins_hash,
    ex.SymmetricHash: _symmetric_hash,
    ex.Binary: _binary,
    ex.FlagList: lambda value: [expression_json(flag) for flag in value.flags],
    ex.Concatenation: lambda value: {"concat": [expression_json(part) for part in value.parts]},
    ex.AnonymousSet: lambda value: {"set": [expression_json(element) for element in value.elements]},
    ex.AnonymousMap: _anonymous_map,
    ex.SetReference: lambda value: f"@{names.checked(value.name, names.NameKind.SET)}",
    ex.MapLookup: _map_lookup,
}
