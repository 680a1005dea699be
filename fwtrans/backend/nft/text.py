"""A ruleset as nft text: the block form that `nft list ruleset` prints, which nft 1.0.6 and 1.1 load.

    table inet fwtrans {
            chain input {
                    type filter hook input priority filter; policy accept;
                    tcp dport 22 accept comment "r1"
            }
    }

Every brace is closed on a line of its own, because nft 1.0.6 wants a newline or semicolon before it. Whatever a user
may have written (names, comments, prefixes, interfaces) is checked on its way out; what nft could not read back raises
`Refused`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from fwtrans.backend.nft import literals, names
from fwtrans.backend.nft import objects as ob
from fwtrans.backend.nft.amounts import quota_text, rate_text
from fwtrans.backend.nft.foreign_objects import foreign_block
from fwtrans.backend.nft.names import NameKind
from fwtrans.backend.nft.priorities import priority_text
from fwtrans.backend.nft.restrictions import check_map_types, check_set_key
from fwtrans.backend.nft.text_expressions import data_text, expression_text, quoted
from fwtrans.backend.nft.text_statements import statements_text, synproxy_words
from fwtrans.diagnostics import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

# a set's elements stand in one line while they are few and short; beyond that one a line, which diffs well
_INLINE_ELEMENTS = 4
_INLINE_WIDTH = 80


class RulePlace(NamedTuple):
    """Where a rule was printed: its line (the first is 1), and its position in its chain (the first is 0)."""

    line: int
    family: ob.Family
    table: str
    chain: str
    position: int


class PrintedRuleset(NamedTuple):
    """The text and the line of every rule in it, in order, so that an error of nft finds its rule."""

    text: str
    rules: tuple[RulePlace, ...]


def print_ruleset(ruleset: ob.Ruleset) -> PrintedRuleset:
    """Return all tables as text; raises `Refused` at the first thing that nft could not read back."""
    lines: list[str] = []
    places: list[RulePlace] = []
    for table in ruleset.tables:
        if lines:
            lines.append("")
        _table(table, lines, places)
    lines.append("")
    return PrintedRuleset("\n".join(lines), tuple(places))


def rule_text(rule: ob.Rule) -> str:
    """Return a rule's one line, without indent."""
    if not rule.statements:
        raise Refused("FWT300", "a rule without statements cannot be printed")
    text = statements_text(rule.statements)
    return f'{text} comment "{literals.comment(rule.comment)}"' if rule.comment else text


def element_text(element: ob.Element) -> str:
    """Return an element as it stands between a set's braces."""
    words = [expression_text(element.key)]
    if element.statements:
        words.append(statements_text(element.statements))
    if element.timeout is not None:
        words.append(f"timeout {literals.duration(element.timeout)}")
    if element.expires is not None:
        words.append(f"expires {literals.duration(element.expires)}")
    if element.comment:
        words.append(f'comment "{literals.comment(element.comment)}"')
    if element.value is not None:
        words.append(f": {data_text(element.value)}")
    return " ".join(words)


def chain_lines(chain: ob.Chain, family: ob.Family) -> list[str]:
    """Return a chain's block as it stands inside its table, the rules last, one a line."""
    lines = [f"\tchain {names.checked(chain.name, NameKind.CHAIN)} {{"]
    if chain.comment:
        lines.append(f"\t\t{_comment(chain.comment)}")
    if chain.base is not None:
        lines.append(f"\t\t{base_text(chain.base, family)}")
    for position, rule in enumerate(chain.rules):
        try:
            lines.append(f"\t\t{rule_text(rule)}")
        except Refused as refused:
            refused.note = refused.note or rule_place(chain, position)
            raise
    lines.append("\t}")
    return lines


def rule_place(chain: ob.Chain, position: int) -> str:
    """Return where a rule is, for people."""
    comment = chain.rules[position].comment
    return f"rule {position + 1} of chain {chain.name}" + (f", {comment}" if comment else "")


def base_text(base: ob.BaseHook, family: ob.Family) -> str:
    """Return `type filter hook input priority filter; policy accept;`."""
    devices = ""
    if base.devices:
        devices = f"devices = {{ {', '.join(map(_device, base.devices))} }} "
    priority = priority_text(family, base.hook, base.priority)
    words = f"type {base.type.value} hook {base.hook.value} {devices}priority {priority};"
    return f"{words} policy {base.policy.value};"


def _device(name: str) -> str:
    return f'"{literals.interface(name, is_prefix=False)}"'


def _comment(text: str) -> str:
    return f'comment "{literals.comment(text)}"'


def _table(table: ob.Table, lines: list[str], places: list[RulePlace]) -> None:
    lines.append(f"table {table.family.value} {names.checked(table.name, NameKind.TABLE)} {{")
    head = [_comment(table.comment)] if table.comment else []
    if table.dormant:
        head.append("flags dormant")
    blocks = [[f"\t{line}" for line in head]] if head else []
    blocks.extend(_object_lines(item) for item in table.objects)
    blocks.extend(_set_lines(item) for item in table.sets)
    blocks.extend(_map_lines(item) for item in table.maps)
    blocks.extend(_flowtable_lines(item) for item in table.flowtables)
    blocks.extend(_block(*foreign_block(item)) for item in table.foreign)
    for position, block in enumerate(blocks):
        if position:
            lines.append("")
        lines.extend(block)
    for position, chain in enumerate(table.chains):
        if blocks or position:
            lines.append("")
        lines.extend(chain_lines(chain, table.family))
        first = len(lines) - len(chain.rules)
        places.extend(
            RulePlace(first + index, table.family, table.name, chain.name, index) for index in range(len(chain.rules))
        )
    lines.append("}")


