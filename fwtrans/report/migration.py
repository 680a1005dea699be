"""What became of each input rule: which output rules and look-ups it is in, or which pass left it out, and why.

    found = migration(result, diagnostics)
    found.rows          every input rule once, in the order of the input
    found.sizes, found.paths      what the input was and what the output is, and the dearest packet's steps on each way

A rule that passes have put together with others may have lost its own name in the output. It is followed through what each
pass made: the pass behind which it is missing has left it out or put it into a look-up, by what the pass is for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from enum import Enum
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.effect import Count
from fwtrans.ir.fields import Family
from fwtrans.ir.rule import is_pure
from fwtrans.ir.ruleset import Hook
from fwtrans.ir.walk import map_names, set_names
from fwtrans.optimizer.size import Size, size_of
from fwtrans.optimizer.steps import hook_costs
from fwtrans.report.coverage import Fate
from fwtrans.semantics.shadowing import lint

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from fwtrans.diagnostics import Diagnostic
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Ruleset, Table
    from fwtrans.optimizer.steps import HookCost
    from fwtrans.report.coverage import RuleFate
    from fwtrans.report.translation import Stage, Translation
    from fwtrans.source import Origin

Key = tuple[str, int]
_MOST_BLAMED = 5
# These leave rules out; the others put them into something else.
_LEAVES_OUT = frozenset({"bridge", "fold", "dead-rules", "idle-returns"})


class Became(Enum):
    """What can become of a rule."""

    EXACT = "exact"
    SEVERAL = "exact, as several rules"
    MERGED = "merged"
    FOLDED = "left out: others decide the same"
    NO_EFFECT = "does nothing"
    NEVER = "can never match"
    REFUSED = "not translated"


class Placed(NamedTuple):
    """An output chain that holds a rule: in which lines of the text, together with how many others, by which look-ups."""

    table: str
    chain: str
    lines: tuple[int, ...] = ()
    others: int = 0
    objects: tuple[str, ...] = ()


class Row(NamedTuple):
    """One input rule. `how` says by what it was merged or left out, `because` names the rules that make it so."""

    origin: Origin
    became: Became
    places: tuple[Placed, ...] = ()
    how: str = ""
    because: tuple[str, ...] = ()
    code: str = ""


class PathCost(NamedTuple):
    """The steps of the dearest packet on one way through the host, by family: a bound, before and after."""

    name: str
    before: int
    after: int


class Migration(NamedTuple):
    """The account of a translation."""

    rows: tuple[Row, ...]
    size_before: Size | None
    size_after: Size | None
    chains_before: tuple[HookCost, ...]
    chains_after: tuple[HookCost, ...]
    paths: tuple[PathCost, ...]
    translated: bool

    @property
    def counts(self) -> dict[str, int]:
        """Return how many rules met each fate."""
        found = Counter(row.became for row in self.rows)
        return {item.value: found[item] for item in Became if found[item]}


def migration(result: Translation, diagnostics: Iterable[Diagnostic]) -> Migration:
    """Return what became of every rule that was read."""
    messages = _messages(diagnostics)
    if not result.history or result.ruleset is None:
        rows = tuple(Row(item.origin, Became.REFUSED, (), messages.get(_key(item.origin), "nothing was written"), (), item.code) for item in result.coverage.fates)  # fmt: skip
        return Migration(rows, None, None, (), (), (), translated=False)
    work = _Work(result, messages)
    original = result.history[0].ruleset
    before, after = hook_costs(original), hook_costs(result.ruleset)
    rows = tuple(map(work.row, result.coverage.fates))
    return Migration(
        rows, size_of(original), size_of(result.ruleset), before, after, _paths(before, after), bool(result.output)
    )


class _Lost(NamedTuple):
    """Behind which stage a rule's name is missing, and what stood for it then."""

    stage: Stage
    places: tuple[Placed, ...]


