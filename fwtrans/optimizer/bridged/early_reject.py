"""REJECT towards a guest, said where the kernel can say it: when the packet comes in.

    forward      oifname tap101i0: tcp dport 113 reject       the kernel has no reject here
    ->
    forward      oifname tap101i0: tcp dport 113 drop
    prerouting   ct state new ether daddr bc:24:11:a7:35:6c:  a copy of the guest's rules in which only REJECT decides

A bridge can answer a packet at prerouting and input alone. There nobody knows yet by which port the packet will leave, but
a packet to a guest's own hardware address goes to that guest. So such packets pass a copy of what the guest gets, at a
priority of its own: where the original rejects, the copy does, where it accepts or drops, the copy lets go on, and the
original decides in its place. What the original would do before it rejects (a log, with its limit) the copy does, and
the original never sees that packet; for all others the copy does nothing. A packet that comes to the guest in another way
(flooded to an address that is not the guest's) is dropped at forward, where it would have been rejected.

It declines for a guest whose rules do before a REJECT what cannot be moved to it: change a set, a mark that is read later.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.ir.effect import Assign, AssignFromMap, Count, Log
from fwtrans.ir.rule import Rule, is_pure, joined_origins
from fwtrans.ir.ruleset import Chain, Table
from fwtrans.ir.stateful import StatefulTest
from fwtrans.ir.verdict import Accept, Drop, Goto, Jump, Queue, Reject, Return

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fwtrans.ir.rule import Step
    from fwtrans.source import Origin

_GO_ON = Accept()
# Written for those who come later; the original writes it for every packet that the copy lets go on.
_LEFT_TO_THE_ORIGINAL = (known.CT_MARK,)


class Copies(NamedTuple):
    """The copies' chains and which of them a chain's copy is; `declined` says for what and why there is none."""

    chains: tuple[Chain, ...]
    copy_of: Mapping[str, str]
    declined: tuple[tuple[str, str], ...]


class _CannotCopyError(Exception):
    """What a rule does cannot wait for its REJECT."""


def rejecting_copies(table: Table, entries: tuple[str, ...]) -> Copies:
    """Return copies of chains in which only REJECT decides; an entry that never rejects has none."""
    copier = _Copier(table)
    declined: list[tuple[str, str]] = []
    copy_of: dict[str, str] = {}
    for entry in entries:
        if not copier.rejects(entry):
            continue
        try:
            copy_of[entry] = copier.copy(entry, (), last=True)
        except _CannotCopyError as error:
            declined.append((entry, str(error)))
    return Copies(tuple(copier.chains.values()), copy_of, tuple(declined))


class _Copier:
    """Copies chains, each once for each thing that is to be done before its REJECTs."""

    def __init__(self, table: Table) -> None:
        self._originals = {chain.name: chain for chain in table.chains}
        self._rejects: dict[str, bool] = {}
        self._names: dict[tuple[str, tuple[Rule, ...], bool], str] = {}
        self._copied = 0
        self.chains: dict[str, Chain] = {}

    def rejects(self, name: str) -> bool:
        """Tell whether a packet can be rejected in the chain or where it leads."""
        if name not in self._rejects:
            self._rejects[name] = False
            self._rejects[name] = any(map(self._may_reject, self._originals[name].rules))
        return self._rejects[name]

    def _may_reject(self, rule: Rule) -> bool:
        verdict = rule.verdict
        return isinstance(verdict, Reject) or (isinstance(verdict, (Jump, Goto)) and self.rejects(verdict.chain))

    def _always_ends(self, rule: Rule) -> bool:
        """Tell whether a packet that the rule matches is decided about there and then."""
        verdict = rule.verdict
        if isinstance(verdict, (Jump, Goto)):
            rules = self._originals[verdict.chain].rules
            goes_back = any(isinstance(inner.verdict, Return) for inner in rules)
            return not goes_back and bool(rules) and not rules[-1].steps and self._always_ends(rules[-1])
        return isinstance(verdict, (Accept, Drop, Queue, Reject))

    def copy(self, name: str, first: tuple[Rule, ...], *, last: bool) -> str:
        """Return the name of a chain's copy that does something before each of its REJECTs.

        In a `last` chain nothing behind it can reject, so what follows its own last REJECT need not be asked.
        """
        key = (name, first, last)
        if key not in self._names:
            self._copied += 1
            given = f"reject-{name}" if f"reject-{name}" not in self.chains else f"reject-{name}-{self._copied}"
            original = self._up_to_reject(name) if last else self._originals[name].rules
            rules = tuple(self._rules(original, first, last=last))
            if last and not (rules and isinstance(rules[-1].verdict, (Jump, Goto)) and not rules[-1].steps):
                # behind the last REJECT all go on, as those in front of it that are not rejected: said alike, it can be seen
                rules = (*rules, Rule((), _GO_ON, original[-1].origins))
            self._names[key] = given
            self.chains[given] = Chain(given, rules, origin=self._originals[name].origin)
        return self._names[key]

    def _up_to_reject(self, name: str) -> tuple[Rule, ...]:
        """Return a chain's rules up to the last one that may reject, if it may; behind it nothing has to be asked."""
        rules = self._originals[name].rules
        last = max((place for place, rule in enumerate(rules) if self._may_reject(rule)), default=None)
        return rules if last is None else rules[: last + 1]

    def _rules(self, rules: tuple[Rule, ...], first: tuple[Rule, ...], *, last: bool) -> Iterator[Rule]:
        logs: tuple[Rule, ...] = ()
        for place, rule in enumerate(rules):
            effects = tuple(step for step in rule.steps if not is_pure(step))
            if any(isinstance(step, Log) for step in effects):
                self._check_log(rule, rules[place + 1 :])
                logs = (*logs, rule)
                continue
            plain = _without_marks(rule, effects)
            yield from self._rule(plain, (*first, *map(_effects_only, logs)), last=last and place == len(rules) - 1)
            logs = ()

    def _rule(self, rule: Rule, first: tuple[Rule, ...], *, last: bool) -> Iterator[Rule]:
        verdict = rule.verdict
        if isinstance(verdict, Reject):
            tests = tuple(step for step in rule.steps if is_pure(step))
            yield from (replace(one, steps=(*tests, *one.steps)) for one in first)
            yield rule
        elif isinstance(verdict, (Jump, Goto)):
            if self.rejects(verdict.chain):
                yield replace(rule, verdict=replace(verdict, chain=self.copy(verdict.chain, first, last=last)))
            elif self._decides(verdict.chain):
                # not rejected there, but perhaps taken out of the way: what it does to packets is needed
                yield replace(rule, verdict=replace(verdict, chain=self.copy(verdict.chain, (), last=False)))
            elif isinstance(verdict, Goto):
                yield replace(rule, verdict=Return())
        elif isinstance(verdict, (Accept, Drop, Queue)):
            yield replace(rule, verdict=_GO_ON)
        elif isinstance(verdict, Return):
            yield rule
        elif rule.steps and not all(map(is_pure, rule.steps)):
            message = "a rule does what cannot be moved to a REJECT behind it"
            raise _CannotCopyError(message)

    def _check_log(self, rule: Rule, behind: tuple[Rule, ...]) -> None:
        """Refuse a log that is not for the very packets that the next rule decides about."""
        follower = next((other for other in behind if not _logs(other)), None)
        if follower is None or rule.verdict is not None or not self._always_ends(follower):
            message = "a log stands before a rule that need not decide"
            raise _CannotCopyError(message)
        if _pure_tests(rule) != _pure_tests(follower):
            message = "a log and the rule behind it are not for the same packets"
            raise _CannotCopyError(message)

    def _decides(self, name: str) -> bool:
        """Tell whether a packet can end in the chain or where it leads."""
        return any(
            isinstance(rule.verdict, (Accept, Drop, Queue))
            or (isinstance(rule.verdict, (Jump, Goto)) and self._decides(rule.verdict.chain))
            for rule in self._originals[name].rules
        )


