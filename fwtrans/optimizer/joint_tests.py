"""Rules that turn away few packets are asked all at once, by a rule for those that none of them is for.

    before   ip saddr @blacklist drop                   after   ip saddr != 224.0.0.0/4 ip saddr != @blacklist goto in-passed
             ip saddr 224.0.0.0/4 goto smurfs                   ip saddr @blacklist drop
             ct mark set ...                                    ip saddr 224.0.0.0/4 goto smurfs
             oifname . th dport vmap @services                  goto in-passed;   in-passed: ct mark set ...; oifname ...

Where some of the rules are for TCP only, one rule in front is for TCP, and one for all else asks for the rest; the order is
the one in which the dearest packet takes fewer steps. Where all of them let packets go that the last one would answer, they
need not be asked again behind it:

    before   ip saddr @blacklist accept; ip daddr 224.0.0.0/4 accept; reject
    after    ip saddr != @blacklist ip daddr != 224.0.0.0/4 reject; accept

Otherwise neighbours that ask one address for different ranges are one rule (`joint_addresses.py`).

Why it is safe: of each rule one test at its front is asked for the opposite, so that the rule does nothing to packets that
pass; all others find the rules as they were. A field that is not there passes neither a test nor its opposite.

It declines where fewer than two steps are saved, or none for one of the protocols, where only one rule follows, for rules
of which every packet fits one, for rules that ask for ports of the bridge, for which not few packets are, and in tables
that are no bridge's: there a list that somebody wrote costs no packet more than before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations, takewhile
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.ir.bits import BitSet
from fwtrans.ir.ending import always_goes_on
from fwtrans.ir.fields import Family, FieldKind
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest, MemberTest, negated, number
from fwtrans.ir.order import callees_last
from fwtrans.ir.rule import Rule, has_memory, is_pure, joined_origins, pure_front
from fwtrans.ir.ruleset import Chain
from fwtrans.ir.verdict import Accept, Dispatch, Drop, Goto, Jump, Reject
from fwtrans.optimizer.base import Addition, Pass, Passed, with_additions
from fwtrans.optimizer.facts import Decider, Facts, decider_of, meet, values_of
from fwtrans.optimizer.joint_addresses import with_joint_addresses
from fwtrans.optimizer.known_kinds import KnownKinds, known_kinds
from fwtrans.optimizer.names import Names
from fwtrans.optimizer.steps import look_ups
from fwtrans.semantics.visits import arrives_whole, visits_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from fwtrans.ir.match import PureTest
    from fwtrans.ir.rule import Step
    from fwtrans.ir.ruleset import Ruleset, Table
    from fwtrans.ir.sets import NamedSet

_FEWEST, _LEAST_SAVED, _LEAST_LEFT = 3, 2, 2
_ANSWERS = (Drop, Reject, Goto)
_TCP = number(known.L4PROTO, 6)
# What is mostly known of packets where such rules stand, or makes no difference but between protocols.
_KINDS = frozenset({known.L4PROTO, known.CT_STATE, known.ETHER_TYPE, known.HAS_TRANSPORT})
# Of a named set nobody knows here how much it holds: fewer packets than a class of addresses, more than one address.
_SHARE_OF_A_SET = 2.0**-10
# A test that holds for more packets than this is no rare one.
_COMMON = 0.5
# A set of more elements than this is not said again in a rule.
_MOST_ELEMENTS = 64


Rules = tuple[Rule, ...]


class _Opposite(NamedTuple):
    """What packets have that rules are not for; `exact` says that all others of these kinds are taken by one of the rules."""

    tests: tuple[PureTest, ...]
    kinds: tuple[PureTest, ...]
    exact: bool

    @property
    def steps(self) -> int:
        """Return what a rule with these tests counts."""
        return max(sum(map(look_ups, self.tests)), 1)


def with_joint_tests(table: Table, *, whole: bool = False) -> Table:
    """Return the table with rules for what others turn away asked at once; `whole`: fragments are put together first."""
    if table.family is not Family.BRIDGE:
        return table
    before = None
    while table != before:
        before = table
        joining = _Joining(table, whole=whole)
        additions = [found for chain in table.chains if (found := joining.changed(chain)) is not None]
        table = with_additions(table, additions)
    return table


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset with tests joined."""
    whole = all(arrives_whole(ruleset, visit) for visit in visits_of(ruleset) if visit.family is Family.BRIDGE)
    tables = tuple(with_joint_tests(table, whole=whole) for table in ruleset.tables)
    return Passed(ruleset if tables == ruleset.tables else replace(ruleset, tables=tables))


PASS = Pass("joint-tests", "rules that turn away few packets are passed by at once", run)


