"""Elements of named sets and maps. There may be a hundred thousand, so the common forms go past the grammar.

A form that is not common (timeouts, comments, counters) goes through the grammar once for each shape, as rules do.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fwtrans.parsers.nft_text.faults import BadStatement
from fwtrans.parsers.nft_text.values import number, unquoted

if TYPE_CHECKING:
    from fwtrans.parsers.nft_text.shapes import ShapeReader

Json = Any

_ADDRESS = r"\d+\.\d+\.\d+\.\d+|(?:[0-9a-fA-F]{0,4}:){2,8}(?:\d+\.\d+\.\d+\.\d+|[0-9a-fA-F]{1,4})?"
_ATOM = re.compile(
    rf"""(?P<address>{_ADDRESS})(?:/(?P<length>\d+)|\s*-\s*(?P<last>{_ADDRESS}))?
    |(?P<number>0[xX][0-9a-fA-F]+|\d+)(?:\s*-\s*(?P<high>0[xX][0-9a-fA-F]+|\d+))?
    |(?P<string>"[^"\n]*")
    |(?P<word>[A-Za-z_][-\w/.]*\*?)""",
    re.VERBOSE,
)
_QUOTED = re.compile(r'"[^"]*"')
_DOT = re.compile(r"\s\.\s")
_COLON = re.compile(r"\s*:\s+|\s+:\s*")
_VERDICTS = {"accept", "drop", "continue", "return"}
_TARGET = re.compile(r'(jump|goto)\s+([A-Za-z_][-\w/.]*|"[^"\n]*")')
# words that would be read as something else, or that stand for an answer
_NOT_WORDS = _VERDICTS | {"exists", "missing"}


def read_elements(text: str, reader: ShapeReader) -> list[Json]:
    """Return the elements written between the braces; offsets in faults are those of the text."""
    if "{" in text or "$" in text or any("," in quoted for quoted in _QUOTED.findall(text)):
        return reader.elements(text)
    found: list[Json] = []
    place = 0
    written = text.split(",")
    if not written[-1].strip():
        written.pop()
    for item in written:
        bare = item.strip()
        element = _common(bare)
        if element is None:
            element = _through_grammar(item, place, reader)
        found.append(element)
        place += len(item) + 1
    return found


def _through_grammar(item: str, place: int, reader: ShapeReader) -> Json:
    try:
        elements = reader.elements(item)
    except BadStatement as fault:
        raise BadStatement(fault.code, fault.message, fault.start + place, fault.end + place, hint=fault.hint) from None
    if len(elements) != 1:
        raise BadStatement("FWT150", "nothing stands between two commas", place, place + max(len(item), 1))
    return elements[0]


def _common(text: str) -> Json | None:
    found = _ATOM.fullmatch(text)
    if found is not None:
        return _atom(found)
    key, *data = _COLON.split(text)
    if not data:
        return _dotted(text)
    if len(data) != 1:
        return None
    left, right = _dotted(key), _data(data[0])
    return None if left is None or right is None else [left, right]


def _data(text: str) -> Json | None:
    if text in _VERDICTS:
        return {text: None}
    target = _TARGET.fullmatch(text)
    if target is not None:
        return {target[1]: {"target": unquoted(target[2])}}
    return _dotted(text)


def _dotted(text: str) -> Json | None:
    parts = _DOT.split(text)
    values = []
    for part in parts:
        found = _ATOM.fullmatch(part.strip())
        value = None if found is None else _atom(found)
        if value is None:
            return None
        values.append(value)
    return {"concat": values} if len(values) > 1 else values[0]


def _atom(found: re.Match[str]) -> Json | None:
    kind = found.lastgroup
    if kind == "address":
        return found["address"]
    if kind == "length":
        return {"prefix": {"addr": found["address"], "len": int(found["length"])}}
    if kind == "last":
        return {"range": [found["address"], found["last"]]}
    if kind == "number":
        return number(found["number"])
    if kind == "high":
        return {"range": [number(found["number"]), number(found["high"])]}
    if kind == "string":
        return unquoted(found["string"])
    return None if found["word"] in _NOT_WORDS else found["word"]
