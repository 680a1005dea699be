"""A whole nft ruleset, as listed or as commands, to IR.

Input is the list under "nftables" of libnftables-json(5). Listed objects count as added; commands (`add`, `insert`,
`delete`, `flush`, `create`, `destroy`) are carried out in order. Each rule may carry "line", which the text reader puts
there; without it the rule's number in the list is its place.

What is nftables' but not modelled becomes an opaque unknown in its rule: proofs that rest on it say "cannot decide".
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Diagnostic, DiagnosticSink, Refused
from fwtrans.ir.effect import Count, Log
from fwtrans.ir.fields import NFPROTO, Family
from fwtrans.ir.match import number as one_value
from fwtrans.ir.rule import Rule, is_pure
from fwtrans.ir.ruleset import Chain, Ruleset, Table
from fwtrans.ir.walk import map_names
from fwtrans.lower.nft.commands import (
    RawChain,
    RawTable,
    Tables,
    asked_by_maps,
    carry_out,
    changed_by_rules,
    declared_dynamic,
)
from fwtrans.lower.nft.drawn import drawn_ways
from fwtrans.lower.nft.hooks import base_hook, on_devices
from fwtrans.lower.nft.implied import asked_by_nft, asked_family, implied_type
from fwtrans.lower.nft.json_types import Json, JsonObject, NotModelled, as_list, as_object, as_text
from fwtrans.lower.nft.kept import (
    is_filled,
    kept_objects,
    leads_away,
    objects_named,
)
from fwtrans.lower.nft.one_by_one import tests_and_verdicts, without_idle_elements
from fwtrans.lower.nft.references import dangling
from fwtrans.lower.nft.scope import Scope
from fwtrans.lower.nft.sets import lower_map, lower_set
from fwtrans.lower.nft.several_limits import of_several_limits
from fwtrans.lower.nft.statements import lower_statement, with_objects
from fwtrans.lower.nft.tproxy import Proxy, find_proxies, with_proxies
from fwtrans.lower.nft.unknowns import endings, identity, named_sets
from fwtrans.source import Origin, SourceFile, Span

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step
    from fwtrans.ir.sets import NamedMap, NamedSet
    from fwtrans.ir.stateful import StatefulTest
    from fwtrans.ir.verdict import Verdict


_SIZE_OF_CHANGED = 65535


def lower_nft(source: SourceFile, items: list[Json], sink: DiagnosticSink) -> Ruleset | None:
    """Return the ruleset, None where it cannot be read (the sink says why)."""
    tables: Tables = {}
    for number, item in enumerate(items, 1):
        try:
            carry_out(tables, as_object(item, "item"), number)
        except Refused as refused:
            _report(_source(item, source), _line(item, number), refused, sink)
    lowered, asleep = [], []
    for (family, name), raw in tables.items():
        if raw.owned is not None:
            message = f"table {family} {name} belongs to the program that made it; written with that flag it would go when nft ends, so it is left out"
            sink.add(Diagnostic(code="FWT156", message=message, span=_place(raw.owned, source)))
        if raw.switched_off is not None:
            asleep.extend(_switched_off(family, name, raw, source, sink))
            continue
        try:
            table = _TableReading(source, Family(family), name, raw, sink).run()
            if not sink.has_errors("1"):
                sink.found.extend(dangling(table))
            lowered.append(table)
        except ValueError:
            _report(source, 1, Refused("FWT112", f"`{family}` is not a family"), sink)
        except Refused as refused:
            _report(source, 1, refused, sink)
    return None if sink.has_errors("1") else Ruleset(tuple(lowered), asleep=tuple(asleep))


def _switched_off(family: str, name: str, raw: RawTable, source: SourceFile, sink: DiagnosticSink) -> list[Table]:
    """Return a dormant table, none where it cannot be read: what is wrong in it is no matter for what judges packets."""
    content = raw.switched_off or {}
    own = DiagnosticSink()
    read: list[Table] = []
    with suppress(ValueError, Refused):
        read.append(_TableReading(source, Family(family), name, raw, own).run())
        own.found.extend(dangling(read[0]))
    if own.errors:
        read.clear()
    fate = "stays asleep" if read else "is left out, for it cannot be read"
    message = f"table {family} {name} is dormant: no packet meets its rules, and it {fate}"
    sink.add(Diagnostic(code="FWT155", message=message, span=_place(content, source)))
    return read


def _place(content: JsonObject, source: SourceFile) -> Span | None:
    found, line = _source({"": content}, source), content.get("line")
    return Span(found, line, 0, max(len(found.line(line)), 1)) if isinstance(line, int) else None


def _line(item: Json, number: int) -> int:
    for content in _contents(item):
        found = content.get("line")
        if isinstance(found, int):
            return found
    return number


def _source(item: Json, source: SourceFile) -> SourceFile:
    """Return the file that the object is from: the text reader says it where that is an included one."""
    for content in _contents(item):
        found: object = content.get("source")
        if isinstance(found, SourceFile):
            return found
    return source


def _contents(item: Json) -> list[JsonObject]:
    if not isinstance(item, dict):
        return []
    inner = [value for value in item.values() if isinstance(value, dict)]
    deeper = [value for content in inner for value in content.values() if isinstance(value, dict)]
    return [*inner, *deeper]


def _report(source: SourceFile, line: int, refused: Refused, sink: DiagnosticSink) -> None:
    width = max(len(source.line(line)), 1)
    sink.add(Diagnostic(code=refused.code, message=refused.message, span=Span(source, line, 0, width)))


# --- one table ---


@dataclass(slots=True)
class _TableReading:
    source: SourceFile
    family: Family
    name: str
    raw: RawTable
    sink: DiagnosticSink
    proxies: dict[str, Proxy] = field(default_factory=dict)

    @property
    def _always(self) -> list[Step]:
        """Return the tests that all packets of the table pass: `ip protocol` asks for IPv4 in an ip table too."""
        protocol = {Family.IP: 2, Family.IP6: 10}.get(self.family)
        return [] if protocol is None else [one_value(NFPROTO, protocol)]

    def run(self) -> Table:
        changed = changed_by_rules(self.raw)
        for name in changed:
            # nft gives a size to what rules change and what has none
            for content in (self.raw.sets.get(name), self.raw.maps.get(name)):
                if content is not None:
                    content.setdefault("size", _SIZE_OF_CHANGED)
        scope = Scope(
            self.family,
            f"{self.family.value}/{self.name}",
            changed | declared_dynamic(self.raw),
            self.raw.objects,
            self.raw.sets,
            foreign=asked_by_maps(self.raw),
        )
        written = (content for chain in self.raw.chains.values() for content, _ in chain.rules)
        scope.unmodelled |= of_several_limits(written, self.raw.sets)
        sets, maps = self._sets(scope), self._maps(scope)
        self.proxies = find_proxies(
            {name: [rule for rule, _ in raw.rules] for name, raw in self.raw.chains.items()}, scope
        )
        chains = tuple(
            made
            for name, chain in self.raw.chains.items()
            for made in on_devices(self._chain(name, chain, scope), chain.content)
        )
        # a map that only statements without a model ask is no matter for passes, and stays in its words
        asked = {name for chain in chains for rule in chain.rules for name in map_names(rule)}
        maps = [item for item in maps if item.name in asked or item.name not in scope.named]
        scope.unmodelled |= (scope.named & set(self.raw.maps)) - {item.name for item in maps}
        return Table(
            self.family,
            self.name,
            with_proxies(chains, self.proxies, (*maps, *scope.anonymous_maps)),
            (*sets, *scope.anonymous_sets),
            (*maps, *scope.anonymous_maps),
            kept_objects(scope, self.raw.maps),
        )

    def _sets(self, scope: Scope) -> list[NamedSet]:
        found: list[NamedSet] = []
        for name, content in self.raw.sets.items():
            if name in scope.unmodelled:
                continue
            try:
                found.append(lower_set(content, self.family, dynamic=scope.is_dynamic(name)))
            except NotModelled:
                scope.unmodelled.add(name)  # rules that ask it ask an unknown
            except Refused as refused:
                self._refused(content, refused)
        return found

    def _maps(self, scope: Scope) -> list[NamedMap]:
        found: list[NamedMap] = []
        for name, content in self.raw.maps.items():
            scope.map_values[name] = ""
            if is_filled(content, by_rules=scope.is_dynamic(name)) and not leads_away(content):
                scope.unmodelled.add(name)  # what it holds now decides nothing
                continue
            try:
                made = with_objects(lower_map(content, self.family), scope)
            except NotModelled:
                scope.unmodelled.add(name)
            except Refused as refused:
                self._refused(content, refused)
            else:
                found.append(made)
                scope.map_values[name] = made.value
        return found

    def _refused(self, content: JsonObject, refused: Refused) -> None:
        line = content.get("line")
        _report(_source({"": content}, self.source), line if isinstance(line, int) else 1, refused, self.sink)

    def _chain(self, name: str, raw: RawChain, scope: Scope) -> Chain:
        rules: list[Rule] = []
        for index, (content, number) in enumerate(raw.rules):
            scope.place = f"{name}/{index}"
            line = content.get("line")
            place = line if isinstance(line, int) else number
            try:
                rules.extend(self._rules(content, place, scope))
            except Refused as refused:
                _report(_source({"": content}, self.source), place, refused, self.sink)
        try:
            base = base_hook(raw.content, self.family)
        except Refused as refused:
            base = None
            self._refused(raw.content, refused)
        return Chain(name, tuple(rules), base)

    def _rules(self, content: JsonObject, line: int, scope: Scope) -> list[Rule]:
        """Return the rule: one, or one for each verdict that it may come to where that is unknown."""
        origins = (Origin(_source({"": content}, self.source), line),)
        comment = as_text(content.get("comment", ""), "comment")
        steps: list[Step] = []
        verdict: Verdict | None = None
        statements = as_list(content.get("expr"))
        for index, statement in enumerate(statements):
            kind, inner = _kind_and_content(statement)
            if kind == "vmap" and "numgen" not in str(inner):
                inner = without_idle_elements(inner, statements[index + 1 :])
            steps.extend(_without_repeats(asked_family(statement, steps, self.family), [*self._always, *steps]))
            steps.extend(implied_type(statement, steps))
            try:
                self._only_modelled_sets(statement, scope)
                more, verdict = lower_statement(kind, inner, scope)
            except NotModelled:
                implied = asked_by_nft(statement, self.family)
                if kind == "vmap" and all(map(is_pure, steps)):
                    apart = tests_and_verdicts(inner, statements[index + 1 :])
                    if apart is not None:
                        return self._one_by_one(content, statements[:index], apart, line, scope)
                if kind == "vmap" and all(is_pure(step) or isinstance(step, (Log, Count)) for step in steps):
                    drawn = drawn_ways(inner, statements[index + 1 :], scope)
                    if drawn:
                        return self._drawn(steps, drawn, Rule((), None, origins, None, comment))
                ways = endings(kind, inner, self._identity(statement, scope), self.raw.maps)
                steps.extend(_without_repeats(implied, [*self._always, *steps]))
                if len(ways) > 1:
                    before = [tuple(steps), *[tuple(step for step in steps if is_pure(step))] * (len(ways) - 1)]
                    return [
                        Rule((*earlier, *added), way, origins, None, comment)
                        for earlier, (added, way) in zip(before, ways, strict=True)
                    ]
                ((more, verdict),) = ways
            new = _without_repeats(more, [*self._always, *steps])
            # whom an answer is for is asked first of all: what stands in front is not done for other packets
            steps = [*new, *steps] if kind == "reject" else [*steps, *new]
            if verdict is not None:
                break
        return [Rule(tuple(steps), verdict, origins, None, comment)]

    def _one_by_one(
        self, content: JsonObject, before: list[Json], apart: list[tuple[Json, Json]], line: int, scope: Scope
    ) -> list[Rule]:
        """Return the rules of a map that is asked element by element; all that stands before it is asked again."""
        rules: list[Rule] = []
        for test, verdict in apart:
            statements = [*before, *([] if test is None else [test]), verdict]
            rules.extend(self._rules({**content, "expr": statements}, line, scope))
        return rules

    def _drawn(self, steps: list[Step], drawn: list[tuple[StatefulTest, Verdict | None]], like: Rule) -> list[Rule]:
        """Return a rule for each way of a drawn number; what is logged or counted in front is so once, by the first."""
        asked = [step for step in steps if is_pure(step)]
        return [
            replace(like, steps=(*(asked if number else steps), test), verdict=way)
            for number, (test, way) in enumerate(drawn)
        ]

    def _identity(self, statement: Json, scope: Scope) -> str:
        """Return what an unknown is told by; what it names has to be there, for it is printed again."""
        known = {**self.raw.sets, **self.raw.maps}
        scope.named |= set(named_sets(statement))
        objects = {f"{kind} {name}": self.raw.objects.get((kind, name)) for kind, name in objects_named(statement)}
        lost = [name for name, found in objects.items() if found is None]
        lost += [
            f"set or map {name}"
            for name in named_sets(statement)
            if name not in known and f"flowtable {name}" not in objects
        ]
        if lost:
            raise Refused("FWT112", f"there is no {lost[0]} in table {self.family.value} {self.name}")
        return identity(statement, {**known, **{name: found for name, found in objects.items() if found}}, self.family)

    def _only_modelled_sets(self, statement: Json, scope: Scope) -> None:
        if scope.unmodelled:
            for name in named_sets(statement):
                if name in scope.unmodelled:
                    raise NotModelled(f"the set or map {name}")


def _kind_and_content(statement: Json) -> tuple[str, Json]:
    if isinstance(statement, str):
        return statement, None
    found = as_object(statement, "statement")
    return next(iter(found.items()))


def _without_repeats(more: tuple[Step, ...], before: list[Step]) -> list[Step]:
    """Leave out implied tests that the rule has made already (nft makes each dependency once)."""
    return [step for step in more if step not in before or not is_pure(step)]
