"""nft statements as IR steps and verdicts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir import effect as does
from fwtrans.ir import verdict as verdicts
from fwtrans.ir.fields import IP6_SADDR, IP_SADDR, L4PROTO, NFPROTO, SEVERAL_PROTOCOLS, Family, Field
from fwtrans.ir.match import number as one_value
from fwtrans.ir.stateful import (
    ConnectionCount,
    Limit,
    LimitUnit,
    Quota,
    StatefulFromMap,
    StatefulKind,
    StatefulObject,
    StatefulTest,
)
from fwtrans.lower.nft.assignments import lower_mangle
from fwtrans.lower.nft.json_types import (
    Json,
    JsonObject,
    NotModelled,
    as_list,
    as_number,
    as_object,
    as_seconds,
    as_text,
    asking,
)
from fwtrans.lower.nft.matches import lower_key, lower_match
from fwtrans.lower.nft.sets import as_part as whole_part
from fwtrans.lower.nft.values import interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fwtrans.ir.match import KeyPart, PureTest
    from fwtrans.ir.rule import Step
    from fwtrans.ir.sets import NamedMap
    from fwtrans.lower.nft.scope import Scope

Lowered = tuple[tuple["Step", ...], "verdicts.Verdict | None"]

_UNITS = {"second": LimitUnit.SECOND, "minute": LimitUnit.MINUTE, "hour": LimitUnit.HOUR, "day": LimitUnit.DAY, "week": LimitUnit.WEEK}  # fmt: skip
_BYTES = {"bytes": 1, "kbytes": 1024, "mbytes": 1024 * 1024, "gbytes": 1024**3}


def lower_statement(kind: str, content: Json, scope: Scope) -> Lowered:
    """Return the steps of one statement and its verdict, if it has one; NotModelled for what we do not know."""
    lower = _STATEMENTS.get(kind)
    if lower is None:
        raise NotModelled(kind)
    return lower(content, scope)


def _plain(verdict: verdicts.Verdict) -> Callable[[Json, Scope], Lowered]:
    return lambda _content, _scope: ((), verdict)


def _nothing(_content: Json, _scope: Scope) -> Lowered:
    return (), None


def _target(content: Json, what: str) -> str:
    return as_text(as_object(content, what).get("target"), what)


def _vmap(content: Json, scope: Scope) -> Lowered:
    found = as_object(content, "vmap")
    key, before = lower_key(found.get("key"), scope)
    data = found.get("data")
    if any(part.field.name.startswith("has.") for part in key):
        raise NotModelled("an answer as a key, whose elements nft has no words for")
    if isinstance(data, str) and data.startswith("@"):
        name = data[1:]
    else:
        entries = as_list(as_object(data, "vmap").get("set"))
        name = scope.anonymous_map(tuple(part.field for part in key), entries, "verdict")
    return before, verdicts.Dispatch(key, name)


# --- state ---


def _limit(content: Json, scope: Scope) -> Lowered:
    if isinstance(content, str):
        return (_named(content, "limit", scope),), None
    if isinstance(content, dict) and "map" in content:
        return _by_map(content["map"], scope)
    kind, over = limit_of(as_object(content, "limit"))
    return (StatefulTest(StatefulObject(scope.identity("limit"), kind), (), over),), None


def _by_map(content: Json, scope: Scope) -> Lowered:
    """Read `limit name iifname map @limits`: the object that the map holds, and the rule ends where it holds none."""
    found = as_object(content, "map")
    key, before = lower_key(found.get("key"), scope)
    data = found.get("data")
    if not isinstance(data, str) or not data.startswith("@"):
        raise NotModelled("objects in a map without a name")
    return (*before, StatefulFromMap(key, data[1:])), None


def with_objects(item: NamedMap, scope: Scope) -> NamedMap:
    """Return a map of limits or quotas with the objects themselves in the place of their names."""
    if item.value not in {"limit", "quota"}:
        return item
    elements = (
        one._replace(value=_named(as_text(one.value, "object"), item.value, scope))  # type: ignore[arg-type] # still a name
        for one in item.elements
    )
    return replace(item, elements=tuple(elements))


def limit_of(content: JsonObject) -> tuple[Limit, bool]:
    """Return a limit's rate and whether it holds for what is over it."""
    unit = _UNITS.get(as_text(content.get("per"), "limit per"))
    if unit is None:
        raise NotModelled("limit per " + str(content.get("per")))
    rate = as_number(content.get("rate"), "limit rate")
    rate_unit = as_text(content.get("rate_unit", "packets"), "rate unit")
    burst = as_number(content.get("burst", 0 if rate_unit != "packets" else 5), "burst")
    burst_unit = as_text(content.get("burst_unit", rate_unit), "burst unit")
    in_bytes = rate_unit != "packets"
    factor = _BYTES.get(rate_unit, 1)
    return Limit(rate * factor, unit, burst * _BYTES.get(burst_unit, 1), in_bytes), bool(content.get("inv"))


