"""From input texts to one IR ruleset: which format each is, its reader, its lowering, and how they fit together.

Several inputs make one ruleset: the dumps of both families, the ipsets they name, and the firewall lines of
interfaces(5) and scripts for a family that has no dump (a dump holds already what those lines have done). An nft
ruleset stands alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from fwtrans.diagnostics import Diagnostic, DiagnosticSink
from fwtrans.ir.fields import Family
from fwtrans.ir.ruleset import Ruleset
from fwtrans.lower.extensions.registry import ExtensionOptions
from fwtrans.lower.ipset import lower_ipsets
from fwtrans.lower.iptables import lower_dump
from fwtrans.lower.nft.ruleset import lower_nft
from fwtrans.parsers.registry import Format, recognise
from fwtrans.source import Origin, SourceFile, Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.ir.ruleset import Table
    from fwtrans.parsers.ipset_save.syntax import IpsetSet
    from fwtrans.parsers.iptables_save.syntax import IptablesDump


class Files(Protocol):
    """How readers reach the files that an input names (`source` in interfaces, `include` in nft)."""

    def read(self, path: str) -> SourceFile | None:
        """Return one file, None where it cannot be read."""

    def matching(self, pattern: str) -> tuple[str, ...]:
        """Return the paths that a shell pattern names, sorted."""


class Reading(NamedTuple):
    """The ruleset of all inputs, and every rule that was read, for the account of what became of each."""

    ruleset: Ruleset
    read: tuple[Origin, ...]


def read_inputs(sources: Sequence[SourceFile], sink: DiagnosticSink, files: Files) -> Reading | None:
    """Return all inputs as one ruleset; None where nothing can be said (the sink says why)."""
    if not sources:
        return None
    reader = _Reader(sink, files)
    for source in sources:
        reader.take(source)
    if sink.has_errors("1"):
        reader.lower()  # so that the findings of every stage are told in one run
        return None
    return reader.lower()


@dataclass(slots=True)
class _Reader:
    """Collects what each input holds, then lowers all of it together."""

    sink: DiagnosticSink
    files: Files
    options: ExtensionOptions = field(default_factory=ExtensionOptions)
    dumps: list[IptablesDump] = field(default_factory=list)
    ipsets: list[IpsetSet] = field(default_factory=list)
    rulesets: list[Ruleset] = field(default_factory=list)
    read: list[Origin] = field(default_factory=list)

    def take(self, source: SourceFile) -> None:
        """Read one input in its own format."""
        binary = _binary_place(source)
        if binary is not None:
            self.sink.add(Diagnostic(code="FWT100", message="this is not text: it holds a NUL byte", span=binary))
            return
        if not source.text.strip():
            message = f"`{source.name}` is empty"
            hint = "an empty dump means that the command which made it failed, or that no table was loaded"
            self.sink.add(Diagnostic(code="FWT101", message=message, hints=(hint,)))
            return
        found = recognise(source.text, source.name)
        read = _READERS.get(found)
        if read is None:
            message = f"`{source.name}` is in no format that is read here"
            self.sink.add(Diagnostic(code="FWT101", message=message, span=Span(source, 1, 0, 1)))
            return
        read(self, source)
