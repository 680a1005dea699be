"""Two rulesets made ready for comparing: one table of numbers, one set of variables, a summary for each side and path."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.fields import Family
from fwtrans.semantics import domain
from fwtrans.semantics.aspects import IS_NEW
from fwtrans.semantics.bdd import Bdd, OutOfNodes
from fwtrans.semantics.packetset import PacketSets
from fwtrans.semantics.path import visit_path
from fwtrans.semantics.possible import Facts
from fwtrans.semantics.program import Program, Undecidable
from fwtrans.semantics.side import Side
from fwtrans.semantics.summary import Algebra, Narrowing
from fwtrans.semantics.symbolic import NAT_TESTS, Evaluator
from fwtrans.semantics.variables import Demand, Variables
from fwtrans.semantics.visible import is_of_connection
from fwtrans.semantics.visits import visits_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.ir.ruleset import Ruleset
    from fwtrans.semantics.bdd import Node
    from fwtrans.semantics.compiler import Mark, Spot
    from fwtrans.semantics.packet import HookVisit
    from fwtrans.semantics.packetset import Known
    from fwtrans.semantics.path import Hop, Path
    from fwtrans.semantics.possible import Packets
    from fwtrans.semantics.summary import Summary

# Entries of the cache of operations for each test and rule.
_OPERATIONS = 64
# A field that has no more values than this on all paths is alike for many of them.
_FEW = 4
# A value of a field of many values that is known at one of so many hops of a visit is known before rules are put together.
_MANY = 4
# No kernel loads more than 16 jumps inside one another; hundreds of them are more than Python's stack holds.
_TOO_DEEP = Undecidable("jumps are nested too deep")


class Compared(NamedTuple):
    """What both sides do on a path, and which packets there can be on it."""

    path: Path
    old: Summary
    new: Summary
    packets: Packets

    @property
    def possible(self) -> Node:
        """Return the packets that there can be."""
        return self.packets.possible


class _KnownAt(NamedTuple):
    """What is known at a hop: what many hops have in common, and variables with values, the first so many of them shared."""

    common: Known
    bits: tuple[tuple[int, bool], ...]
    shared: int


class Tables:
    """Two rulesets and the paths to compare them on as numbers: all that there is before anything is worked out."""

    def __init__(self, old: Ruleset, new: Ruleset, paths: Iterable[Path] | None = None, *, apart: bool = False) -> None:
        self.program = Program()
        self.old = Side(self.program, old)
        self.new = Side(self.program, new, "new " if apart else "")
        visits = {**dict.fromkeys(visits_of(old)), **dict.fromkeys(visits_of(new))}
        wanted = map(visit_path, visits) if paths is None else paths
        self.failed: list[tuple[Path, Undecidable]] = []
        self._compiled: dict[Side, set[HookVisit]] = {self.old: set(), self.new: set()}
        self.paths = [path for path in wanted if self._compiles(path)]
        hops = dict.fromkeys(hop for path in self.paths for hop in (*path.old, *path.new))
        self.demand = self._demand(hops)
        self.facts = Facts(self.demand, dict.fromkeys(hop.visit for hop in hops))
        self.values: dict[tuple[HookVisit, Field], set[int | str]] = {}
        for hop in hops:
            for field, value in hop.known:
                self.values.setdefault((hop.visit, field), set()).add(value)
        self.common = _common(hops, self.values)

    def _compiles(self, path: Path) -> bool:
        try:
            for side, hops in ((self.old, path.old), (self.new, path.new)):
                for visit in {hop.visit for hop in hops} - self._compiled[side]:
                    side.compiled(visit)
                    self._compiled[side].add(visit)
        except Undecidable as error:
            self.failed.append((path, error))
            return False
        except RecursionError:
            self.failed.append((path, _TOO_DEEP))
            return False
        return True

    def _demand(self, hops: Iterable[Hop]) -> Demand:
        demand = Demand()
        demand.add_program(self.program)
        visits = dict.fromkeys(hop.visit for hop in hops)
        chains = (base for visit in visits for side in (self.old, self.new) for base in side.compiled(visit))
        if any(base.kind == "nat" for base in chains):
            for test in NAT_TESTS:
                demand.add_test(test)
        for family in {visit.family for visit in visits}:
            for field in list(demand.mentioned):
                needed = domain.presence(field, family)
                if not isinstance(needed, bool):
                    demand.add_test(needed)
        if any(map(is_of_connection, demand.written)):
            demand.add_test(IS_NEW)
        for field, value in dict.fromkeys(pair for hop in hops for pair in hop.known):
            demand.add_value(field, value)
        for fact in dict.fromkeys(fact for path in self.paths for fact in path.facts):
            demand.add_test(fact)
        return demand


class Evaluation:
    """The variables of two rulesets' tables, and what both sides do on the paths that have been evaluated."""

    def __init__(self, tables: Tables, nodes: int) -> None:
        self.program = tables.program
        self.old, self.new = tables.old, tables.new
        self.compared: list[Compared] = []
        self.failed = list(tables.failed)
        self._evaluators: dict[HookVisit, Evaluator] = {}
        self._readers: dict[tuple[HookVisit, Known], Evaluator] = {}
        self._summaries: dict[tuple[int, HookVisit, Known], Narrowing] = {}
        self._known: dict[Hop, _KnownAt] = {}
        self._facts = tables.facts
        self._values = tables.values
        self.common = tables.common
        self.bdd = Bdd(nodes, _OPERATIONS * self.program.size)
        self.variables = Variables(self.bdd, tables.demand)

    def evaluate(self, path: Path) -> None:
        """Work out what both sides do on a path of the tables."""
        try:
            old, new = self.summary(self.old, path.old), self.summary(self.new, path.new)
            whole = _arrives_whole(self.old, path.old) and _arrives_whole(self.new, path.new)
            packets = self._facts.packets(path, lambda visit: self.evaluator(visit).sets, whole=whole)
        except Undecidable as error:
            self.failed.append((path, error))
        except OutOfNodes:
            self.failed.append((path, Undecidable("out of memory", path.name)))
        except RecursionError:
            self.failed.append((path, _TOO_DEEP))
        else:
            self.compared.append(Compared(path, old, new, packets))

    def summary(self, side: Side, hops: Sequence[Hop], marks: Mapping[Spot, Mark] | None = None) -> Summary:
        """Return what a side does on a path; with marks, the use of those rules and policies is recorded."""
        algebra = Algebra(self.variables)
        found = algebra.identity
        for hop in hops:
            known = self._known_at(hop)
            found = algebra.then(found, self._visit(side, hop.visit, known.common, marks).at(known.bits, known.shared))
        return found

    def _known_at(self, hop: Hop) -> _KnownAt:
        """Return what is known at a hop."""
        found = self._known.get(hop)
        if found is None:
            # a field that rules write, or of which they ask for single bits, keeps its variables
            common = frozenset(
                pair for pair in self.common[hop.visit] & frozenset(hop.known) if self._is_fixed(pair[0])
            )
            left = [pair for pair in hop.known if pair not in common]
            few = [pair for pair in left if len(self._values[hop.visit, pair[0]]) <= _FEW]
            many = [pair for pair in left if pair not in few]
            shared, own = sorted(self.variables.bits_of(few)), sorted(self.variables.bits_of(many))
            found = self._known[hop] = _KnownAt(common, (*shared, *own), len(shared))
        return found

    def _is_fixed(self, field: Field) -> bool:
        return field in self.variables.spans and field not in self.variables.writable

    def _visit(self, side: Side, visit: HookVisit, known: Known, marks: Mapping[Spot, Mark] | None) -> Narrowing:
        if marks is not None:
            return Narrowing(self.bdd, self._reader(visit, known).visit(side.marked(visit, marks)))
        key = (id(side), visit, known)
        if key not in self._summaries:
            self._summaries[key] = Narrowing(self.bdd, self._reader(visit, known).visit(side.compiled(visit)))
        return self._summaries[key]

    def _reader(self, visit: HookVisit, known: Known) -> Evaluator:
        """Return the evaluator that reads rules for packets of which something is known: it decides tests at once."""
        key = (visit, known)
        if key not in self._readers:
            self._readers[key] = Evaluator(self.program, PacketSets(self.program, self.variables, visit, known))
        return self._readers[key]

    def evaluator(self, visit: HookVisit) -> Evaluator:
        """Return the evaluator of a visit."""
        if visit not in self._evaluators:
            self._evaluators[visit] = Evaluator(self.program, PacketSets(self.program, self.variables, visit))
        return self._evaluators[visit]


