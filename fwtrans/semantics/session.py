"""Two rulesets made ready for comparing: one table of numbers, one set of variables, one summary for each side and visit.

The hook visits are those where either side has a base chain. An `inet` table is seen by IPv4 and by IPv6 packets, beside
the `ip` or `ip6` tables, in the order of the priorities.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.ir.fields import Family
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest
from fwtrans.ir.ruleset import Hook
from fwtrans.semantics import domain
from fwtrans.semantics.aspects import IS_NEW
from fwtrans.semantics.bdd import Bdd, OutOfNodes
from fwtrans.semantics.classes import NumberClasses
from fwtrans.semantics.compiler import Compiler, Spot
from fwtrans.semantics.packet import HookVisit
from fwtrans.semantics.packetset import PacketSets
from fwtrans.semantics.program import Program, Undecidable
from fwtrans.semantics.symbolic import NAT_TESTS, BaseChain, Evaluator
from fwtrans.semantics.variables import Demand, Variables
from fwtrans.semantics.visible import is_of_connection

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fwtrans.ir.ruleset import Chain, Ruleset, Table
    from fwtrans.semantics.bdd import Node
    from fwtrans.semantics.summary import Summary

_PATHS = {Family.INET: (Family.IP, Family.IP6)}
_SEEN_BY = {
    Family.IP: {Family.IP, Family.INET},
    Family.IP6: {Family.IP6, Family.INET},
    Family.ARP: {Family.ARP},
    Family.BRIDGE: {Family.BRIDGE},
    Family.NETDEV: {Family.NETDEV},
}
# NF_IP_PRI_CONNTRACK: chains before it see no entry yet, whatever the packet's state will be.
_CONNTRACK_PRIORITY = -200
_EARLY = "a chain that runs before connection tracking is taken to see the state that tracking will find"
# Entries of the cache of operations for each test and rule.
_OPERATIONS = 64
_ETHER_FIELDS = (known.ETHER_TYPE, known.ETHER_PROTOCOL)
_ETHER_CONSTANTS = (domain.IP_PROTOCOL, domain.ARP_PROTOCOL, domain.IP6_PROTOCOL, 0x8100, 0x88A8)


def visits_of(ruleset: Ruleset) -> Iterable[HookVisit]:
    """Yield the visits at which a ruleset has a base chain, each once."""
    found = (
        HookVisit(family, chain.base.hook, chain.base.device)
        for table in ruleset.tables
        for chain in table.chains
        if chain.base is not None
        for family in _PATHS.get(table.family, (table.family,))
    )
    return dict.fromkeys(found)


def base_chains(ruleset: Ruleset, visit: HookVisit) -> list[tuple[Table, Chain]]:
    """Return the base chains that a packet of the visit passes, in order."""
    found = [
        (chain.base.priority, table, chain)
        for table in ruleset.tables
        if table.family in _SEEN_BY[visit.family]
        for chain in table.chains
        if chain.base is not None and chain.base.hook is visit.hook and chain.base.device in {"", visit.device}
    ]
    return [(table, chain) for _, table, chain in sorted(found, key=lambda item: item[0])]


class Side:
    """One ruleset's chains as numbers."""

    def __init__(self, program: Program, ruleset: Ruleset, alias: str = "") -> None:
        self.ruleset = ruleset
        self._program = program
        self.alias = alias
        self._compilers = {id(table): Compiler(program, table, alias=alias) for table in ruleset.tables}

    @property
    def tests(self) -> set[int]:
        """Return the numbers of the tests that this side asks."""
        return set().union(*(compiler.tests for compiler in self._compilers.values()))

    @property
    def objects(self) -> set[int]:
        """Return the numbers of the objects that this side uses."""
        return set().union(*(compiler.objects for compiler in self._compilers.values()))

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Return what the numbers rest on."""
        found = dict.fromkeys(self.ruleset.assumptions)
        for table in self.ruleset.tables:
            compiler = self._compilers[id(table)]
            found.update(compiler.assumptions)
            if any(map(_is_early, table.chains)) and any(map(self._reads_connection, compiler.tests)):
                found[_EARLY] = None
        return tuple(found)

    def _reads_connection(self, number: int) -> bool:
        test = self._program.tests.items[number]
        return isinstance(test, FieldTest) and test.field.name.startswith("ct.")

    def compiled(self, visit: HookVisit) -> list[BaseChain]:
        """Return the base chains of a visit."""
        return [
            self._base(table, chain, self._compilers[id(table)]) for table, chain in base_chains(self.ruleset, visit)
        ]

    def marked(self, visit: HookVisit, spot: Spot) -> list[BaseChain]:
        """Return the base chains of a visit, one place in them marked."""
        found: list[BaseChain] = []
        for table, chain in base_chains(self.ruleset, visit):
            name = table_name(table)
            compiler = self._compilers[id(table)]
            if spot.table == name and spot.number >= 0:
                compiler = compiler.marked(spot)
            base = self._base(table, chain, compiler)
            is_policy = spot == Spot(name, chain.name, -1)
            found.append(base._replace(marked=True) if is_policy else base)
        return found

    def _base(self, table: Table, chain: Chain, compiler: Compiler) -> BaseChain:
        assert chain.base is not None  # noqa: S101 -- only base chains come here
        name = f"{table_name(table)} {chain.name}"
        return BaseChain(compiler.chain(chain.name), name, chain.base.kind, chain.base.accepts)


def _is_early(chain: Chain) -> bool:
    base = chain.base
    return base is not None and base.hook in {Hook.PREROUTING, Hook.OUTPUT} and base.priority <= _CONNTRACK_PRIORITY


def table_name(table: Table) -> str:
    """Return a table's name with its family."""
    return f"{table.family.value} {table.name}"


