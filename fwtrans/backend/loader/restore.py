"""The way back: from whatever is loaded to what a snapshot holds. It may be run again after it was interrupted.

The order is that of the way out, reversed: the old rules come back, then bridged packets pass them again, and last our
tables become what they were. In between both are there, so that nothing passes that both deny.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.backend.loader import old_rules
from fwtrans.backend.loader import transaction as tx
from fwtrans.backend.loader.load import load
from fwtrans.backend.loader.old_rules import ToolFailed, tables_of
from fwtrans.backend.loader.state import forget_state, read_state, write_state
from fwtrans.backend.loader.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fwtrans.backend.loader.client import NftClient
    from fwtrans.backend.loader.snapshot import Snapshot


def restore(
    client: NftClient, snapshot: Snapshot, directory: Path, step: Callable[[str], None] = lambda _: None
) -> tuple[str, ...]:
    """Return what could not be restored: nothing, if all is as it was."""
    problems: list[str] = []
    for name, part in (
        ("sets", _restore_sets),
        ("old rules", _restore_old),
        ("dormant tables", _wake),
        ("bridge settings", _restore_settings),
    ):
        try:
            part(client, snapshot)
        except (ToolFailed, OSError) as fault:
            problems.append(str(fault))
        step(f"restored {name}")
    if problems and snapshot.image == ():
        # without the old rules, our tables are all that stands between this host and the world
        return tuple(problems)
    problems.extend(_restore_ours(client, snapshot, directory))
    step("restored tables")
    return (*problems, *_differences(client, snapshot))


def _restore_sets(client: NftClient, snapshot: Snapshot) -> None:
    if not old_rules.sets_that_differ(snapshot.sets):
        return
    for rules in old_rules.read_old_rules(old_rules.tables_of_iptables(client)):
        old_rules.take_out(rules)
    old_rules.put_sets_back(snapshot.sets)


def _restore_old(client: NftClient, snapshot: Snapshot) -> None:
    present = {rules.owner: rules for rules in old_rules.read_old_rules(old_rules.tables_of_iptables(client))}
    for rules in snapshot.old:
        now = present.pop(rules.owner, None)
        if now is None or tables_of(now.dump) != tables_of(rules.dump):
            old_rules.put_back(rules)
    for rules in present.values():
        if rules.has_rules:
            old_rules.take_out(rules)


def _wake(client: NftClient, snapshot: Snapshot) -> None:
    asleep = client.dormant_tables() & old_rules.tables_of_iptables(client) - set(snapshot.dormant)
    faults = client.run(Transaction(tuple(tx.SetDormant(table, dormant=False) for table in sorted(asleep))))
    if faults:
        raise ToolFailed(f"tables of iptables cannot be switched on again: {faults[0].message}")


def _restore_settings(_: NftClient, snapshot: Snapshot) -> None:
    now = old_rules.read_bridge_settings()
    old_rules.write_bridge_settings(
        {name: value for name, value in snapshot.settings.items() if now.get(name) != value}
    )


def _restore_ours(client: NftClient, snapshot: Snapshot, directory: Path) -> list[str]:
    state = read_state(directory)
    wanted = {table.name for table in snapshot.image}
    unknown = [name for name in client.tables() if name in snapshot.loads and name not in wanted]
    answer = load(client, snapshot.image, state)
    if answer.faults:
        return [f"our own tables cannot be put back: {fault.message}" for fault in answer.faults[:3]]
    left = [name for name in unknown if name in client.tables()]
    if left and (faults := client.run(Transaction(tuple(tx.DeleteTable(name) for name in left)))):
        return [f"our new tables cannot be removed: {fault.message}" for fault in faults[:3]]
    try:
        if answer.state is not None and answer.state.tables:
            write_state(directory, answer.state)
        else:
            forget_state(directory)
    except OSError:
        return []  # the next load starts from nothing known, that is all
    return []


def _differences(client: NftClient, snapshot: Snapshot) -> tuple[str, ...]:
    """Hold what is there against the snapshot, once more, with the eyes of the programs that own it."""
    problems = []
    try:
        present = {rules.owner: rules for rules in old_rules.read_old_rules(old_rules.tables_of_iptables(client))}
    except ToolFailed as fault:
        return (str(fault),)
    for rules in snapshot.old:
        now = present.get(rules.owner)
        if now is None or tables_of(now.dump) != tables_of(rules.dump):
            problems.append(f"{rules.owner} is not what it was")
    settings = old_rules.read_bridge_settings()
    problems.extend(
        f"net.bridge.{name} is not {value}" for name, value in snapshot.settings.items() if settings.get(name) != value
    )
    asleep = client.dormant_tables() & old_rules.tables_of_iptables(client) - set(snapshot.dormant)
    problems.extend(f"table {table} is still switched off" for table in sorted(asleep))
    return tuple(problems)
