"""Snapshots in the order in which they were made, whatever the clock said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.backend.loader.snapshot import FOLDER, Snapshot, history, note_outcome, prune, save_snapshot

if TYPE_CHECKING:
    from pathlib import Path

LATE, EARLY, EARLIER = "29990101T000000Z", "20261122T101010Z", "20261122T101010Z-10"


def names(directory: Path) -> list[str]:
    return [str(manifest["id"]) for manifest in history(directory)]


def made(directory: Path, *identities: str) -> None:
    for at, identity in enumerate(identities):
        save_snapshot(directory, Snapshot(identity, float(at), ()), {})


def test_a_clock_that_was_set_back_does_not_make_a_snapshot_an_older_one(tmp_path: Path) -> None:
    made(tmp_path, LATE, EARLY, EARLIER)
    note_outcome(tmp_path, LATE, "confirmed")
    assert names(tmp_path) == [LATE, EARLY, EARLIER]


def test_the_oldest_go_first(tmp_path: Path) -> None:
    made(tmp_path, LATE, EARLY, EARLIER)
    (tmp_path / FOLDER / "20000101T000000Z").mkdir()
    assert prune(tmp_path, 1, [LATE]) == ("20000101T000000Z", EARLY)
    assert names(tmp_path) == [LATE, EARLIER]


def test_those_that_were_not_counted_come_first(tmp_path: Path) -> None:
    """Earlier versions did not; a number that is none counts as little."""
    made(tmp_path, EARLY, LATE)
    for path in (tmp_path / FOLDER).glob("*/manifest.json"):
        number = '"number": 1,' if EARLY in str(path) else '"number": 2,'
        path.write_text(path.read_text().replace(number, "" if LATE in str(path) else '"number": "x",'))
    assert names(tmp_path) == [EARLY, LATE]
    made(tmp_path, EARLIER)
    assert names(tmp_path)[-1] == EARLIER
