"""The words of a command in front of what it adds: `add rule inet filter input`, `flush ruleset`, `table ip nat`."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from fwtrans.parsers.nft_text.faults import BadStatement, closest
from fwtrans.parsers.nft_text.objects import object_kinds
from fwtrans.parsers.nft_text.values import unquoted

Json = Any

_VERBS = {"add", "create", "insert", "delete", "destroy", "flush", "replace", "rename"}
_QUESTIONS = {"list", "reset", "monitor", "describe", "export", "import", "get"}
_FAMILIES = {"ip", "ip6", "inet", "arp", "bridge", "netdev"}
_WORD = re.compile(r'\s*("[^"\n]*"|[^\s{};]+)')
_NAME = re.compile(r'"[^"\n]*"|[A-Za-z_][-\w/.]*')


class Command(NamedTuple):
    """What is done to what; `rest` is not read yet and starts at offset `start`."""

    verb: str
    kind: str
    content: dict[str, Json]
    rest: str
    start: int


class _Words:
    """The words of a text, one after the other."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0

    def peek(self) -> str:
        found = _WORD.match(self.text, self.place)
        return found[1] if found else ""

    def next(self) -> str:
        found = _WORD.match(self.text, self.place)
        if found is None:
            return ""
        self.place = found.end()
        return found[1]

    def fault(self, message: str, *, hint: str = "") -> BadStatement:
        """Return the fault of the word that was read last."""
        start = self.place - len(self.text[: self.place].split()[-1]) if self.text[: self.place].split() else 0
        return BadStatement("FWT150", message, start, max(self.place, start + 1), hint=hint)

    def name(self, what: str) -> str:
        found = self.next()
        if not _NAME.fullmatch(found):
            raise self.fault(f"here the name of a {what} was expected" + (f", not `{found}`" if found else ""))
        return unquoted(found)


def read_command(text: str) -> Command | None:
    """Return the command, None for one that changes nothing (`list ruleset`)."""
    words = _Words(text)
    verb = words.peek()
    if verb in _QUESTIONS:
        return None
    if verb in _VERBS:
        words.next()
    else:
        verb = "add"
    kind = _kind(words)
    if kind == "ruleset":
        if verb != "flush":
            raise words.fault(f"`{verb} ruleset` is no command", hint="`flush ruleset` empties it")
        family = words.next()
        return Command(verb, kind, {"family": family} if family else {}, "", words.place)
    content: dict[str, Json] = {"family": words.next() if words.peek() in _FAMILIES else "ip"}
    if kind == "table":
        content["name"] = words.name("table")
        return Command(verb, kind, content, text[words.place :], words.place)
    content["table"] = words.name("table")
    if kind == "rule":
        content["chain"] = words.name("chain")
        _rule_place(words, content)
    elif kind == "element":
        content["name"] = words.name("set")
    elif not (verb == "flush" and kind in {"rules", "chains"}):
        content["name"] = words.name(kind)
        if verb == "rename":
            content["newname"] = words.name(kind)
    return Command(verb, kind, content, text[words.place :], words.place)


def _kind(words: _Words) -> str:
    known = {"table", "chain", "rule", "element", "ruleset", *object_kinds()}
    kind = words.next()
    if kind == "ct":
        kind = f"ct {words.next()}"
    if kind not in known:
        hint = closest(kind, known | _VERBS) or "a file holds tables, or commands such as `add rule`"
        raise words.fault(f"`{kind}` is no command and no block", hint=hint)
    return kind


def _rule_place(words: _Words, content: dict[str, Json]) -> None:
    """Read `handle 5`, `position 5` or `index 2`."""
    while words.peek() in {"handle", "position", "index"}:
        key = words.next()
        number = words.next()
        if not number.isdigit():
            raise words.fault(f"behind `{key}` stands a number")
        content["index" if key == "index" else "position"] = int(number)