class _Work:
    """What is known of one translation before the rows are made."""

    def __init__(self, result: Translation, messages: Mapping[Key, str]) -> None:
        assert result.ruleset is not None  # noqa: S101 -- asked by the caller
        self._messages = messages
        self._places = _places(result.ruleset)
        self._lines: defaultdict[tuple[str, str, str], list[int]] = defaultdict(list)
        for row in result.line_map:
            for location in row.origins:
                self._lines[location, row.table, row.chain].append(row.line)
        self._final = result.ruleset
        self._original = _keys(result.history[0].ruleset)
        self._silent = _silent(result.history[0].ruleset)
        self._lost = self._follow(result.history)
        self._findings = _findings(result.history[0].ruleset)

    def row(self, item: RuleFate) -> Row:
        """Return what became of one rule."""
        origin, key = item.origin, _key(item.origin)
        if item.fate is Fate.REFUSED:
            return Row(origin, Became.REFUSED, (), self._messages.get(key, ""), (), item.code)
        places = self._shown(origin, self._places.get(key, ()))
        reason, because = self._findings.get(key, ("", ()))
        if places:
            if any(place.others for place in places):
                return Row(origin, Became.MERGED, places, "an output rule stands for it and for others")
            several = len(places) > 1 or len(places[0].lines) > 1
            return Row(origin, Became.SEVERAL if several else Became.EXACT, places)
        if item.fate is Fate.NEVER:
            return Row(origin, Became.NEVER, (), reason or "a test of it asks for nothing")
        if key in self._silent or key not in self._original:
            return Row(origin, Became.NO_EFFECT, (), "it decides nothing and changes nothing")
        lost = self._lost.get(key)
        if lost is None:
            return Row(origin, Became.FOLDED, (), reason or "left out when it was printed", because)
        how = f"{lost.stage.name}: {lost.stage.about}"
        if lost.stage.name in _LEAVES_OUT:
            return Row(origin, Became.FOLDED, (), reason or how, because)
        return Row(origin, Became.MERGED, self._shown(origin, lost.places), how)

    def _shown(self, origin: Origin, places: Iterable[Placed]) -> tuple[Placed, ...]:
        return tuple(
            place._replace(lines=tuple(self._lines.get((origin.location, place.table, place.chain), ())))
            for place in places
        )

    def _follow(self, history: tuple[Stage, ...]) -> dict[Key, _Lost]:
        found: dict[Key, _Lost] = {}
        before = _keys(history[0].ruleset)
        for earlier, stage in pairwise(history):
            after = _keys(stage.ruleset)
            lost = before - after
            places = _places(earlier.ruleset, lost) if lost else {}
            heirs: dict[tuple[str, str], Placed] = {}
            for key, stood in places.items():
                for place in stood:
                    if place[:2] not in heirs:
                        heirs[place[:2]] = self._heir(earlier.ruleset, stage.ruleset, *place[:2])
                found[key] = _Lost(stage, tuple(dict.fromkeys(heirs[place[:2]] for place in stood)))
            before = after
        return found

    def _heir(self, before: Ruleset, after: Ruleset, table: str, chain: str) -> Placed:
        """Return the chain with the look-ups that are new in it, as far as they still stand in the output."""
        earlier, later, final = (_chain(item, table, chain) for item in (before, after, self._final))
        known = set(earlier or ())
        new = [name for rule in later or () if rule not in known for name in (*map_names(rule), *set_names(rule))]
        tables = [part for part in self._final.tables if _name(part) == table]
        standing = {name for part in tables for name in (*(item.name for item in part.sets), *(item.name for item in part.maps))}  # fmt: skip
        made_of = [name for name in standing if name.startswith(f"{chain}-by-")]
        objects = tuple(name for name in dict.fromkeys((*new, *sorted(made_of))) if name in standing)
        return Placed(table, chain if final is not None else "", (), 0, objects)


def _keys(ruleset: Ruleset) -> set[Key]:
    # thousands of rules of one class share one tuple
    tuples = {id(rule.origins): rule.origins for _, _, rule in _rules(ruleset)}
    return {_key(origin) for origins in tuples.values() for origin in origins}


