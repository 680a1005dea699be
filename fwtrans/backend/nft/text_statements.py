"""Statements as nft text. Each class of statements.py has one small printer here, found by its type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from fwtrans.backend.nft import expressions as ex
from fwtrans.backend.nft import literals, names
from fwtrans.backend.nft import statements as st
from fwtrans.backend.nft.amounts import quota_text, rate_text
from fwtrans.backend.nft.foreign import foreign_text
from fwtrans.backend.nft.restrictions import check_string
from fwtrans.backend.nft.text_expressions import expression_text, verdict_text
from fwtrans.diagnostics import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def statement_text(statement: st.Statement) -> str:
    """Return the statement as nft reads it."""
    return _PRINTERS[type(statement)](statement)


def statements_text(statements: Iterable[st.Statement]) -> str:
    """Return statements in a row."""
    return " ".join([_PRINTERS[type(statement)](statement) for statement in statements])


def log_prefix_text(prefix: str) -> str:
    """Return the prefix between quotation marks."""
    return f'"{literals.log_prefix(prefix)}"'


def _match(statement: st.Match) -> str:
    if isinstance(statement.right, ex.QuotedString):
        check_string(statement.left, statement.right)
    operator = statement.operator.value
    left, right = expression_text(statement.left), expression_text(statement.right)
    return f"{left} {operator} {right}" if operator else f"{left} {right}"


def _counter(statement: st.Counter) -> str:
    if statement.packets or statement.bytes:
        return f"counter packets {statement.packets} bytes {statement.bytes}"
    return "counter"


def _over(words: str, count: int, *, over: bool) -> str:
    return f"{words} over {count}" if over else f"{words} {count}"


def _object(statement: st.ObjectStatement) -> str:
    if isinstance(statement.name, str):
        name = f'"{names.checked(statement.name, names.NameKind.OBJECT)}"'
    else:
        name = expression_text(statement.name)
    return f"{_OBJECT_WORDS[statement.kind]} {name}"


_OBJECT_WORDS = {
    st.ObjectKind.COUNTER: "counter name",
    st.ObjectKind.QUOTA: "quota name",
    st.ObjectKind.LIMIT: "limit name",
    st.ObjectKind.CT_HELPER: "ct helper set",
    st.ObjectKind.CT_TIMEOUT: "ct timeout set",
    st.ObjectKind.CT_EXPECTATION: "ct expectation set",
    st.ObjectKind.SYNPROXY: "synproxy name",
    st.ObjectKind.SECMARK: "meta secmark set",
}


def _log(statement: st.Log) -> str:
    words = ["log"]
    if statement.prefix:
        words.append(f"prefix {log_prefix_text(statement.prefix)}")
    if statement.group is not None:
        words.append(f"group {statement.group}")
    if statement.snap_length is not None:
        words.append(f"snaplen {statement.snap_length}")
    if statement.queue_threshold is not None:
        words.append(f"queue-threshold {statement.queue_threshold}")
    if statement.level:
        words.append(f"level {statement.level}")
    words.extend(f"flags {flag}" for flag in statement.flags)
    return " ".join(words)


def _reject(statement: st.Reject) -> str:
    words = [word for word in (statement.kind.value, statement.code) if word]
    return f"reject with {' '.join(words)}" if words else "reject"


def _queue(statement: st.Queue) -> str:
    flags = [word for word, given in (("bypass", statement.bypass), ("fanout", statement.fanout)) if given]
    given = f"flags {','.join(flags)} " if flags else ""
    return f"queue {given}to {expression_text(statement.number)}"


def _nat(statement: st.Nat) -> str:
    words = [statement.kind.value]
    if statement.family:
        words.append(statement.family)
    if statement.is_prefix:
        words.append("prefix")
    if statement.address is not None or statement.port is not None:
        words.append(f"to {_endpoint(statement.address, statement.port)}")
    if statement.flags:
        words.append(",".join(flag.value for flag in statement.flags))
    return " ".join(words)


def _endpoint(address: ex.Expression | None, port: ex.Expression | None) -> str:
    """Return `192.0.2.1:80`; an IPv6 address stands in square brackets where a port follows."""
    if address is None:
        return "" if port is None else f":{expression_text(port)}"
    if port is None:
        return expression_text(address)
    if isinstance(address, ex.Range) and address.low != address.high:
        text = f"{_bracketed(address.low)}-{_bracketed(address.high)}"
    else:
        text = _bracketed(address.low if isinstance(address, ex.Range) else address)
    return f"{text}:{expression_text(port)}"


def _bracketed(address: ex.Expression) -> str:
    text = expression_text(address)
    return f"[{text}]" if isinstance(address, ex.Address) and address.width == 128 else text


def _element(key: ex.Expression, timeout: int | None, statements: tuple[st.Statement, ...]) -> str:
    words = [expression_text(key)]
    if timeout is not None:
        words.append(f"timeout {literals.duration(timeout)}")
    if statements:
        words.append(statements_text(statements))
    return " ".join(words)


def _set_update(statement: st.SetUpdate) -> str:
    name = names.checked(statement.name, names.NameKind.SET)
    element = _element(statement.key, statement.timeout, statement.statements)
    return f"{statement.kind.value} @{name} {{ {element} }}"


def _map_update(statement: st.MapUpdate) -> str:
    name = names.checked(statement.name, names.NameKind.SET)
    element = _element(statement.key, statement.timeout, statement.statements)
    return f"{statement.kind.value} @{name} {{ {element} : {expression_text(statement.value)} }}"


def _tproxy(statement: st.Tproxy) -> str:
    family = f"{statement.family} " if statement.family else ""
    return f"tproxy {family}to {_endpoint(statement.address, statement.port)}"


def synproxy_words(mss: int | None, window_scale: int | None, *, timestamp: bool, sack_permitted: bool) -> list[str]:
    """Return the parameters of a synproxy, a phrase each."""
    words = [] if mss is None else [f"mss {mss}"]
    if window_scale is not None:
        words.append(f"wscale {window_scale}")
    flags = [word for word, given in (("timestamp", timestamp), ("sack-perm", sack_permitted)) if given]
    return [*words, " ".join(flags)] if flags else words


def _synproxy(statement: st.Synproxy) -> str:
    words = synproxy_words(
        statement.mss,
        statement.window_scale,
        timestamp=statement.timestamp,
        sack_permitted=statement.sack_permitted,
    )
    return " ".join(["synproxy", *words])


def _duplicate(statement: st.Duplicate) -> str:
    if statement.address is None:
        target = "" if statement.device is None else expression_text(statement.device)
        return f"dup to {target}"
    device = "" if statement.device is None else f" device {expression_text(statement.device)}"
    return f"dup to {expression_text(statement.address)}{device}"


def _forward(statement: st.Forward) -> str:
    if statement.address is None:
        return f"fwd to {expression_text(statement.device)}"
    return f"fwd {statement.family} to {expression_text(statement.address)} device {expression_text(statement.device)}"


def refuse_xt(statement: st.XtStatement) -> NoReturn:
    """Refuse: nft can list such a statement, but not load it."""
    raise Refused(
        "FWT501",
        f"the {statement.kind} {statement.name!r} belongs to iptables-nft, and nft cannot load it",
        hint="save such a table with iptables-save and translate that",
    )


_PRINTERS: dict[type, Callable[[Any], str]] = {
    st.Match: _match,
    st.Verdict: verdict_text,
    st.VerdictMap: lambda value: f"{expression_text(value.key)} vmap {expression_text(value.mapping)}",
    st.Counter: _counter,
    st.Limit: lambda value: f"limit rate {rate_text(value.rate)}",
    st.Quota: lambda value: f"quota {quota_text(value.bytes, over=value.over, used=value.used)}",
    st.ConnectionCount: lambda value: _over("ct count", value.count, over=value.over),
    st.ObjectStatement: _object,
    st.Log: _log,
    st.Reject: _reject,
    st.Queue: _queue,
    st.Nat: _nat,
    st.Assignment: lambda value: f"{expression_text(value.target)} set {expression_text(value.value)}",
    st.Notrack: lambda _: "notrack",
    st.ResetTcpOption: lambda value: f"reset tcp option {value.option}",
    st.SetUpdate: _set_update,
    st.MapUpdate: _map_update,
    st.Tproxy: _tproxy,
    st.Synproxy: _synproxy,
    st.Duplicate: _duplicate,
    st.Forward: _forward,
    st.FlowOffload: lambda value: f"flow add @{names.checked(value.flowtable, names.NameKind.FLOWTABLE)}",
    st.Foreign: lambda value: foreign_text(value.json),
    st.XtStatement: refuse_xt,
}
