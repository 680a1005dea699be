"""Numbered rules and chains as summaries, for one hook visit.

A chain is summarised once, whoever calls it, for every packet that may enter it. Inside a chain the rules are put
together by halves; where a run is cut depends on what stands there, so that a chain with one rule changed shares most of
its runs with the one it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import effect as does
from fwtrans.ir import verdict as verdicts
from fwtrans.ir.fields import CT_STATE, FIELDS, HAS_CONNTRACK, FieldKind
from fwtrans.ir.match import number, present
from fwtrans.semantics.bdd import OutOfNodes
from fwtrans.semantics.packet import Unknown, UnknownKind
from fwtrans.semantics.program import (
    NAT,
    Call,
    Charge,
    Choice,
    CompiledRule,
    Emit,
    Stream,
    Undecidable,
)
from fwtrans.semantics.summary import Algebra, Bits, Events, Summary
from fwtrans.semantics.variables import Slot
from fwtrans.semantics.visible import Ending, plain_reject

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.semantics.bdd import Node
    from fwtrans.semantics.compiler import Mark
    from fwtrans.semantics.packetset import PacketSets
    from fwtrans.semantics.program import CompiledStep, CompiledVerdict, Program

# Not an exit of the rule but its end: a test has failed, or a break; the next rule goes on.
_SKIP = "skip"
_RETURN = verdicts.Return()
_ACCEPT = verdicts.Accept()
_DROP = verdicts.Drop()

# The facts that a nat chain's gate reads; the comparison collects them with the rest.
NAT_TESTS = (present(HAS_CONNTRACK), number(CT_STATE, 2, 3))


class BaseChain(NamedTuple):
    """A compiled base chain. `name` says which, for messages; `marked` is what the use of its policy records."""

    chain: int
    name: str
    kind: str
    accepts: bool
    marked: Mark | None = None


class Evaluator:
    """The summaries of one visit."""

    def __init__(self, program: Program, sets: PacketSets) -> None:
        self._program = program
        self.sets = sets
        self._bdd = sets.bdd
        self._algebra = Algebra(sets.variables)
        self._rules: dict[int, Summary] = {}
        self._chains: dict[int, Summary] = {}
        self._runs: dict[tuple[int, ...], Summary] = {}
        self._choices: dict[Choice, Summary] = {}

    # --- base chains ---

    def visit(self, chains: Sequence[BaseChain]) -> Summary:
        """Return what base chains do one after the other: `through` are the packets that all of them let pass."""
        found = self._algebra.identity
        for base in chains:
            try:
                found = self._add_base(found, base)
            except OutOfNodes as error:
                raise Undecidable("out of memory", base.name) from error
            except Undecidable as error:
                raise Undecidable(error.reason, error.chain or base.name) from error
        return found

    def _add_base(self, before: Summary, base: BaseChain) -> Summary:
        chain = self._with_policy(self.chain(base.chain), base)
        if base.kind != "nat":
            return self._algebra.then(before, chain)
        gate = self.sets.pure(NAT_TESTS[0]) & self.sets.pure(NAT_TESTS[1])
        reads = self.sets.field_reads((HAS_CONNTRACK, CT_STATE))
        chain = self._algebra.either(self._algebra.then(Summary(gate, reads=reads), chain), Summary(~gate, reads=reads))
        translated = before.events[NAT].reached[0] if NAT in before.events else self._bdd.false
        entering = Summary(before.through & ~translated, before.exits, before.writes, before.events, before.reads)
        after = self._algebra.then(entering, chain)
        passing = after.through | (before.through & translated)
        return Summary(passing, after.exits, after.writes, after.events, after.reads)

    def _with_policy(self, chain: Summary, base: BaseChain) -> Summary:
        exits = dict(chain.exits)
        accepted = exits.pop(_ACCEPT, self._bdd.false)
        events = dict(chain.events)
        if base.marked is not None and chain.through != self._bdd.false:
            used = Events((chain.through,), ({base.marked.content: chain.through},))
            before = events.get(base.marked.stream)
            events[base.marked.stream] = used if before is None else self._algebra.appended(before, used)
        if base.accepts:
            accepted = accepted | chain.through
        elif chain.through != self._bdd.false:
            exits[_DROP] = exits.get(_DROP, self._bdd.false) | chain.through
        return Summary(accepted, exits, chain.writes, events, chain.reads)

    # --- chains ---

    def chain(self, number: int) -> Summary:
        """Return what a chain does; its returns come through."""
        found = self._chains.get(number)
        if found is None:
            rules = [
                rule for rule in self._program.chains.items[number] if self.rule(rule) is not self._algebra.identity
            ]
            found = self.run(tuple(rules))
            if _RETURN in found.exits:
                exits = dict(found.exits)
                found = Summary(found.through | exits.pop(_RETURN), exits, found.writes, found.events, found.reads)
            self._chains[number] = found
        return found

    def run(self, rules: tuple[int, ...]) -> Summary:
        """Return what rules do one after the other."""
        if len(rules) <= 1:
            return self.rule(rules[0]) if rules else self._algebra.identity
        found = self._runs.get(rules)
        if found is None:
            cut = cut_of(rules)
            found = self._algebra.then(self.run(rules[:cut]), self.run(rules[cut:]))
            self._runs[rules] = found
            self._bdd.collect()
        return found

    def rule(self, number: int) -> Summary:
        """Return what a rule does: it comes through where the next rule goes on."""
        found = self._rules.get(number)
        if found is None:
            found = self._rules[number] = self._rule(self._program.rules.items[number])
        return found

    # --- rules ---

    def _rule(self, rule: CompiledRule) -> Summary:
        steps, verdict = rule
        tested = 0
        entered = self._bdd.true
        reads = frozenset["Field | Stream"]()
        while tested < len(steps) and isinstance(steps[tested], int):
            test = steps[tested]
            entered = self.sets.node(test) & entered  # type: ignore[arg-type]
            if entered == self._bdd.false:
                return self._algebra.identity
            reads |= self.sets.reads(test)  # type: ignore[arg-type]
            tested += 1
        if tested == len(steps) and not isinstance(verdict, Call):
            return self._plain(entered, verdict, reads)
        found = Summary(entered, {_SKIP: ~entered}, reads=reads)
        for step in steps[tested:]:
            found = self._algebra.then(found, self._step(step))
        return self._ended(found, verdict)

    def _plain(self, entered: Node, verdict: Ending | None, reads: frozenset[Field | Stream]) -> Summary:
        if verdict is None:
            return self._algebra.identity
        return Summary(~entered, {self._exit(verdict): entered}, reads=reads)

    def _ended(self, found: Summary, verdict: CompiledVerdict) -> Summary:
        if isinstance(verdict, Call) and found.through != self._bdd.false:
            found = self._algebra.then(found, self.chain(verdict.chain))
        exits = dict(found.exits)
        onward = exits.pop(_SKIP, self._bdd.false)
        if verdict is None or (isinstance(verdict, Call) and verdict.returns):
            onward = onward | found.through
        else:
            leaving = _RETURN if isinstance(verdict, Call) else self._exit(verdict)
            exits[leaving] = exits.get(leaving, self._bdd.false) | found.through
        if onward == self._bdd.true and not exits and not found.changes:
            return self._algebra.identity
        return Summary(onward, exits, found.writes, found.events, found.reads)

    def _exit(self, verdict: Ending) -> Hashable:
        return plain_reject(verdict, self.sets.family)

    # --- steps ---

    def _step(self, step: CompiledStep) -> Summary:
        if isinstance(step, int):
            return self._tested(self.sets.node(step), self.sets.reads(step))
        if isinstance(step, Charge):
            return self._charge(step)
        if isinstance(step, Emit):
            events = Events((self._bdd.true,), ({step.content: self._bdd.true},))
            return Summary(self._bdd.true, events={step.stream: events})
        if isinstance(step, Choice):
            return self._choice(step)
        if step.field.kind is FieldKind.NAME:
            raise Undecidable(f"{step.field.name} is written")
        return self._assign(step) if isinstance(step, does.Assign) else self._assign_from_table(step)

    def _tested(self, entered: Node, reads: frozenset[Field | Stream]) -> Summary:
        return Summary(entered, {_SKIP: ~entered}, reads=reads)

    def _charge(self, step: Charge) -> Summary:
        answer = self.sets.unknown(Unknown(UnknownKind.STATEFUL, str(step.object)))
        entered = ~answer if step.over else answer
        stream = Stream("touch", step.object)
        touched = Events((self._bdd.true,), ({step.key: self._bdd.true},))
        return Summary(entered, {_SKIP: ~entered}, events={stream: touched}, reads=frozenset({stream}))

    def _assign(self, step: does.Assign) -> Summary:
        written = self.sets.present(step.field)
        through = self._bdd.true
        exits: dict[Hashable, Node] = {}
        read = [FIELDS[name] for name, _ in step.field.requires]
        if step.source is not None:
            through = self.sets.present(step.source.field)
            exits = {_SKIP: ~through} if through != self._bdd.true else {}
            written = written & through
            read.append(step.source.field)
        alike: dict[Node, int] = {}
        for bit in range(step.field.width):
            value = self._new_bit(step, bit)
            if value is not None:
                alike[value] = alike.get(value, 0) | 1 << bit
        if any(value not in (self._bdd.true, self._bdd.false) for value in alike):
            read.append(step.field)
        groups = tuple(Bits(mask, written, written & value) for value, mask in alike.items())
        writes = {step.field: groups} if groups and written != self._bdd.false else {}
        return Summary(through, exits, writes, reads=self.sets.field_reads(read))

    def _new_bit(self, step: does.Assign, bit: int) -> Node | None:
        """Return the value of a bit after ((field & keep) ^ source) ^ constant, or nothing where it stays."""
        kept = step.keep >> bit & 1
        value = self._bdd.true if step.constant >> bit & 1 else self._bdd.false
        source = step.source
        from_bit = bit - source.shift if source is not None else -1
        copied = source is not None and from_bit >= 0 and source.mask >> from_bit & 1
        if kept and not copied and value == self._bdd.false:
            return None
        if copied and source is not None and from_bit < source.field.width:
            value = value ^ self._bit(source.field, from_bit)
        return value ^ self._bit(step.field, bit) if kept else value

    def _bit(self, field: Field, bit: int) -> Node:
        return self._bdd.variables[self.sets.variables.slots[Slot(field, bit)]]

    def _assign_from_table(self, step: does.AssignFromTable) -> Summary:
        ones = (1 << step.field.width) - 1
        there = self.sets.present(step.field)

        def holding(numbers: Iterable[int]) -> Node:
            return there & self.sets.variables.in_cubes(step.field, ((ones, value) for value in numbers))

        table = dict(step.table)
        written = holding(table)
        groups = tuple(
            Bits(1 << bit, written, holding(old for old, new in table.items() if new >> bit & 1))
            for bit in range(step.field.width)
        )
        return Summary(self._bdd.true, {}, {step.field: groups}, reads=self.sets.field_reads((step.field,)))

    # --- maps ---

    def _choice(self, step: Choice) -> Summary:
        if step not in self._choices:
            self._choices[step] = self._chosen(step)
        return self._choices[step]

    def _chosen(self, step: Choice) -> Summary:
        found = (self._alternative(self._program.rules.items[number]) for number in step.rules)
        row = [alternative for alternative in found if alternative is not None]
        while len(row) > 1:
            row = [self._either(*pair) for pair in zip(row[::2], row[1::2], strict=False)] + row[len(row) & ~1 :]
        hit, chosen = row[0] if row else (self._bdd.false, Summary(self._bdd.false))
        if not step.breaks:
            return Summary(chosen.through | ~hit, chosen.exits, chosen.writes, chosen.events, chosen.reads)
        exits = {
            **chosen.exits,
            _SKIP: chosen.exits.get(_SKIP, self._bdd.false) | ~hit,
        }  # the element itself may turn away
        return Summary(chosen.through, exits, chosen.writes, chosen.events, chosen.reads)

    def _alternative(self, rule: CompiledRule) -> tuple[Node, Summary] | None:
        """Return which packets an element is for and what becomes of them, None where it is for none."""
        test = rule.steps[0]
        assert isinstance(test, int)  # noqa: S101 -- the compiler puts an element's key first
        hit = self.sets.node(test)
        if hit == self._bdd.false:
            return None
        found = Summary(hit, reads=self.sets.reads(test))
        if rule.verdict is not None:
            return hit, self._algebra.then(found, self._rule(CompiledRule(rule.steps[1:], rule.verdict)))
        for step in rule.steps[1:]:
            found = self._algebra.then(found, self._step(step))
        return hit, found

    def _either(self, first: tuple[Node, Summary], second: tuple[Node, Summary]) -> tuple[Node, Summary]:
        """The first element that fits decides, as in sets of concatenated intervals (nft 1.0.6)."""
        hit, found = second
        if first[0] & hit != self._bdd.false:
            hit = hit & ~first[0]
            found = self._algebra.restricted(found, hit)
        return first[0] | hit, self._algebra.either(first[1], found)


def cut_of(rules: tuple[int, ...]) -> int:
    """Return where to cut a run: in its middle half, where the rules around say so."""
    quarter = len(rules) // 4
    return max(range(quarter, len(rules) - quarter), key=lambda at: rules[at] * 0x9E3779B97F4A7C15 & 0xFFFFFFFF) or 1
