"""What shall be loaded: from dumps through a proved translation, or an nft ruleset as it is.

An nft script that is not in block form (variables, includes, commands) is loaded in an empty namespace and listed there:
nothing knows better than nft what it means.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fwtrans.backend.loader.image import Image, TableName, rule_comment
from fwtrans.backend.loader.image_text import NoImage, read_image
from fwtrans.backend.loader.programs import Scratch
from fwtrans.backend.loader.real import LibNft
from fwtrans.backend.loader.threads import in_namespace_of
from fwtrans.diagnostics import Diagnostic, DiagnosticSink
from fwtrans.parsers.registry import Format, recognise
from fwtrans.translate import Settings, translate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fwtrans.read import Files
    from fwtrans.source import SourceFile

_UNPROVED = "FWT401"
_WORD = re.compile(r"[\w.-]+")
_NFT = frozenset({Format.NFT_TEXT, Format.NFT_JSON})


@dataclass(frozen=True, slots=True)
class Wanted:
    """The tables, the text that says the same, and where their rules came from.

    `sources` are the dumps that were translated, none for a ruleset that is nft already.
    """

    image: Image
    text: str
    sources: tuple[SourceFile, ...] = ()
    origins: Mapping[tuple[TableName, str, str], str] = field(default_factory=dict)
    given: frozenset[str] = frozenset()
    """Words of the sources: a chain that has one of them as its name was named by people."""

    def under_names_of(self, image: Image) -> Wanted:
        """Return the same with the names that the image gives to its parts."""
        places = dict(self.origins)
        for table, other in zip(self.image, image, strict=True):
            if table is other:
                continue
            for chain, named in zip(table.chains, other.chains, strict=True):
                for rule, as_named in zip(chain.rules, named.rules, strict=True):
                    if (found := self.origins.get((table.name, chain.name, rule))) is not None:
                        places[table.name, named.name, as_named] = found
        return replace(self, image=image, origins=places)

    @property
    def families(self) -> frozenset[str]:
        """Return nft's families that it has tables for, `inet` as both of its parts."""
        found = {table.name.family for table in self.image}
        return frozenset(found | ({"ip", "ip6"} if "inet" in found else set()))


def read_wanted(sources: Sequence[SourceFile], settings: Settings, sink: DiagnosticSink, files: Files) -> Wanted | None:
    """Return what to load, None where it cannot be loaded (the sink says why)."""
    if not sources:
        return None
    if all(recognise(source.text, source.name) in _NFT for source in sources):
        return _of_nft(sources, sink)
    result = translate(sources, settings, sink, files)
    if not result.output or sink.errors:
        return None
    if any(item.code == _UNPROVED for item in sink.found):
        hint = "translate it to a file, look at it closely, and apply that with --allow-changes"
        message = "what is not proved equal to its input is not loaded"
        sink.add(Diagnostic(code="FWT623", message=message, hints=(hint,)))
        return None
    image = read_image(result.output)
    lines = {row.line: row for row in result.line_map}
    origins = {}
    for number, line in enumerate(result.output.split("\n"), 1):
        row = lines.get(number)
        if row is not None and row.origins:
            family, _, name = row.table.partition(" ")
            origins[TableName(family, name), row.chain, line.strip()] = ", ".join(row.origins)
    given = frozenset(word for source in sources for word in _WORD.findall(source.text))
    return Wanted(image, result.output, tuple(sources), origins, given)


def _of_nft(sources: Sequence[SourceFile], sink: DiagnosticSink) -> Wanted | None:
    text = "\n".join(source.text for source in sources)
    try:
        return Wanted(read_image(text), text)
    except NoImage:
        pass
    try:
        with Scratch() as scratch:
            is_json = text.lstrip().startswith("{")
            listed = in_namespace_of(scratch.process, lambda: _listed(text, is_json=is_json))
        return Wanted(read_image(listed), listed)
    except (OSError, NoImage) as fault:
        sink.add(Diagnostic(code="FWT603", message=f"nft cannot read `{sources[0].name}`: {fault}"))
        return None


def _listed(text: str, *, is_json: bool) -> str:
    client = LibNft()
    try:
        client.ask(text, as_json=is_json)
        return client.ask("list ruleset")
    finally:
        client.close()


def place_of(wanted: Wanted, table: TableName, chain: str, rule: str) -> str:
    """Return where a rule came from, for people: its line in the source or, failing that, what its comment says."""
    found = wanted.origins.get((table, chain, rule))
    return found or rule_comment(rule) or "the new ruleset"
