"""iptables' meaning: one family's dump becomes one IR table.

All of iptables' tables (raw, mangle, nat, filter, security) become chains of one nftables table, because an ipset that
two of them use must stay one set. Chains of `filter` keep their names; the others get their table's name in front.

Uses of extensions repeat by the thousand, so what a use means is looked up first and worked out only once; those that
depend on their place (`in_context`) are worked out each time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.diagnostics import Diagnostic, DiagnosticSink, Refused
from fwtrans.ir.fields import (
    Family,
)
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.rule import Rule, never_matches
from fwtrans.ir.ruleset import BaseHook, Chain, Hook, Table
from fwtrans.ir.sets import NamedSet
from fwtrans.ir.stateful import StatefulTest
from fwtrans.ir.untranslated import untranslated
from fwtrans.ir.verdict import Accept, Drop, Goto, Jump, Queue, Return, Verdict
from fwtrans.lower.extensions.base import Match, Outcome, Place, Target, Use
from fwtrans.lower.extensions.registry import find_match, find_target
from fwtrans.lower.general_options import lower_option
from fwtrans.lower.late_conntrack import with_tracked_chains
from fwtrans.lower.own_times import mixed_times, told, with_own_times, without_time
from fwtrans.lower.shifted_ports import ASSUMED, rules_for_ports
from fwtrans.lower.subroutines import Call, Piece, Subroutine, cut
from fwtrans.lower.unreached_loops import without_unreached_loops
from fwtrans.parsers.iptables_save.spans import word_span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fwtrans.ir.intervals import Interval
    from fwtrans.ir.match import FieldTest
    from fwtrans.ir.rule import Step
    from fwtrans.parsers.iptables_save.syntax import (
        ChainSyntax,
        ExtensionUse,
        IptablesDump,
        OptionUse,
        RuleSyntax,
        TableSyntax,
    )
    from fwtrans.source import Origin

# iptables' built-in chains: nftables type, hook, priority (include/uapi/linux/netfilter_ipv4.h).
_PRIORITY = {"raw": -300, "mangle": -150, "filter": 0, "security": 50}
_HOOKS = {
    "PREROUTING": Hook.PREROUTING,
    "INPUT": Hook.INPUT,
    "FORWARD": Hook.FORWARD,
    "OUTPUT": Hook.OUTPUT,
    "POSTROUTING": Hook.POSTROUTING,
}
BUILT_IN: dict[str, tuple[str, ...]] = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
}
_VERDICTS: dict[str, Verdict] = {
    "ACCEPT": Accept(),
    "DROP": Drop(),
    "RETURN": Return(),
    "QUEUE": Queue(0, 0),
}


class LoweredTable(NamedTuple):
    """The table, and what its exactness rests on."""

    table: Table
    assumptions: tuple[str, ...]


def base_hook(table: str, chain: str, *, accepts: bool) -> BaseHook:
    """Return where nftables must hang a built-in chain so that it sees what iptables' sees."""
    hook = _HOOKS[chain]
    if table == "nat":
        priority = -100 if hook in {Hook.PREROUTING, Hook.OUTPUT} else 100
        return BaseHook("nat", hook, priority, accepts)
    kind = "route" if table == "mangle" and hook is Hook.OUTPUT else "filter"
    return BaseHook(kind, hook, _PRIORITY[table], accepts)


# Matches that drop a packet whose own header is cut short (hotdrop in net/netfilter/xt_tcpudp.c and its kin).
_DROPS_SHORT = frozenset(
    {"tcp", "udp", "udplite", "sctp", "dccp", "icmp", "icmp6", "icmpv6", "ipv6-icmp", "multiport", "esp", "ah"}
)
# Targets that decide nothing and change nothing that a rule can ask (iptables-extensions(8)). CHECKSUM writes what the network
# card would write in any case.
_ONLY_TELLS = frozenset({"LOG", "NFLOG", "ULOG", "AUDIT", "LED", "IDLETIMER", "RATEEST", "CHECKSUM"})
# What fills lists that other rules, and later packets, are judged by: nothing can stand for one that is not translated.
_REMEMBERS = frozenset({"recent", "SET", "hashlimit"})


def _drops_short_headers(dump: IptablesDump) -> bool:
    return any(
        use.name in _DROPS_SHORT
        for table in dump.tables
        for chain in table.chains
        for rule in chain.rules
        for use in rule.matches
    )


def _looks_behind_headers(dump: IptablesDump) -> bool:
    return dump.family == "ip6" and any(
        option.name == "-p"
        for table in dump.tables
        for chain in table.chains
        for rule in chain.rules
        for option in rule.options
    )