class Visited(NamedTuple):
    """What both sides do at a visit, and which packets can be there."""

    visit: HookVisit
    old: Summary
    new: Summary
    possible: Node


class Session:
    """One comparison's tables, variables and summaries."""

    def __init__(self, old: Ruleset, new: Ruleset, nodes: int, *, apart: bool = False) -> None:
        self.program = Program()
        self.old = Side(self.program, old)
        self.new = Side(self.program, new, "new " if apart else "")
        self.visited: list[Visited] = []
        self.failed: list[tuple[HookVisit, Undecidable]] = []
        self._evaluators: dict[HookVisit, Evaluator] = {}
        ready = self._compile({**dict.fromkeys(visits_of(old)), **dict.fromkeys(visits_of(new))})
        self.bdd = Bdd(nodes, _OPERATIONS * self.program.size)
        demand = Demand()
        demand.add_program(self.program)
        if any(base.kind == "nat" for sides in ready.values() for bases in sides for base in bases):
            for test in NAT_TESTS:
                demand.add_test(test)
        if any(map(is_of_connection, demand.written)):
            demand.add_test(IS_NEW)
        self._facts = _facts(demand, ready)
        self.variables = Variables(self.bdd, demand)
        for visit, (before, after) in ready.items():
            self._evaluate(visit, before, after)

    def _compile(self, visits: Iterable[HookVisit]) -> dict[HookVisit, tuple[list[BaseChain], list[BaseChain]]]:
        ready: dict[HookVisit, tuple[list[BaseChain], list[BaseChain]]] = {}
        for visit in visits:
            try:
                ready[visit] = self.old.compiled(visit), self.new.compiled(visit)
            except Undecidable as error:
                self.failed.append((visit, error))
        return ready

    def _evaluate(self, visit: HookVisit, before: Sequence[BaseChain], after: Sequence[BaseChain]) -> None:
        try:
            sets = PacketSets(self.program, self.variables, visit)
            evaluator = Evaluator(self.program, sets)
            old, new = evaluator.visit(before), evaluator.visit(after)
            possible = self._possible(sets)
        except Undecidable as error:
            self.failed.append((visit, error))
        except OutOfNodes:
            self.failed.append((visit, Undecidable("out of memory", before[0].name if before else after[0].name)))
        else:
            self.visited.append(Visited(visit, old, new, possible))
            self._evaluators[visit] = evaluator

    def _possible(self, sets: PacketSets) -> Node:
        found = self.bdd.true
        for constraint in self._facts[sets.visit]:
            found = found & sets.pure(constraint.test)
        for field, values in domain.POSSIBLE.items():
            if self.variables.is_exact(field):
                found = found & self.variables.in_values(field, values)
        return found

    def evaluator(self, visit: HookVisit) -> Evaluator:
        """Return the evaluator of a visit."""
        return self._evaluators[visit]


def _facts(demand: Demand, visits: Iterable[HookVisit]) -> dict[HookVisit, list[domain.Constraint]]:
    """Return the facts that matter for the fields in use, and collect the constants that these facts name."""
    visits = list(visits)
    parts = _link_types(demand) if any(visit.family in {Family.BRIDGE, Family.NETDEV} for visit in visits) else ()
    chosen: dict[HookVisit, list[domain.Constraint]] = {visit: [] for visit in visits}
    open_facts = [(visit, fact) for visit in visits for fact in domain.constraints(visit, parts)]
    added = True
    while added:
        used = demand.fields
        matching = [item for item in open_facts if not used.isdisjoint(domain.tested_fields(item[1].test))]
        added = bool(matching)
        open_facts = [item for item in open_facts if item not in matching]
        for visit, fact in matching:
            chosen[visit].append(fact)
            demand.add_test(fact.test)
    return chosen


def _link_types(demand: Demand) -> tuple[IntervalSet, ...]:
    """Return the parts into which tests cut ether types; both fields that hold one are cut alike."""
    sets = {IntervalSet.single(16, value): None for value in _ETHER_CONSTANTS}
    for field in _ETHER_FIELDS:
        sets.update(demand.intervals.get(field, {}))
    for field in _ETHER_FIELDS:
        if field in demand.intervals:
            demand.intervals[field].update(sets)
    classes = NumberClasses(16, sets)
    return tuple(IntervalSet.of(16, classes.members(number)) for number in range(classes.count))