def _places(ruleset: Ruleset, wanted: Collection[Key] | None = None) -> dict[Key, tuple[Placed, ...]]:
    """Return the chains that hold each rule; `others` is how many others the fullest of its output rules there holds."""
    found: defaultdict[Key, dict[tuple[str, str], tuple[int, dict[str, None]]]] = defaultdict(dict)
    for table, chain, rule in _rules(ruleset):
        keys = {_key(origin) for origin in rule.origins}
        names = dict.fromkeys((*map_names(rule), *set_names(rule))) if len(keys) > 1 else {}
        for key in keys if wanted is None else keys.intersection(wanted):
            others, objects = found[key].get((table, chain), (0, {}))
            found[key][table, chain] = max(others, len(keys) - 1), objects | names
    return {
        key: tuple(Placed(*place, (), others, tuple(objects)) for place, (others, objects) in places.items())
        for key, places in found.items()
    }


def _silent(original: Ruleset) -> set[Key]:
    """Return the rules that only test, count, or hold a comment."""
    found: dict[Key, bool] = {}
    for _, _, rule in _rules(original):
        silent = rule.verdict is None and all(is_pure(step) or isinstance(step, Count) for step in rule.steps)
        for origin in rule.origins:
            found[_key(origin)] = silent and found.get(_key(origin), True)
    return {key for key, silent in found.items() if silent}


def _findings(original: Ruleset) -> dict[Key, tuple[str, tuple[str, ...]]]:
    """Return for rules that never match or never matter why, and the rules that make it so."""
    found: dict[Key, tuple[str, tuple[str, ...]]] = {}
    for item in lint(original).findings:
        blamed = dict.fromkeys(origin.location for place in item.because for origin in place.origins)
        for origin in item.place.origins:
            found.setdefault(_key(origin), (f"{item.kind.value}: {item.reason}", tuple(blamed)[:_MOST_BLAMED]))
    return found


def _paths(before: Iterable[HookCost], after: Iterable[HookCost]) -> tuple[PathCost, ...]:
    """Return what all chains on one way come to together; a table of family inet counts for both."""
    ways = {
        "to the host": (Hook.PREROUTING, Hook.INPUT),
        "through the host": (Hook.PREROUTING, Hook.FORWARD, Hook.POSTROUTING),
        "from the host": (Hook.OUTPUT, Hook.POSTROUTING),
    }
    found = []
    for family in (Family.IP, Family.IP6, Family.BRIDGE, Family.ARP):
        for way, hooks in ways.items():
            steps = [sum(cost.worst.steps for cost in costs if cost.hook in hooks and _judges(cost, family)) for costs in (before, after)]  # fmt: skip
            if any(steps):
                found.append(PathCost(f"{family.value} {way}", *steps))
    return tuple(found)


def _judges(cost: HookCost, family: Family) -> bool:
    found = cost.table.split(" ", 1)[0]
    return found == family.value or (found == "inet" and family in {Family.IP, Family.IP6})


def _messages(diagnostics: Iterable[Diagnostic]) -> dict[Key, str]:
    found: dict[Key, str] = {}
    for item in diagnostics:
        if item.span is not None and item.severity.value == "error":
            found.setdefault((item.span.source.name, item.span.line), item.message)
    return found


def _rules(ruleset: Ruleset) -> Iterator[tuple[str, str, Rule]]:
    for table in ruleset.tables:
        for chain in table.chains:
            for rule in chain.rules:
                yield _name(table), chain.name, rule


def _chain(ruleset: Ruleset, table: str, name: str) -> tuple[Rule, ...] | None:
    for item in ruleset.tables:
        if _name(item) == table:
            chain = item.chain(name)
            return None if chain is None else chain.rules
    return None


def _name(table: Table) -> str:
    return f"{table.family.value} {table.name}"


def _key(origin: Origin) -> Key:
    return origin.source.name, origin.line
