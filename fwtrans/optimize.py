"""The optimiser as a call: a ruleset in, the same meaning in a faster shape out, with an account of every pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fwtrans.optimizer import cuts
from fwtrans.optimizer.as_read import with_protocols_named
from fwtrans.optimizer.pipeline import Optimized, run_passes
from fwtrans.optimizer.registry import PASSES
from fwtrans.optimizer.size import size_of, values_in_rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from fwtrans.ir.ruleset import Ruleset


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the caller may choose. `skip` are names of passes to leave out.

    `size_factor` is how many times as big a ruleset may become, most of which long lists take as searches.
    """

    verify: bool = True
    size_factor: float = cuts.MOST_GROWTH
    skip: frozenset[str] = frozenset()


_DEFAULT = Settings()


def optimize_ruleset(
    ruleset: Ruleset, settings: Settings = _DEFAULT, likely: Callable[[Ruleset], None] | None = None
) -> Optimized:
    """Return the optimised ruleset; every pass is proved unless the settings say otherwise.

    `likely` is told of results that may be the last, before it is known that they are.
    """
    entries = size_of(ruleset).entries
    sized = cuts.sized(settings.size_factor, entries)
    # what stands in a rule's own set may come to stand in a map, where each value counts
    most = settings.size_factor * (entries + values_in_rules(ruleset))
    passes = (sized if item is cuts.PASS else item for item in PASSES if item.name not in settings.skip)
    return run_passes(with_protocols_named(ruleset), passes, prove=settings.verify, most=most, likely=likely)
