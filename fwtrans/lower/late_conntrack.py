"""The part of iptables' raw table that nftables can carry out only when the connection is there.

`-j CT --helper` hangs a template on the packet before connection tracking (-200) makes the connection from it. nftables
has no such template for helpers, timeouts and events: it gives them to the connection itself, while its first packet is
under way. So each raw base chain that leads to such an effect gets a second one behind connection tracking, with what
decides who gets there:

    raw-PREROUTING (-300)      -p tcp --dport 21 -j CT --helper ftp    ->  nothing left of it
    raw-PREROUTING-tracked (-190)                                          tcp dport 21 ct state new ct helper set ftp

The second chain asks the same tests again, so it is right only if their answers cannot have changed. What could change
them is refused: tests that count packets, tests of what an earlier raw rule writes, tests of the connection itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Diagnostic
from fwtrans.ir.effect import (
    Assign,
    AssignFromMap,
    AssignFromTable,
    Count,
    Duplicate,
    Log,
    NoTrack,
    ResetTcpOption,
    SetHelper,
    SetSecmark,
    SetTimeoutPolicy,
)
from fwtrans.ir.fields import CT_EVENT, HAS_CONNTRACK
from fwtrans.ir.rule import is_pure
from fwtrans.ir.verdict import Accept, Goto, Jump, Queue, Return
from fwtrans.ir.walk import fields_read
from fwtrans.lower.extensions.targets.ct import UNCONFIRMED
from fwtrans.source import Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fwtrans.diagnostics import DiagnosticSink
    from fwtrans.ir.fields import Field
    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Chain

# Between connection tracking (-200) and mangle (-150); on a bridge the same place serves (seen on Linux 6.1 and 6.12).
PRIORITY = -190
_CONNTRACK = -200

# Effects that let the rule go on whatever they did: they are not repeated.
_GOES_ON = (Assign, AssignFromTable, Log, NoTrack, Count, Duplicate, ResetTcpOption, SetSecmark)


def with_tracked_chains(chains: tuple[Chain, ...], sink: DiagnosticSink) -> tuple[Chain, ...]:
    """Return the chains of one table with the second base chains where they are needed, else as they are.

    A rule whose test may answer otherwise behind connection tracking goes to the sink, and its chain is left alone.
    """
    by_name = {chain.name: chain for chain in chains}
    bases = [chain for chain in chains if chain.base is not None and chain.base.priority < _CONNTRACK]
    affected = [base for base in bases if any(_has_late(chain) for chain in _reached(base, by_name))]
    if not affected:
        return chains
    early = {chain.name for base in affected for chain in _reached(base, by_name)}
    written = _written(by_name[name] for name in early)
    try:
        tracked = tuple(
            _tracked(by_name[name], early, written, frozenset(by_name)) for name in by_name if name in early
        )
    except _Doubtful as doubtful:
        sink.add(doubtful.diagnostic)
        return chains
    return (*(_early(chain) if chain.name in early else chain for chain in chains), *tracked)


class _Doubtful(Exception):  # noqa: N818 -- an answer that is turned into a finding
    def __init__(self, rule: Rule, reason: str) -> None:
        super().__init__(reason)
        origin = rule.origins[0]
        self.diagnostic = Diagnostic(
            code="FWT200",
            message="in nftables helpers and events are set behind connection tracking, where the raw table's tests are "
            f"asked again; this rule {reason}, so the answer may be another one",
            span=Span(origin.source, origin.line, 0, len(origin.source.line(origin.line))),
            hints=("let the rules with CT --helper and CT --ctevents stand before this one",),
        )


def _reached(base: Chain, by_name: Mapping[str, Chain]) -> Iterator[Chain]:
    seen = {base.name}
    waiting = [base]
    while waiting:
        chain = waiting.pop()
        yield chain
        for rule in chain.rules:
            if isinstance(rule.verdict, (Jump, Goto)) and rule.verdict.chain not in seen:
                seen.add(rule.verdict.chain)
                waiting.append(by_name[rule.verdict.chain])


def is_late(step: Step) -> bool:
    """Tell whether the effect does nothing before the connection is there."""
    return isinstance(step, (SetHelper, SetTimeoutPolicy)) or (isinstance(step, Assign) and step.field is CT_EVENT)


def _has_late(chain: Chain) -> bool:
    return any(is_late(step) for rule in chain.rules for step in rule.steps)


def _early(chain: Chain) -> Chain:
    """Return the chain without late effects, and without tests that then decide nothing."""
    rules: list[Rule] = []
    for rule in chain.rules:
        if not any(is_late(step) for step in rule.steps):
            rules.append(rule)
            continue
        steps = [step for step in rule.steps if not is_late(step)]
        while steps and rule.verdict is None and is_pure(steps[-1]):
            steps.pop()
        if steps or rule.verdict is not None:
            rules.append(replace(rule, steps=tuple(steps)))
    return replace(chain, rules=tuple(rules))


# --- the second chains ---


def _tracked(chain: Chain, early: set[str], written: frozenset[Field], taken: frozenset[str]) -> Chain:
    base = replace(chain.base, priority=PRIORITY, accepts=True) if chain.base is not None else None
    rules = tuple(
        _again(rule, written, taken) for rule in chain.rules if _leads(rule, early) or any(map(is_late, rule.steps))
    )
    return replace(chain, name=_name(chain.name, taken), rules=rules, base=base, counters=None)


def _name(name: str, taken: frozenset[str]) -> str:
    wanted = f"{name}-tracked"
    while wanted in taken:
        wanted += "-"
    return wanted


def _leads(rule: Rule, early: set[str]) -> bool:
    """Tell whether the rule decides which rules a packet meets. What it drops does not come here a second time."""
    if isinstance(rule.verdict, (Jump, Goto)):
        return rule.verdict.chain in early
    return isinstance(rule.verdict, (Accept, Queue, Return))


def _again(rule: Rule, written: frozenset[Field], taken: frozenset[str]) -> Rule:
    """Return the rule as it stands in the second chain: its tests, its late effects, and where it leads."""
    asked, late = _split(rule)
    steps: list[Step] = []
    for step in asked:
        if is_pure(step):
            steps.append(step)
        elif not isinstance(step, _GOES_ON):
            raise _Doubtful(rule, "counts packets or asks a set that rules change")
    for field in fields_read(replace(rule, steps=tuple(steps))):
        if field in written:
            raise _Doubtful(rule, f"asks for {field.name}, which a rule of the raw table changes")
        if field.spelling[0] == "ct" or field is HAS_CONNTRACK:
            raise _Doubtful(rule, f"asks for {field.name}, which connection tracking changes")
    verdict = rule.verdict
    if isinstance(verdict, (Jump, Goto)):
        verdict = replace(verdict, chain=_name(verdict.chain, taken))
    elif isinstance(verdict, Queue):
        verdict = Accept()
    return replace(rule, steps=(*steps, *late), verdict=verdict, counters=None)


def _split(rule: Rule) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    """Return what the rule's own line asks and does, and what the target CT has put behind it: guards and effects."""
    first = next((index for index, step in enumerate(rule.steps) if is_late(step)), None)
    if first is None:
        return rule.steps, ()
    guard = max(index for index in range(first) if rule.steps[index] == UNCONFIRMED)
    return rule.steps[:guard], rule.steps[guard:]


def _written(chains: Iterable[Chain]) -> frozenset[Field]:
    return frozenset(
        step.field
        for chain in chains
        for rule in chain.rules
        for step in rule.steps
        if isinstance(step, (Assign, AssignFromMap, AssignFromTable)) and not is_late(step)
    )
