"""What changes for the traffic between two sides, for somebody who has to say yes or no to it.

Where most rules of both sides are the same, what differs is told by the rules that were changed (`semantics.regions`). Where
the two are built differently (iptables against nftables, an old shape against an optimised one), no rule has become
another; then each cause is the pair of rules that decide, before and now.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.comparing import are_iptables_and_nftables, compare_on
from fwtrans.ir.host import Host
from fwtrans.read import read_inputs
from fwtrans.report.review.entries import entries_of
from fwtrans.report.review.model import Review
from fwtrans.report.review.pairs import entries_of_pairs
from fwtrans.report.review.structure import structure_of
from fwtrans.semantics.changes import changes, with_same_objects
from fwtrans.semantics.outcome import Limits
from fwtrans.semantics.regions import regions
from fwtrans.semantics.side import table_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fwtrans.diagnostics import DiagnosticSink
    from fwtrans.ir.ruleset import Ruleset
    from fwtrans.read import Files
    from fwtrans.semantics.outcome import Undecided
    from fwtrans.source import SourceFile

_UNKNOWN = Host()
# With fewer rules alike the two sides are not one ruleset before and after a change; a few rules say nothing about that.
_ALIKE = 0.5
_FEW = 60
# A review is no review if it leaves causes out; this many are a matter of a minute.
_LIMITS = Limits(differences=1000, total=20_000)


def review_sides(
    old: Sequence[SourceFile],
    new: Sequence[SourceFile],
    sink: DiagnosticSink,
    files: Files,
    *,
    strict: bool = False,
    pve_nftables: bool = False,
    host: Host = _UNKNOWN,
) -> Review | None:
    """Return the review, None where a side cannot be read (the sink says why)."""
    before = read_inputs(old, sink, files, strict=strict, pve_nftables=pve_nftables)
    after = read_inputs(new, sink, files, strict=strict, pve_nftables=pve_nftables)
    if before is None or after is None or sink.errors:
        return None
    return review(before.ruleset, after.ruleset, before.host.joined(after.host).joined(host))


def review(old: Ruleset, new: Ruleset, host: Host = _UNKNOWN, limits: Limits = _LIMITS) -> Review:
    """Return the review of two rulesets."""
    renamed = with_same_objects(old, new)
    found = changes(old, renamed)
    same_kind = not are_iptables_and_nftables(old, new) and not are_iptables_and_nftables(new, old)
    shared = {table_name(table) for table in old.tables} & {table_name(table) for table in new.tables}
    if same_kind and shared and (found.alike >= _ALIKE or found.total <= _FEW):
        split = regions(old, renamed, limits=limits, found=found)
        telling = [region.change for region in split.regions if region.change is not None]
        return Review(
            entries_of(split), structure_of(split.changes, telling), True, split.exact, split.equal,
            _undecided(split.undecided), split.assumptions, (),
        )  # fmt: skip
    compared = compare_on(host, old, new, replace(limits), processes=1)
    comparison = compared.comparison
    structure = structure_of(found) if same_kind else ()
    return Review(
        entries_of_pairs(comparison.differences, both_pve=compared.both_pve), structure, False,
        not comparison.omitted and not comparison.undecided,
        comparison.equal, _undecided(comparison.undecided), comparison.assumptions,
        tuple((item.name, item.text) for item in compared.intended), comparison.omitted,
    )  # fmt: skip


def _undecided(found: Iterable[Undecided]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (item.path.name, item.reason + (f" ({', '.join(item.names[:5])})" if item.names else "")) for item in found
    )