def _named(name: str, kind: str, scope: Scope) -> StatefulTest:
    found = scope.object(kind, name)
    if found is None:
        raise Refused("FWT112", f"there is no {kind} `{name}` in table {scope.table}")
    what: StatefulKind
    if kind == "limit":
        what, over = limit_of(found)
    else:
        used = as_number(found.get("used", 0), "used")
        what, over = Quota(as_number(found.get("bytes"), "quota"), used), bool(found.get("inv"))
    return StatefulTest(StatefulObject(f"{scope.table}/{kind}/{name}", what), (), over)


def _quota(content: Json, scope: Scope) -> Lowered:
    if isinstance(content, str):
        return (_named(content, "quota", scope),), None
    if isinstance(content, dict) and "map" in content:
        return _by_map(content["map"], scope)
    kind, over = quota_of(as_object(content, "quota"))
    return (StatefulTest(StatefulObject(scope.identity("quota"), kind), (), over),), None


def quota_of(content: JsonObject) -> tuple[Quota, bool]:
    """Return an amount of bytes and whether it holds for what is over it."""
    amount, used = (
        as_number(content.get(what, 0), "quota") * _BYTES.get(as_text(content.get(f"{what}_unit", "bytes"), "unit"), 1)
        for what in ("val", "used")
    )
    return Quota(amount, used), bool(content.get("inv"))


def _counter(content: Json, scope: Scope) -> Lowered:
    """Read a named counter, which somebody reads by its name; one without is left out."""
    if isinstance(content, dict) and "map" in content:
        raise NotModelled("a counter by a map")
    if not isinstance(content, str):
        return (), None
    found = scope.object("counter", content)
    if found is None:
        raise Refused("FWT112", f"there is no counter `{content}` in table {scope.table}")
    packets, octets = (as_number(found.get(unit, 0), unit) for unit in ("packets", "bytes"))
    return (does.Count(packets, octets, content),), None


def _ct_count(content: Json, scope: Scope) -> Lowered:
    found = as_object(content, "ct count")
    made = StatefulObject(scope.identity("count"), ConnectionCount(as_number(found.get("val"), "ct count")))
    return (StatefulTest(made, (), bool(found.get("inv"))),), None


def _set_statement(content: Json, scope: Scope) -> Lowered:
    found = as_object(content, "set")
    name = as_text(found.get("set"), "set").removeprefix("@")
    elem = found.get("elem")
    timeout: float | None = None
    if isinstance(elem, dict) and set(elem) == {"elem"}:
        inner = as_object(elem["elem"], "elem")
        given = inner.get("timeout")
        timeout = as_seconds(given, "timeout") if given is not None else None
        elem = inner.get("val")
    key, before = lower_key(elem, scope)
    # where the rule gives none, the set's own statements are asked for the element, as in a rule
    statements = asking(found.get("stmt")) or asking(scope.sets.get(name, {}).get("stmt"))
    if statements:
        return (*before, _keyed(name, key, statements, scope, timeout, str(found.get("op", "add")))), None
    operation = does.SetOperation(as_text(found.get("op", "add"), "op"))
    return (*before, does.SetUpdate(name, key, operation, timeout)), None


def _meter(content: Json, scope: Scope) -> Lowered:
    """Read the old `meter m { key limit ... }`: a dynamic set that the rule itself declares."""
    found = as_object(content, "meter")
    name = as_text(found.get("name"), "meter")
    key = found.get("key")
    given: JsonObject = {}
    if isinstance(key, dict) and set(key) == {"elem"}:
        given = as_object(key["elem"], "elem")
        key = given.get("val")
    scope.sets.setdefault(name, {"timeout": given.get("timeout", 0), "size": found.get("size", 65535)})
    pieces, before = lower_key(key, scope)
    return (*before, _keyed(name, pieces, as_list(found.get("stmt")), scope)), None


