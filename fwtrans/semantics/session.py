"""Two rulesets made ready for comparing: one table of numbers, one set of variables, a summary for each side and path."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.fields import ETHER_PROTOCOL, ETHER_TYPE, FIELDS, NFPROTO, Family, FieldKind
from fwtrans.ir.match import FieldTest
from fwtrans.semantics import domain
from fwtrans.semantics.aspects import IS_NEW
from fwtrans.semantics.bdd import Bdd, OutOfNodes
from fwtrans.semantics.domain import fixed_values
from fwtrans.semantics.packetset import PacketSets
from fwtrans.semantics.path import visit_path
from fwtrans.semantics.possible import Facts
from fwtrans.semantics.program import Program, Undecidable
from fwtrans.semantics.residue import OF_GUESTS, Members, Residues
from fwtrans.semantics.side import Side
from fwtrans.semantics.summary import Algebra, mapped, without_empty
from fwtrans.semantics.symbolic import NAT_TESTS, BaseChain, Evaluator
from fwtrans.semantics.variables import Demand, Variables
from fwtrans.semantics.visible import is_of_connection
from fwtrans.semantics.visits import fields_asked, visits_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import PureTest, ValueSet
    from fwtrans.ir.ruleset import Ruleset
    from fwtrans.semantics.bdd import Node
    from fwtrans.semantics.compiler import Mark, Spot
    from fwtrans.semantics.packet import HookVisit
    from fwtrans.semantics.packetset import Known
    from fwtrans.semantics.path import Hop, Path
    from fwtrans.semantics.possible import Packets
    from fwtrans.semantics.residue import Value
    from fwtrans.semantics.summary import Summary

# Entries of the cache of operations for each test and rule.
_OPERATIONS = 64
# Fields by which others are there or not.
_PRESENCE = frozenset(FIELDS[name] for field in FIELDS.values() for name, _ in field.requires) | {
    NFPROTO,
    ETHER_PROTOCOL,
}
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
    """What is known at a hop: put into rules, decided where tests are read, and values of variables that rules may change."""

    of_guest: Mapping[Field, Value]
    alike: Known
    bits: tuple[tuple[int, bool], ...]


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
        self._asked_of: dict[Family, frozenset[Field]] = {}
        self._evaluators: dict[tuple[Family, Known], Evaluator] = {}
        self._summaries: dict[Hashable, Summary] = {}
        self._known: dict[tuple[Hop, tuple[PureTest, ...]], _KnownAt] = {}
        self._facts = tables.facts
        self.bdd = Bdd(nodes, _OPERATIONS * self.program.size)
        self.variables = Variables(self.bdd, tables.demand)
        of_guests = (field for field in self.variables.spans if field.kind in OF_GUESTS and self._is_fixed(field))
        self._residues = Residues(self.program, frozenset(of_guests))

    def evaluate(self, path: Path) -> None:
        """Work out what both sides do on a path of the tables."""
        try:
            old, new = (self.summary(*side, facts=path.facts) for side in ((self.old, path.old), (self.new, path.new)))
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

    def summary(
        self,
        side: Side,
        hops: Sequence[Hop],
        marks: Mapping[Spot, Mark] | None = None,
        facts: tuple[PureTest, ...] = (),
    ) -> Summary:
        """Return what a side does with packets for which the facts hold; with marks, the use of those rules is recorded."""
        algebra = Algebra(self.variables)
        found = algebra.identity
        for hop in hops:
            chains = side.compiled(hop.visit) if marks is None else side.marked(hop.visit, marks)
            if chains:
                found = algebra.then(found, self._at(hop, chains, facts))
        return found

    def _at(self, hop: Hop, chains: Sequence[BaseChain], facts: tuple[PureTest, ...]) -> Summary:
        """Return what chains do at a hop: the rules that are left where everything is put in that is known there."""
        known = self._known_at(hop, facts)
        left = tuple(base._replace(chain=self._residues.chain(base.chain, known.of_guest)) for base in chains)
        key = (hop.visit.family, known.alike, known.bits, left)
        found = self._summaries.get(key)
        if found is None:
            found = self._evaluator(hop.visit.family, known.alike).visit(left)
            if known.bits:
                found = mapped(found, self.bdd.assignment(known.bits))
            found = self._summaries[key] = without_empty(found, self.bdd.false)
        return found

    def _known_at(self, hop: Hop, facts: tuple[PureTest, ...]) -> _KnownAt:
        """Return what is known at a hop of packets for which the facts hold."""
        found = self._known.get((hop, facts))
        if found is None:
            # a field that rules write, or of which they ask for single bits, keeps its variables
            fixed = {field: value for field, value in hop.known if self._is_fixed(field)}
            left = [pair for pair in hop.known if pair[0] not in fixed]
            bits = tuple(sorted(self.variables.bits_of(left)))
            known: dict[Field, int | str | ValueSet] = {**fixed_values(hop.visit), **fixed}
            for fact in facts:
                if isinstance(fact, FieldTest) and self._is_fixed(fact.field) and _leads(fact.field):
                    known.setdefault(fact.field, fact.values)
            of_guest = {
                field: value if isinstance(value, (int, str)) else Members(value)
                for field, value in known.items()
                if field in self._residues.fields and (hop.known or facts)
            }
            alike = frozenset(
                pair for pair in known.items() if pair[0] in self._asked(hop.visit.family) - of_guest.keys()
            )
            found = self._known[hop, facts] = _KnownAt(of_guest, alike, bits)
        return found

    def _is_fixed(self, field: Field) -> bool:
        return field in self.variables.spans and field not in self.variables.writable

    def _asked(self, family: Family) -> frozenset[Field]:
        """Return the fields that may matter to packets of a family, those by which others are there included."""
        if family not in self._asked_of:
            sides = (self.old.ruleset, self.new.ruleset)
            self._asked_of[family] = _PRESENCE.union(*(fields_asked(ruleset, family) for ruleset in sides))
        return self._asked_of[family]

    def evaluator(self, visit: HookVisit) -> Evaluator:
        """Return the evaluator of a visit, for any packet that there can be."""
        return self._evaluator(visit.family, frozenset(fixed_values(visit).items()))

    def _evaluator(self, family: Family, known: Known) -> Evaluator:
        key = (family, known)
        if key not in self._evaluators:
            self._evaluators[key] = Evaluator(self.program, PacketSets(self.program, self.variables, family, known))
        return self._evaluators[key]


class Session(Evaluation):
    """One comparison: what both sides do at every hook where either has a base chain, or else on the given paths."""

    def __init__(
        self, old: Ruleset, new: Ruleset, nodes: int, paths: Iterable[Path] | None = None, *, apart: bool = False
    ) -> None:
        tables = Tables(old, new, paths, apart=apart)
        super().__init__(tables, nodes)
        for path in tables.paths:
            self.evaluate(path)


def _leads(field: Field) -> bool:
    """Tell whether chains are chosen by a field: a fact about another one would only make packets a little fewer."""
    return field is ETHER_TYPE or field.kind is FieldKind.NAME


def _arrives_whole(side: Side, hops: Sequence[Hop]) -> bool:
    """Tell whether a side puts fragments together for all its hops; under br_netfilter ebtables' hop has that from the IP ones."""
    deciding = [hop for hop in hops if hop.visit.family is not Family.BRIDGE] or hops
    return all(side.arrives_whole(hop.visit) for hop in deciding)
