"""Which chains are reached for the packets of known ports only, mostly of one, because every way to them asks for it.

    iifname vmap { "tap101i0" : goto tap101i0-OUT }        tap101i0-OUT has the context iifname "tap101i0",
    chain tap101i0-OUT { jump tap101i0-OUT-ARP }           and so has tap101i0-OUT-ARP, as nobody else goes there

No rule can write the name of an interface, so what a rule or a map's key has asked holds in every chain behind it. So does
the hardware address that a frame goes to, by which guests are told apart where nobody knows yet by which port it will leave;
in a table whose rules write it, it counts for nothing.

What a port is may also follow from the ports that went elsewhere before, for good: the last guest's rule need not ask.
`ask_ports` lets it ask again, because one more guest behind it would make the question necessary.
"""

from __future__ import annotations

from dataclasses import replace
from operator import is_
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.effect import Assign, AssignFromMap, AssignFromTable
from fwtrans.ir.fields import ETHER_DADDR, IIFNAME, OIFNAME, Field
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest
from fwtrans.ir.names import NamePattern, NameSet
from fwtrans.ir.order import callees_last
from fwtrans.ir.remembering import once
from fwtrans.ir.verdict import TERMINAL, Dispatch, Goto, Jump, Return
from fwtrans.optimizer.reached import distinct_targets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fwtrans.ir.match import ValueSet
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Chain, Table
    from fwtrans.ir.sets import MapElement, NamedMap, Part

# By what guests are told apart; where several are known of a chain, the one with the fewest values, then the first.
PORT_FIELDS = (IIFNAME, OIFNAME, ETHER_DADDR)

# The ports that a packet may have; None where nothing is known.
_Ports = frozenset["Part"] | None


class Context(NamedTuple):
    """The ports of all packets that reach a chain, in order. `entered` says that the chain is where the port has been asked for."""

    field: Field
    ports: tuple[Part, ...]
    entered: bool

    @property
    def port(self) -> Part | None:
        """Return the only port, if there is one."""
        return self.ports[0] if len(self.ports) == 1 else None

    @property
    def name(self) -> str:
        """Return the only port's name, if it is known by one."""
        return self.port.text if isinstance(self.port, NamePattern) else ""


class _Way(NamedTuple):
    """A jump or goto, and the ports with which a packet may take it."""

    chain: str
    ports: _Ports


@once
def port_contexts(table: Table) -> Mapping[str, Context]:
    """Return the context of every user chain that packets of known ports alone reach."""
    found: dict[str, Context] = {}
    for reaching in _reaching(table):
        for name, context in reaching.contexts().items():
            if name not in found or len(context.ports) < len(found[name].ports):
                found[name] = context
    return found


def ask_ports(table: Table) -> Table:
    """Return the table with every rule that leads one port's packets away asking for that port."""
    for number in range(len(_reaching(table))):
        table = _with_chains(table, tuple(map(_reaching(table)[number].asking, table.chains)))
    return table


@once
def _reaching(table: Table) -> tuple[_Reaching, ...]:
    """Return with which values packets reach the chains, for each field that no rule writes."""
    return tuple(_Reaching(table, field) for field in PORT_FIELDS if not _is_written(table, field))


def _with_chains(table: Table, chains: tuple[Chain, ...]) -> Table:
    """Return the table with these chains: itself where they are its own, of which all this is known."""
    return table if all(map(is_, chains, table.chains)) else replace(table, chains=chains)


def _is_written(table: Table, field: Field) -> bool:
    steps = (step for chain in table.chains for rule in chain.rules for step in rule.steps)
    return any(isinstance(step, (Assign, AssignFromMap, AssignFromTable)) and step.field is field for step in steps)


