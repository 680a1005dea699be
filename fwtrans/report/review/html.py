"""The review as one page that needs nothing else: no network, no server; what comes from files is text and never markup.

The page's policy (CSP) lets it load nothing and run only its own script, which builds what a reader opens when it is opened:
thousands of differences are thousands of closed lines.
"""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from fwtrans.report.review.model import Category, plain
from fwtrans.report.review.text import also_words, headline
from fwtrans.report.review.value import review_value

if TYPE_CHECKING:
    from fwtrans.report.review.model import Review

_NEEDED = (
    "category", "severity", "way", "guests", "text", "cause", "size", "context", "before", "now", "witnesses", "known",
)  # fmt: skip


def review_html(found: Review, old: str, new: str) -> str:
    """Return the page; `old` and `new` are what the sides are called."""
    style, script = (_part(name) for name in ("style.css", "script.js"))
    policy = f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    title = f"Firewall review: {plain(old)} and {plain(new)}"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>Firewall review</h1>
<p class="soft">from <code>{escape(plain(old))}</code> to <code>{escape(plain(new))}</code></p>
<p><strong>{escape(headline(found))}</strong></p>
<ul class="counts">{_counts(found)}</ul>
</header>
<noscript><p>The list of differences needs this page's own script. Without it, use <code>fwtrans diff --format text</code>.</p></noscript>
<main>
{_filters()}
<p id="shown" role="status" class="soft"></p>
<div id="differences"></div>
<button id="next" type="button" hidden></button>
<section><h2>In the rulesets themselves</h2><div id="structure"></div></section>
<section><h2>Not decided</h2><ul id="undecided" class="plain"></ul></section>
<section><h2>This rests on</h2><ul id="assumptions" class="plain"></ul></section>
<section><h2>Different on purpose</h2><ul id="intended" class="plain"></ul></section>
</main>
<script type="application/json" id="review">{_data(found)}</script>
<script>{script}</script>
</body>
</html>
"""


def _part(name: str) -> str:
    return files("fwtrans.report.review").joinpath("page", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _counts(found: Review) -> str:
    counts = [(category, len(found.of(category))) for category in Category]
    return "".join(
        f'<li class="{category.severity}"><b>{number}</b> {escape(category.value)}</li>'
        for category, number in counts
        if number
    )


def _filters() -> str:
    selects = "".join(
        f'<div><label for="{name}">{text}</label><select id="{name}"><option value="">all</option></select></div>'
        for name, text in (("guest", "Guest"), ("way", "Direction"), ("severity", "Severity"))
    )
    return f'<form>{selects}<div><label for="words">Words</label><input id="words" type="search" autocomplete="off"></div></form>'


def _data(found: Review) -> str:
    """Return what the script shows, as JSON that cannot end the element it stands in."""
    value = review_value(found)
    entries = value["differences"]
    assert isinstance(entries, list)  # noqa: S101 -- as `review_value` makes it
    slim = [{key: entry[key] for key in _NEEDED} for entry in entries]
    for line, entry in zip(found.entries, slim, strict=True):
        entry["witnesses"] = entry["witnesses"][:1]
        entry["also"] = [also_words(line, lesser) for lesser in line.also]
    kept = {**{key: value[key] for key in ("structure", "undecided", "assumptions", "intended")}, "differences": slim}
    text = json.dumps(kept, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
