"""Other software's rules that a node has beside PVE's: their dump, table by table."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.lower.pve.chains import Line

if TYPE_CHECKING:
    from fwtrans.source import SourceFile


class ForeignTable(NamedTuple):
    """The lines of a table: its chains, and everything else that is no comment."""

    declarations: tuple[Line, ...]
    rules: tuple[Line, ...]


def foreign_tables(source: SourceFile | None) -> dict[str, ForeignTable]:
    """Return the tables of a dump by name; a table that comes twice is one."""
    declarations: dict[str, list[Line]] = {}
    rules: dict[str, list[Line]] = {}
    table = ""
    for number, text in enumerate(source.lines if source is not None else (), 1):
        line = Line(text.strip(), source.origin(number) if source is not None else None)
        if line.text.startswith("*"):
            table = line.text[1:]
            declarations.setdefault(table, [])
            rules.setdefault(table, [])
        elif line.text.startswith(":") and table:
            declarations[table].append(line)
        elif line.text and not line.text.startswith("#") and line.text != "COMMIT" and table:
            rules[table].append(line)
    return {name: ForeignTable(tuple(declarations[name]), tuple(rules[name])) for name in declarations}