class _Reaching:
    """With which values of one field packets reach which chain."""

    def __init__(self, table: Table, field: Field) -> None:
        self._field = field
        self._maps = {item.name: item for item in table.maps}
        self._chains = {chain.name: chain for chain in table.chains}
        self._coming_back: dict[str, bool] = {}
        self._reached: dict[str, _Ports] = {chain.name: None for chain in table.chains if chain.base is not None}
        self._entered: set[str] = set()
        for chain in callees_last(table, list(self._reached)):
            if chain.name in self._reached:  # else a map or a rule leads there that no packet passes
                self._go_on(chain, self._reached[chain.name])

    def _go_on(self, chain: Chain, ports: _Ports) -> None:
        """Note who goes on from a chain, to which all that lead there have been looked at."""
        for way in self._ways(chain, ports):
            before = self._reached.get(way.chain, frozenset())
            self._reached[way.chain] = None if before is None or way.ports is None else before | way.ports
            if ports is None or len(ports) != 1:
                self._entered.add(way.chain)

    def contexts(self) -> dict[str, Context]:
        """Return the chains that packets of known ports reach."""
        return {
            name: Context(self._field, tuple(sorted(ports)), name in self._entered)
            for name, ports in self._reached.items()
            if ports
        }

    def asking(self, chain: Chain) -> Chain:
        """Return a chain in which rules that lead packets of one port away ask for the port."""
        ports = self._reached.get(chain.name, frozenset())
        if ports is not None and len(ports) < 2:
            return chain
        rules = [self._asking(rule, known) for rule, known in self._walk(chain.rules, ports)]
        return chain if tuple(rules) == chain.rules else replace(chain, rules=tuple(rules))

    def _asking(self, rule: Rule, ports: _Ports) -> Rule:
        if ports is None or len(ports) != 1 or not isinstance(rule.verdict, (Jump, Goto)):
            return rule
        if any(isinstance(step, FieldTest) and step.field is self._field for step in rule.steps):
            return rule
        return replace(rule, steps=(FieldTest(self._field, _values(self._field, next(iter(ports)))), *rule.steps))

    # --- going through chains ---

    def _walk(self, rules: Iterable[Rule], ports: _Ports) -> Iterator[tuple[Rule, _Ports]]:
        """Yield rules with the ports that a packet may have in front of each."""
        for rule in rules:
            yield rule, ports
            if ports is not None:
                ports -= self._gone_for_good(rule)

    def _ways(self, chain: Chain, ports: _Ports) -> Iterator[_Way]:
        for rule, known in self._walk(_that_tell(chain), ports):
            asked = _asked(rule, self._field)
            left = known if asked is None else asked if known is None else known & asked
            if left is not None and not left:
                continue
            verdict = rule.verdict
            if isinstance(verdict, (Jump, Goto)):
                yield _Way(verdict.chain, left)
            elif isinstance(verdict, Dispatch):
                item, place = self._maps[verdict.map_name], self._place(verdict)
                if place is None:
                    yield from (_Way(target, left) for target in distinct_targets(item))
                    continue
                for target, exact, is_for_all in _targets(item)[place]:
                    if not is_for_all:
                        yield _Way(target, exact)
                    else:
                        yield _Way(target, None if left is None else left | exact)

    def _place(self, verdict: Dispatch) -> int | None:
        parts = enumerate(verdict.key)
        return next((at for at, part in parts if part.field is self._field and part.mask is None), None)

    def _gone_for_good(self, rule: Rule) -> frozenset[Part]:
        """Return the ports whose packets do not come to the next rule."""
        verdict = rule.verdict
        if isinstance(verdict, Dispatch):
            if rule.steps or len(verdict.key) > 1 or self._place(verdict) is None:
                return frozenset()
            elements = self._maps[verdict.map_name].elements
            return frozenset(
                own for item in elements if self._leaves(item.value) and (own := _exact(item, 0)) is not None
            )
        asked = _asked(rule, self._field)
        return asked if asked is not None and len(rule.steps) == 1 and self._leaves(verdict) else frozenset()

    def _leaves(self, verdict: object) -> bool:
        if isinstance(verdict, Jump):
            return not self._comes_back(verdict.chain)
        return isinstance(verdict, (*TERMINAL, Goto, Return))

    def _comes_back(self, name: str) -> bool:
        """Tell whether a packet may come back from a chain to where it was called."""
        if name not in self._coming_back:
            self._coming_back[name] = True  # what a loop of jumps would find
            self._coming_back[name] = self._find_coming_back(self._chains[name])
        return self._coming_back[name]

    def _find_coming_back(self, chain: Chain) -> bool:
        for rule in chain.rules:
            verdicts: tuple[object, ...] = (rule.verdict,)
            if isinstance(rule.verdict, Dispatch):
                verdicts = tuple(element.value for element in self._maps[rule.verdict.map_name].elements)
            for verdict in verdicts:
                if isinstance(verdict, Return) or (isinstance(verdict, Goto) and self._comes_back(verdict.chain)):
                    return True
            if not rule.steps and self._leaves(rule.verdict):
                return False
        return True


@once
def _that_tell(chain: Chain) -> tuple[Rule, ...]:
    """Return the rules that lead on, or after which a packet's port may be known better: few of those that guests have."""
    return tuple(
        rule
        for rule in chain.rules
        if isinstance(rule.verdict, (Jump, Goto, Dispatch))
        or (len(rule.steps) == 1 and isinstance(rule.steps[0], FieldTest) and rule.steps[0].field in PORT_FIELDS)
    )


def _values(field: Field, port: Part) -> ValueSet:
    if isinstance(port, NamePattern):
        return NameSet.exact(port.text)
    return IntervalSet.single(field.width, port[0])


def _listed(values: ValueSet) -> frozenset[Part] | None:
    """Return the values where the set is a list of single ones."""
    if isinstance(values, NameSet):
        if values.by_default or any(pattern.is_prefix or not inside for pattern, inside in values.entries[1:]):
            return None
        return frozenset(values.patterns)
    if isinstance(values, IntervalSet) and all(low == high for low, high in values.ranges):
        return frozenset(values.ranges)
    return None


def _asked(rule: Rule, field: Field) -> frozenset[Part] | None:
    found: frozenset[Part] | None = None
    for step in rule.steps:
        if isinstance(step, FieldTest) and step.field is field:
            listed = _listed(step.values)
            if listed is not None:
                found = listed if found is None else found & listed
    return found


@once
def _targets(item: NamedMap) -> tuple[tuple[tuple[str, frozenset[Part], bool], ...], ...]:
    """Return for each dimension the chains that a map leads to, the single values asked for them there, and whether others are too."""
    found: list[dict[str, set[Part | None]]] = [{} for _ in item.fields]
    for element in item.elements:
        if isinstance(element.value, (Jump, Goto)):
            for place, values in enumerate(found):
                values.setdefault(element.value.chain, set()).add(_exact(element, place))
    return tuple(
        tuple(
            (name, frozenset(part for part in parts if part is not None), None in parts)
            for name, parts in values.items()
        )
        for values in found
    )


def _exact(element: MapElement, place: int) -> Part | None:
    part = element.key[place]
    is_one = not part.is_prefix if isinstance(part, NamePattern) else part[0] == part[1]
    return part if is_one else None
