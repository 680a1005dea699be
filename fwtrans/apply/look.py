"""The part of `apply` that only looks: what runs, what would change, and every reason to refuse."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from fwtrans.apply import boot
from fwtrans.apply.coexistence import other_base_chains, services
from fwtrans.apply.running import Running, differs_from, running_firewall, sources_of, taken_out
from fwtrans.apply.traffic import changed_traffic
from fwtrans.apply.wanted import Wanted, place_of
from fwtrans.backend.loader import old_rules
from fwtrans.backend.loader import transaction as tx
from fwtrans.backend.loader.load import Assessment, assess, check
from fwtrans.backend.loader.naming import under_loaded_names
from fwtrans.backend.loader.old_rules import OldRules, ToolFailed
from fwtrans.backend.loader.pending import read_pending
from fwtrans.backend.loader.plan import Plan, make_plan
from fwtrans.backend.loader.state import State, read_state
from fwtrans.diagnostics import Diagnostic, DiagnosticSink

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fwtrans.apply.request import Request
    from fwtrans.backend.loader.client import Fault
    from fwtrans.backend.loader.image import ChainImage, ObjectImage, TableImage, TableName
    from fwtrans.backend.loader.real import LibNft
    from fwtrans.read import Files

OLDEST_NFT, OLDEST_KERNEL = (1, 0, 6), (6, 1)
_MOST_FAULTS = 20


class Stop(Exception):  # noqa: N818 -- it is an answer
    """No further: the sink says why."""


def stop(sink: DiagnosticSink, code: str, message: str, hint: str = "", notes: tuple[str, ...] = ()) -> NoReturn:
    """Say why, and go no further."""
    sink.add(Diagnostic(code=code, message=message, hints=(hint,) if hint else (), notes=notes))
    raise Stop


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found before anything changed. `programs` are those whose rules the new ruleset stands for.

    `wanted` is what is asked for under the names that are loaded.
    """

    asked: Wanted
    wanted: Wanted
    state: State | None
    present: Assessment
    plan: Plan
    old: tuple[OldRules, ...]
    programs: tuple[str, ...]
    iptables_tables: frozenset[TableName]

    @property
    def names_kept(self) -> int:
        """Return how many chains, sets and maps go by another name than the new ruleset gives them."""
        loaded = {(item.image.name, part.name) for item in self.present.present for part in _parts(item.image)}
        return sum(
            one.name != other.name and (now.name, other.name) in loaded
            for was, now in zip(self.asked.image, self.wanted.image, strict=True)
            for one, other in zip(_parts(was), _parts(now), strict=True)
        )

    @property
    def asleep(self) -> tuple[TableName, ...]:
        """Return the tables of the nft variants that go out of the way."""
        families = {family.nft for family in old_rules.FAMILIES if family.program in self.programs}
        return tuple(sorted(table for table in self.iptables_tables if table.family in families))

    @property
    def emptied(self) -> tuple[OldRules, ...]:
        """Return the legacy rules that go out of the way."""
        owners = {f"{program}-legacy" for program in self.programs}
        return tuple(rules for rules in self.old if rules.owner in owners and rules.has_rules)

    @property
    def is_certain(self) -> bool:
        """Tell whether the state file says what is loaded of ours."""
        return self.state is not None and not self.present.doubts and not self.present.foreign

    @property
    def changes_nothing(self) -> bool:
        """Tell whether all is loaded already and nothing is in its way."""
        return not (self.plan.counts.changes or self.asleep or self.emptied)


def _parts(table: TableImage) -> tuple[ChainImage | ObjectImage, ...]:
    return (*table.chains, *table.objects)


