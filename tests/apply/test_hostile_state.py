"""What lies in the folder of the state may be damaged or somebody else's: then it counts for nothing, and that is told."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from fwtrans.apply.finish import confirm, roll_back, status
from fwtrans.apply.request import Outcome
from fwtrans.apply.run import apply
from fwtrans.apply.tell import status_text, status_value
from fwtrans.backend.loader.guard import arm
from fwtrans.backend.loader.pending import (
    PENDING_FILE,
    Pending,
    guard_is_alive,
    lock,
    mark_loaded,
    read_pending,
    seconds_since_boot,
    unsafe,
    write_pending,
)
from fwtrans.backend.loader.snapshot import read_snapshot
from fwtrans.backend.loader.state import STATE_FILE, read_state, this_host
from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from tests.apply.conftest import mounted, run
from tests.apply.test_apply import PATIENCE, Run, confirmed, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.apply.conftest import Host

pytestmark = pytest.mark.netns

WRONG: tuple[Any, ...] = (None, True, -1, 1e308, "x", "a\nflush ruleset", [], ["x"], [[]], {}, {"x": 1})


def altered(value: Any) -> Iterator[Any]:
    """Yield the value with each of its parts in turn left out, or replaced by something wrong."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield {name: other for name, other in value.items() if name != key}
            yield from ({**value, key: wrong} for wrong in WRONG)
            yield from ({**value, key: changed} for changed in altered(inner))
    elif isinstance(value, list):
        for index, inner in enumerate(value[:3]):
            yield [*value[:index], *value[index + 1 :]]
            yield from ([*value[:index], wrong, *value[index + 1 :]] for wrong in WRONG)
            yield from ([*value[:index], changed, *value[index + 1 :]] for changed in altered(inner))


def look(host: Host) -> None:
    """Ask for the status as people and programs do."""
    found = status(host.state, DiagnosticSink(), host.boot_files)
    assert found is not None
    status_text(found)
    json.dumps(status_value(found))


def fill(folder: Path) -> None:
    """Leave no byte free on the file system of a folder."""
    with (folder / "full").open("wb", buffering=0) as stream:
        with suppress(OSError):
            while True:
                stream.write(b"x" * 65536)
        with pytest.raises(OSError, match="No space"):
            stream.write(b"x" * 65536)


def sample(values: list[Any], most: int) -> list[Any]:
    return values[:: max(len(values) // most, 1)]


@pytest.fixture
def loaded(host: Host) -> Host:
    """A host on which something was applied and confirmed."""
    going = Run(host).wait_for_load()
    confirmed(host)
    going.result()
    return host


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"7", b"\xff\xfe", b"[" * 100_000, b'{"format": 1}'])
def test_a_file_that_is_none_of_ours_counts_for_nothing(loaded: Host, text: bytes) -> None:
    (folder,) = (loaded.state / "snapshots").iterdir()
    for path in (loaded.state / STATE_FILE, loaded.state / PENDING_FILE, folder / "manifest.json"):
        path.write_bytes(text)
    assert read_state(loaded.state) is None
    assert read_pending(loaded.state) is None
    assert read_snapshot(loaded.state, folder.name) is None
    look(loaded)
    sink = DiagnosticSink()
    assert not roll_back(loaded.state, "", sink, loaded.boot_files).done
    assert not confirm(loaded.state, sink, loaded.boot_files).done
    assert [item.code for item in sink.errors] == ["FWT615", "FWT615"]
    # what is loaded is not known any more, so all of it is loaded anew, and that is told
    found = Run(loaded, confirm_within=0.2, allow_changes=True).wait_for_load().result()
    assert "FWT617" in str(found["codes"])
    assert found["outcome"] == "restored"


def test_no_damage_to_the_state_ends_in_a_traceback(loaded: Host) -> None:
    path = loaded.state / STATE_FILE
    whole = path.read_bytes()
    every = list(altered(json.loads(whole)))
    assert len(every) > 1000
    for value in sample(every, 300):
        path.write_text(json.dumps(value))
        look(loaded)
    path.write_bytes(whole)
    assert read_state(loaded.state) is not None


def test_no_damage_to_a_snapshot_ends_in_a_traceback(loaded: Host) -> None:
    (folder,) = (loaded.state / "snapshots").iterdir()
    for name in ("manifest.json", "tables.json"):
        whole = (folder / name).read_bytes()
        for value in sample(list(altered(json.loads(whole))), 200):
            (folder / name).write_text(json.dumps(value))
            look(loaded)
            found = read_snapshot(loaded.state, folder.name)
            assert found is None or name == "manifest.json", "its checksum is not that of the manifest any more"
        (folder / name).write_bytes(whole)


