"""IR to typed nftables objects: tables, chains, sets, and the objects that several rules share.

A base chain of ours gets policy accept and, where the IR's policy drops, an explicit drop at its end: that is what lets
the loader swap rules without a gap. A `return` or `goto` in such a base chain would slip past that drop, so it becomes
what it means there. A chain of somebody's own keeps its policy: whoever empties it must not open the host.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.backend.nft import model as nft
from fwtrans.backend.nft.drawn import DrawnWays, look_up, ways_from
from fwtrans.backend.nft.effects import rate
from fwtrans.backend.nft.flat_rule import statements_of
from fwtrans.backend.nft.in_place import in_place
from fwtrans.backend.nft.last_rules import coming_back
from fwtrans.backend.nft.link_protocols import on_link
from fwtrans.backend.nft.missing_things import leaving_without
from fwtrans.backend.nft.names import NameKind, legal_name
from fwtrans.backend.nft.set_objects import data_type, named_map, named_set
from fwtrans.backend.nft.text import rule_text
from fwtrans.diagnostics import Diagnostic, DiagnosticSink, Refused
from fwtrans.ir.effect import Count, SetHelper, SetSecmark, SetTimeoutPolicy
from fwtrans.ir.ending import ending_chains
from fwtrans.ir.expand import FlatRule, TooManyCopies, expand, settled_by
from fwtrans.ir.fields import Family
from fwtrans.ir.rule import is_pure
from fwtrans.ir.stateful import Limit, Quota, StatefulTest
from fwtrans.ir.verdict import TERMINAL, Dispatch, Drop, Goto, Return, Verdict
from fwtrans.ir.walk import tracks_early
from fwtrans.source import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import ValueSet
    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Chain, Ruleset, Table
    from fwtrans.ir.sets import NamedMap
    from fwtrans.source import Origin


_LINK = {Family.BRIDGE, Family.NETDEV}


@dataclass(frozen=True, slots=True, kw_only=True)
class Printing:
    """How to print: with counters or without, and what to call an origin in a rule's comment.

    `guard_ports` False adds no test of its own for a whole transport header: for rules that came from nftables, which are
    printed as they were.
    `keeps_policies` prints a policy as one, not as a last rule: for chains that others made.
    `in_place` puts chains that the printer makes in the place of the call where they are worth no jump.
    `proof_only` prints bridge ports in a form that our readers take and nft does not: for proofs, never for loading.
    """

    counters: bool = False
    proof_only: bool = False
    keeps_policies: bool = False
    guard_ports: bool = True
    in_place: bool = False
    origin_id: Callable[[Origin], str] = lambda origin: str(origin.line)


class Renaming(NamedTuple):
    """A name that nftables does not take, and the one that stands for it."""

    family: Family
    kind: str
    wanted: str
    given: str


class Lowered(NamedTuple):
    """The nft objects and every name that had to change."""

    ruleset: nft.Ruleset
    renamings: tuple[Renaming, ...]


def lower_ruleset(ruleset: Ruleset, sink: DiagnosticSink, printing: Printing) -> Lowered:
    """Return the nft objects of a ruleset. What cannot be printed goes to the sink at the rule that asked for it."""
    tables: list[nft.Table] = []
    renamings: list[Renaming] = []
    awake = len(ruleset.tables)
    for number, table in enumerate((*ruleset.tables, *ruleset.asleep)):
        lowering = _TableLowering(table if printing.keeps_policies else coming_back(table), sink, printing)
        tables.append(replace(lowering.run(), dormant=number >= awake))
        renamings.extend(lowering.renamings)
    return Lowered(nft.Ruleset(tuple(tables)), tuple(renamings))


@dataclass(slots=True)
class _TableLowering:
    """One table. It is the `Shared` of its rules."""

    table: Table
    sink: DiagnosticSink
    printing: Printing
    family: Family = field(init=False)
    settled: Mapping[Field, ValueSet] = field(init=False)
    proof_only: bool = field(init=False)
    guard_ports: bool = field(init=False)
    _ending: AbstractSet[str] = field(init=False)
    renamings: list[Renaming] = field(default_factory=list)
    _chains: dict[str, str] = field(default_factory=dict)
    _sets: dict[str, str] = field(default_factory=dict)
    _taken_chains: set[str] = field(default_factory=set)
    _taken: set[str] = field(default_factory=set)
    _uses: Counter[str] = field(default_factory=Counter)
    _over: dict[str, bool] = field(default_factory=dict)
    _objects: dict[str, nft.NamedObject] = field(default_factory=dict)
    _object_names: dict[str, str] = field(default_factory=dict)
    _dynamic: dict[str, nft.Set] = field(default_factory=dict)
    _helpers: list[nft.Chain] = field(default_factory=list)
    _helper_names: dict[tuple[tuple[nft.Statement, ...], ...], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.family = self.table.family
        self.proof_only = self.printing.proof_only
        self.guard_ports = self.printing.guard_ports
        self.settled = settled_by(self.family, conntrack=tracks_early(self.table))
        self.table = leaving_without(self.table, self.settled)
        self._ending = ending_chains(self.table)

    def run(self) -> nft.Table:
        self._name_all()
        maps = tuple(map(self._map, self.table.maps))
        flat = [self._expanded(chain) for chain in self.table.chains]
        chains = [self._chain(chain, rules) for chain, rules in zip(self.table.chains, flat, strict=True)]
        return nft.Table(
            family=nft.Family(self.family.value),
            name=self.table.name,
            objects=tuple(self._objects.values()),
            sets=(*(named_set(item, self.set_name(item.name)) for item in self.table.sets), *self._dynamic.values()),
            maps=maps,
            foreign=tuple(nft.ForeignObject(item.kind, item.name, item.content) for item in self.table.kept),
            chains=in_place(chains, self._helpers)
            if self._helpers and self.printing.in_place
            else (*chains, *self._helpers),
        )

    # --- names ---

    def _name_all(self) -> None:
        for chain in self.table.chains:
            self._chains[chain.name] = self._name(NameKind.CHAIN, chain.name, self._taken_chains)
        # these keep their names, since nobody knows all who say them
        self._taken |= {item.name for item in self.table.kept if item.kind in {"set", "map"}}
        for name in [*[item.name for item in self.table.sets], *[item.name for item in self.table.maps]]:
            self._sets[name] = self._name(NameKind.SET, name, self._taken)
        self._taken |= {item.name for item in self.table.kept}

    def _name(self, kind: NameKind, wanted: str, taken: set[str]) -> str:
        given = legal_name(wanted, taken, kind)
        taken.add(given)
        if given != wanted:
            self.renamings.append(Renaming(self.family, kind.value, wanted, given))
        return given

    def chain_name(self, name: str) -> str:
        return self._chains[name]

    def set_name(self, name: str) -> str:
        return self._sets[name]

    def keeps_set(self, name: str) -> bool:
        return self._sets.get(name) == name or any(item.name == name for item in self.table.kept)

    # --- objects that rules share ---

    def map_value(self, name: str) -> str:
        return next(item.value for item in self.table.maps if item.name == name)

    def _map(self, item: NamedMap) -> nft.Map:
        return named_map(item, self.set_name(item.name), self.chain_name, self.named_object)

    def is_shared(self, test: StatefulTest) -> bool:
        identity = test.object.identity
        return self._uses[identity] > 1 or identity in self._object_names or self._has_name(identity)

    def _has_name(self, identity: str) -> bool:
        """Tell whether an object was read under a name, by which others may ask for it."""
        own = f"{self.family.value}/{self.table.name}"
        return identity.startswith((f"{own}/limit/", f"{own}/quota/"))

    def named_object(self, test: StatefulTest) -> str:
        identity = test.object.identity
        if self._over.setdefault(identity, test.over) != test.over:
            raise Refused("FWT200", "one bucket is asked both for being full and for not being full")
        if identity not in self._object_names:
            kind = test.object.kind
            what = "limit" if isinstance(kind, Limit) else "quota"
            known = self._wanted_name(identity)
            name = self._object_names[identity] = self._own_name(
                known if known != identity.replace("/", "-") else f"{what}-{known}"
            )
            if isinstance(kind, Limit):
                self._objects[name] = nft.LimitObject(name=name, rate=rate(kind, over=test.over))
            elif isinstance(kind, Quota):
                self._objects[name] = nft.QuotaObject(name=name, bytes=kind.amount, over=test.over, used=kind.used)
        return self._object_names[identity]

    def _wanted_name(self, identity: str) -> str:
        """Return the name that an object has in the ruleset that it was read from, or one made of its identity."""
        for what in ("set", "limit", "quota"):
            own = f"{self.family.value}/{self.table.name}/{what}/"
            if identity.startswith(own):
                return identity.removeprefix(own)
        return identity.replace("/", "-")

    def keyed_set(self, test: StatefulTest) -> str:
        identity = test.object.identity
        wanted = self._wanted_name(identity)
        if identity not in self._object_names and identity.endswith(f"/set/{wanted}") and wanted in self._sets:
            self._object_names[identity] = self._sets[wanted]  # which other rules ask or fill as a set
        if identity not in self._object_names:
            name = self._object_names[identity] = self._own_name(wanted, NameKind.SET)
            flags = [nft.SetFlag.DYNAMIC]
            timeout = test.object.timeout
            if timeout:
                flags.insert(0, nft.SetFlag.TIMEOUT)
            self._dynamic[name] = nft.Set(
                name=name,
                key=data_type(tuple(part.field for part in test.key)),
                flags=tuple(flags),
                size=test.object.size or 65535,
                timeout=round(timeout * 1000) if nft.SetFlag.TIMEOUT in flags else None,
            )
        return self._object_names[identity]

    def object_of(self, step: SetHelper | SetTimeoutPolicy | SetSecmark | Count) -> str:
        identity = repr(step)
        if identity not in self._object_names:
            made = _made_object(step, self._own_name)
            self._object_names[identity] = made.name
            self._objects[made.name] = made
        return self._object_names[identity]

    def helper_chain(self, wanted: str, rules: tuple[tuple[nft.Statement, ...], ...]) -> str:
        if rules not in self._helper_names:
            name = legal_name(wanted, self._taken_chains, NameKind.CHAIN)
            self._taken_chains.add(name)
            self._helper_names[rules] = name
            self._helpers.append(nft.Chain(name=name, rules=tuple(nft.Rule(statements) for statements in rules)))
        return self._helper_names[rules]

    def _own_name(self, wanted: str, kind: NameKind = NameKind.OBJECT) -> str:
        name = legal_name(wanted, self._taken, kind)
        self._taken.add(name)
        return name

    # --- chains ---

    def _expanded(self, chain: Chain) -> list[tuple[Rule, tuple[FlatRule, ...]]]:
        found: list[tuple[Rule, tuple[FlatRule, ...]]] = []
        for rule in chain.rules:
            if not rule.steps:
                found.append((rule, (((), rule.verdict),)))
                continue
            try:
                copies = expand(rule, self.settled)
                if self.family in _LINK:
                    copies = on_link(copies)
            except TooManyCopies:
                self._report(
                    Refused("FWT200", "this rule's alternatives would make more than 512 nftables rules"), rule
                )
                continue
            found.append((rule, copies))
            for steps, _ in copies:
                for step in steps:
                    if isinstance(step, StatefulTest):
                        self._uses[step.object.identity] += 1
        return found

    def _chain(self, chain: Chain, flat: list[tuple[Rule, tuple[FlatRule, ...]]]) -> nft.Chain:
        closed = chain.base is not None and not chain.base.accepts
        drops = closed and not self.printing.keeps_policies
        rules: list[nft.Rule] = []
        apart: list[nft.Rule] = []
        slips = False
        skipped = 0
        for place, (rule, copies) in enumerate(flat):
            if skipped:
                skipped -= 1
                continue
            if (ways := ways_from(flat, place)) is not None:
                skipped = len(ways.ways) - 1
                whole = self._look_up(rule, copies[0], ways, drops=drops and not slips)
                (apart if slips else rules).extend(whole)
                continue
            slips = slips or (drops and self._may_slip_out(rule.verdict))
            for number, (steps, verdict) in enumerate(copies):
                try:
                    counter = self._counter(rule, first=number == 0)
                    if counter is None and verdict is None and steps and all(_only_tests(step) for step in steps):
                        counter = nft.Counter()
                    end = self._explicit(verdict) if drops and not slips else verdict
                    statements = statements_of(steps, end, self, counter)
                    if not statements:
                        continue
                    made = nft.Rule(statements, self._comment(rule))
                    if any(isinstance(statement, (nft.Log, nft.Foreign, nft.Limit)) for statement in statements):
                        rule_text(made)  # refuses what nft cannot read here, where the rule is known
                    (apart if slips else rules).append(made)
                except Refused as refused:
                    self._report(refused, rule)
                    break
        base = None
        if apart:
            rules.append(nft.Rule((nft.Verdict(nft.VerdictKind.JUMP, self._rules_apart(chain, tuple(apart))),)))
        if chain.base is not None:
            # of the rules that stand apart, a `return` or `goto` comes back whatever the last of them is
            if drops and (apart or not _always_ends(chain)):
                rules.append(self._policy_drop(chain))
            base = nft.BaseHook(
                type=nft.ChainType(chain.base.kind),
                hook=nft.Hook(chain.base.hook.value),
                priority=chain.base.priority,
                policy=nft.ChainPolicy.DROP if closed and not drops else nft.ChainPolicy.ACCEPT,
                devices=(chain.base.device,) if chain.base.device else (),
            )
        return nft.Chain(name=self._chains[chain.name], base=base, rules=tuple(rules))

    def _look_up(self, rule: Rule, flat: FlatRule, ways: DrawnWays, *, drops: bool) -> list[nft.Rule]:
        """Return the one rule that a look-up by a drawn number is."""
        if drops:
            ways = ways._replace(ways=tuple((values, self._explicit(verdict)) for values, verdict in ways.ways))
        try:
            before = statements_of(flat[0][:-1], None, self, self._counter(rule, first=True))
            made = nft.Rule((*before, nft.Foreign(look_up(ways, self.chain_name))), self._comment(rule))
            rule_text(made)  # refuses what nft cannot read here, where the rule is known
        except Refused as refused:
            self._report(refused, rule)
            return []
        return [made]

    def _may_slip_out(self, verdict: Verdict | None) -> bool:
        """Tell whether a look-up may end in a `return` or `goto`, which would pass by the drop at a base chain's end."""
        if not isinstance(verdict, Dispatch):
            return False
        elements = next(item.elements for item in self.table.maps if item.name == verdict.map_name)
        return any(
            isinstance(value := element.value, Return) or (isinstance(value, Goto) and value.chain not in self._ending)
            for element in elements
        )

    def _rules_apart(self, chain: Chain, rules: tuple[nft.Rule, ...]) -> str:
        """Return the name of a chain of its own for a base chain's last rules; what comes back from it is dropped."""
        name = legal_name(f"{self._chains[chain.name]}-rules", self._taken_chains, NameKind.CHAIN)
        self._taken_chains.add(name)
        self._helpers.append(nft.Chain(name=name, rules=rules))
        return name

    def _explicit(self, verdict: Verdict | None) -> Verdict | None:
        """Return what a verdict means in a base chain whose policy is a drop at its end."""
        if isinstance(verdict, Return):
            return Drop()
        if isinstance(verdict, Goto) and verdict.chain not in self._ending:
            target = self.chain_name(verdict.chain)
            jump = nft.Verdict(nft.VerdictKind.JUMP, target)
            name = self.helper_chain(f"{target}-or-drop", ((jump,), (nft.Verdict(nft.VerdictKind.DROP),)))
            self._chains[name] = name
            return Goto(name)
        return verdict

    def _policy_drop(self, chain: Chain) -> nft.Rule:
        statements: list[nft.Statement] = []
        if self.printing.counters:
            statements.append(nft.Counter(*(chain.counters or (0, 0))))
        statements.append(nft.Verdict(nft.VerdictKind.DROP))
        mark = f"{self.printing.origin_id(chain.origin)} policy" if chain.origin is not None else "policy"
        return nft.Rule(tuple(statements), mark)

    def _counter(self, rule: Rule, *, first: bool) -> nft.Counter | None:
        if not self.printing.counters:
            return None
        return nft.Counter(*rule.counters) if first and rule.counters is not None else nft.Counter()

    def _comment(self, rule: Rule) -> str:
        """Return the ids of the rule's origins and, as far as it fits, what its author wrote."""
        ids = ",".join(self.printing.origin_id(origin) for origin in rule.origins[:4])
        if len(rule.origins) > 4:
            ids += f"+{len(rule.origins) - 4}"
        written = "".join(letter if letter.isprintable() and letter != '"' else "'" for letter in rule.comment)
        text = f"{ids} {written}".strip() if written else ids
        return text.encode()[:127].decode(errors="ignore")

    def _report(self, refused: Refused, rule: Rule) -> None:
        """Tell it at the option, or at the whole line; once where one line has become several rules."""
        origin = rule.origins[0] if rule.origins else None
        span = None
        if origin is not None:
            text = origin.source.line(origin.line)
            blamed = refused.option if refused.option and refused.option in text else text.strip()
            start = text.find(blamed)
            span = Span(origin.source, origin.line, start, start + max(len(blamed), 1))
        hints = (refused.hint,) if refused.hint else ()
        found = Diagnostic(code=refused.code, message=refused.message, span=span, hints=hints)
        if span is None or found not in self.sink.found:
            self.sink.add(found)


def _made_object(
    step: SetHelper | SetTimeoutPolicy | SetSecmark | Count, name: Callable[[str], str]
) -> nft.NamedObject:
    if isinstance(step, Count):
        return nft.CounterObject(name=name(step.name), packets=step.packets, bytes=step.byte_count)
    if isinstance(step, SetSecmark):
        return nft.SecmarkObject(name=name("secmark"), context=step.context)
    layer = nft.Family(step.l3proto)
    if isinstance(step, SetHelper):
        own = name(f"{step.helper}-{step.l4proto}")
        return nft.CtHelperObject(name=own, helper=step.helper, protocol=step.l4proto, l3_protocol=layer)
    own = name(f"{step.name}-{step.l4proto}")
    return nft.CtTimeoutObject(name=own, protocol=step.l4proto, l3_protocol=layer, policy=step.policy)


def _always_ends(chain: Chain) -> bool:
    """Tell whether the last rule decides about every packet, so that the policy decides about none."""
    return bool(chain.rules) and not chain.rules[-1].steps and isinstance(chain.rules[-1].verdict, TERMINAL)


def _only_tests(step: Step) -> bool:
    return isinstance(step, StatefulTest) or is_pure(step)