def _keyed(
    name: str,
    key: tuple[KeyPart, ...],
    statements: list[Json],
    scope: Scope,
    own_timeout: float | None = None,
    operation: str = "update",
) -> StatefulTest:
    """Return the test of the object that a set keeps for a key; `add` leaves the time of an element that is there."""
    if len(statements) != 1:
        raise NotModelled("several statements on a set's element")
    kind, content = next(iter(as_object(statements[0], "statement").items()))
    if kind not in {"limit", "quota", "ct count"} or isinstance(content, str):
        raise NotModelled(f"{kind} on a set's element")
    ((test,), _) = _STATEMENTS[kind](content, scope)
    assert isinstance(test, StatefulTest)  # noqa: S101 -- these three kinds make one
    declared = scope.sets.get(name, {})
    timeout, size = declared.get("timeout", 0), declared.get("size", 65535)
    if operation == "delete" or (own_timeout is not None and timeout not in {0, own_timeout}):
        raise NotModelled("a time of its own, or none, for an element that keeps a limit")
    made = StatefulObject(
        f"{scope.table}/set/{name}",
        test.object.kind,
        own_timeout or as_seconds(timeout, "timeout"),
        as_number(size, "size"),
        operation == "update" or not (own_timeout or timeout),
    )
    if scope.keyed.setdefault(name, made) != made:
        raise NotModelled("elements of one set that keep different limits")
    return StatefulTest(made, key, test.over)


# --- effects ---


def _log(content: Json, _scope: Scope) -> Lowered:
    found = as_object(content or {}, "log")
    flags = tuple(as_text(flag, "log flag") for flag in as_list(found.get("flags")))
    if "all" in flags:
        flags = ("tcp sequence", "tcp options", "ip options", "skuid", "ether")
    group = found.get("group")
    return (
        does.Log(
            as_text(found.get("prefix", ""), "prefix"),
            as_text(found.get("level", ""), "level").replace("warn", ""),  # it is the default
            flags,
            as_number(group, "group") if group is not None else None,
            as_number(found["snaplen"], "snaplen") if "snaplen" in found else None,
            as_number(found.get("queue-threshold", 0), "queue-threshold"),
        ),
    ), None


# the codes that nft takes as numbers, too
_ANSWERS = {
    "icmp": {
        0: "net-unreachable", 1: "host-unreachable", 2: "prot-unreachable", 3: "port-unreachable",
        9: "net-prohibited", 10: "host-prohibited", 13: "admin-prohibited",
    },
    "icmpv6": {
        0: "no-route", 1: "admin-prohibited", 3: "addr-unreachable", 4: "port-unreachable", 5: "policy-fail",
        6: "reject-route",
    },
    "icmpx": {0: "no-route", 1: "port-unreachable", 2: "host-unreachable", 3: "admin-prohibited"},
}  # fmt: skip
_DEFAULT_REJECT = {Family.IP: "icmp", Family.IP6: "icmpv6"}


def _reject(content: Json, scope: Scope) -> Lowered:
    found = as_object(content or {}, "reject")
    protocol = as_text(found.get("type", _DEFAULT_REJECT.get(scope.family, "icmpx")), "reject type")
    if protocol == "tcp reset":
        # nft tests the protocol by itself, and a listing leaves the test out
        return (one_value(L4PROTO, 6),), verdicts.Reject(protocol)
    expression = found.get("expr", "port-unreachable")
    if isinstance(expression, int):
        expression = _ANSWERS.get(protocol, {}).get(expression, expression)
    return _answered(protocol, scope), verdicts.Reject(protocol, str(expression))


def _answered(protocol: str, scope: Scope) -> tuple[PureTest, ...]:
    """Return the test that nft makes by itself where packets of several families pass: whose answer it is."""
    answered = {"icmp": 2, "icmpv6": 10}.get(protocol)
    if answered is None or scope.family not in SEVERAL_PROTOCOLS:
        return ()
    return (one_value(NFPROTO, answered),)