def _block(head: str, body: list[str]) -> list[str]:
    return [f"\t{head} {{", *(f"\t\t{line}" for line in body), "\t}"]


# --- sets and maps ---


def _set_lines(item: ob.Set) -> list[str]:
    return _block(f"set {names.checked(item.name, NameKind.SET)}", [_key(item.key), *_set_body(item)])


def _map_lines(item: ob.Map) -> list[str]:
    check_map_types(item)
    head = f"{_key(item.key)} : {_map_value(item)}"
    return _block(f"map {names.checked(item.name, NameKind.SET)}", [head, *_set_body(item)])


def _key(key: ob.DataTypes | ob.TypeOf) -> str:
    check_set_key(key)
    if isinstance(key, ob.TypeOf):
        return f"typeof {expression_text(key.expression)}"
    return f"type {' . '.join(map(literals.word, key.names))}"


def _map_value(item: ob.Map) -> str:
    interval = "interval " if item.value_is_interval else ""
    match item.value:
        case ob.VerdictType():
            return "verdict"
        case ob.TypeOf(expression):
            return f"{interval}{expression_text(expression)}"
        case ob.DataTypes(types):
            return f"{interval}{' . '.join(map(literals.word, types))}"
        case kind:
            return kind.value


def _set_body(item: ob.Set | ob.Map) -> list[str]:
    body = []
    if item.size is not None:
        body.append(f"size {item.size}")
    if item.prefers_memory:
        body.append("policy memory")
    if item.flags:
        body.append(f"flags {','.join(flag.value for flag in item.flags)}")
    if item.statements:
        body.append(statements_text(item.statements))
    if item.timeout is not None:
        body.append(f"timeout {literals.duration(item.timeout)}")
    if item.gc_interval is not None:
        body.append(f"gc-interval {literals.duration(item.gc_interval)}")
    if isinstance(item, ob.Set) and item.auto_merge:
        body.append("auto-merge")
    if item.comment:
        body.append(_comment(item.comment))
    return [*body, *_element_lines(item.elements)]


def _element_lines(elements: tuple[ob.Element, ...]) -> list[str]:
    if not elements:
        return []
    texts = [element_text(element) for element in elements]
    if len(texts) <= _INLINE_ELEMENTS:
        joined = ", ".join(texts)
        if len(joined) <= _INLINE_WIDTH:
            return [f"elements = {{ {joined} }}"]
    return ["elements = {", *(f"\t{text}," for text in texts), "}"]


def _flowtable_lines(item: ob.Flowtable) -> list[str]:
    body = [
        f"hook ingress priority {priority_text(ob.Family.NETDEV, ob.Hook.INGRESS, item.priority)}",
        f"devices = {{ {', '.join(map(_device, item.devices))} }}",
    ]
    if item.offload:
        body.append("flags offload")
    return _block(f"flowtable {names.checked(item.name, NameKind.FLOWTABLE)}", body)


# --- named objects ---


def _object_lines(item: ob.NamedObject) -> list[str]:
    word, body = _OBJECTS[type(item)]
    comment = [_comment(item.comment)] if item.comment else []
    return _block(f"{word} {names.checked(item.name, NameKind.OBJECT)}", [*comment, *body(item)])


def _ct_helper(item: ob.CtHelperObject) -> list[str]:
    helper = quoted(item.helper, "helper", literals.HELPER_LIMIT)
    return [f"type {helper} protocol {literals.word(item.protocol)}", f"l3proto {item.l3_protocol.value}"]


def _ct_timeout(item: ob.CtTimeoutObject) -> list[str]:
    policy = ", ".join(f"{literals.word(state)} : {seconds}" for state, seconds in item.policy)
    return [
        f"protocol {literals.word(item.protocol)}",
        f"l3proto {item.l3_protocol.value}",
        f"policy = {{ {policy} }}",
    ]


def _ct_expectation(item: ob.CtExpectationObject) -> list[str]:
    return [
        f"protocol {literals.word(item.protocol)}",
        f"dport {item.port}",
        f"timeout {literals.duration(item.timeout)}",
        f"size {item.size}",
        f"l3proto {item.l3_protocol.value}",
    ]


def _synproxy(item: ob.SynproxyObject) -> list[str]:
    return synproxy_words(
        item.mss,
        item.window_scale,
        timestamp=item.timestamp,
        sack_permitted=item.sack_permitted,
    )


_OBJECTS: dict[type, tuple[str, Callable[[Any], list[str]]]] = {
    ob.CounterObject: ("counter", lambda item: [f"packets {item.packets} bytes {item.bytes}"]),
    ob.QuotaObject: ("quota", lambda item: [quota_text(item.bytes, over=item.over, used=item.used)]),
    ob.LimitObject: ("limit", lambda item: [f"rate {rate_text(item.rate)}"]),
    ob.CtHelperObject: ("ct helper", _ct_helper),
    ob.CtTimeoutObject: ("ct timeout", _ct_timeout),
    ob.CtExpectationObject: ("ct expectation", _ct_expectation),
    ob.SynproxyObject: ("synproxy", _synproxy),
    ob.SecmarkObject: ("secmark", lambda item: [quoted(item.context, "security context", literals.STRING_LIMIT)]),
}