_ASSUMED: tuple[tuple[str, Callable[[IptablesDump], bool]], ...] = (
    (
        "no packet ends inside its transport header, and no TCP fragment begins inside one: iptables drops such packets",
        _drops_short_headers,
    ),
    (
        "no IPv6 packet has an authentication header in front of its transport header: ip6tables looks behind it",
        _looks_behind_headers,
    ),
)


def lower_dump(
    dump: IptablesDump,
    sets: Mapping[str, NamedSet],
    sink: DiagnosticSink,
    *,
    name: str = "fwtrans",
    left_out: list[Diagnostic] | None = None,
) -> LoweredTable:
    """Return the dump as one IR table. What cannot be said exactly goes to the sink, each at its word.

    With `left_out` (which collects these findings) a mark of it stands in the rule (see `ir/untranslated.py`).
    """
    family = Family(dump.family)
    names = _chain_names(dump)
    assumed: list[str] = [text for text, holds in _ASSUMED if holds(dump)]
    shared: dict[str, object] = {}
    known = _Known({}, {}, {}, {}, {})
    chains: list[Chain] = []
    for table in dump.tables:
        reached = _reached_from(table)
        for chain in table.chains:
            lowering = _ChainLowering(
                dump, family, table, chain, names, sets, sink, reached[chain.name], assumed, shared, known,
                left_out=left_out,
            )  # fmt: skip
            chains.append(lowering.run())
    chains.extend(known.made.values())
    made = {item.name: item for item in shared.values() if isinstance(item, NamedSet)}
    used = _used_sets(chains, {**sets, **made})
    times = mixed_times(used)
    if times:
        used = tuple(without_time(item, times) for item in used)
        chains = [with_own_times(chain, times) for chain in chains]
        assumed.extend(told(times, chains))
    lowered = Table(family, name, with_tracked_chains(tuple(chains), sink), used)
    return LoweredTable(without_unreached_loops(lowered, sink), tuple(assumed))


def _chain_names(dump: IptablesDump) -> dict[tuple[str, str], str]:
    """Name every chain of every table uniquely; `filter` first, so that its names stay."""
    names: dict[tuple[str, str], str] = {}
    taken: set[str] = set()
    for table in sorted(dump.tables, key=lambda item: item.name != "filter"):
        for chain in table.chains:
            wanted = chain.name if table.name == "filter" else f"{table.name}-{chain.name}"
            name, number = wanted, 2
            while name in taken:
                name, number = f"{wanted}-{number}", number + 1
            taken.add(name)
            names[table.name, chain.name] = name
    return names


def _reached_from(table: TableSyntax) -> dict[str, frozenset[str]]:
    """Return for each chain the built-in chains that lead to it, by jump or goto."""
    targets: dict[str, set[str]] = {}
    names = {chain.name for chain in table.chains}
    for chain in table.chains:
        targets[chain.name] = {
            rule.target.name for rule in chain.rules if rule.target is not None and rule.target.name in names
        }
    reached: dict[str, set[str]] = {chain.name: set() for chain in table.chains}
    for chain in table.chains:
        if not chain.policy:
            continue
        waiting, seen = [chain.name], {chain.name}
        while waiting:
            current = waiting.pop()
            reached[current].add(chain.name)
            fresh = targets[current] - seen
            seen |= fresh
            waiting.extend(fresh)
    return {name: frozenset(found) for name, found in reached.items()}


def _used_sets(chains: list[Chain], sets: Mapping[str, NamedSet]) -> tuple[NamedSet, ...]:
    if not sets:
        return ()
    from fwtrans.ir.walk import set_names  # noqa: PLC0415

    named = {name for chain in chains for rule in chain.rules for name in set_names(rule)}
    return tuple(found for name, found in sets.items() if name in named)


_UseKey = tuple[str, tuple["Interval", ...], tuple[tuple[str, tuple[str, ...], bool], ...]]
_OptionKey = tuple[str, tuple[str, ...], bool]


class _Known(NamedTuple):
    """What uses that do not depend on their place mean, as far as this dump has had them."""

    matches: dict[_UseKey, tuple[Step | Call, ...]]
    targets: dict[_UseKey, Outcome]
    options: dict[_OptionKey, tuple[FieldTest, ...]]
    # Chains that no line of the dump names, by their names; and those of subroutines, by the subroutine's name.
    made: dict[str, Chain]
    subroutines: dict[str, str]


_NO_PROTOCOL = IntervalSet.full(8)