def test_no_damage_to_what_is_pending_ends_in_a_traceback(host: Host) -> None:
    host.state.mkdir(mode=0o700)
    path, wanted = host.state / PENDING_FILE, host.wanted()
    write_pending(host.state, Pending(identity="20260101T000000Z", host=this_host(), deadline=0.0, wait=60.0))
    for value in altered(json.loads(path.read_bytes())):
        path.write_text(json.dumps(value))
        look(host)
        assert apply(wanted, host.request(ask=lambda _: False), DiagnosticSink(), FileAccess()).outcome in {
            Outcome.REFUSED,
            Outcome.DECLINED,
        }


def test_a_snapshot_is_looked_for_in_its_folder_only(loaded: Host) -> None:
    (folder,) = (loaded.state / "snapshots").iterdir()
    elsewhere = loaded.state / "elsewhere"
    folder.rename(elsewhere)
    for name in ("../elsewhere", str(elsewhere), ".", ""):
        sink = DiagnosticSink()
        assert not roll_back(loaded.state, name, sink, loaded.boot_files).done
        assert [item.code for item in sink.errors] == ["FWT615"]


def test_a_pending_file_that_is_damaged_while_it_waits_does_not_stop_the_way_back(host: Host) -> None:
    host.state.mkdir(mode=0o700)
    pending = Pending(identity="damaged", host=this_host(), deadline=seconds_since_boot() + 60, wait=0.5)
    with lock(host.state):
        write_pending(host.state, pending)
        arm(host.state, pending.identity)
        mark_loaded(host.state, pending)
        (host.state / PENDING_FILE).write_text("{")
    wait_until(lambda: not guard_is_alive(host.state))
    assert (host.state / "way-back.log").read_text() == "damaged: the snapshot cannot be read\n", "it has tried"
    assert not (host.state / PENDING_FILE).exists()


def test_new_tables_that_were_damaged_are_told_when_it_is_confirmed(host: Host) -> None:
    going = Run(host).wait_for_load()
    (folder,) = (host.state / "snapshots").iterdir()
    (folder / "new.json").write_text('[{"family": 7}]')
    sink = DiagnosticSink()
    assert confirm(host.state, sink, host.boot_files).done
    assert [(item.code, item.hints) for item in sink.errors] == [("FWT611", ("go back with `fwtrans rollback`",))]
    going.result()


# --- whose folder it is ---


def test_a_folder_is_safe_only_where_nobody_else_can_put_another_in_its_place(tmp_path: Path) -> None:
    safe = tmp_path / "safe"
    safe.mkdir(mode=0o700)
    assert unsafe(safe) == ""
    open_folder = tmp_path / "open"
    open_folder.mkdir()
    inside = open_folder / "state"
    inside.mkdir(mode=0o700)
    assert unsafe(inside) == ""
    open_folder.chmod(0o777)
    assert unsafe(inside) == f"{open_folder} may be written by others than root"
    open_folder.chmod(0o1777)
    assert unsafe(inside) == ""
    os.chown(open_folder, 65534, 65534)
    assert unsafe(inside) == f"{open_folder} may be written by others than root"
    os.chown(open_folder, 0, 0)
    os.chown(inside, 65534, 65534)
    assert unsafe(inside) == f"{inside} belongs to another user"
    link = open_folder / "link"
    link.symlink_to(safe)
    assert unsafe(link) == ""
    os.chown(link, 65534, 65534, follow_symlinks=False)
    assert unsafe(link) == f"{link} is a link that another user made"


def test_everybody_looks_at_whose_folder_it_is(loaded: Host) -> None:
    os.chown(loaded.state, 65534, 65534)
    before = loaded.listing()
    sink = DiagnosticSink()
    assert not confirm(loaded.state, sink, loaded.boot_files).done
    assert not roll_back(loaded.state, "", sink, loaded.boot_files).done
    assert [item.code for item in sink.errors] == ["FWT611", "FWT611"]
    sink = DiagnosticSink()
    assert apply(loaded.wanted(), loaded.request(), sink, FileAccess()).outcome is Outcome.REFUSED
    assert [item.code for item in sink.errors] == ["FWT611"]
    assert loaded.listing() == before


# --- who runs it ---

