"""The account of a translation as tables for a terminal: drawn to its width, in colour where that is wanted."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fwtrans.report.migration import Became
from fwtrans.report.migration_forms import place_text, reason_text, size_rows
from fwtrans.report.review.model import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from fwtrans.report.migration import Migration, Row

_STYLES = {Became.REFUSED: "bold red", Became.NEVER: "yellow", Became.NO_EFFECT: "yellow"}
_MOST_ROWS = 40


def migration_tables(found: Migration, *, width: int, color: bool, most: int = _MOST_ROWS) -> str:
    """Return counts and costs before and after, then the rules that did not become rules of their own, `most` of them."""
    page = StringIO()
    console = Console(file=page, width=width, force_terminal=color, no_color=not color, highlight=False)
    console.print(_of_numbers(f"{len(found.rows)} rules read", ("rules",), [(name, f"{number}") for name, number in found.counts.items()]))  # fmt: skip
    size = size_rows(found)
    if size:
        console.print(_of_numbers("size", ("before", "after"), size))
    if found.paths:
        rows = [(path.name, f"{path.before}", f"{path.after}") for path in found.paths]
        console.print(_of_numbers("steps of the dearest packet", ("before", "after"), rows))
    notable = [row for row in found.rows if row.became is not Became.EXACT]
    if notable:
        console.print(_of_rules(notable[:most]))
    if len(notable) > most:
        console.print(f"and {len(notable) - most} more (--report FILE.html or FILE.json tells all)")
    return page.getvalue()


def _of_numbers(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    table = Table(title, *columns)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, *numbers in rows:
        table.add_row(name, *numbers)
    return table


def _of_rules(rows: list[Row]) -> Table:
    """What a file says is text: what a terminal would obey is taken out, and nothing is read as markup."""
    table = Table("rule", "became", "where and why", show_lines=True)
    table.columns[0].ratio, table.columns[2].ratio = 3, 2
    table.columns[1].min_width = 10
    for row in rows:
        why = "\n".join(filter(None, (*map(place_text, row.places[:3]), reason_text(row))))
        cells: tuple[RenderableType, ...] = (
            Text.assemble((plain(row.origin.location), "dim"), "\n", plain(row.origin.text)),
            Text(row.became.value, _STYLES.get(row.became, "")),
            Text("\n".join(map(plain, why.split("\n")))),
        )
        table.add_row(*cells)
    return table
