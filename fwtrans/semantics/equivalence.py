"""Two rulesets -> equal, or different with a packet for each cause, or not decided.

    comparison = compare(old, new)
    comparison.equal                     proved for every possible packet and every answer to what cannot be known
    comparison.differences[0].packet     a packet that shows a difference, confirmed by the concrete evaluator

An opaque match has one unknown answer wherever its identity is the same. If both sides have opaque matches that the other
has not, these may mean the same thing: what differs for some of their answers only is not decided, and named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.match import FieldTest, OpaqueTest
from fwtrans.semantics.aspects import Aspect, Comparer, describe, without_answers
from fwtrans.semantics.bdd import OutOfNodes
from fwtrans.semantics.compiler import USED, Spot
from fwtrans.semantics.keys import CubeTest
from fwtrans.semantics.objects import Pairing, objects_of, pairings, renaming
from fwtrans.semantics.outcome import Comparison, Difference, DifferenceKind, Limits, Undecided
from fwtrans.semantics.packet import Unknown, UnknownKind
from fwtrans.semantics.path import visit_path
from fwtrans.semantics.program import CAUSE, AnyTest, TupleTest
from fwtrans.semantics.session import Evaluation, Session
from fwtrans.semantics.sides import confirms, judge
from fwtrans.semantics.visits import visits_of
from fwtrans.semantics.witness import Witnesses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from fwtrans.ir.ruleset import Ruleset
    from fwtrans.semantics.bdd import Node
    from fwtrans.semantics.outcome import SideResult
    from fwtrans.semantics.path import Path
    from fwtrans.semantics.possible import Packets
    from fwtrans.semantics.session import Compared, Tables
    from fwtrans.semantics.side import Side
    from fwtrans.semantics.summary import Summary

_DEFAULT = Limits()


def compare(
    old: Ruleset, new: Ruleset, *, limits: Limits = _DEFAULT, paths: Sequence[Path] | None = None
) -> Comparison:
    """Return whether two rulesets do the same: at every hook where either has a base chain, or else on the given paths."""
    try:
        comparing = _Comparing(Session(old, new, limits.nodes, paths), limits)
        found = comparing.run()
    except OutOfNodes:
        visits = dict.fromkeys((*visits_of(old), *visits_of(new)))
        lost = map(visit_path, visits) if paths is None else paths
        return Comparison((), tuple(Undecided(path, "out of memory", ()) for path in lost), ())
    if comparing.rests_on_names:
        # one name need not be one bucket: look for another bijection before saying that they differ
        again = _Comparing(Session(old, new, limits.nodes, paths, apart=True), limits).run()
        if again.equal:
            return again
    return found


class Share(NamedTuple):
    """A share of the paths, proved equal: what that rests on, and which object of the one side is which of the other."""

    assumptions: tuple[str, ...]
    told: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]


def equal_share(tables: Tables, paths: Iterable[Path], limits: Limits) -> Share | None:
    """Return the proof of some of the paths, None where they are not all equal or that is not decided.

    All shares of a proof have to come from the same tables: then numbers and variables are the same in all of them.
    """
    try:
        evaluation = Evaluation(tables, limits.nodes)
        for path in paths:
            evaluation.evaluate(path)
        return _Comparing(evaluation, limits).share()
    except OutOfNodes:
        return None


def together(shares: Sequence[Share | None], limits: Limits) -> Comparison | None:
    """Return the proof of all paths that the shares are, None where a share is not proved or they contradict each other."""
    found = [share for share in shares if share is not None]
    pairs = {pair for share in found for pair in share.pairs}
    if len(found) < len(shares) or not len({new for new, _ in pairs}) == len(pairs) == len({old for _, old in pairs}):
        return None
    told = (text for share in found for text in share.told)
    assumptions = dict.fromkeys((*found[0].assumptions, *told, *_ignoring(limits)))
    return Comparison((), (), tuple(assumptions))


def widened(old: Ruleset, new: Ruleset, *, limits: Limits = _DEFAULT) -> Comparison:
    """Return where the new ruleset lets packets pass that the old one never would, whatever the unknowns are.

    This is what a partial translation is held to: it may lose what it could not translate, but never open anything.
    """
    try:
        return _Comparing(Session(old, new, limits.nodes), limits, only_wider=True).run()
    except OutOfNodes:
        visits = dict.fromkeys((*visits_of(old), *visits_of(new)))
        return Comparison((), tuple(Undecided(visit_path(visit), "out of memory", ()) for visit in visits), ())


class _Found(NamedTuple):
    compared: Compared
    aspects: tuple[Aspect, ...]


class _Comparing:
    """The comparison of the summaries of one session."""

    def __init__(self, session: Evaluation, limits: Limits, *, only_wider: bool = False) -> None:
        self._session = session
        self._only_wider = only_wider
        self._limits = limits
        self._undecided = [
            Undecided(path, error.reason, (error.chain,) if error.chain else ()) for path, error in session.failed
        ]
        self._differences: list[Difference] = []
        self._assumptions: dict[str, None] = {}
        self._omitted = 0
        self._own_questions = _own_questions(session)
        self.rests_on_names = False

    def run(self) -> Comparison:
        pairing, found = self._best_pairing()
        for compared, aspects in found:
            try:
                self._path(compared, aspects, pairing)
            except OutOfNodes:
                self._undecided.append(Undecided(compared.path, "out of memory while looking for a witness", ()))
            except RecursionError as error:
                self._undecided.append(Undecided(compared.path, str(error), ()))
        return Comparison(
            tuple(self._differences),
            tuple(dict.fromkeys(self._undecided)),
            tuple(dict.fromkeys((*self._rests_on(), *self._assumptions, *_ignoring(self._limits)))),
            self._omitted,
        )

    def share(self) -> Share | None:
        """Return the proof, without a look for packets that show a difference."""
        pairing, found = self._best_pairing()
        if found or self._undecided:
            return None
        items = self._session.program.objects.items
        # of objects that these paths never come to nothing was found out, and another share may pair them differently
        old, new = (
            set().union(*(objects_of(getattr(item, side)) for item in self._session.compared))
            for side in ("old", "new")
        )
        pairs = [(later, earlier) for later, earlier in pairing.items() if later in new or earlier in old]
        names = tuple((items[later].identity, items[earlier].identity) for later, earlier in pairs)
        return Share(self._rests_on(), tuple(self._assumptions), names)

    def _rests_on(self) -> tuple[str, ...]:
        return (*self._session.old.assumptions, *self._session.new.assumptions)

    # --- which object is which ---

    def _best_pairing(self) -> tuple[Pairing, list[_Found]]:
        """Return the first pairing of objects under which all is equal, or else the likeliest."""
        likeliest: tuple[Pairing, list[_Found]] | None = None
        for pairing in pairings(self._session):
            renamed = renaming(self._session, pairing)
            found = [self._aspects(compared, renamed) for compared in self._session.compared]
            found = [item for item in found if item.aspects]
            if likeliest is None:
                likeliest = pairing, found
            if not found:
                return pairing, found
            if not any(map(self._stateful, found)):
                break
        assert likeliest is not None  # noqa: S101 -- there is always at least one pairing
        shared = self._session.old.objects & self._session.new.objects
        self.rests_on_names = len(shared) > 1 and any(map(self._stateful, likeliest[1]))
        return likeliest

    def _aspects(self, compared: Compared, renamed: Callable[[Summary], Summary]) -> _Found:
        path, old, new, packets = compared
        try:
            new = renamed(new)
            if not path.answers:
                old, new = without_answers(old), without_answers(new)
            sets = self._session.evaluator(path.visit).sets
            if self._only_wider:
                aspects = tuple(self._wider(compared._replace(new=new)))
            else:
                ignored = {**self._limits.ignored, **dict(path.ignored)}
                conceivable = Comparer(sets, packets.conceivable, ignored).aspects(old, new)
                aspects = tuple(self._granted(packets, conceivable))
        except OutOfNodes:
            self._undecided.append(Undecided(path, "out of memory while comparing", ()))
            aspects = ()
        return _Found(compared._replace(old=old, new=new), aspects)

    def _granted(self, packets: Packets, aspects: Iterable[Aspect]) -> Iterator[Aspect]:
        """Yield what differs for possible packets; what is assumed is told where that made a difference smaller."""
        for aspect in aspects:
            left = aspect.packets & packets.possible
            if left != aspect.packets:
                self._assumptions.update(dict.fromkeys(packets.assumptions))
            if left != self._session.bdd.false:
                yield aspect._replace(packets=left)

    def _wider(self, compared: Compared) -> Iterator[Aspect]:
        unknowns = self._session.bdd.cube(self._session.variables.unknowns.values())
        never = ~compared.old.through.exists(unknowns)
        packets = compared.new.through & never & compared.possible
        if packets != self._session.bdd.false:
            yield Aspect(DifferenceKind.VERDICT, "verdict", packets)

    def _stateful(self, found: _Found) -> bool:
        """Tell whether a difference rests on what a stateful object answers, or is about one."""
        unknowns = self._session.variables.unknowns
        answers = self._session.bdd.cube(
            number for unknown, number in unknowns.items() if unknown.kind is not UnknownKind.OPAQUE
        )
        return any(
            aspect.kind is DifferenceKind.STATEFUL or aspect.packets.exists(answers) != aspect.packets
            for aspect in found.aspects
        )

    # --- witnesses ---

    def _path(self, compared: Compared, aspects: tuple[Aspect, ...], pairing: Pairing) -> None:
        room = min(self._limits.differences, self._limits.total - len(self._differences))
        for aspect in aspects:
            certain = self._certain(compared, aspect)
            if not room and certain != self._session.bdd.false:
                self._omitted += 1
                return
            for difference in self._witnesses(compared, aspect, certain, pairing):
                if not room:
                    self._omitted += 1
                    return
                self._differences.append(difference)
                room -= 1

    def _certain(self, compared: Compared, aspect: Aspect) -> Node:
        """Return the packets that differ whatever opaque matches of one side have to do with those of the other."""
        old, new = self._own_questions
        if not old or not new or self._only_wider:
            return aspect.packets
        numbers = {number for numbers in (*old.values(), *new.values()) for number in numbers}
        certain = self._session.bdd.forall(aspect.packets, numbers)
        rest = aspect.packets & ~certain
        if rest != self._session.bdd.false:
            names = tuple(
                name for name, of in (*old.items(), *new.items()) if rest.exists(self._session.bdd.cube(of)) != rest
            )
            self._undecided.append(Undecided(compared.path, "matches without a model may mean the same", names))
        return certain

    def _witnesses(self, compared: Compared, aspect: Aspect, packets: Node, pairing: Pairing) -> Iterator[Difference]:
        path = compared.path
        witnesses = Witnesses(self._session.evaluator(path.visit).sets, (*path.old, *path.new)[0])
        while packets != self._session.bdd.false:
            packet, assignment = witnesses.pick(packets & compared.packets.complete)
            old = judge(self._session, self._session.old, path.old, packet, assignment, {})
            new = judge(self._session, self._session.new, path.new, packet, assignment, pairing)
            names = [item.identity for item in self._session.program.objects.items]
            yield Difference(
                path, aspect.kind, describe(aspect.subject, names), packet, old, new,
                confirms(
                    aspect.kind, aspect.subject, packet, old.outcome, new.outcome, path.visit.family,
                    self._old_names(pairing),
                ),
            )  # fmt: skip
            if aspect.kind is not DifferenceKind.VERDICT:
                return
            packets = packets & ~self._same_cause(compared, old, new, pairing)
            if packets.eval(list(enumerate(assignment))):
                return  # the cause could not be told apart from others

    def _old_names(self, pairing: Pairing) -> Mapping[str, str]:
        """Return what the old side calls the new side's objects; those that it has not are called as nothing there is."""
        items, new = self._session.program.objects.items, self._session.new
        names = {thing: items[pairing.get(thing, thing)].identity for thing in new.objects}
        return {items[thing].identity.removeprefix(new.alias): name for thing, name in names.items()}

    def _same_cause(self, compared: Compared, old: SideResult, new: SideResult, pairing: Pairing) -> Node:
        """Return the packets that the same rules decide on both sides."""
        path = compared.path
        before = self._decided(self._session.old, path, old, {})
        return before & self._decided(self._session.new, path, new, pairing)

    def _decided(self, side: Side, path: Path, result: SideResult, pairing: Pairing) -> Node:
        hops = path.old if side is self._session.old else path.new
        found = self._session.bdd.true
        for place in result.decided_by:
            spot = Spot(place.table, place.chain, place.number)
            marked = self._session.summary(side, hops, {spot: USED}, path.facts)
            events = renaming(self._session, pairing)(marked).events.get(CAUSE)
            if events is not None:
                found = found & events.reached[0]
        return found


