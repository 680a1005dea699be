"""`fwtrans confirm`, `rollback` and `status`: what becomes of an apply, and how things stand."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fwtrans.apply import boot
from fwtrans.apply.request import BOOT_BEFORE, NEW_TABLES
from fwtrans.backend.loader import old_rules, snapshot
from fwtrans.backend.loader import transaction as tx
from fwtrans.backend.loader.client import Unavailable
from fwtrans.backend.loader.load import assess, carry_out, with_sums
from fwtrans.backend.loader.pending import (
    Locked,
    end_pending,
    guard_is_alive,
    lock,
    mark_confirmed,
    read_pending,
    unsafe,
)
from fwtrans.backend.loader.plan import make_plan
from fwtrans.backend.loader.real import LibNft
from fwtrans.backend.loader.restore import restore
from fwtrans.backend.loader.state import image_of_value, read_state, write_state
from fwtrans.diagnostics import Diagnostic, DiagnosticSink

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fwtrans.backend.loader.image import Image, TableName
    from fwtrans.backend.loader.pending import Pending

CONFIRMED, ROLLED_BACK = "confirmed", "rolled back"
_PREFIX = "fwtrans"
"""What the names of tables begin with that `translate` makes."""


@dataclass(frozen=True, slots=True)
class Finished:
    """Whether it was done, whether restoring went wrong, and which snapshot it was about."""

    done: bool
    failed: bool = False
    identity: str = ""


def confirm(directory: Path, sink: DiagnosticSink, files: boot.BootFiles) -> Finished:
    """Keep what is loaded: the way back goes, left-overs go, and the next boot loads it where that was asked for."""
    return _locked(directory, sink, lambda client: _confirm(client, directory, sink, files))


def roll_back(directory: Path, identity: str, sink: DiagnosticSink, files: boot.BootFiles) -> Finished:
    """Go back to a snapshot: the one named, or that of the apply that is pending, or the newest that was confirmed."""
    seen = None if identity else read_pending(directory)

    def work(client: LibNft) -> Finished:
        now = read_pending(directory)
        if seen is not None and (now is None or now.identity != seen.identity):
            # the way back fired, or somebody else decided, while this one waited for the lock
            message = f"apply {seen.identity} does not wait any more ({_outcome(directory, seen.identity)}): nothing was touched"
            sink.add(Diagnostic(code="FWT615", message=message, hints=("`fwtrans status` says what is loaded",)))
            return Finished(done=False)
        return _roll_back(client, directory, identity, sink, files)

    return _locked(directory, sink, work)


def undo(directory: Path, identity: str, sink: DiagnosticSink, files: boot.BootFiles) -> Finished:
    """Go back from an apply that waits; where somebody else was quicker, that was decided and nothing is done."""

    def work(client: LibNft) -> Finished:
        pending = read_pending(directory)
        if pending is None or pending.identity != identity or pending.confirmed:
            return Finished(done=False)
        return _roll_back(client, directory, identity, sink, files)

    return _locked(directory, sink, work)


def _locked(directory: Path, sink: DiagnosticSink, work: Callable[[LibNft], Finished]) -> Finished:
    if os.geteuid():
        sink.add(Diagnostic(code="FWT601", message="the kernel lets only root read and change its rules"))
        return Finished(done=False)
    if not directory.is_dir():
        sink.add(Diagnostic(code="FWT615", message=f"nothing was ever applied here: there is no {directory}"))
        return Finished(done=False)
    if why := unsafe(directory):
        sink.add(Diagnostic(code="FWT611", message=f"what is kept here cannot be trusted: {why}"))
        return Finished(done=False)
    try:
        with lock(directory, wait=10.0):
            client = LibNft()
            try:
                return work(client)
            finally:
                client.close()
    except Locked as who:
        sink.add(Diagnostic(code="FWT605", message=f"another run is under way: {who}"))
    except Unavailable as fault:
        sink.add(Diagnostic(code=fault.code, message=fault.message))
    except OSError as fault:
        sink.add(Diagnostic(code="FWT611", message=f"{fault.filename or directory}: {fault.strerror}"))
    return Finished(done=False)


def _confirm(client: LibNft, directory: Path, sink: DiagnosticSink, files: boot.BootFiles) -> Finished:
    pending = read_pending(directory)
    if pending is None or not (pending.confirmed or (pending.loaded and pending.seconds_left > 0)):
        message = (
            "nothing waits for a confirmation" if pending is None else f"it is too late for apply {pending.identity}"
        )
        sink.add(Diagnostic(code="FWT615", message=message, hints=("`fwtrans status` says what is loaded",)))
        return Finished(done=False)
    mark_confirmed(directory, pending)
    snapshot.note_outcome(directory, pending.identity, CONFIRMED)
    try:
        image = _new_tables(directory, pending.identity)
        _tidy(client, directory, image, pending)
        if pending.persist:
            boot.persist(files, image)
    except (OSError, ValueError, KeyError, TypeError) as fault:
        what = "the rules are confirmed, but not kept for the next boot"
        if isinstance(fault, OSError):
            why, hint = f"{fault.filename or ''}: {fault.strerror}", "make room, and run `fwtrans confirm` again"
        else:
            why, hint = f"{NEW_TABLES} of the snapshot is damaged", "go back with `fwtrans rollback`"
        sink.add(Diagnostic(code="FWT611", message=f"{what}: {why}", hints=(hint,)))
        return Finished(done=True, identity=pending.identity)
    end_pending(directory)
    return Finished(done=True, identity=pending.identity)


def _new_tables(directory: Path, identity: str) -> Image:
    return image_of_value(json.loads((directory / snapshot.FOLDER / identity / NEW_TABLES).read_bytes()))


def _tidy(client: LibNft, directory: Path, image: Image, pending: Pending) -> None:
    """Remove what only the way back needed: parts of our tables that nothing leads to, and the tables switched off."""
    asleep = client.dormant_tables() & set(pending.asleep)
    client.run(tx.Transaction(tuple(tx.DeleteTable(table) for table in sorted(asleep))))
    state = read_state(directory)
    present = assess(client, state, ())
    if state is None or present.doubts or present.foreign:
        return
    answer = carry_out(client, make_plan(present.present, image), present, tidy=True, state=state)
    if answer.state is not None:
        write_state(directory, with_sums(client, answer.state))


def _roll_back(client: LibNft, directory: Path, identity: str, sink: DiagnosticSink, files: boot.BootFiles) -> Finished:
    pending = read_pending(directory)
    chosen = identity or (pending.identity if pending is not None else _newest_confirmed(directory))
    saved = snapshot.read_snapshot(directory, chosen) if chosen else None
    if saved is None:
        message = f"there is no snapshot `{chosen}` that is whole" if chosen else "there is nothing to go back to"
        sink.add(Diagnostic(code="FWT615", message=message, hints=("`fwtrans status` lists them",)))
        return Finished(done=False)
    problems = restore(client, saved, directory)
    for problem in problems:
        sink.add(Diagnostic(code="FWT614", message=problem))
    if pending is not None:
        snapshot.note_outcome(directory, pending.identity, ROLLED_BACK if not problems else "rolling back failed")
        end_pending(directory)
    if pending is None or pending.confirmed or identity not in {"", pending.identity}:
        _boot_back(directory, chosen, files)
        snapshot.note_outcome(directory, chosen, f"{ROLLED_BACK} to what was before it")
    return Finished(done=not problems, failed=bool(problems), identity=chosen)


def _boot_back(directory: Path, identity: str, files: boot.BootFiles) -> None:
    if boot.kept(files) is None:
        return
    before = directory / snapshot.FOLDER / identity / BOOT_BEFORE
    boot.put_back(files, before.read_text(encoding="utf-8", errors="surrogateescape") if before.exists() else None)


def _outcome(directory: Path, identity: str) -> str:
    return str((snapshot.read_manifest(directory, identity) or {}).get("outcome", "")) or "it was decided"


def _newest_confirmed(directory: Path) -> str:
    found = [manifest["id"] for manifest in snapshot.history(directory) if manifest.get("outcome") == CONFIRMED]
    return str(found[-1]) if found else ""


# --- status ---


@dataclass(frozen=True, slots=True)
class Status:
    """How things stand. `booted` are tables of ours that a boot has loaded, with the number of their rules."""

    pending: Pending | None
    guarded: bool
    tables: tuple[tuple[str, int], ...]
    booted: tuple[tuple[str, int], ...]
    foreign: tuple[str, ...]
    boots: bool
    history: tuple[dict[str, Any], ...]


def status(directory: Path, sink: DiagnosticSink, files: boot.BootFiles) -> Status | None:
    """Return how things stand, None where that cannot be told. Nothing changes."""
    try:
        client = LibNft()
    except Unavailable as fault:
        sink.add(Diagnostic(code=fault.code, message=fault.message, hints=(fault.hint,) if fault.hint else ()))
        return None
    try:
        state = read_state(directory)
        found = assess(client, state, ())
        there = client.tables()
        known = {table.name: table.size for table in (state.image if state is not None else ())}
        tables = tuple((str(name), known[name]) for name in there if name in known)
        booted = tuple(_rules_of(client, name) for name in there if name not in known and name.name.startswith(_PREFIX))
    finally:
        client.close()
    pending = read_pending(directory)
    guarded = pending is not None and guard_is_alive(directory, pending.identity)
    for text in found.foreign:
        sink.add(Diagnostic(code="FWT616", message=text))
    if pending is not None and pending.confirmed:
        message = f"apply {pending.identity} is confirmed, but what follows from that was not done to its end"
        sink.add(Diagnostic(code="FWT606", message=message, hints=("run `fwtrans confirm` again",)))
    elif pending is not None and not guarded:
        message = f"apply {pending.identity} is not confirmed, and the process that would go back is gone"
        sink.add(Diagnostic(code="FWT610", message=message, hints=("run `fwtrans confirm` or `fwtrans rollback`",)))
    if any(name.startswith("bridge ") for name, _ in (*tables, *booted)):
        for name in (name for name, value in old_rules.read_bridge_settings().items() if value != "0"):
            message = f"net.bridge.{name} is 1 again, so bridged packets pass iptables too: pve-firewall sets it"
            sink.add(Diagnostic(code="FWT619", message=message))
    return Status(
        pending, guarded, tables, booted, found.foreign, boot.kept(files) is not None, snapshot.history(directory)
    )


def _rules_of(client: LibNft, table: TableName) -> tuple[str, int]:
    handles = client.handles(table)
    return str(table), sum(map(len, handles.rules.values())) if handles is not None else 0
