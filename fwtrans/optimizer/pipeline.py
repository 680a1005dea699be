"""The passes in their order, again until nothing changes, each result proved equal to what it was made of.

A pass whose result is not proved equal is a fault of ours: its result is thrown away, and what was found is told. So the
ruleset that comes out means what the one that went in means, whatever the passes do.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING

from fwtrans.ir.verify import verify
from fwtrans.optimizer.followed import MOST_FOLLOWED, Ways
from fwtrans.optimizer.many_ways import MANY
from fwtrans.optimizer.size import Size, size_of
from fwtrans.optimizer.steps import HookCost, hook_costs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fwtrans.ir.ruleset import Ruleset
    from fwtrans.optimizer.base import Pass
    from fwtrans.semantics.outcome import Comparison

# Passes feed each other a few times and no more; this only bounds a fault.
MOST_ROUNDS = 6


@dataclass(frozen=True, slots=True)
class Stage:
    """One run of one pass. `ruleset` is what went on: the pass's result, or what it was given where that was refused.

    `proof` is None where nothing changed or no proof was asked for; `faults` say why a result was refused.
    """

    name: str
    about: str
    number: int
    seconds: float
    proof_seconds: float
    changed: bool
    size: Size
    declined: tuple[str, ...]
    proof: Comparison | None
    faults: tuple[str, ...]
    ruleset: Ruleset


@dataclass(frozen=True, slots=True)
class Optimized:
    """The optimised ruleset and what it was made of, with what each pass did."""

    before: Ruleset
    ruleset: Ruleset
    stages: tuple[Stage, ...]
    assumptions: tuple[str, ...]

    @property
    def size_before(self) -> Size:
        """Return how big it was."""
        return size_of(self.before)

    @property
    def size_after(self) -> Size:
        """Return how big it is."""
        return size_of(self.ruleset)

    @property
    def costs_before(self) -> tuple[HookCost, ...]:
        """Return what the dearest way through each base chain cost."""
        return hook_costs(self.before)

    @property
    def costs_after(self) -> tuple[HookCost, ...]:
        """Return what it costs."""
        return hook_costs(self.ruleset)

    @property
    def refused(self) -> tuple[Stage, ...]:
        """Return the passes whose result was not proved equal."""
        return tuple(stage for stage in self.stages if stage.faults)


def run_passes(
    ruleset: Ruleset,
    passes: Iterable[Pass],
    *,
    prove: bool = True,
    most: float = inf,
    likely: Callable[[Ruleset], None] | None = None,
) -> Optimized:
    """Return what the passes make of a ruleset. A result is left that has more rules and elements than `most`, and grew.

    `likely` is told what may be the result: another round has to show that nothing changes any more, and mostly it does.
    """
    passes = tuple(passes)
    stages: list[Stage] = []
    current = ruleset
    refused: set[str] = set()
    done: dict[str, Ruleset] = {}
    for number in range(MOST_ROUNDS):
        before = current
        for item in passes:
            # a pass does nothing to its own result
            if item.name in refused or done.get(item.name) is current:
                continue
            stage = _stage(item, len(stages) + 1, current, prove=prove, most=most)
            stages.append(stage)
            current = done[item.name] = stage.ruleset
            if stage.faults:
                refused.add(item.name)
        if current is before:
            break
        # the first round makes what the second one has work with
        if number and likely is not None:
            likely(current)
    return Optimized(ruleset, current, tuple(stages), tuple(dict.fromkeys(_assumptions(ruleset, stages))))


def _stage(item: Pass, number: int, before: Ruleset, *, prove: bool, most: float) -> Stage:
    start = perf_counter()
    found, declined = item.run(before)
    changed = found is not before and found != before
    if changed and (reason := _too_much(before, found, most)):
        found, declined, changed = before, (*declined, reason), False
    seconds = perf_counter() - start
    proof: Comparison | None = None
    faults: tuple[str, ...] = ()
    start = perf_counter()
    if changed and prove:
        known = set(verify(before))
        faults = tuple(fault for fault in verify(found) if fault not in known)
        if not faults:
            from fwtrans.semantics.equivalence import compare  # noqa: PLC0415 -- `translate` proves all passes together

            proof = compare(before, found)
            faults = tuple(_doubts(proof))
    kept = found if changed and not faults else before
    return Stage(
        item.name, item.about, number, seconds, perf_counter() - start, changed and not faults,
        size_of(kept), declined, proof, faults, kept,
    )  # fmt: skip


def _too_much(before: Ruleset, found: Ruleset, most: float) -> str:
    """Return why a result is left: there is too much of it, and more than before. Empty where it is not."""
    if size_of(found).entries > max(most, size_of(before).entries):
        return f"there would be more than {most:g} rules and elements"
    longest = _followed_longer(before, found)
    return f"the kernel would follow {longest} rules and elements at every change" if longest else ""


def _followed_longer(before: Ruleset, found: Ruleset) -> int:
    """Return what the kernel would follow if that is too much, and more than before; what can become a map or a set counts as one."""
    known = {id(table) for table in before.tables}
    changed = [Ways(table, MANY).all for table in found.tables if id(table) not in known]
    most = max(changed, default=0)
    if most <= MOST_FOLLOWED:
        return 0
    return most if most > max(Ways(table, MANY).all for table in before.tables) else 0


def _doubts(proof: Comparison) -> Iterator[str]:
    for difference in proof.differences:
        where = f"{difference.visit.family.value} {difference.visit.hook.value}"
        yield f"{where}: another {difference.kind.value} ({difference.subject})"
    for unknown in proof.undecided:
        where = f"{unknown.visit.family.value} {unknown.visit.hook.value}"
        yield f"{where}: cannot be decided: {unknown.reason}"


def _assumptions(ruleset: Ruleset, stages: Iterable[Stage]) -> Iterator[str]:
    yield from ruleset.assumptions
    for stage in stages:
        if stage.proof is not None:
            yield from stage.proof.assumptions