@dataclass(slots=True)
class _Joining:
    table: Table
    whole: bool
    _names: Names
    _decider: Decider
    _kinds: KnownKinds
    _dropping: set[str]
    _sets: dict[str, NamedSet]

    def __init__(self, table: Table, *, whole: bool) -> None:
        self.table, self.whole = table, whole
        self._names = Names(table)
        self._decider = decider_of(table)
        self._kinds = known_kinds(table, whole=whole)
        self._dropping = _dropping_chains(table)
        self._sets = {item.name: item for item in table.sets}

    def changed(self, chain: Chain) -> Addition | None:
        """Return the chain in its new form."""
        if chain.base is not None:
            return None
        found = self._before_an_answer(chain) or self._before_the_rest(chain)
        if found is not None:
            return found
        rules = with_joint_addresses(chain.rules)
        return Addition(replace(chain, rules=rules)) if rules != chain.rules else None

    # --- rules that turn packets away, and the rest for all others ---

    def _before_the_rest(self, chain: Chain) -> Addition | None:
        for start in range(len(chain.rules) - _FEWEST):
            turning = tuple(takewhile(self._turns_away, chain.rules[start:]))
            rest = chain.rules[start + len(turning) :]
            if len(turning) < _FEWEST or len(rest) < _LEAST_LEFT:
                continue
            found = min(permutations(self._opposites(turning, self._kinds.of(chain.name))), key=_most_steps)
            counts = _steps_each(found) or [len(turning)]
            if min(counts) > len(turning) - _LEAST_SAVED or max(counts) >= len(turning):
                continue
            passed = Chain(self._names.new(chain.name, "passed"), rest, origin=chain.origin)
            front = tuple(Rule(item.tests, Goto(passed.name), joined_origins(turning)) for item in found)
            last = Rule((), Goto(passed.name), rest[0].origins)
            rules = (*chain.rules[:start], *front, *self._left(turning, found, chain, last))
            return Addition(replace(chain, rules=rules), (passed,))
        return None

    def _left(self, turning: Rules, found: Sequence[_Opposite], chain: Chain, last: Rule) -> Rules:
        """Return what is left to ask of packets that some of the rules may be for."""
        (item, *others) = found
        verdicts = {rule.verdict for rule in turning}
        is_plain = all(is_pure(step) for rule in turning for step in rule.steps)
        if others or not item.exact or len(verdicts) > 1 or not is_plain:
            return (*turning, last)
        needs = self._needs(item, self._kinds.of(chain.name))
        taken = Rule(needs, turning[0].verdict, joined_origins(turning))
        return (taken, *turning, last) if needs else (taken,)

    def _turns_away(self, rule: Rule) -> bool:
        """Tell whether a rule turns packets away for one thing that it asks, their protocol and state aside."""
        verdict = rule.verdict
        ends = isinstance(verdict, (Drop, Reject)) or (isinstance(verdict, Goto) and verdict.chain in self._dropping)
        tests = [step for step in pure_front(rule) if not _is_kind(step)]
        return ends and len(tests) == 1 and _share(tests[0]) <= _COMMON

    # --- rules that let packets go, and an answer for all others ---

    def _before_an_answer(self, chain: Chain) -> Addition | None:
        letting = tuple(takewhile(_lets_go, chain.rules))
        rest = chain.rules[len(letting) :]
        if len(letting) < _FEWEST or not rest or rest[-1].steps or not isinstance(rest[-1].verdict, _ANSWERS):
            return None
        facts = self._kinds.of(chain.name)
        found = [(rule, self._opposites((rule,), facts)) for rule in letting]
        simple = tuple(rule for rule, items in found if len(items) == 1 and items[0].exact)
        joint = self._opposites(simple, facts)
        if len(simple) < _FEWEST or len(joint) != 1 or joint[0].steps > len(simple) - _LEAST_SAVED:
            return None
        left = (*(rule for rule in letting if rule not in simple), *rest)
        made = Chain(self._names.new(chain.name, "answer"), left, origin=chain.origin) if len(left) > 1 else None
        verdict = Goto(made.name) if made is not None else rest[0].verdict
        front = Rule(joint[0].tests, verdict, joined_origins((*simple, rest[0])))
        needs = self._needs(joint[0], facts)
        if needs and any(has_memory(step) for rule in rest for step in rule.steps):
            return None  # the rest would stand in both
        rules = (front, Rule(needs, Accept(), joined_origins(simple)), *(chain.rules if needs else ()))
        return Addition(replace(chain, rules=rules), (made,) if made is not None else ())

    def _needs(self, item: _Opposite, facts: Facts) -> tuple[PureTest, ...]:
        """Return what must hold for one of the rules to be for each packet that is left, as far as it is not known."""
        fields = [part.field for test in item.tests if isinstance(test, MemberTest) for part in test.key]
        fields += [test.field for test in item.tests if isinstance(test, FieldTest)]
        wanted = dict.fromkeys(need for field in fields for need in self._decider.needs(field) or ())
        return tuple(dict.fromkeys((*item.kinds, *(self._decider.decide_all(wanted, facts) or ()))))

    # --- the opposite of rules ---

    def _opposites(self, rules: Sequence[Rule], facts: Facts) -> list[_Opposite]:
        """Return what packets have that none of the rules is for: of all protocols, or of TCP and of all others."""
        fronts = [pure_front(rule) for rule in rules]
        alone = [self._opposite(fronts, facts)]
        if self._asks_tcp(fronts, facts):
            alone = [
                self._opposite(fronts, self._kinds.completed(self._decider.learn((test,), facts)), test)
                for test in (negated(_TCP), _TCP)
            ]
        found = [item for item in alone if item is not None]
        return found if len(found) == len(alone) else []

    def _asks_tcp(self, fronts: Sequence[tuple[PureTest, ...]], facts: Facts) -> bool:
        if self._decider.decide(_TCP, facts) != (_TCP,):
            return False
        return any(self._decider.learn(front, {}).get(known.L4PROTO) == _TCP.values for front in fronts)

    def _opposite(self, fronts: Sequence[Sequence[PureTest]], facts: Facts, *first: FieldTest) -> _Opposite | None:
        found: dict[object, PureTest] = {test.field: test for test in first}
        kinds: dict[PureTest, None] = {}
        exact = True
        for front in fronts:
            left = self._decider.decide_all(front, facts)
            if left is None:
                continue
            choice = min(left, key=_share, default=None)
            if choice is None or _share(choice) > _COMMON:
                return None
            others = [test for test in left if test is not choice]
            exact = exact and all(map(_is_kind, others))
            kinds |= dict.fromkeys(others)
            other = self._negated(choice)
            asked = found.get(other.field) if isinstance(other, FieldTest) else None
            if isinstance(other, FieldTest) and isinstance(asked, FieldTest):
                other = FieldTest(other.field, meet(asked.values, other.values))
            found[other.field if isinstance(other, FieldTest) else other] = other
        if len(found) == len(first) or self._excludes_all(found.values(), facts):
            return None
        return _Opposite(tuple(sorted(found.values(), key=_order)), tuple(kinds), exact)

    def _excludes_all(self, tests: Collection[PureTest], facts: Facts) -> bool:
        """Tell whether no packet has all that the tests ask for: one field is in IPv4's header, another in IPv6's."""
        return any(values.is_empty for values in self._decider.learn(tests, facts).values())

    def _negated(self, test: PureTest) -> PureTest:
        """Return the opposite of a test; one of a set that nobody changes is one of values, which others can be joined with."""
        if isinstance(test, FieldTest):
            return negated(test)
        assert isinstance(test, MemberTest)  # noqa: S101 -- nothing else is rare
        named = self._sets[test.set_name]
        (part, *more) = test.key
        if not more and part.mask is None and not named.is_live and len(named.elements) <= _MOST_ELEMENTS:
            values = values_of((element.key[0] for element in named.elements), part.field)
            if isinstance(values, IntervalSet):
                return FieldTest(part.field, values.complement())
        return replace(test, inside=False)


