"""The account of a translation as one page that needs nothing else, in the manner of a review's page.

The page may load nothing and run only its own script; what comes from files is text. Rows are made as a reader comes to
them, so that ten thousand rules open at once.
"""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from fwtrans.report.migration_forms import place_text, reason_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fwtrans.report.migration import Migration

_SIZES = ("rules", "chains", "sets", "maps", "elements")


def migration_html(found: Migration, name: str) -> str:
    """Return the page; `name` is what the input is called."""
    style = "".join(
        files("fwtrans.report").joinpath(*place).read_text(encoding="utf-8")
        for place in (("review", "page", "style.css"), ("page", "migration.css"))
    )
    script = files("fwtrans.report").joinpath("page", "migration.js").read_text(encoding="utf-8")
    policy = f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    shown = escape("".join(letter if letter.isprintable() else "?" for letter in name))
    counts = "".join(f"<li><b>{number}</b> {escape(text)}</li>" for text, number in found.counts.items())
    chains = _table("Steps of the dearest packet by chain", ("chain", "before", "after"), _chain_rows(found))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Migration report: {shown}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>Migration report</h1>
<p class="soft">of <code>{shown}</code></p>
<p><strong>{_headline(found)}</strong></p>
<ul class="counts">{counts}</ul>
</header>
<main>
<div class="tables">
{_table("Size", ("", "before", "after"), _size_rows(found))}
{_table("Steps of the dearest packet", ("way", "before", "after"), ((path.name, path.before, path.after) for path in found.paths))}
</div>
<details class="entry chains"><summary>Steps by chain</summary><div class="body">{chains}</div></details>
<h2>What became of each rule</h2>
<noscript><p>The list of rules needs this page's own script. Without it, use <code>--report FILE.md</code>.</p></noscript>
<form>
<div><label for="became">Became</label><select id="became"><option value="">all</option></select></div>
<div><label for="file">File</label><select id="file"><option value="">all</option></select></div>
<div><label for="words">Words</label><input id="words" type="search" autocomplete="off"></div>
</form>
<p id="shown" role="status" class="soft"></p>
<div id="rules"></div>
<p><button id="more" type="button" hidden>Show more</button></p>
</main>
<script type="application/json" id="migration">{_data(found)}</script>
<script>{script}</script>
</body>
</html>
"""


def _headline(found: Migration) -> str:
    if found.translated:
        return f"{len(found.rows)} rules read, all of them accounted for."
    return f"{len(found.rows)} rules read. Nothing was translated: see what is not translated, or the errors on the terminal."


def _table(title: str, head: tuple[str, str, str], rows: Iterable[tuple[str, object, object]]) -> str:
    cells = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{escape(str(before))}</td><td>{escape(str(after))}</td></tr>' for name, before, after in rows)  # fmt: skip
    heads = "".join(f'<th scope="col">{escape(text)}</th>' for text in head)
    return (
        f"<table><caption>{escape(title)}</caption><thead><tr>{heads}</tr></thead><tbody>{cells}</tbody></table>"
        if cells
        else ""
    )


def _size_rows(found: Migration) -> Iterable[tuple[str, object, object]]:
    if found.size_before is None or found.size_after is None:
        return ()
    return zip(_SIZES, found.size_before[:5], found.size_after[:5], strict=True)


def _chain_rows(found: Migration) -> list[tuple[str, object, object]]:
    rows: dict[str, list[object]] = {}
    for place, costs in enumerate((found.chains_before, found.chains_after)):
        for cost in costs:
            rows.setdefault(f"{cost.table} {cost.chain} ({cost.hook.value})", ["", ""])[place] = cost.worst.steps
    return [(name, before, after) for name, (before, after) in rows.items()]


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _data(found: Migration) -> str:
    """Return the rows as JSON that cannot end the element it stands in."""
    rows = [
        [row.became.value, row.origin.source.name, row.origin.line, row.origin.text, [place_text(place) for place in row.places], reason_text(row)]
        for row in found.rows
    ]  # fmt: skip
    text = json.dumps(rows, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