@dataclass(slots=True)
class _ChainLowering:
    """Lowers the rules of one chain. One object for each chain keeps what they share out of every call."""

    dump: IptablesDump
    family: Family
    table: TableSyntax
    chain: ChainSyntax
    names: dict[tuple[str, str], str]
    sets: Mapping[str, NamedSet]
    sink: DiagnosticSink
    hooks: frozenset[str]
    assumed: list[str]
    shared: dict[str, object]
    known: _Known
    number: int = 0
    left_out: list[Diagnostic] | None = None

    def run(self) -> Chain:
        rules: list[Rule] = []
        for number, syntax in enumerate(self.chain.rules, 1):
            self.number = number
            rules.extend(self._rules_of(syntax))
        base = None
        if self.chain.policy and self.chain.policy != "-":
            base = base_hook(self.table.name, self.chain.name, accepts=self.chain.policy == "ACCEPT")
        return Chain(
            self.names[self.table.name, self.chain.name],
            tuple(rules),
            base,
            self.dump.source.origin(self.chain.line),
            self.chain.counters,
        )

    def _rules_of(self, syntax: RuleSyntax) -> Iterator[Rule]:
        parts = rules_for_ports(syntax)
        if parts[0] is not syntax and ASSUMED not in self.assumed:
            self.assumed.append(ASSUMED)
        known = len(self.sink.errors)
        for part in parts:
            yield from self._rule(part)
            if len(self.sink.errors) > known:
                return  # what is wrong is wrong with each of them

    def _rule(self, syntax: RuleSyntax) -> Iterator[Rule]:
        try:
            heads, protocols = self._general(syntax)
        except Refused as refused:
            self._report(refused, syntax, None)
            return
        steps: list[Step | Call] = []
        comment = ""
        complete = True
        for use in syntax.matches:
            if use.name == "comment" and use.options:
                comment = use.options[-1].values[0]
            try:
                steps.extend(self._match(use, protocols))
            except Refused as refused:
                self._report(refused, syntax, use)
                complete = complete and self._marked(refused, use)
                steps.append(self._mark(use))
        outcome = Outcome()
        if syntax.target is not None:
            try:
                outcome = self._target(syntax, protocols)
            except Refused as refused:
                self._report(refused, syntax, syntax.target)
                complete = complete and self._marked(refused, syntax.target)
                ending = None if syntax.target.name in _ONLY_TELLS else Drop()
                outcome = Outcome((self._mark(syntax.target),), ending)
        if not complete:
            return
        origin = (self.dump.source.origin(syntax.line),)
        for number, head in enumerate(heads):
            behind = (*steps, *outcome.steps)
            if number:
                behind = tuple(self._of_part(step, number) for step in behind)
            try:
                pieces = self._pieces((*head, *behind), outcome.verdict, origin)
            except Refused as refused:
                self._report(refused, syntax, None)
                return
            for piece in pieces:
                counters = syntax.counters if piece is pieces[-1] else None
                rule = Rule(piece.steps, piece.verdict, origin, counters, comment)
                if never_matches(rule):
                    self._note_never(syntax)
                yield rule

    def _pieces(self, steps: tuple[Step | Call, ...], verdict: Verdict | None, origin: tuple[Origin]) -> list[Piece]:
        """Cut a rule where it calls a subroutine."""

        def enter(called: Subroutine) -> str:
            known = self.known.subroutines.get(called.name)
            if known is None:
                rules = tuple(replace(rule, origins=origin) for rule in called.rules)
                known = self.known.subroutines[called.name] = self._make_chain(called.name, rules, origin)
            return known

        def rest(pieces: list[Piece]) -> str:
            rules = tuple(Rule(piece.steps, piece.verdict, origin) for piece in pieces)
            return self._make_chain(f"{self.names[self.table.name, self.chain.name]}-{self.number}", rules, origin)

        return cut(steps, verdict, enter, rest)

    def _make_chain(self, wanted: str, rules: tuple[Rule, ...], origin: tuple[Origin]) -> str:
        taken = {*self.names.values(), *self.known.made}
        name, number = wanted, 2
        while name in taken:
            name, number = f"{wanted}-{number}", number + 1
        self.known.made[name] = Chain(name, rules, None, *origin)
        return name

    def _of_part(self, step: Step | Call, number: int) -> Step | Call:
        """Give each rule that `-s a,b` stands for a bucket of its own, as iptables does."""
        own = f"{self.family.value}/{self.table.name}/{self.chain.name}/{self.number}/"
        if isinstance(step, StatefulTest) and step.object.identity.startswith(own):
            return replace(step, object=replace(step.object, identity=f"{step.object.identity}/{number}"))
        return step

    def _marked(self, refused: Refused, use: ExtensionUse) -> bool:
        """Tell whether a mark may stand for what was refused: it was read, and only could not be translated."""
        if self.left_out is None or use.name in _REMEMBERS or not refused.code.startswith("FWT2"):
            return False
        self.left_out.append(self.sink.found[-1])
        return True

    def _mark(self, use: ExtensionUse) -> Step:
        return untranslated(f"{self.family.value}/{self.table.name}/{self.chain.name}/{self.number}/{use.word}")

    # --- the general options: -s -d -i -o -p -f ---

    def _general(self, syntax: RuleSyntax) -> tuple[tuple[tuple[FieldTest, ...], ...], IntervalSet]:
        protocols = _NO_PROTOCOL
        columns: list[tuple[FieldTest, ...]] = []
        several = False
        for option in syntax.options:
            tests = self._option(option)
            if option.name == "-p" and tests:
                values = tests[0].values
                if isinstance(values, IntervalSet):
                    protocols = values
            if len(tests) > 1:
                several = True
            if tests:
                columns.append(tests)
        if not several:
            return (tuple(tests[0] for tests in columns),), protocols
        return tuple(product(*columns)), protocols

    def _option(self, option: OptionUse) -> tuple[FieldTest, ...]:
        key = option[:3]
        found = self.known.options.get(key)
        if found is None:
            found = self.known.options[key] = lower_option(option, self.family)
        return found

    # --- extensions ---

    def _match(self, use: ExtensionUse, protocols: IntervalSet) -> tuple[Step | Call, ...]:
        match = find_match(use.name, self.family)
        if match is None:
            raise Refused("FWT104", f"unknown match `{use.name}`", option=use.name)
        self._check_place(match)
        key = _use_key(use, protocols)
        known = self.known.matches.get(key)
        if known is not None:
            return known
        steps = match.lower(Use(use), self._place(match, use, protocols))
        if not match.in_context:
            self.known.matches[key] = steps
        return steps

    def _check_place(self, match: Match) -> None:
        if match.tables and self.table.name not in match.tables:
            where = ", ".join(sorted(match.tables))
            raise Refused("FWT117", f"`{match.name}` is legal in table {where} only", option=match.name)
        if match.hooks and not self.hooks <= match.hooks:
            where = ", ".join(sorted(self.hooks - match.hooks))
            raise Refused("FWT117", f"`{match.name}` cannot stand where {where} leads to", option=match.name)

    def _target(self, syntax: RuleSyntax, protocols: IntervalSet) -> Outcome:
        use = syntax.target
        assert use is not None  # noqa: S101 -- the caller looked
        if syntax.calls:
            chain = self.names[self.table.name, use.name]
            return Outcome((), Goto(chain) if syntax.goto else Jump(chain))
        verdict = _VERDICTS.get(use.name)
        if verdict is not None:
            return Outcome((), verdict)
        target = find_target(use.name, self.family)
        if target is None:
            raise Refused(
                "FWT109", f"`{use.name}` is neither a chain of table {self.table.name} nor a target", option=use.name
            )
        if target.tables and self.table.name not in target.tables:
            where = ", ".join(sorted(target.tables))
            raise Refused("FWT117", f"`{use.name}` is legal in table {where} only", option=use.name)
        key = _use_key(use, protocols)
        known = self.known.targets.get(key)
        if known is not None:
            return known
        outcome = target.lower(Use(use), self._place(target, use, protocols))
        if not target.in_context:
            self.known.targets[key] = outcome
        return outcome

    def _place(self, extension: Match | Target, use: ExtensionUse, protocols: IntervalSet) -> Place:
        assumed = self.assumed
        if not extension.in_context:
            return Place(self.family, "", "", protocols, assumed=assumed)
        identity = f"{self.family.value}/{self.table.name}/{self.chain.name}/{self.number}/{use.word}"
        return Place(
            self.family, self.table.name, self.chain.name, protocols, identity, self.sets, self.hooks, assumed, self.shared,
            self.dump,
        )  # fmt: skip

    # --- diagnostics ---

    def _report(self, refused: Refused, syntax: RuleSyntax, use: ExtensionUse | None) -> None:
        self.sink.add(
            Diagnostic(
                code=refused.code,
                message=refused.message,
                span=word_span(self.dump.source, syntax.line, _blamed_word(refused.option, syntax, use)),
                label=f"rule {self.number} of chain {self.chain.name}, table {self.table.name}",
                notes=(refused.note,) if refused.note else (),
                hints=(refused.hint,) if refused.hint else (),
            )
        )

    def _note_never(self, syntax: RuleSyntax) -> None:
        self.sink.add(
            Diagnostic(
                code="FWT203",
                message="this rule can never match: what it asks for excludes itself",
                span=word_span(self.dump.source, syntax.line, 0),
                label=f"rule {self.number} of chain {self.chain.name}, table {self.table.name}",
            )
        )


def _blamed_word(option: str, syntax: RuleSyntax, use: ExtensionUse | None) -> int:
    """Return the word number that a refusal points at: the option, else the extension, else the start."""
    candidates = use.options if use is not None else syntax.options
    for candidate in reversed(candidates):
        if candidate.name == option:
            return candidate.word
    return use.word if use is not None else 0


def _use_key(use: ExtensionUse, protocols: IntervalSet) -> _UseKey:
    return (use.name, protocols.ranges, tuple([option[:3] for option in use.options]))