def _steps_each(items: Sequence[_Opposite]) -> list[int]:
    """Return the steps of the packets of each: they pass by those in front that are for other protocols."""
    return [at + item.steps for at, item in enumerate(items)]


def _most_steps(items: Sequence[_Opposite]) -> int:
    return max(_steps_each(items), default=0)


def _order(test: PureTest) -> tuple[bool, int]:
    """Return by what tests are ordered: first those that tell the protocol, by which most packets of others are gone."""
    is_tcp = isinstance(test, FieldTest) and test.field in {known.L4PROTO, known.TCP_FLAGS}
    return (not is_tcp, look_ups(test))


def _lets_go(rule: Rule) -> bool:
    return isinstance(rule.verdict, Accept) and bool(rule.steps) and all(map(is_pure, rule.steps))


def _is_kind(step: Step) -> bool:
    return isinstance(step, FieldTest) and step.field in _KINDS


def _share(test: PureTest) -> float:
    """Return about how large a part of all values passes a test; 1 for what has no simple opposite."""
    if isinstance(test, MemberTest) and test.inside:
        return _SHARE_OF_A_SET
    if not isinstance(test, FieldTest) or test.field is known.L4PROTO or test.field.kind is FieldKind.NAME:
        return 1
    values = test.values
    if isinstance(values, IntervalSet):
        return values.size / (1 << test.field.width)
    if test.field is known.TCP_FLAGS:
        # what the flags of a connection's first packet are not is most values, and few packets
        return _COMMON
    if isinstance(values, BitSet):
        return sum(2.0 ** -mask.bit_count() for mask, _ in values.cubes)
    return 1


def _dropping_chains(table: Table) -> set[str]:
    """Return the chains that drop every packet, whatever they do before."""
    found: set[str] = set()
    maps = {item.name: item for item in table.maps}

    def drops(verdict: object) -> bool:
        return isinstance(verdict, (Drop, Reject)) or (isinstance(verdict, (Jump, Goto)) and verdict.chain in found)

    def verdicts(rule: Rule) -> Iterator[object]:
        if isinstance(rule.verdict, Dispatch):
            yield from (element.value for element in maps[rule.verdict.map_name].elements)
        else:
            yield rule.verdict

    for chain in reversed(callees_last(table, [chain.name for chain in table.chains])):
        last = chain.rules[-1] if chain.rules else None
        if last is None or not all(map(always_goes_on, last.steps)) or not drops(last.verdict):
            continue
        if all(drops(verdict) or verdict is None for rule in chain.rules for verdict in verdicts(rule)):
            found.add(chain.name)
    return found
