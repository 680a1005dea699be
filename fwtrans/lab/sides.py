"""A side's inputs as its own tools load them: iptables-restore, ipset, ebtables, nft."""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Diagnostic
from fwtrans.lab.judge import Side
from fwtrans.parsers.iptables_save.sniff import sections
from fwtrans.parsers.registry import Format, recognise
from fwtrans.source import Span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fwtrans.diagnostics import DiagnosticSink
    from fwtrans.source import SourceFile

Load = tuple[tuple[str, ...], str]


class Variant(Enum):
    """Which iptables: the one with its own kernel part, or the one over nftables."""

    LEGACY = "legacy"
    NFT = "nft"


# Sets first, because rules name them.
_ORDER = {
    Format.IPSET_SAVE: 0,
    Format.IPTABLES_SAVE: 1,
    Format.IP6TABLES_SAVE: 1,
    Format.EBTABLES_SAVE: 2,
    Format.ARPTABLES_SAVE: 2,
}
_GROUPS = re.compile(r"--nflog-group\s+(\w+)|\blog\b[^\n;]*?\bgroup\s+(\w+)|\"group\":\s*(\d+)")
_BRIDGED = re.compile(r"--physdev-")


def side_of(name: str, sources: Sequence[SourceFile], variant: Variant, sink: DiagnosticSink) -> Side | None:
    """Return how a side is loaded; None where one of its inputs is in no form that a tool loads (the sink says which)."""
    found: list[tuple[int, Load]] = []
    for source in sources:
        kind = recognise(source.text, source.name)
        loads = list(_loads(kind, source, variant))
        if not loads:
            message = f"`{source.name}` ({kind.value}) cannot be loaded as it is"
            hint = "give dumps (iptables-save, ip6tables-save, ipset save, ebtables-save) or nft rulesets"
            sink.add(Diagnostic(code="FWT701", message=message, span=Span(source, 1, 0, 1), hints=(hint,)))
        found.extend((_ORDER.get(kind, 3), load) for load in loads)
    if sink.errors:
        return None
    texts = "\n".join(source.text for source in sources)
    groups = {_number(text) for match in _GROUPS.findall(texts) for text in match if text} | {0}
    ordered = tuple(load for _, load in sorted(found, key=lambda item: item[0]))
    return Side(name, ordered, bool(_BRIDGED.search(texts)), tuple(sorted(groups)))


def _number(text: str) -> int:
    """Return a number as iptables and nft take it: 0x2 is two, 010 is eight; 0 where it is none."""
    try:
        return int(text, 8) if text.isdecimal() and text.startswith("0") else int(text, 0)
    except ValueError:
        return 0


def _loads(kind: Format, source: SourceFile, variant: Variant) -> Iterator[Load]:
    suffix = variant.value
    if kind in {Format.IPTABLES_SAVE, Format.IP6TABLES_SAVE}:
        for section in sections(source):
            family = section.family or ("ip6" if kind is Format.IP6TABLES_SAVE else "ip")
            program = "ip6tables" if family == "ip6" else "iptables"
            lines = source.text.splitlines(keepends=True)[section.first - 1 : section.last]
            yield (f"{program}-{suffix}-restore",), "".join(lines)
    elif kind is Format.IPSET_SAVE:
        yield ("ipset", "restore"), source.text
    elif kind is Format.EBTABLES_SAVE:
        yield (f"ebtables-{suffix}-restore",), source.text
    elif kind is Format.ARPTABLES_SAVE:
        yield (f"arptables-{suffix}-restore",), source.text
    elif kind is Format.NFT_TEXT:
        yield ("nft", "-f", "-"), source.text
    elif kind is Format.NFT_JSON:
        yield ("nft", "-j", "-f", "-"), source.text
