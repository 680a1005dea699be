"""`fwtrans apply`: from a ruleset and a running firewall to the new one in force, or to what was there before.

    look      what runs, what is wanted, what would change; every reason to refuse is found here, before anything is touched
    save      a snapshot of everything, proved to load again; then the way back, in a process of its own
    load      our tables in one transaction, bridged packets, the old rules out of the way
    wait      until somebody confirms, or the way back is gone

After each step `step` is called with its name: progress for people, and where tests end the process.
"""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NoReturn

from fwtrans.apply import boot
from fwtrans.apply.coexistence import other_base_chains, services
from fwtrans.apply.running import Running, differs_from, running_firewall, sources_of, taken_out
from fwtrans.apply.selftest import self_test
from fwtrans.apply.traffic import changed_traffic
from fwtrans.apply.wanted import Wanted, place_of
from fwtrans.backend.loader import old_rules, snapshot
from fwtrans.backend.loader import transaction as tx
from fwtrans.backend.loader.client import Unavailable
from fwtrans.backend.loader.guard import NotArmed, arm
from fwtrans.backend.loader.load import Assessment, assess, carry_out, check
from fwtrans.backend.loader.old_rules import OldRules, ToolFailed
from fwtrans.backend.loader.pending import (
    Locked,
    Pending,
    end_pending,
    lock,
    mark_loaded,
    read_pending,
    seconds_since_boot,
    state_folder_obstacle,
    write_pending,
)
from fwtrans.backend.loader.plan import Counts, Plan, make_plan
from fwtrans.backend.loader.real import LibNft
from fwtrans.backend.loader.restore import restore
from fwtrans.backend.loader.state import State, image_value, read_state, this_host, write_private, write_state
from fwtrans.diagnostics import Diagnostic, DiagnosticSink

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fwtrans.backend.loader.client import Fault
    from fwtrans.backend.loader.image import Image, TableName
    from fwtrans.read import Files

NEW_TABLES = "new.json"
BOOT_BEFORE = "boot.nft"
OLDEST_NFT, OLDEST_KERNEL = (1, 0, 6), (6, 1)
_POLL = 0.1


class Outcome(Enum):
    """How it ended."""

    REFUSED = "refused"
    DECLINED = "declined"
    CONFIRMED = "confirmed"
    RESTORED = "restored"
    RESTORE_FAILED = "restore failed"