def _ignoring(limits: Limits) -> Iterator[str]:
    return (f"nobody else reads bits {mask:#x} of {field.name}" for field, mask in limits.ignored.items())


def _own_questions(session: Evaluation) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Return what only one side asks and the other may ask in other words, with the variables that stand for it."""
    old, new = _unmodelled(session, session.old), _unmodelled(session, session.new)
    return (
        {name: numbers for name, numbers in old.items() if name not in new},
        {name: numbers for name, numbers in new.items() if name not in old},
    )


def _unmodelled(session: Evaluation, side: Side) -> dict[str, list[int]]:
    """Return a side's opaque matches, and its looks at raw bytes, which may be any field."""
    found: dict[str, list[int]] = {}
    waiting, seen = list(side.tests), set(side.tests)
    while waiting:
        test = session.program.tests.items[waiting.pop()]
        if isinstance(test, OpaqueTest):
            number = session.variables.unknowns[Unknown(UnknownKind.OPAQUE, test.identity)]
            found[test.identity] = [number]
        elif isinstance(test, (FieldTest, CubeTest)) and test.field.spelling[0] == "raw":
            slots = session.variables.slots.items()
            found[test.field.name] = [number for slot, number in slots if slot.field is test.field]
        elif isinstance(test, (AnyTest, TupleTest)):
            inner = {
                number for part in (test.branches if isinstance(test, AnyTest) else test.elements) for number in part
            }
            waiting.extend(inner - seen)
            seen |= inner
    return found
