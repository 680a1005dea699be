r"""Reads the block form of nft, which we print and `nft list` prints, into images. No meaning is read, only the outline.

    table inet fwtrans {
            set ports {
                    type inet_service
                    elements = { 22, 80 }
            }
            chain input {
                    type filter hook input priority filter; policy accept;
                    tcp dport @ports accept
            }
    }

Whatever has another outline (variables, includes, commands) is no image: `NoImage` names the line, and the caller lets
nft itself bring it into this form.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn

from fwtrans.backend.loader.image import HOLDERS, ChainImage, Image, Kind, ObjectImage, TableImage, TableName

if TYPE_CHECKING:
    from collections.abc import Iterator

_TABLE = re.compile(r"table (?:(ip|ip6|inet|arp|bridge|netdev) )?(\S+) \{$")
_BLOCK = re.compile(r"(ct helper|ct timeout|ct expectation|[a-z]+) (\S+) \{$")
_BRACES = re.compile(r'"[^"]*"|[{}]')
_KINDS = {kind.value: kind for kind in Kind}
_HEAD = re.compile(r'type \w+ hook |comment "[^"]*"$')


def print_image(image: Image) -> str:
    """Return the tables in block form, as nft and `read_image` read it."""
    lines: list[str] = []
    for table in image:
        lines.append(f"table {table.name} {{")
        lines.extend(f"\t{line}" for line in table.head)
        for item in table.objects:
            lines.append(f"\t{item.kind.value} {item.name} {{")
            lines.extend(f"\t\t{line}" for line in item.body)
            if item.elements:
                lines.extend(["\t\telements = {", *(f"\t\t\t{text}," for text in item.elements), "\t\t}"])
            lines.append("\t}")
        for chain in table.chains:
            lines.append(f"\tchain {chain.name} {{")
            lines.extend(f"\t\t{line}" for line in (*chain.head, *chain.rules))
            lines.append("\t}")
        lines.extend(["}", ""])
    return "\n".join(lines)


class NoImage(Exception):  # noqa: N818 -- it is an answer, not a fault
    """The text is not in the block form; `line` is where."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(f"line {line}: {text}")
        self.line = line
        self.text = text


def read_image(text: str) -> Image:
    """Return the tables of a text in block form; raise NoImage at the first line that is none."""
    return tuple(_Reader(text).tables())


class _Reader:
    """Walks through the lines; one that opens more braces than it closes is joined with those that follow."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        self.at = 0

    def tables(self) -> Iterator[TableImage]:
        while (line := self._next()) is not None:
            if line.startswith("#"):
                continue
            found = _TABLE.match(line)
            if found is None:
                self._refuse(line)
            yield self._table(TableName(found[1] or "ip", found[2]))

    def _table(self, name: TableName) -> TableImage:
        head: list[str] = []
        objects: list[ObjectImage] = []
        chains: list[ChainImage] = []
        while (line := self._inside()) != "}":
            found = _BLOCK.match(line)
            if found is None:
                if not line.startswith(("comment ", "flags ")):
                    self._refuse(line)
                head.append(line)
            elif found[1] == "chain":
                chains.append(self._chain(found[2]))
            elif found[1] in _KINDS:
                objects.append(self._object(_KINDS[found[1]], found[2]))
            else:
                self._refuse(line)
        return TableImage(name, tuple(head), tuple(objects), tuple(chains))

    def _chain(self, name: str) -> ChainImage:
        head: list[str] = []
        rules: list[str] = []
        while (line := self._inside()) != "}":
            line = self._whole(line)
            if not rules and _HEAD.match(line):
                head.append(line)
            else:
                rules.append(line)
        return ChainImage(name, tuple(head), tuple(rules))

    def _object(self, kind: Kind, name: str) -> ObjectImage:
        body: list[str] = []
        elements: tuple[str, ...] = ()
        while (line := self._inside()) != "}":
            line = self._whole(line)
            if kind in HOLDERS and line.startswith("elements = {"):
                # each once: what is compared later are lists
                elements = tuple(dict.fromkeys(_split(line.removeprefix("elements = {").removesuffix("}"))))
            else:
                body.append(line)
        return ObjectImage(kind, name, tuple(body), elements)

    def _next(self) -> str | None:
        while self.at < len(self.lines):
            line = self.lines[self.at].strip()
            self.at += 1
            if line:
                return line
        return None

    def _inside(self) -> str:
        line = self._next()
        if line is None:
            self._refuse("the end of the text")
        if line.startswith("#"):
            return self._inside()
        return line

    def _whole(self, line: str) -> str:
        """Return a line and, while it has an open brace, what follows it."""
        depth = _depth(line)
        parts = [line]
        while depth > 0:
            following = self._next()
            if following is None:
                self._refuse("the end of the text")
            parts.append(following)
            depth += _depth(following)
        if depth < 0:
            self._refuse(line)
        return " ".join(parts)

    def _refuse(self, line: str) -> NoReturn:
        raise NoImage(self.at, line)


def _depth(line: str) -> int:
    if "{" not in line and "}" not in line:
        return 0
    return sum((found == "{") - (found == "}") for found in _BRACES.findall(line))


def _split(text: str) -> Iterator[str]:
    """Yield elements: what stands between commas that are in no string and no braces."""
    if '"' not in text and "{" not in text:
        yield from (part for piece in text.split(",") if (part := piece.strip()))
        return
    depth, quoted, start = 0, False, 0
    for index, letter in enumerate(text):
        if letter == '"':
            quoted = not quoted
        elif quoted:
            continue
        elif letter == "," and depth == 0:
            if part := text[start:index].strip():
                yield part
            start = index + 1
        else:
            depth += (letter == "{") - (letter == "}")
    if part := text[start:].strip():
        yield part
