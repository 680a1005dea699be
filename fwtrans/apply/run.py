"""`fwtrans apply`: from a ruleset and a running firewall to the new one in force, or to what was there before.

    look      what runs, what is wanted, what would change; every reason to refuse, before anything is touched (look.py)
    save      a snapshot of everything, proved to load again; then the way back, in a process of its own
    load      our tables in one transaction, bridged packets, the old rules out of the way
    wait      until somebody confirms, or the way back is gone

After each step `step` is called with its name: progress for people, and where tests end the process.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.apply import boot
from fwtrans.apply.finish import undo
from fwtrans.apply.look import Looked, Looking, Stop, plan_text, stop, tell_faults
from fwtrans.apply.request import BOOT_BEFORE, NEW_TABLES, Applied, Outcome, Request
from fwtrans.apply.selftest import self_test
from fwtrans.backend.loader import old_rules, snapshot
from fwtrans.backend.loader import transaction as tx
from fwtrans.backend.loader.client import Unavailable
from fwtrans.backend.loader.guard import NotArmed, arm
from fwtrans.backend.loader.load import carry_out, changed_since, with_sums
from fwtrans.backend.loader.old_rules import ToolFailed
from fwtrans.backend.loader.pending import (
    Locked,
    Pending,
    end_pending,
    guard_is_alive,
    is_locked,
    lock,
    mark_loaded,
    read_pending,
    seconds_since_boot,
    state_folder_obstacle,
    write_pending,
)
from fwtrans.backend.loader.plan import Counts
from fwtrans.backend.loader.real import LibNft
from fwtrans.backend.loader.restore import restore
from fwtrans.backend.loader.state import image_value, read_state, this_host, write_private, write_state
from fwtrans.diagnostics import Diagnostic, DiagnosticSink

if TYPE_CHECKING:
    from fwtrans.apply.wanted import Wanted
    from fwtrans.backend.loader.image import Image
    from fwtrans.read import Files

_POLL = 0.1
_GRACE = 10.0
"""How long after the deadline the way back may take to begin, before its absence is noticed."""


def apply(wanted: Wanted, request: Request, sink: DiagnosticSink, files: Files) -> Applied:
    """Put the ruleset in force, with a way back."""
    try:
        client = LibNft()
    except Unavailable as fault:
        hints = (fault.hint,) if fault.hint else ()
        sink.add(Diagnostic(code=fault.code, message=fault.message, hints=hints))
        return Applied(Outcome.REFUSED)
    work: _Work | None = None
    try:
        if why := state_folder_obstacle(request.directory):
            sink.add(Diagnostic(code="FWT611", message=f"the state cannot be kept: {why}"))
            return Applied(Outcome.REFUSED)
        with lock(request.directory, wait=1.0):
            work = _Work(wanted, request, sink, client)
            answer = work.run(files)
        if answer is not None:
            return answer
        _wait(work, request, sink)
    except Locked as who:
        hint = "wait until it is done, then look with `fwtrans status`"
        sink.add(Diagnostic(code="FWT605", message=f"another run is under way: {who}", hints=(hint,)))
        return Applied(Outcome.REFUSED)
    except KeyboardInterrupt:  # who presses it is in trouble: what has begun goes back at once
        if work is None or not work.begun:
            raise
        undo(request.directory, work.identity, sink, request.boot_files)
    finally:
        client.close()
    return _decided(work, request, sink)


class _Work:
    """One apply, under the lock."""

    def __init__(self, wanted: Wanted, request: Request, sink: DiagnosticSink, client: LibNft) -> None:
        self.wanted = wanted
        self.request = request
        self.sink = sink
        self.client = client
        self.identity = snapshot.new_identity(request.directory)
        self.counts = Counts()
        self.sent = 0
        self.begun = False

    def run(self, files: Files) -> Applied | None:
        """Return how it ended, None where it now waits for its confirmation."""
        self.request.step("locked")
        try:
            looked = Looking(self.wanted, self.request, self.sink, self.client, files).look()
            self.counts = looked.plan.counts
            self.request.step("checked")
            if looked.changes_nothing and not self.request.persist:
                return Applied(Outcome.UNCHANGED)
            if not self.request.ask(plan_text(looked, self.request, self.sink.found)):
                return Applied(Outcome.DECLINED)
            self._look_again(looked)
            self.request.step("agreed")
            saved = self._save(looked)
            pending = self._arm(looked)
        except Stop:
            return Applied(Outcome.REFUSED, counts=self.counts)
        return self._load(looked, saved, pending)

    def _look_again(self, looked: Looked) -> None:
        """Stop where others changed our tables while somebody was asked."""
        names = [table.name for table in looked.plan.switched]
        if changes := changed_since(self.client, looked.state, looked.present, names):
            message = f"nothing was touched: {changes[0]} while you were asked"
            stop(self.sink, "FWT612", message, "run it again, it then says what it finds", changes[1:])

    # --- save ---

    def _save(self, looked: Looked) -> snapshot.Snapshot:
        try:
            ours = looked.state.image if looked.state is not None and looked.is_certain else self._listed(looked)
            loads = [table.name for table in looked.wanted.image]
            saved = snapshot.take_snapshot(self.client, ours, self.identity, loads)
            self.request.step("read")
            about = {"outcome": "begun", "persist": self.request.persist}
            folder = snapshot.save_snapshot(self.request.directory, saved, about)
            write_private(folder / NEW_TABLES, json.dumps(image_value(looked.wanted.image)))
            before = boot.kept(self.request.boot_files)
            if before is not None:
                write_private(folder / BOOT_BEFORE, before)
        except (ToolFailed, OSError) as fault:
            stop(self.sink, "FWT609", f"the running firewall cannot be saved: {fault}")
        self.request.step("saved")
        if faults := snapshot.prove_snapshot(saved):
            message = f"the copy of the running firewall does not load again: {faults[0]}"
            stop(self.sink, "FWT609", message, notes=faults[1:])
        self.request.step("proved")
        return saved

    def _arm(self, looked: Looked) -> Pending:
        pending = Pending(
            identity=self.identity,
            host=this_host(),
            deadline=seconds_since_boot() + self.request.confirm_within,
            wait=self.request.confirm_within,
            asleep=looked.asleep,
            persist=self.request.persist,
        )
        self.begun = True
        try:
            write_pending(self.request.directory, pending)
            self.request.step("pending")
            arm(self.request.directory, self.identity)
        except (NotArmed, OSError) as fault:
            end_pending(self.request.directory)
            stop(self.sink, "FWT610", f"the way back could not be made ready: {fault}")
        self.request.step("armed")
        return pending

    def _listed(self, looked: Looked) -> Image:
        """Return our tables as the kernel has them, where the state file does not say."""
        found = (self.client.listing(item.image.name) for item in looked.present.present)
        return tuple(table for table in found if table is not None)

    # --- load ---

    def _load(self, looked: Looked, saved: snapshot.Snapshot, pending: Pending) -> Applied | None:
        step = self.request.step
        try:
            self._switch(looked)
            self._bridged()
            for rules in looked.emptied:
                old_rules.take_out(rules)
                step(f"emptied {rules.owner}")
            self._test(looked)
            step("tested")
            mark_loaded(self.request.directory, pending)
            step("loaded")
            self._complete_state()
        except (ToolFailed, OSError) as fault:
            self.sink.add(Diagnostic(code="FWT612", message=f"loading failed: {fault}"))
            return self._back(saved)
        return None

    def _switch(self, looked: Looked) -> None:
        """Load our tables, and take those of the nft variants out of the way in the same transaction."""
        asleep = tuple(tx.SetDormant(table, dormant=True) for table in looked.asleep)
        plan = replace(looked.plan, switch=tx.Transaction((*looked.plan.switch.commands, *asleep)))
        answer = carry_out(self.client, plan, looked.present, tidy=False, state=looked.state, step=self.request.step)
        if answer.faults:
            tell_faults(answer.faults, looked.wanted, self.sink)
            raise ToolFailed("the kernel refuses the ruleset")
        self.sent = len(answer.sent)
        if answer.state is not None:
            write_state(self.request.directory, answer.state)
        self.request.step("noted")

    def _complete_state(self) -> None:
        """Add what the next load knows our sets by; without it they would be filled anew."""
        state = read_state(self.request.directory)
        if state is not None:
            with suppress(OSError):
                write_state(self.request.directory, with_sums(self.client, state))

    def _bridged(self) -> None:
        """Keep bridged packets from iptables, where our bridge table judges them."""
        if any(table.name.family == "bridge" for table in self.wanted.image):
            now = old_rules.read_bridge_settings()
            old_rules.write_bridge_settings({name: "0" for name, value in now.items() if value != "0"})
        self.request.step("bridged")

    def _test(self, looked: Looked) -> None:
        problems = self_test(self.client, looked.wanted.image, looked.emptied, looked.asleep)
        if problems:
            raise ToolFailed(problems[0])

    def _back(self, saved: snapshot.Snapshot) -> Applied:
        problems = restore(self.client, saved, self.request.directory)
        outcome = Outcome.RESTORE_FAILED if problems else Outcome.RESTORED
        for problem in problems:
            self.sink.add(Diagnostic(code="FWT614", message=problem))
        with suppress(OSError):
            snapshot.note_outcome(self.request.directory, self.identity, f"loading failed, {outcome.value}")
        end_pending(self.request.directory)
        return Applied(outcome, self.identity, self.counts)


def _wait(work: _Work, request: Request, sink: DiagnosticSink) -> None:
    """Wait until it is decided."""
    request.say(
        f"loaded. Open a NEW connection to this host, look that all works, and run `fwtrans confirm` there within "
        f"{request.confirm_within:.0f} seconds. Otherwise all is undone."
    )
    while (pending := read_pending(request.directory)) is not None and pending.identity == work.identity:
        if pending.confirmed and not is_locked(request.directory):
            return  # what was left to do was not done; whoever confirmed was told
        is_late = not pending.confirmed and pending.seconds_left < -_GRACE
        if is_late and not guard_is_alive(request.directory, work.identity):
            found = undo(request.directory, work.identity, sink, request.boot_files)
            if found.identity:  # else it had just ended, its work done
                message = "the process that would go back is gone, so this one does it"
                sink.add(Diagnostic(code="FWT610", message=message))
            elif _waits(request, work) and not is_locked(request.directory):
                return  # nobody can go back: why has been told
        time.sleep(_POLL)


def _waits(request: Request, work: _Work) -> bool:
    pending = read_pending(request.directory)
    return pending is not None and pending.identity == work.identity


def _decided(work: _Work, request: Request, sink: DiagnosticSink) -> Applied:
    """Tell what became of it."""
    outcome = str((snapshot.read_manifest(request.directory, work.identity) or {}).get("outcome", ""))
    with suppress(Locked, OSError), lock(request.directory, wait=1.0):
        # the next apply may wait already
        waits = read_pending(request.directory)
        snapshot.prune(request.directory, request.keep, spare=[work.identity, *([waits.identity] if waits else [])])
    if outcome == "confirmed":
        return Applied(Outcome.CONFIRMED, work.identity, work.counts, work.sent)
    stays = _waits(request, work)
    failed = stays or "fail" in outcome
    code = "FWT614" if failed else "FWT613"
    unknown = (
        "nobody could go back, so the new rules are still loaded" if stays else "it is not known what became of it"
    )
    sink.add(Diagnostic(code=code, message=f"apply {work.identity}: {unknown if stays else outcome or unknown}"))
    return Applied(Outcome.RESTORE_FAILED if failed else Outcome.RESTORED, work.identity, work.counts, work.sent)