def _queue(content: Json, _scope: Scope) -> Lowered:
    found = as_object(content or {}, "queue")
    number = found.get("num", 0)
    flags = as_list(found.get("flags"))
    if isinstance(number, int):
        first = last = number
    else:
        ends = as_list(as_object(number, "queue").get("range"))
        if len(ends) != 2 or not all(isinstance(end, int) for end in ends):
            raise NotModelled("a computed queue")
        first, last = as_number(ends[0], "queue"), as_number(ends[1], "queue")
    return (), verdicts.Queue(first, last, "bypass" in flags, "fanout" in flags)


# in the order of a listing, whatever the order in which they are written
_NAT_FLAGS = ("random", "fully-random", "persistent")


def _nat(kind: does.NatKind) -> Callable[[Json, Scope], Lowered]:
    def lower(content: Json, scope: Scope) -> Lowered:
        found = as_object(content or {}, kind.value)
        words = [as_text(flag, "nat flag") for flag in as_list(found.get("flags"))]
        flags = tuple(word for word in _NAT_FLAGS if word in words)
        prefix = "netmap" in words or "prefix" in as_list(found.get("type_flags"))
        address, port = found.get("addr"), found.get("port")
        family = as_text(found.get("family", _family_of(address, scope)), "nat family")
        field = IP6_SADDR if family == "ip6" else IP_SADDR
        before = _of_family(family, scope) if address is not None else ()
        ports = _ports(port) if port is not None else None
        if isinstance(address, dict) and "map" in address:
            key, name = _address_map(as_object(address["map"], "map"), field, scope, before)
            return (*key[1], does.Nat(kind, None, ports, flags, prefix, key[0], name)), verdicts.Accept()
        addresses = interval(whole_part(field), address) if address is not None else None
        return (*before, does.Nat(kind, addresses, ports, flags, prefix)), verdicts.Accept()

    return lower


def _family_of(address: Json, scope: Scope) -> str:
    """Return the family of an address that is written without one; in inet tables its form tells."""
    if scope.family is not Family.INET:
        return str(scope.family.value)
    found = as_object(address["map"], "map").get("data") if isinstance(address, dict) and "map" in address else address
    if isinstance(found, str) and found.startswith("@"):
        return "ip6" if scope.map_values.get(found[1:]) == IP6_SADDR.name else "ip"
    if isinstance(found, dict) and "set" in found:
        found = [as_list(entry)[-1] for entry in as_list(found["set"])]
    return "ip6" if any(":" in text for text in _texts(found)) else "ip"


