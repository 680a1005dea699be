"""libnftables JSON text to its list of objects; what the objects mean is not decided here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fwtrans.diagnostics import Diagnostic, DiagnosticSink
from fwtrans.parsers.nft_text.faults import BadStatement
from fwtrans.parsers.nft_text.shapes import ShapeReader
from fwtrans.source import Span

if TYPE_CHECKING:
    from fwtrans.source import SourceFile


def parse_nft_json(source: SourceFile, sink: DiagnosticSink) -> list[Any] | None:
    """Return the list under "nftables"; None where the text is no such document (the sink says where it goes wrong)."""
    try:
        found = json.loads(source.text)
    except json.JSONDecodeError as fault:
        span = Span(source, fault.lineno, fault.colno - 1, fault.colno)
        sink.add(Diagnostic(code="FWT102", message=f"not JSON: {fault.msg}", span=span))
        return None
    except RecursionError:
        sink.add(Diagnostic(code="FWT102", message="JSON nested too deeply", span=Span(source, 1, 0, 1)))
        return None
    items = found.get("nftables") if isinstance(found, dict) else None
    if not isinstance(items, list):
        message = 'no list under "nftables": this is not what `nft -j list ruleset` prints'
        sink.add(Diagnostic(code="FWT102", message=message, span=Span(source, 1, 0, 1)))
        return None
    reader = ShapeReader()
    for item in items:
        _read_words(item, reader)
    return items


def _read_words(item: Any, reader: ShapeReader) -> None:
    """Read the statements of a rule that stand there as text: nft lists those so for which it has no JSON.

    nft 1.0.6 does so with `update @places { ip saddr : tcp dport }`.
    """
    rule = item.get("rule") if isinstance(item, dict) else None
    expressions = rule.get("expr") if isinstance(rule, dict) else None
    if not isinstance(expressions, list):
        return
    for index, statement in enumerate(expressions):
        if isinstance(statement, str) and "@" in statement:
            try:
                found = reader.rule(statement)["expr"]
            except BadStatement:
                continue  # an unknown, in the words in which it stands there
            if len(found) == 1:
                expressions[index] = found[0]
