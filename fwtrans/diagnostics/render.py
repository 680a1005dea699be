"""What a person reads of a diagnostic, and what a program reads of the same object.

    host7/iptables.v4:14:17: error[FWT200]: match `string` has no exact nftables form
      14 | -A INPUT -p tcp -m string --algo bm --string "BitTorrent" -j DROP
         |                 ^^^^^^^^^ rule 9 of chain INPUT, table filter
    note: nft 1.0.6 has raw payload at fixed offsets only

    hint: run `fwtrans explain FWT200`

Everything quoted comes from files that nobody vouches for: a rule comment can hold escape sequences that repaint the
terminal or letters that reverse the reading order. So whatever is not printable is written as an escape, and long
lines and long tokens are cut around the place that matters.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.diagnostics.codes import CODES, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fwtrans.diagnostics.diagnostic import Diagnostic
    from fwtrans.source import Span

DEFAULT_WIDTH = 100
DEFAULT_CAP = 25
_LONGEST_MESSAGE = 600
_CUT = "..."
_TAB = "    "
_RESET = "\x1b[0m"
_STYLES = {Severity.ERROR: "\x1b[1;31m", Severity.WARNING: "\x1b[1;33m", Severity.NOTE: "\x1b[1;36m"}
_WEIGHT = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}
_SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def render(diagnostic: Diagnostic, *, width: int = DEFAULT_WIDTH, color: bool = False) -> str:
    """Return the human form, without a newline at its end. Escape sequences are in it only if `color` asks for them."""
    style, reset = (_STYLES[diagnostic.severity], _RESET) if color else ("", "")
    place = harmless(diagnostic.span.location) if diagnostic.span is not None else "fwtrans"
    label = f"{diagnostic.severity.value}[{diagnostic.code}]"
    lines = [f"{place}: {style}{label}{reset}: {harmless(diagnostic.message)}"]
    if diagnostic.span is not None:
        lines.extend(_excerpt(diagnostic.span, harmless(diagnostic.label), width, style, reset))
    for note in diagnostic.notes:
        lines.extend(_paragraph("note: ", note))
    if diagnostic.hints:
        lines.append("")
    for hint in diagnostic.hints:
        lines.extend(_paragraph("hint: ", hint))
    return "\n".join(lines)


def render_all(
    diagnostics: Iterable[Diagnostic], *, cap: int = DEFAULT_CAP, width: int = DEFAULT_WIDTH, color: bool = False
) -> str:
    """Return the human forms with a blank line between them, errors first; what is beyond `cap` is only counted.

    The order of finding is kept among equals. Errors come first because a cap must never hide one behind notes.
    """
    ordered = sorted(diagnostics, key=lambda item: _WEIGHT[item.severity])
    parts = [render(item, width=width, color=color) for item in ordered[:cap]]
    if len(ordered) > cap:
        parts.append(f"and {len(ordered) - cap} more ({count_by_severity(ordered[cap:])})")
    return "\n\n".join(parts)


def count_by_severity(diagnostics: Sequence[Diagnostic]) -> str:
    """Return the numbers in words: `2 errors, 1 note`; `nothing` for none."""
    counts = []
    for severity in _WEIGHT:
        count = sum(item.severity is severity for item in diagnostics)
        if count:
            counts.append(f"{count} {severity.value}{'' if count == 1 else 's'}")
    return ", ".join(counts) or "nothing"


def to_json(diagnostic: Diagnostic) -> dict[str, object]:
    """Return the JSON form. Columns count characters from 1; `end_column` is the first one behind the span."""
    span = diagnostic.span
    location = None
    if span is not None:
        location = {
            "file": span.source.name,
            "line": span.line,
            "column": span.start + 1,
            "end_column": max(span.end, span.start) + 1,
        }
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity.value,
        "title": CODES[diagnostic.code].title,
        "message": diagnostic.message,
        "location": location,
        "label": diagnostic.label,
        "notes": list(diagnostic.notes),
        "hints": list(diagnostic.hints),
    }


def harmless(text: str, limit: int = _LONGEST_MESSAGE) -> str:
    """Return the text as one printable line: control, format and bidirectional characters as escapes, cut at `limit`."""
    if len(text) > limit:
        text = text[:limit] + _CUT
    return text if text.isprintable() else "".join(map(_printable, text))


def _printable(character: str) -> str:
    """Return the character, or an escape that cannot act on a terminal.

    `str.isprintable` is false for every control, format, surrogate and separator character but the plain blank, so
    that a no-break space pasted from a web page shows as what it is.
    """
    if character.isprintable():
        return character
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # a byte that was not UTF-8, as surrogateescape keeps it
        return f"\\x{number - 0xDC00:02x}"
    if number <= 0xFF:
        return _SHORT_ESCAPES.get(character, f"\\x{number:02x}")
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def _paragraph(head: str, text: str) -> list[str]:
    """Return a note or hint; further lines of it (nft's own words, say) stand under the first."""
    first, *others = text.split("\n")
    return [head + harmless(first), *(" " * len(head) + harmless(line) for line in others)]


class _Window(NamedTuple):
    """The part of a line that is shown, and where in it, in columns, the carets stand."""

    text: str
    column: int
    carets: int


def _excerpt(span: Span, label: str, width: int, style: str, reset: str) -> list[str]:
    """Return the source line and the caret line under it."""
    number = f"{span.line:>4}"
    window = _window(span, max(width - len(number) - 3, 20))
    carets = " " * window.column + style + "^" * window.carets + (f" {label}" if label else "") + reset
    return [f"{number} | {window.text}".rstrip(), f"{' ' * len(number)} | {carets}"]


def _window(span: Span, room: int) -> _Window:
    """Choose what to show of a line in `room` columns: all of it, or what stands around the span.

    Only the neighbourhood of the span is looked at, because a line can be a hundred megabytes long.
    """
    line = span.source.line(span.line)
    start = min(span.start, len(line))
    end = min(max(span.end, start + 1), start + room)
    low = max(0, start - room)
    cells = [_cell(character) for character in line[low : end + room]]
    first, last = start - low, min(end - low, len(cells))
    left, right = (_CUT, _CUT) if low or low + len(cells) < len(line) or _columns(cells) > room else ("", "")
    if left:
        budget = room - 2 * len(_CUT)
        last = first + _extend(cells[first:last], budget)
        budget -= _columns(cells[first:last])
        begin = _extend(cells[:first][::-1], budget // 2)
        behind = _extend(cells[last:], budget - _columns(cells[first - begin : first]))
        begin = _extend(cells[:first][::-1], budget - _columns(cells[last : last + behind]))
        left = left if low + first - begin > 0 else ""
        right = right if low + last + behind < len(line) else ""
        cells, first, last = cells[first - begin : last + behind], begin, begin + last - first
    text = left + "".join(cells) + right
    return _Window(text, len(left) + _columns(cells[:first]), _columns(cells[first:last]) or 1)


def _extend(cells: Sequence[str], budget: int) -> int:
    """Return how many cells, from the first on, fit into `budget` columns."""
    for index, cell in enumerate(cells):
        budget -= _columns((cell,))
        if budget < 0:
            return index
    return len(cells)


def _cell(character: str) -> str:
    """Return what one character of a source line is shown as; a tab is plain indentation there."""
    return _TAB if character == "\t" else _printable(character)


def _columns(cells: Iterable[str]) -> int:
    """Return the columns that a terminal gives to the cells: wide letters take two, combining marks none."""
    total = 0
    for cell in cells:
        if cell.isascii():
            total += len(cell)
        elif unicodedata.combining(cell) == 0:
            total += 2 if unicodedata.east_asian_width(cell) in "WF" else 1
    return total