WITHOUT_ROOT = """
import json, os, sys
from pathlib import Path
import nftables
from fwtrans.apply.boot import BootFiles
from fwtrans.apply.finish import confirm, roll_back, status
from fwtrans.apply.request import Request
from fwtrans.apply.run import apply
from fwtrans.apply.wanted import Wanted
from fwtrans.cli.inputs import FileAccess
from fwtrans.collect.run import collect
from fwtrans.diagnostics import DiagnosticSink
state = Path(sys.argv[1])
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for work in (
    lambda sink: apply(Wanted((), ""), Request(directory=state), sink, FileAccess()),
    lambda sink: confirm(state, sink, BootFiles()),
    lambda sink: roll_back(state, "", sink, BootFiles()),
    lambda sink: status(state, sink, BootFiles()),
    lambda sink: collect(state / "new", Path("/"), sink),
):
    sink = DiagnosticSink()
    work(sink)
    print(*[item.code for item in sink.errors])
"""


def test_without_root_every_command_says_so(host: Host) -> None:
    host.state.mkdir(mode=0o755)
    assert run(sys.executable, "-c", WITHOUT_ROOT, str(host.state)).splitlines() == ["FWT601"] * 5


def test_without_the_binding_of_libnftables_it_says_so(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nftables", None)
    before = host.listing()
    sink = DiagnosticSink()
    assert apply(host.wanted(), host.request(), sink, FileAccess()).outcome is Outcome.REFUSED
    assert [(item.code, item.hints) for item in sink.errors] == [
        ("FWT600", ("install pip-nftables, or the package python3-nftables",))
    ]
    assert host.listing() == before


# --- a disk that fills up later ---


def test_a_disk_without_a_byte_left_is_told_before_anything_changes(host: Host) -> None:
    host.state.mkdir(mode=0o700)
    with mounted(host.state, "size=4k,mode=0700"):
        (host.state / "full").write_bytes(b"x" * 4096)
        before = host.listing()
        sink = DiagnosticSink()
        assert apply(host.wanted(), host.request(), sink, FileAccess()).outcome is Outcome.REFUSED
        assert host.listing() == before
    assert [item.code for item in sink.errors] == ["FWT611"]
    assert "No space left on device" in sink.errors[0].message


@pytest.mark.parametrize("at", ["agreed", "saved", "armed", "switched", "noted", "tested"])
def test_a_disk_that_fills_up_on_the_way_leaves_the_old_firewall(host: Host, at: str) -> None:
    host.state.mkdir(mode=0o700)

    def step(name: str) -> None:
        if name == at:
            fill(host.state)

    with mounted(host.state, "size=2m,mode=0700"):
        before = host.listing()
        sink = DiagnosticSink()
        found = apply(host.wanted(), host.request(step=step), sink, FileAccess())
        assert found.outcome in {Outcome.REFUSED, Outcome.RESTORED}, sink.found
        assert host.listing() == before
        assert read_pending(host.state) is None
        wait_until(lambda: not guard_is_alive(host.state))
    assert {item.code for item in sink.errors} <= {"FWT609", "FWT610", "FWT612"}


def test_a_disk_that_is_full_when_it_is_confirmed_is_told_and_goes_back(host: Host) -> None:
    host.state.mkdir(mode=0o700)
    with mounted(host.state, "size=2m,mode=0700"):
        before = host.listing()
        going = Run(host).wait_for_load()
        over = host.state / "over"
        with lock(host.state, wait=PATIENCE):  # nothing is written now, or given back by who could not write
            pending = json.loads((host.state / PENDING_FILE).read_bytes())
            over.write_text(json.dumps({**pending, "deadline": 0.0}))
            fill(host.state)
        sink = DiagnosticSink()
        assert not confirm(host.state, sink, host.boot_files).done
        assert [item.code for item in sink.errors] == ["FWT611"]
        over.rename(host.state / PENDING_FILE)
        going.result()
        assert host.listing() == before


# --- two at once ---


def test_of_two_that_begin_at_once_one_is_refused(host: Host) -> None:
    wanted = host.wanted()
    pair = [Run(host, wanted=replace(wanted)) for _ in range(2)]
    wait_until(lambda: (pending := read_pending(host.state)) is not None and pending.loaded)
    # the one that was not first gives up by itself; then the other is confirmed
    ended: list[Run] = []
    deadline = time.monotonic() + PATIENCE
    while not ended:
        assert time.monotonic() < deadline
        ended = [one for one in pair if os.waitpid(one.child, os.WNOHANG) != (0, 0)]
        time.sleep(0.02)
    told = ended[0].result()
    assert told["outcome"] == "refused"
    assert told["codes"] in (["FWT605"], ["FWT606"]), told
    confirmed(host)
    (other,) = [one for one in pair if one not in ended]
    assert other.result()["outcome"] == "confirmed"