def _texts(value: Json) -> Iterator[str]:
    """Yield the words in a value: addresses, behind whatever ranges, prefixes and tuples they stand in."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def _of_family(family: str, scope: Scope) -> tuple[PureTest, ...]:
    """Return the test that the kernel makes in inet tables: packets of the other family are left alone."""
    if scope.family is not Family.INET:
        return ()
    return (one_value(NFPROTO, 10 if family == "ip6" else 2),)


def _address_map(
    content: JsonObject, field: Field, scope: Scope, before: tuple[PureTest, ...]
) -> tuple[tuple[tuple[KeyPart, ...], tuple[PureTest, ...]], str]:
    """Return the key, the tests in front of it, and the name of a map that holds plain addresses."""
    key, more = lower_key(content.get("key"), scope)
    data = content.get("data")
    if isinstance(data, str) and data.startswith("@"):
        if scope.map_values.get(data[1:]) not in {IP_SADDR.name, IP6_SADDR.name}:
            raise NotModelled("translation by a map that holds more than addresses")
        return (key, (*before, *more)), data[1:]
    entries = as_list(as_object(data, "map").get("set"))
    name = scope.anonymous_map(tuple(part.field for part in key), entries, field.name)
    return (key, (*before, *more)), name


def _ports(value: Json) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    ends = as_list(as_object(value, "port").get("range"))
    if len(ends) != 2:
        raise NotModelled("a computed port")
    return as_number(ends[0], "port"), as_number(ends[1], "port")


def _helper(content: Json, scope: Scope) -> Lowered:
    found = scope.object("ct helper", content) if isinstance(content, str) else None
    if found is None:
        raise NotModelled("ct helper by a map")
    layer = as_text(found.get("l3proto", scope.family.value), "l3proto")
    return (
        does.SetHelper(as_text(found.get("type"), "type"), layer, as_text(found.get("protocol"), "protocol")),
    ), None


def _timeout(content: Json, scope: Scope) -> Lowered:
    found = scope.object("ct timeout", content) if isinstance(content, str) else None
    if not isinstance(content, str) or found is None:
        raise NotModelled("ct timeout by a map")
    # printed policies have their protocol behind their name; it is the same policy
    name = content.removesuffix(f"-{found.get('protocol')}")
    policy = tuple(
        (state, as_number(value, "policy")) for state, value in as_object(found.get("policy"), "policy").items()
    )
    layer = as_text(found.get("l3proto", scope.family.value), "l3proto")
    return (does.SetTimeoutPolicy(name, layer, as_text(found.get("protocol"), "protocol"), policy),), None


def _duplicate(content: Json, scope: Scope) -> Lowered:
    found = as_object(content, "dup")
    field = IP6_SADDR if scope.family is Family.IP6 else IP_SADDR
    address = found.get("addr")
    if not isinstance(address, str) or scope.family not in {Family.IP, Family.IP6}:
        raise NotModelled("dup without an address")
    return (does.Duplicate(interval(whole_part(field), address)[0], as_text(found.get("dev", ""), "device")),), None


def _synproxy(content: Json, scope: Scope) -> Lowered:
    if isinstance(content, str):
        content = scope.object("synproxy", content)
        if content is None:
            raise NotModelled("a synproxy that is not declared")
    found = as_object(content or {}, "synproxy")
    flags = as_list(found.get("flags"))
    scale = found.get("wscale")
    return (), verdicts.SynProxy(
        as_number(found.get("mss", 0), "mss"),
        as_number(scale, "wscale") if scale is not None else None,
        "timestamp" in flags,
        "sack-perm" in flags,
    )


def _forward(content: Json, _scope: Scope) -> Lowered:
    found = as_object(content, "fwd")
    device = found.get("dev")
    if "addr" in found or not isinstance(device, str):
        raise NotModelled("fwd to an address")
    return (does.Forward(device),), verdicts.Drop()  # the packet is gone, as one that was dropped


def _security_mark(content: Json, scope: Scope) -> Lowered:
    found = scope.object("secmark", content) if isinstance(content, str) else None
    if found is None:
        raise NotModelled("a security mark by a map")
    return (does.SetSecmark(as_text(found.get("context"), "context")),), None


_TCP_OPTIONS = {"maxseg": 2, "window": 3, "sack-perm": 4, "sack": 5, "timestamp": 8, "md5sig": 19, "mptcp": 30, "fastopen": 34}  # fmt: skip


def _reset(content: Json, _scope: Scope) -> Lowered:
    found = as_object(as_object(content, "reset").get("tcp option"), "tcp option")
    kind = found.get("base") if "base" in found else _TCP_OPTIONS.get(str(found.get("name")))
    if kind is None:
        raise NotModelled("reset of an option that is not known")
    return (one_value(L4PROTO, 6), does.ResetTcpOption(as_number(kind, "option"))), None


_STATEMENTS: dict[str, Callable[[Json, Scope], Lowered]] = {
    "match": lambda content, scope: (lower_match(content, scope), None),
    "accept": _plain(verdicts.Accept()),
    "drop": _plain(verdicts.Drop()),
    "return": _plain(verdicts.Return()),
    "continue": _nothing,
    "jump": lambda content, _scope: ((), verdicts.Jump(_target(content, "jump"))),
    "goto": lambda content, _scope: ((), verdicts.Goto(_target(content, "goto"))),
    "vmap": _vmap,
    "counter": _counter,
    "last": _nothing,
    "limit": _limit,
    "quota": _quota,
    "ct count": _ct_count,
    "set": _set_statement,
    "meter": _meter,
    "log": _log,
    "reject": _reject,
    "queue": _queue,
    "snat": _nat(does.NatKind.SNAT),
    "dnat": _nat(does.NatKind.DNAT),
    "masquerade": _nat(does.NatKind.MASQUERADE),
    "redirect": _nat(does.NatKind.REDIRECT),
    "mangle": lambda content, scope: (lower_mangle(content, scope), None),
    "notrack": lambda _content, _scope: ((does.NoTrack(),), None),
    "ct helper": _helper,
    "ct timeout": _timeout,
    "dup": _duplicate,
    "synproxy": _synproxy,
    "fwd": _forward,
    "secmark": _security_mark,
    "reset": _reset,
}