class Looking:
    """One look, under the lock."""

    def __init__(self, wanted: Wanted, request: Request, sink: DiagnosticSink, client: LibNft, files: Files) -> None:
        self.wanted = wanted
        self.request = request
        self.sink = sink
        self.client = client
        self.files = files

    def look(self) -> Looked:
        """Return what was found; raises Stop."""
        self._refuse_pending()
        self._refuse_versions()
        state = read_state(self.request.directory)
        self._refuse_tables_of_others(state)
        if self.request.persist and (why := boot.obstacle(self.request.boot_files)):
            stop(self.sink, "FWT611", f"the rules cannot be kept for the next boot: {why}")
        try:
            tables = old_rules.tables_of_iptables(self.client)
            old = old_rules.read_old_rules(tables)
            running = running_firewall(old, old_rules.read_sets())
        except ToolFailed as fault:
            stop(self.sink, "FWT609", f"the running firewall cannot be read: {fault}")
        self._compare(running, state)
        present = assess(self.client, state, [table.name for table in self.wanted.image])
        image = under_loaded_names(present.present, self.wanted.image, self.wanted.given)
        plan = make_plan(present.present, image)
        wanted = self.wanted.under_names_of(image)
        programs = taken_out(self.wanted.families, self.wanted.sources)
        looked = Looked(self.wanted, wanted, state, present, plan, old, programs, tables)
        self._tell(looked)
        if faults := check(self.client, plan):
            tell_faults(faults, wanted, self.sink)
            raise Stop
        return looked

    def _refuse_pending(self) -> None:
        pending = read_pending(self.request.directory)
        if pending is not None and pending.confirmed:
            message = f"apply {pending.identity} is confirmed, but what follows from that was not done to its end"
            stop(self.sink, "FWT606", message, "run `fwtrans confirm` again")
        if pending is not None and not pending.loaded:
            hint = "run `fwtrans rollback`, which puts back whatever had been changed"
            stop(self.sink, "FWT606", f"apply {pending.identity} was broken off on its way", hint)
        if pending is not None:
            hint = "run `fwtrans confirm` to keep what is loaded, or `fwtrans rollback`"
            stop(self.sink, "FWT606", f"apply {pending.identity} waits for its confirmation", hint)

    def _refuse_versions(self) -> None:
        version, kernel = self.client.version(), os.uname().release
        if _numbers(version, 3) < OLDEST_NFT:
            stop(self.sink, "FWT602", f"libnftables {version} is too old: 1.0.6 is needed")
        if _numbers(kernel, 2) < OLDEST_KERNEL:
            stop(self.sink, "FWT602", f"kernel {kernel} is too old: 6.1 is needed")

    def _refuse_tables_of_others(self, state: State | None) -> None:
        known = {table.image.name for table in state.tables} if state is not None else set()
        there = set(self.client.tables())
        for table in self.wanted.image:
            if table.name in there and table.name not in known and not table.name.name.startswith("fwtrans"):
                message = f"table {table.name} is there and was not loaded by fwtrans"
                stop(self.sink, "FWT604", message, "give it another name")

    def _compare(self, running: Running, state: State | None) -> None:
        """Refuse what is not the running firewall over again, unless a change is asked for."""
        if running.both:
            names = ", ".join(running.both)
            stop(self.sink, "FWT621", f"both variants of {names} hold rules; which of them is meant cannot be told")
        if self.wanted.sources:
            different = differs_from(running, self.wanted.sources)
            if different and not self.request.allow_changes:
                stop(self.sink, "FWT607", different[0], "collect it again and translate that", different[1:])
            for line in different:
                self.request.say(f"changed since it was collected: {line}")
            if not different and sources_of(running):
                self.request.say(
                    "for packets nothing changes: the translation is proved, and what runs is what was translated"
                )
            if different or sources_of(running) or state is None:
                return
        before = sources_of(running)
        found = changed_traffic(before, state.image if state is not None else (), self.wanted.text, self.files)
        for line in found.lines:
            self.request.say(line)
        if before and found.differs and not self.request.allow_changes:
            hint = "look with `fwtrans verify`; if the change is meant, say --allow-changes"
            stop(self.sink, "FWT608", "the new ruleset does not do what the running firewall does", hint)

    def _tell(self, looked: Looked) -> None:
        for text in looked.present.foreign:
            self.sink.add(Diagnostic(code="FWT616", message=text))
        for text in looked.present.doubts:
            self.sink.add(Diagnostic(code="FWT617", message=text))
        for rules in looked.old:
            if rules.has_rules and rules.owner.rpartition("-")[0] not in looked.programs:
                message = f"{rules.owner} has rules that this ruleset does not stand for: they stay in force"
                self.sink.add(Diagnostic(code="FWT618", message=message))
        chains = self.client.base_chains()
        for finding in (*other_base_chains(chains, self.wanted.image, looked.asleep), *services()):
            self.sink.add(finding)


def tell_faults(faults: tuple[Fault, ...], wanted: Wanted, sink: DiagnosticSink) -> None:
    """Say what nft refuses, each at the line of the source that it came from."""
    for fault in faults[:_MOST_FAULTS]:
        command = fault.command
        where = ""
        notes: tuple[str, ...] = ()
        if isinstance(command, tx.AddRule):
            where = f"{place_of(wanted, command.table, command.chain, command.rule)}: "
            notes = (f"in chain {command.chain} of table {command.table}: {command.rule}",)
        elif command is not None:
            notes = (command.text()[:200],)
        sink.add(Diagnostic(code="FWT603", message=f"{where}nft refuses this: {fault.message}", notes=notes))


def plan_text(looked: Looked, request: Request, found: Iterable[Diagnostic]) -> str:
    """Return what is going to happen and what was found, for whoever has to agree."""
    counts = looked.plan.counts
    lines = [
        "fwtrans will",
        (
            f"  load {counts.rules_added} rules and {counts.elements_added} elements, remove {counts.rules_removed} and "
            f"{counts.elements_removed}, keep {counts.rules_kept} and {counts.elements_kept}"
        ),
    ]
    if looked.names_kept:
        lines.append(f"  keep {looked.names_kept} names that are loaded where the new ruleset has made others")
    out = [rules.owner for rules in looked.emptied] + [str(table) for table in looked.asleep]
    if out:
        lines.append(f"  take out of the way: {', '.join(out)}")
    if request.persist:
        lines.append(f"  load it at every boot once it is confirmed ({request.boot_files.unit})")
    lines.extend(f"  although {item.message}" for item in found)
    lines.append(f"  undo all of it unless `fwtrans confirm` is run within {request.confirm_within:.0f} seconds")
    return "\n".join(lines)


def _numbers(text: str, count: int) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:count])
