"""One ruleset's base chains as numbers, visit by visit, in the order in which a packet passes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.match import FieldTest
from fwtrans.ir.ruleset import Hook
from fwtrans.semantics.compiler import Compiler, Spot
from fwtrans.semantics.program import Call
from fwtrans.semantics.symbolic import BaseChain
from fwtrans.semantics.visits import CONNTRACK_PRIORITY, arrives_whole, base_chains

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwtrans.ir.ruleset import Chain, Ruleset, Table
    from fwtrans.semantics.compiler import Mark
    from fwtrans.semantics.packet import HookVisit
    from fwtrans.semantics.program import Program

_EARLY = "a chain that runs before connection tracking is taken to see the state that tracking will find"


class Side:
    """One ruleset's chains as numbers."""

    def __init__(self, program: Program, ruleset: Ruleset, alias: str = "") -> None:
        self.ruleset = ruleset
        self._program = program
        self.alias = alias
        self._whole: dict[HookVisit, bool] = {}
        self._compiled: dict[HookVisit, list[BaseChain]] = {}
        self._compilers = {id(table): Compiler(program, table, alias=alias) for table in ruleset.tables}

    @property
    def tests(self) -> set[int]:
        """Return the numbers of the tests that this side asks."""
        return set().union(*(compiler.tests for compiler in self._compilers.values()))

    @property
    def objects(self) -> set[int]:
        """Return the numbers of the objects that this side uses."""
        return set().union(*(compiler.objects for compiler in self._compilers.values()))

    def arrives_whole(self, visit: HookVisit) -> bool:
        """Tell whether connection tracking puts fragments together before this side's rules see them."""
        if visit not in self._whole:
            self._whole[visit] = arrives_whole(self.ruleset, visit)
        return self._whole[visit]

    def chain_number(self, table: Table, name: str) -> int | None:
        """Return the number of a chain of a table, if a base chain leads there."""
        return self._compilers[id(table)].number_of(name)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Return what the numbers rest on."""
        found = dict.fromkeys(self.ruleset.assumptions)
        for table in self.ruleset.tables:
            compiler = self._compilers[id(table)]
            found.update(compiler.assumptions)
            early = (compiler.number_of(chain.name) for chain in table.chains if _is_early(chain))
            if any(number is not None and self._reads_state(number) for number in early):
                found[_EARLY] = None
        return tuple(found)

    def _reads_state(self, number: int) -> bool:
        """Tell whether a rule that can be reached from a chain tests conntrack."""
        seen, waiting = {number}, [number]
        while waiting:
            for rule in map(self._program.rules.items.__getitem__, self._program.chains.items[waiting.pop()]):
                tests = (self._program.tests.items[step] for step in rule.steps if isinstance(step, int))
                if any(isinstance(test, FieldTest) and test.field.name.startswith("ct.") for test in tests):
                    return True
                if isinstance(rule.verdict, Call) and rule.verdict.chain not in seen:
                    seen.add(rule.verdict.chain)
                    waiting.append(rule.verdict.chain)
        return False

    def compiled(self, visit: HookVisit) -> list[BaseChain]:
        """Return the base chains of a visit."""
        if visit not in self._compiled:
            chains = base_chains(self.ruleset, visit)
            self._compiled[visit] = [self._base(table, chain, self._compilers[id(table)]) for table, chain in chains]
        return self._compiled[visit]

    def marked(self, visit: HookVisit, marks: Mapping[Spot, Mark]) -> list[BaseChain]:
        """Return the base chains of a visit, some places in them marked."""
        found: list[BaseChain] = []
        compilers: dict[int, Compiler] = {}
        for table, chain in base_chains(self.ruleset, visit):
            name = table_name(table)
            if id(table) not in compilers:
                here = {spot: mark for spot, mark in marks.items() if spot.table == name and spot.number >= 0}
                own = self._compilers[id(table)]
                compilers[id(table)] = own.marked(here) if here else own
            base = self._base(table, chain, compilers[id(table)])
            found.append(base._replace(marked=marks.get(Spot(name, chain.name, -1))))
        return found

    def _base(self, table: Table, chain: Chain, compiler: Compiler) -> BaseChain:
        assert chain.base is not None  # noqa: S101 -- only base chains come here
        name = f"{table_name(table)} {chain.name}"
        return BaseChain(compiler.chain(chain.name), name, chain.base.kind, chain.base.accepts)


def _is_early(chain: Chain) -> bool:
    base = chain.base
    return base is not None and base.hook in {Hook.PREROUTING, Hook.OUTPUT} and base.priority <= CONNTRACK_PRIORITY


def table_name(table: Table) -> str:
    """Return a table's name with its family."""
    return f"{table.family.value} {table.name}"