def _nothing(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the caller wants, and how to talk to whoever is there."""

    directory: Path
    confirm_within: float = 60.0
    persist: bool = False
    allow_changes: bool = False
    keep: int = 10
    boot_files: boot.BootFiles = field(default_factory=boot.BootFiles)
    ask: Callable[[str], bool] = lambda _: True
    say: Callable[[str], None] = _nothing
    step: Callable[[str], None] = _nothing


@dataclass(frozen=True, slots=True)
class Applied:
    """How it ended, with what was planned and the snapshot that leads back."""

    outcome: Outcome
    identity: str = ""
    counts: Counts = field(default_factory=Counts)
    sent: int = 0

    @property
    def value(self) -> dict[str, object]:
        """Return it in JSON's types."""
        return {
            "outcome": self.outcome.value,
            "id": self.identity or None,
            "transactions": self.sent,
            "changes": asdict(self.counts),
        }


class _Stop(Exception):  # noqa: N818 -- the sink says why
    """No further: the sink says why."""


def apply(wanted: Wanted, request: Request, sink: DiagnosticSink, files: Files) -> Applied:
    """Put the ruleset in force, with a way back."""
    try:
        client = LibNft()
    except Unavailable as fault:
        hints = (fault.hint,) if fault.hint else ()
        sink.add(Diagnostic(code=fault.code, message=fault.message, hints=hints))
        return Applied(Outcome.REFUSED)
    if why := state_folder_obstacle(request.directory):
        sink.add(Diagnostic(code="FWT611", message=f"the state cannot be kept: {why}"))
        client.close()
        return Applied(Outcome.REFUSED)
    try:
        with lock(request.directory, wait=1.0):
            work = _Work(wanted, request, sink, client)
            answer = work.run(files)
    except Locked as who:
        hint = "wait until it is done, then look with `fwtrans status`"
        sink.add(Diagnostic(code="FWT605", message=f"another run is under way: {who}", hints=(hint,)))
        return Applied(Outcome.REFUSED)
    finally:
        client.close()
    return answer if answer is not None else _wait(work, request, sink)


@dataclass(slots=True)
class _Looked:
    """What was found before anything changed."""

    state: State | None
    present: Assessment
    plan: Plan
    old: tuple[OldRules, ...]
    programs: tuple[str, ...]
    iptables_tables: frozenset[TableName]

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


class _Work:
    """One apply, under the lock."""

    def __init__(self, wanted: Wanted, request: Request, sink: DiagnosticSink, client: LibNft) -> None:
        self.wanted = wanted
        self.request = request
        self.sink = sink
        self.client = client
        self.identity = snapshot.new_identity(request.directory)
        self.pending: Pending | None = None
        self.counts = Counts()
        self.sent = 0

    def run(self, files: Files) -> Applied | None:
        """Return how it ended, None where it now waits for its confirmation."""
        self.request.step("locked")
        try:
            looked = self._look(files)
            if not self.request.ask(_question(looked, self.request)):
                return Applied(Outcome.DECLINED)
            self.request.step("agreed")
            saved = self._save(looked)
        except _Stop:
            return Applied(Outcome.REFUSED, counts=self.counts)
        return self._load(looked, saved)

    # --- look ---

    def _look(self, files: Files) -> _Looked:
        directory, client = self.request.directory, self.client
        self._refuse_pending()
        self._refuse_versions()
        state = read_state(directory)
        self._refuse_tables_of_others(state)
        if self.request.persist and (why := boot.obstacle(self.request.boot_files)):
            self._stop("FWT611", f"the rules cannot be kept for the next boot: {why}")
        try:
            tables = old_rules.tables_of_iptables(client)
            old = old_rules.read_old_rules(tables)
            running = running_firewall(old, old_rules.read_sets())
        except ToolFailed as fault:
            self._stop("FWT609", f"the running firewall cannot be read: {fault}")
        self._compare(running, state, files)
        programs = taken_out(self.wanted.families, self.wanted.sources)
        present = assess(client, state, [table.name for table in self.wanted.image])
        plan = make_plan(present.present, self.wanted.image)
        self.counts = plan.counts
        looked = _Looked(state, present, plan, old, programs, tables)
        self._tell(looked)
        if faults := check(client, plan):
            self._faults(faults)
            raise _Stop
        self.request.step("checked")
        return looked

    def _refuse_pending(self) -> None:
        pending = read_pending(self.request.directory)
        if pending is not None:
            hint = "run `fwtrans confirm` to keep what is loaded, or `fwtrans rollback`"
            self._stop("FWT606", f"apply {pending.identity} waits for its confirmation", hint)

    def _refuse_versions(self) -> None:
        version = self.client.version()
        kernel = os.uname().release
        if _numbers(version, 3) < OLDEST_NFT:
            self._stop("FWT602", f"libnftables {version} is too old: 1.0.6 is needed")
        if _numbers(kernel, 2) < OLDEST_KERNEL:
            self._stop("FWT602", f"kernel {kernel} is too old: 6.1 is needed")

    def _refuse_tables_of_others(self, state: State | None) -> None:
        known = {table.image.name for table in state.tables} if state is not None else set()
        there = set(self.client.tables())
        for table in self.wanted.image:
            if table.name in there and table.name not in known and not table.name.name.startswith("fwtrans"):
                self._stop(
                    "FWT604", f"table {table.name} is there and was not loaded by fwtrans", "give it another name"
                )

    def _compare(self, running: Running, state: State | None, files: Files) -> None:
        """Refuse what is not the running firewall over again, unless a change is asked for."""
        if running.both:
            self._stop(
                "FWT621",
                f"both variants of {', '.join(running.both)} hold rules; which of them is meant cannot be told",
            )
        if self.wanted.sources:
            different = differs_from(running, self.wanted.sources)
            if different and not self.request.allow_changes:
                self._stop("FWT607", different[0], "collect it again and translate that", notes=different[1:])
            if different or sources_of(running) or state is None:
                return
        before = sources_of(running)
        found = changed_traffic(before, state.image if state is not None else (), self.wanted.text, files)
        for line in found.lines:
            self.request.say(line)
        if before and found.differs and not self.request.allow_changes:
            hint = "look with `fwtrans verify`; if the change is meant, say --allow-changes"
            self._stop("FWT608", "the new ruleset does not do what the running firewall does", hint)

    def _tell(self, looked: _Looked) -> None:
        for text in looked.present.foreign:
            self.sink.add(Diagnostic(code="FWT616", message=text))
        for text in looked.present.doubts:
            self.sink.add(Diagnostic(code="FWT617", message=text))
        out = {*looked.asleep}
        for finding in (*other_base_chains(self.client.base_chains(), self.wanted.image, out), *services()):
            self.sink.add(finding)

    # --- save ---

    def _save(self, looked: _Looked) -> snapshot.Snapshot:
        directory = self.request.directory
        try:
            held = tuple(item.image for item in looked.present.present)
            ours = looked.state.image if looked.state is not None and _is_known(looked) else self._listed(held)
            loads = [table.name for table in self.wanted.image]
            saved = snapshot.take_snapshot(self.client, ours, self.identity, loads)
            self.request.step("read")
            folder = snapshot.save_snapshot(directory, saved, {"outcome": "begun", "persist": self.request.persist})
            write_private(folder / NEW_TABLES, json.dumps(image_value(self.wanted.image)))
            before = boot.kept(self.request.boot_files)
            if before is not None:
                write_private(folder / BOOT_BEFORE, before)
        except (ToolFailed, OSError) as fault:
            self._stop("FWT609", f"the running firewall cannot be saved: {fault}")
        self.request.step("saved")
        if faults := snapshot.prove_snapshot(saved):
            self._stop("FWT609", f"the copy of the running firewall does not load again: {faults[0]}", notes=faults[1:])
        self.request.step("proved")
        pending = Pending(
            identity=self.identity,
            host=this_host(),
            deadline=seconds_since_boot() + self.request.confirm_within,
            wait=self.request.confirm_within,
            asleep=looked.asleep,
            persist=self.request.persist,
        )
        try:
            write_pending(directory, pending)
            self.request.step("pending")
            arm(directory, self.identity)
        except (NotArmed, OSError) as fault:
            end_pending(directory)
            self._stop("FWT610", f"the way back could not be made ready: {fault}")
        self.pending = pending
        self.request.step("armed")
        return saved

    def _listed(self, present: Image) -> Image:
        """Return our tables as the kernel has them, where the state file does not say."""
        found = (self.client.listing(table.name) for table in present)
        return tuple(table for table in found if table is not None)

    # --- load ---

    def _load(self, looked: _Looked, saved: snapshot.Snapshot) -> Applied | None:
        step = self.request.step
        try:
            self._switch(looked)
            self._bridged()
            for rules in looked.emptied:
                old_rules.take_out(rules)
                step(f"emptied {rules.owner}")
            problems = self_test(self.client, self.wanted.image, looked.emptied, looked.asleep)
            step("tested")
            self._insist(problems)
            step("loaded")
        except (ToolFailed, OSError) as fault:
            self.sink.add(Diagnostic(code="FWT612", message=f"loading failed: {fault}"))
            return self._back(saved)
        return None

    def _insist(self, problems: tuple[str, ...]) -> None:
        if problems:
            raise ToolFailed(problems[0])
        assert self.pending is not None  # noqa: S101 -- `_save` made it
        self.pending = mark_loaded(self.request.directory, self.pending)

    def _switch(self, looked: _Looked) -> None:
        asleep = tuple(tx.SetDormant(table, dormant=True) for table in looked.asleep)
        plan = looked.plan
        whole = Plan(
            plan.prepare,
            tx.Transaction((*plan.switch.commands, *asleep)),
            plan.tidy,
            plan.switched,
            plan.tidied,
            plan.counts,
        )
        answer = carry_out(self.client, whole, tidy=False, state=looked.state, step=self.request.step)
        if answer.faults:
            self._faults(answer.faults)
            raise ToolFailed("the kernel refuses the ruleset")
        self.sent = len(answer.sent)
        if answer.state is not None:
            write_state(self.request.directory, answer.state)
        self.request.step("noted")

    def _bridged(self) -> None:
        """Keep bridged packets from iptables, where our bridge table judges them."""
        if any(table.name.family == "bridge" for table in self.wanted.image):
            now = old_rules.read_bridge_settings()
            old_rules.write_bridge_settings({name: "0" for name, value in now.items() if value != "0"})
        self.request.step("bridged")

    def _back(self, saved: snapshot.Snapshot) -> Applied:
        problems = restore(self.client, saved, self.request.directory)
        outcome = Outcome.RESTORE_FAILED if problems else Outcome.RESTORED
        for problem in problems:
            self.sink.add(Diagnostic(code="FWT614", message=problem))
        snapshot.note_outcome(self.request.directory, self.identity, f"loading failed, {outcome.value}")
        end_pending(self.request.directory)
        return Applied(outcome, self.identity, self.counts)

    def _faults(self, faults: tuple[Fault, ...]) -> None:
        for fault in faults[:20]:
            command = fault.command
            where = ""
            notes: tuple[str, ...] = ()
            if isinstance(command, tx.AddRule):
                where = f"{place_of(self.wanted, command.table, command.chain, command.rule)}: "
                notes = (f"in chain {command.chain} of table {command.table}: {command.rule}",)
            elif command is not None:
                notes = (command.text()[:200],)
            self.sink.add(Diagnostic(code="FWT603", message=f"{where}nft refuses this: {fault.message}", notes=notes))

    def _stop(self, code: str, message: str, hint: str = "", notes: tuple[str, ...] = ()) -> NoReturn:
        self.sink.add(Diagnostic(code=code, message=message, hints=(hint,) if hint else (), notes=notes))
        raise _Stop


def _is_known(looked: _Looked) -> bool:
    return not looked.present.doubts and not looked.present.foreign


def _question(looked: _Looked, request: Request) -> str:
    lines = ["fwtrans will"]
    counts = looked.plan.counts
    lines.append(
        f"  load {counts.rules_added} rules and {counts.elements_added} elements, remove {counts.rules_removed} and "
        f"{counts.elements_removed}, keep {counts.rules_kept} and {counts.elements_kept}"
    )
    out = [rules.owner for rules in looked.emptied] + [str(table) for table in looked.asleep]
    if out:
        lines.append(f"  take out of the way: {', '.join(out)}")
    if request.persist:
        lines.append(f"  load it at every boot once it is confirmed ({request.boot_files.unit})")
    lines.append(f"  undo all of it unless `fwtrans confirm` is run within {request.confirm_within:.0f} seconds")
    return "\n".join(lines)


def _numbers(text: str, count: int) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:count])


