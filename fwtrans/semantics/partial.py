"""A partial translation: what takes the place of rules that could not be translated, and the proof that it opens nothing.

A rule that accepts, or only logs, may be left out: its packets go on to rules that decide about them whatever it would have
said. In the place of every other rule stands one that drops all that its translated tests let through. The proof asks, for
every answer to what could not be translated: does the original let each packet pass that the result lets pass, with the same
marks and the same address translation? Limits and lists that packets fill are free in it: the original may accept.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import effect as does
from fwtrans.ir.match import AnyOf, FieldTest, MemberTest, OpaqueTest
from fwtrans.ir.ruleset import Ruleset
from fwtrans.ir.stateful import StatefulFromMap, StatefulTest
from fwtrans.ir.untranslated import is_untranslated
from fwtrans.ir.verdict import Accept, Drop, Reject
from fwtrans.semantics.aspects import Comparer
from fwtrans.semantics.bdd import OutOfNodes
from fwtrans.semantics.outcome import DifferenceKind, Limits
from fwtrans.semantics.program import Stream
from fwtrans.semantics.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwtrans.ir.rule import Rule
    from fwtrans.source import Origin

_DEFAULT = Limits()
_PURE = (FieldTest, MemberTest, OpaqueTest, AnyOf)
_HARMLESS = (*_PURE, StatefulTest, StatefulFromMap, does.Log, does.Count)
_OPENING = {DifferenceKind.VERDICT, DifferenceKind.FIELD, DifferenceKind.EFFECT}


class Replaced(NamedTuple):
    """A rule that could not be translated, and whether its packets are dropped in its place."""

    origins: tuple[Origin, ...]
    drops: bool


class Partial(NamedTuple):
    """The ruleset without what could not be translated, what became of each such rule, and why it is not safe."""

    ruleset: Ruleset
    replaced: tuple[Replaced, ...]
    faults: tuple[str, ...]


def partial(original: Ruleset, *, limits: Limits = _DEFAULT) -> Partial:
    """Return the part that can be printed; `faults` is empty where it is proved to open nothing."""
    kept = tuple(_remembering(original))
    if kept:
        return Partial(original, (), kept)
    found = _without(original, leave_out=True)
    if found.faults or opened(original, found.ruleset, limits=limits):
        found = _without(original, leave_out=False)
        faults = opened(original, found.ruleset, limits=limits)
        return found._replace(faults=faults)
    return found


def _remembering(original: Ruleset) -> Iterator[str]:
    """Yield a word for each untranslated rule that keeps something in mind for later packets: nothing can stand for it."""
    for table in original.tables:
        for chain in table.chains:
            for rule in chain.rules:
                if _holed(rule) and any(isinstance(step, does.SetUpdate) for step in rule.steps):
                    place = rule.origins[0].location if rule.origins else chain.name
                    yield f"{place}: the rule fills a list that other rules may ask"


def _without(original: Ruleset, *, leave_out: bool) -> Partial:
    replaced: list[Replaced] = []
    tables = []
    for table in original.tables:
        chains = []
        for chain in table.chains:
            rules: list[Rule] = []
            for rule in chain.rules:
                if not _holed(rule):
                    rules.append(rule)
                    continue
                drops = not (leave_out and _may_be_left_out(rule))
                replaced.append(Replaced(rule.origins, drops))
                if drops:
                    rules.append(_dropping(rule))
            chains.append(replace(chain, rules=tuple(rules)))
        tables.append(replace(table, chains=tuple(chains)))
    return Partial(Ruleset(tuple(tables), original.assumptions), tuple(replaced), ())


def _holed(rule: Rule) -> bool:
    return any(map(is_untranslated, rule.steps))


def _may_be_left_out(rule: Rule) -> bool:
    return (rule.verdict is None or rule.verdict == Accept()) and all(
        isinstance(step, _HARMLESS) for step in rule.steps
    )


def _dropping(rule: Rule) -> Rule:
    """Return the rule that stops whatever the untranslated one might have stopped or sent elsewhere.

    Only tests of the packet stay. A limit goes: it would be charged by other packets than before.
    """
    steps = tuple(
        step
        for step in rule.steps
        if isinstance(step, _PURE) and not is_untranslated(step) and not (isinstance(step, MemberTest) and step.dynamic)
    )
    verdict = rule.verdict if isinstance(rule.verdict, Reject) else Drop()
    return replace(rule, steps=steps, verdict=verdict)


def opened(original: Ruleset, part: Ruleset, *, limits: Limits = _DEFAULT) -> tuple[str, ...]:
    """Return the hooks where the part lets packets pass that the original might not, or passes them on otherwise."""
    try:
        session = Session(original, part, limits.nodes)
        faults = [f"{path.name}: cannot decide: {error.reason}" for path, error in session.failed]
        for path, old, new, packets in session.compared:
            comparer = Comparer(session.evaluator(path.visit).sets, packets.possible & new.through, {})
            kinds = [
                aspect.kind.value
                for aspect in comparer.aspects(old, new)
                if aspect.kind in _OPENING or (isinstance(aspect.subject, Stream) and aspect.subject.kind == "set")
            ]
            if kinds:
                faults.append(f"{path.name}: another {kinds[0]} than the original may give")
    except OutOfNodes:
        return ("out of memory",)
    return tuple(faults)