def _without_marks(rule: Rule, effects: tuple[Step, ...]) -> Rule:
    """Return a rule without what the original does as well for every packet that is not rejected."""
    left = [step for step in effects if not _is_left_to_the_original(step)]
    if any(isinstance(step, (StatefulTest, Assign, AssignFromMap)) for step in left):
        message = "a rule asks a limit, or writes what is read later"
        raise _CannotCopyError(message)
    if left:
        message = "a rule has an effect that cannot be moved to a REJECT behind it"
        raise _CannotCopyError(message)
    return replace(rule, steps=tuple(step for step in rule.steps if is_pure(step)))


def _is_left_to_the_original(step: Step) -> bool:
    written = isinstance(step, (Assign, AssignFromMap)) and step.field in _LEFT_TO_THE_ORIGINAL
    return written or isinstance(step, Count)


def _effects_only(rule: Rule) -> Rule:
    return replace(rule, steps=tuple(step for step in rule.steps if not is_pure(step)))


def _logs(rule: Rule) -> bool:
    return any(isinstance(step, Log) for step in rule.steps)


def _pure_tests(rule: Rule) -> tuple[Step, ...]:
    return tuple(step for step in rule.steps if is_pure(step))


def rejecting_origins(table: Table) -> tuple[Origin, ...]:
    """Return the origins of the table's rules that reject."""
    found = (rule for chain in table.chains for rule in chain.rules if isinstance(rule.verdict, Reject))
    return joined_origins(found)