class Session(Evaluation):
    """One comparison: what both sides do at every hook where either has a base chain, or else on the given paths."""

    def __init__(
        self, old: Ruleset, new: Ruleset, nodes: int, paths: Iterable[Path] | None = None, *, apart: bool = False
    ) -> None:
        tables = Tables(old, new, paths, apart=apart)
        super().__init__(tables, nodes)
        for path in tables.paths:
            self.evaluate(path)


def _arrives_whole(side: Side, hops: Sequence[Hop]) -> bool:
    """Tell whether a side puts fragments together for all its hops; under br_netfilter ebtables' hop has that from the IP ones."""
    deciding = [hop for hop in hops if hop.visit.family is not Family.BRIDGE] or hops
    return all(side.arrives_whole(hop.visit) for hop in deciding)


def _common(
    hops: Iterable[Hop], values: Mapping[tuple[HookVisit, Field], set[int | str]]
) -> dict[HookVisit, frozenset[tuple[Field, int | str]]]:
    """Return for each visit what is known at many of its hops, of fields that have many values there.

    Where rules ask for two such fields, each guest's port and each guest's address, a function of both has a part for each
    pair of guests. On the paths there is one value of the one with any of the other, and no part for most pairs is made.
    """
    visits = Counter(hop.visit for hop in hops)
    pairs = Counter((hop.visit, *pair) for hop in hops for pair in hop.known)
    found: dict[HookVisit, set[tuple[Field, int | str]]] = {visit: set() for visit in visits}
    for (visit, field, value), count in pairs.items():
        if len(values[visit, field]) > _FEW and count * _MANY >= visits[visit]:
            found[visit].add((field, value))
    return {visit: frozenset(known) for visit, known in found.items()}
