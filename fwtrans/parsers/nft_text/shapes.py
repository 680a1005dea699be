"""Rules to JSON, each shape of rule through the grammar once.

`tcp dport 22 ip saddr 192.0.2.1 jump web` and `tcp dport 80 ip saddr 192.0.2.9 jump mail` are one shape: the same words
but for a number, an address and a name. What the grammar makes of the first is kept with those words left open, and the
second fills them in. Where a word that differs was needed to decide something, the shape is not kept.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedToken

from fwtrans.parsers.grammar import load_grammar
from fwtrans.parsers.nft_text.expressions import build, trees
from fwtrans.parsers.nft_text.faults import BadStatement, closest
from fwtrans.parsers.nft_text.selectors import HEADERS, selector
from fwtrans.parsers.nft_text.statements import build_rule
from fwtrans.parsers.nft_text.values import leaves, settled

if TYPE_CHECKING:
    from lark import Lark, Token, Tree

Json = Any

_OPEN_WORD = re.compile(
    r"""(?P<string>"[^"\n]*")
    |(?P<set>@[A-Za-z_][-\w/.]*(?!\s*,)(?![-\w/.]))
    |(?<=jump[ ])(?P<jump>[A-Za-z_][-\w/.]*)|(?<=goto[ ])(?P<goto>[A-Za-z_][-\w/.]*)
    |(?<![\w.:/@-])(?:
      (?P<colons>(?:[0-9a-fA-F]{0,4}:){2,7}(?:[0-9a-fA-F]{1,4})?(?![\w:.]))
     |(?P<four>\d+\.\d+\.\d+\.\d+(?![\w.]))
     |(?P<time>(?:\d+(?:ms|[dhms]))+(?!\w))
     |(?P<number>(?:0[xX][0-9a-fA-F]+|\d+)(?![\w.:]))
    )""",
    re.VERBOSE,
)
_STARTS = ("rule", "element_list", "base", "set_type")

Template = tuple[Json, tuple[int, ...]]


# Lark makes a scanner for each place of a statement when it first comes there; these come to nearly all that printed rules do.
_REHEARSED = (
    ("base", "type filter hook output priority filter + 10"),
    ("set_type", "type ifname : mark"),
    ("rule", "ct mark set iifname map @marks"),
    ("rule", "ct state established,related ip saddr { 192.0.2.0/24, 198.51.100.1 } accept"),
    ("rule", "ether daddr . ip saddr @known ip daddr { 192.0.2.1-192.0.2.9 } reject with icmp host-prohibited"),
    ("rule", 'log prefix "seen " group 0 ct state . ether type . ether daddr vmap @guests comment "1"'),
    ("rule", "tcp flags & (syn | ack) == syn drop"),
    ("rule", "update @often { ip6 saddr & ffff:: limit rate over 3/second burst 9 packets } drop"),
)


def load_reader() -> None:
    """Load the grammar and what it makes while it reads, so that nothing has to wait for it later."""
    for start, text in _REHEARSED:
        parse(text, start)


def _grammar() -> Lark:
    return load_grammar("nft_text", start=_STARTS)


class ShapeReader:
    """Reads rules and elements and remembers their shapes; one for each input."""

    def __init__(self) -> None:
        """Start with no shapes."""
        self._templates: dict[tuple[str, str], Template | None] = {}

    def rule(self, text: str) -> dict[str, Json]:
        """Return {"expr", "comment"}; BadStatement where the text is no rule."""
        result: dict[str, Json] = self._read("rule", text)
        return result

    def elements(self, text: str) -> list[Json]:
        """Return the elements written between the braces of a set or map."""
        result: list[Json] = self._read("element_list", text)
        return result

    def _read(self, start: str, text: str) -> Json:
        words: list[str] = []
        starts: list[int] = []

        def opened(found: re.Match[str]) -> str:
            words.append(found[0])
            starts.append(found.start())
            return "\0" + str(found.lastgroup)

        shape = (start, _OPEN_WORD.sub(opened, text))
        known = self._templates.get(shape)
        if known is not None:
            found, places = known
            return settled(found, dict(zip(places, words, strict=True)))
        tree = parse(text, start)
        made = build_rule(tree) if start == "rule" else _flat_elements(tree)
        if shape not in self._templates:
            free = {item.start for item in leaves(made)}
            self._templates[shape] = (made, tuple(starts)) if free >= set(starts) else None
        return settled(made)


def _flat_elements(tree: Tree[Token]) -> list[Json]:
    """Return elements; a set inside a set, as a variable makes it, is the elements themselves."""
    found: list[Json] = []
    for node in trees(tree.children):
        inner = build(node)
        found.extend(inner["set"] if node.data == "set" else [inner])
    return found


def parse(text: str, start: str) -> Tree[Token]:
    """Return the tree of a statement."""
    try:
        return _grammar().parse(text, start=start)
    except UnexpectedToken as fault:
        raise _unexpected(text, fault.token, fault.accepts or fault.expected) from None
    except UnexpectedCharacters as fault:
        raise _unexpected_text(text, fault.pos_in_stream or 0, fault.allowed or set()) from None
    except UnexpectedEOF:
        raise _ended(text) from None


def _unexpected(text: str, token: Token, expected: set[str]) -> BadStatement:
    if token.type == "$END":
        return _ended(text)
    return _unexpected_text(text, token.start_pos or 0, expected)


def _ended(text: str) -> BadStatement:
    end = len(text.rstrip())
    return BadStatement("FWT150", "the statement ends too early", max(end - 1, 0), end)


_WHOLE_WORD = re.compile(r'"[^"\n]*"?|[-\w./:]+|\S')


def _unexpected_text(text: str, start: int, expected: set[str]) -> BadStatement:
    found = _WHOLE_WORD.match(text, start)
    word = found[0] if found else text[start : start + 1]
    if word.startswith('"') and not word.endswith('"', 1):
        return BadStatement("FWT152", "a quotation mark is not closed", start, start + len(word))
    _check_field(text, start)
    hint = closest(word, _words_of(expected)) if word[:1].isalpha() else ""
    where = "at the beginning of" if not text[:start].strip() else "in"
    return BadStatement(
        "FWT150", f"`{word}` is not understood {where} this statement", start, start + len(word), hint=hint
    )


_FIELD = re.compile(r"([a-z0-9]+)\s+[a-z][-a-z0-9]*")


def _check_field(text: str, start: int) -> None:
    """Say which field was meant where a header's name is followed by none of its fields."""
    found = _FIELD.match(text, start)
    if found is None or found[1] not in HEADERS:
        return
    try:
        selector(found[0])
    except BadStatement as fault:
        raise BadStatement(fault.code, fault.message, fault.start + start, fault.end + start, hint=fault.hint) from None


_LEADING = {
    "SELECTOR": "ip ip6 tcp udp icmp icmpv6 meta ct iifname oifname iif oif ether arp vlan fib th mark",
    "NAT": "snat dnat masquerade redirect",
}


def _words_of(expected: set[str]) -> set[str]:
    words: set[str] = set()
    for name in expected:
        words.update(_LEADING.get(name, name.lower().replace("_", "-")).split())
    return words