def _wait(work: _Work, request: Request, sink: DiagnosticSink) -> Applied:
    """Wait until it is decided. An interrupt goes back at once: who presses it is in trouble."""
    from fwtrans.apply.finish import roll_back  # noqa: PLC0415 -- it imports this module's names

    request.say(
        f"loaded. Open a NEW connection to this host, look that all works, and run `fwtrans confirm` there within "
        f"{request.confirm_within:.0f} seconds. Otherwise all is undone."
    )
    try:
        while (pending := read_pending(request.directory)) is not None and pending.identity == work.identity:
            time.sleep(_POLL)
    except KeyboardInterrupt:
        roll_back(request.directory, "", sink, request.boot_files)
    outcome = str((snapshot.read_manifest(request.directory, work.identity) or {}).get("outcome", ""))
    snapshot.prune(request.directory, request.keep, spare=[work.identity])
    if outcome == "confirmed":
        return Applied(Outcome.CONFIRMED, work.identity, work.counts, work.sent)
    failed = "fail" in outcome
    code = "FWT614" if failed else "FWT613"
    sink.add(Diagnostic(code=code, message=f"apply {work.identity}: {outcome or 'it is not known what became of it'}"))
    return Applied(Outcome.RESTORE_FAILED if failed else Outcome.RESTORED, work.identity, work.counts, work.sent)
