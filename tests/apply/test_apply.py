"""What apply refuses before it touches anything, what it loads, and what becomes of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fwtrans.apply.finish import Finished, confirm, roll_back, status
from fwtrans.apply.request import Applied, Outcome
from fwtrans.apply.run import apply
from fwtrans.apply.tell import status_text, status_value
from fwtrans.apply.wanted import Wanted, read_wanted
from fwtrans.backend.loader.pending import Pending, guard_is_alive, lock, read_pending, write_pending
from fwtrans.backend.loader.programs import find
from fwtrans.backend.loader.real import LibNft
from fwtrans.backend.loader.state import read_state, this_host
from fwtrans.cli.inputs import FileAccess, read_paths
from fwtrans.diagnostics import Diagnostic, DiagnosticSink
from fwtrans.translate import Settings, translate
from tests.apply.conftest import OTHERS, mounted, run
from tests.namespaces import namespace

if TYPE_CHECKING:
    from collections.abc import Callable

    from fwtrans.backend.loader.image import Image
    from fwtrans.report.translation import Translation
    from tests.apply.conftest import Host

pytestmark = pytest.mark.netns

PATIENCE = 120.0
"""Seconds for what happens by itself; only a test that fails waits for so long."""


class Run:
    """An apply that runs in a process of its own, since it waits."""

    def __init__(self, host: Host, **options: object) -> None:
        self.host = host
        reader, writer = os.pipe()
        self.steps, told = os.pipe()
        wanted: Wanted = options.pop("wanted", None) or host.wanted()  # type: ignore[assignment]
        self.child = os.fork()
        if self.child == 0:
            try:
                self.go(wanted, {"step": lambda name: os.write(told, f"{name}\n".encode()), **options}, writer)
            finally:
                os._exit(1)  # else an exception would go on as a second pytest
        os.close(writer)
        os.close(told)
        self.reader = reader

    def go(self, wanted: Wanted, options: dict[str, object], writer: int) -> None:
        os.setsid()
        sink = DiagnosticSink()
        found = apply(wanted, self.host.request(**options), sink, FileAccess())  # type: ignore[arg-type]
        said = {"codes": [item.code for item in sink.found], "said": [item.message for item in sink.found]}
        os.write(writer, json.dumps({**found.value, **said}).encode())

    def wait_for_load(self) -> Run:
        """Return when it is loaded. It says so itself, for on a busy machine it may be undone before anybody looks."""
        with os.fdopen(self.steps) as stream:
            if "loaded\n" not in stream:
                raise AssertionError(self.result())
        return self

    def result(self) -> dict[str, object]:
        with os.fdopen(self.reader) as stream:
            found: dict[str, object] = json.loads(stream.read())
        return found


def refused(host: Host, **options: object) -> list[tuple[str, str]]:
    """Apply what has to be refused; return codes and messages."""
    before = host.listing()
    sink = DiagnosticSink()
    wanted = options.pop("wanted", None) or host.wanted()
    found: Applied = apply(wanted, host.request(**options), sink, FileAccess())  # type: ignore[arg-type]
    assert found.outcome is Outcome.REFUSED
    assert host.listing() == before
    assert read_pending(host.state) is None
    return [(item.code, item.message) for item in sink.errors]


def confirmed(host: Host) -> Finished:
    sink = DiagnosticSink()
    found = confirm(host.state, sink, host.boot_files)
    assert found.done, sink.found
    return found


def guard_of(host: Host) -> int:
    """Return the process that would go back."""
    return int((host.state / "guard").read_text().split()[0])


def confirmed_and_another(host: Host, folder: Path) -> tuple[str, Path]:
    """Apply and confirm; return the listing after that, and a file with another ruleset to apply over it."""
    going = Run(host).wait_for_load()
    confirmed(host)
    going.result()
    text = run("nft", "list", "table", "ip", "fwtrans") + run("nft", "list", "table", "ip6", "fwtrans")
    new = folder / "new.nft"
    new.write_text(text.replace("tcp dport 22", "tcp dport 2222").replace("udp dport 7", "udp dport 77"))
    return host.listing(), new


def time_is_over(host: Host) -> None:
    """Leave no time for a confirmation: what has to happen before that need not be quick."""
    with lock(host.state, wait=20.0):
        pending = read_pending(host.state)
        assert pending is not None
        write_pending(host.state, replace(pending, deadline=0.0))


def wait_until(test: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not test():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def rolled_back(host: Host, to: str = "") -> Finished:
    sink = DiagnosticSink()
    found = roll_back(host.state, to, sink, host.boot_files)
    assert found.done, sink.found
    return found


@pytest.fixture
def ours() -> list[str]:
    return ["table ip fwtrans", "table ip6 fwtrans"]


def test_not_confirmed_it_is_byte_for_byte_what_it_was(host: Host) -> None:
    before = host.listing()
    told = Run(host, confirm_within=0.2).wait_for_load().result()
    assert (told["outcome"], told["codes"]) == ("restored", ["FWT618", "FWT613"])
    assert host.listing() == before


def test_confirmed_it_stays_when_the_session_is_gone(host: Host, ours: list[str]) -> None:
    others = host.others()
    going = Run(host, confirm_within=30.0).wait_for_load()
    assert "flags dormant" in run("nft", "list", "table", "ip6", "filter")
    assert "-A" not in run("iptables-legacy-save")
    confirmed(host)
    assert going.result()["outcome"] == "confirmed"
    assert not guard_is_alive(host.state) or read_pending(host.state) is None
    tables = run("nft", "list", "tables").splitlines()
    assert set(ours) <= set(tables)
    assert "table ip6 filter" not in tables
    assert host.others() == others
    assert "-A" not in run("iptables-legacy-save")


def test_rolled_back_after_it_was_confirmed(host: Host) -> None:
    before = run("iptables-legacy-save"), run("ip6tables-nft-save")
    going = Run(host).wait_for_load()
    confirmed(host)
    going.result()
    rolled_back(host)
    after = run("iptables-legacy-save"), run("ip6tables-nft-save")
    assert [without_times(text) for text in after] == [without_times(text) for text in before]
    assert "fwtrans" not in run("nft", "list", "tables")
    sink = DiagnosticSink()
    assert not roll_back(host.state, "", sink, host.boot_files).done
    assert [item.code for item in sink.errors] == ["FWT615"]


def test_rolled_back_while_it_waits(host: Host) -> None:
    before = host.listing()
    going = Run(host).wait_for_load()
    rolled_back(host)
    assert going.result()["outcome"] == "restored"
    assert host.listing() == before


def test_the_way_back_that_was_killed_is_told_and_rollback_does_its_work(host: Host) -> None:
    before = host.listing()
    going = Run(host).wait_for_load()
    os.kill(guard_of(host), signal.SIGKILL)
    wait_until(lambda: not guard_is_alive(host.state))
    sink = DiagnosticSink()
    found = status(host.state, sink, host.boot_files)
    assert found is not None
    assert "THE WAY BACK IS GONE" in status_text(found)
    assert [item.code for item in sink.errors] == ["FWT610"]
    rolled_back(host)
    going.result()
    assert host.listing() == before


def test_a_second_ruleset_over_the_first_and_back(host: Host, tmp_path: Path) -> None:
    before, new = confirmed_and_another(host, tmp_path)
    told = Run(host, wanted=host.wanted(new), confirm_within=0.2).wait_for_load().result()
    assert told["outcome"] == "restored"
    assert host.listing() == before
    going = Run(host, wanted=host.wanted(new)).wait_for_load()
    second = confirmed(host).identity
    told = going.result()
    assert told["outcome"] == "confirmed"
    assert "2222" in host.listing()
    rolled_back(host, second)
    assert host.listing() == before


NAMED = """\
table inet fwtrans {
	map ways {
		type inet_service : verdict
		elements = { 22 : goto leaf-1, 80 : goto leaf-1 }
	}
	chain INPUT {
		type filter hook input priority filter; policy accept;
		tcp dport vmap @ways
	}
	chain leaf-1 {
		ip saddr 203.0.113.9 drop comment "v4:7"
	}
}
"""


def test_names_that_are_loaded_stay(host: Host, tmp_path: Path) -> None:
    """Boot files, the state and errors of nft have the names that are loaded, and a source line is found by them."""

    def loaded(text: str, *, persist: bool = False) -> str:
        new = tmp_path / "new.nft"
        new.write_text(text)
        reader, writer = os.pipe()

        def ask(plan: str) -> bool:
            os.write(writer, plan.encode())
            return True

        going = Run(host, wanted=host.wanted(new), allow_changes=True, persist=persist, ask=ask).wait_for_load()
        confirmed(host)
        assert going.result()["outcome"] == "confirmed"
        os.close(writer)
        with os.fdopen(reader) as stream:
            return stream.read()

    loaded(NAMED)
    plan = loaded(NAMED.replace("leaf-1", "leaf-2").replace("80 :", "443 : goto leaf-2, 80 :"), persist=True)
    assert "load 0 rules and 1 elements, remove 0 and 0, keep 2 and 2" in plan
    assert "keep 1 names that are loaded" in plan
    listing = run("nft", "list", "table", "inet", "fwtrans")
    assert "443 : goto leaf-1" in listing
    assert "leaf-2" not in listing + host.boot_files.rules.read_text()
    broken = NAMED.replace("leaf-1", "leaf-3").replace("203.0.113.9 drop", "203.0.113.9 jump nowhere")
    (tmp_path / "new.nft").write_text(broken)
    ((code, message),) = refused(host, wanted=host.wanted(tmp_path / "new.nft"), allow_changes=True)
    assert code == "FWT603"
    assert message.startswith("v4:7: nft refuses this")
    assert Outcome.UNCHANGED is apply(  # the same by names that were not loaded
        host.wanted(written(tmp_path / "again.nft", NAMED.replace("leaf-1", "leaf-9").replace("80 :", "443 : goto leaf-9, 80 :"))),
        host.request(allow_changes=True), DiagnosticSink(), FileAccess(),
    ).outcome  # fmt: skip


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_what_others_did_to_our_table_is_told(host: Host) -> None:
    going = Run(host).wait_for_load()
    confirmed(host)
    going.result()
    run("nft", "add", "rule", "ip", "fwtrans", "INPUT", "tcp", "dport", "23", "accept")
    sink = DiagnosticSink()
    found = status(host.state, sink, host.boot_files)
    assert found is not None
    assert [item.code for item in sink.found] == ["FWT616"]
    text = "\n".join(run("nft", "list", "table", *table.split()) for table in ("ip fwtrans", "ip6 fwtrans"))
    (host.dumps / "again.nft").write_text(text)
    told = Run(host, wanted=host.wanted(host.dumps / "again.nft"), confirm_within=0.2).wait_for_load().result()
    codes = told["codes"]
    assert isinstance(codes, list)
    assert {"FWT616", "FWT617"} <= set(codes)


# --- refusals ---


def test_a_firewall_that_was_changed_since_is_refused(host: Host) -> None:
    run("iptables-legacy", "-A", "INPUT", "-p", "tcp", "--dport", "8006", "-j", "ACCEPT")
    ((code, message),) = refused(host)
    assert code == "FWT607"
    assert "`-A INPUT -p tcp -m tcp --dport 8006 -j ACCEPT` is new" in message


def test_another_member_of_a_set_is_refused(host: Host) -> None:
    run("ipset", "add", "blocked", "203.0.113.10")
    assert [code for code, _ in refused(host)] == ["FWT607"]


def test_a_ruleset_that_does_something_else_is_refused(host: Host, tmp_path: Path) -> None:
    new = tmp_path / "new.nft"
    new.write_text(
        "table ip fwtrans {\n\tchain INPUT {\n\t\ttype filter hook input priority filter; policy accept;\n\t}\n}\n"
    )
    assert [code for code, _ in refused(host, wanted=host.wanted(new))] == ["FWT608"]


def test_a_table_of_somebody_else_is_refused(host: Host, tmp_path: Path) -> None:
    new = tmp_path / "new.nft"
    new.write_text(OTHERS)
    assert [code for code, _ in refused(host, wanted=host.wanted(new))] == ["FWT604"]


def test_what_nft_refuses_is_told_at_the_source_rule(host: Host) -> None:
    run("ip6tables-nft", "-F")
    rule = "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT"
    (host.dumps / "iptables-save").write_text(
        (host.dumps / "iptables-save").read_text().replace(rule, f"{rule}\n{rule.replace('22', '23')}")
    )
    wanted = host.wanted()
    broken = type(wanted)(
        tuple(
            type(table)(table.name, table.head, table.objects, tuple(
                type(chain)(chain.name, chain.head, tuple(text.replace("tcp dport 23 accept", "tcp dport 23 jump nowhere") for text in chain.rules))
                for chain in table.chains
            ))
            for table in wanted.image
        ),
        wanted.text,
        wanted.sources,
        {(table, chain, text.replace("tcp dport 23 accept", "tcp dport 23 jump nowhere")): place for (table, chain, text), place in wanted.origins.items()},
    )  # fmt: skip
    lines = (host.dumps / "iptables-save").read_text().splitlines()
    ((code, message),) = refused(host, wanted=broken, allow_changes=True)
    assert code == "FWT603"
    assert message.startswith(
        f"{host.dumps}/iptables-save:{lines.index(rule.replace('22', '23')) + 1}: nft refuses this"
    )


def test_both_variants_with_rules_are_refused(host: Host) -> None:
    run("iptables-nft", "-A", "INPUT", "-j", "DROP")
    assert [code for code, _ in refused(host)] == ["FWT621"]


def test_two_at_once_is_one_too_many(host: Host) -> None:
    host.state.mkdir(mode=0o700)
    with lock(host.state):
        ((code, message),) = refused(host)
    assert code == "FWT605"
    assert str(os.getpid()) in message


def test_a_second_apply_while_one_waits_is_refused(host: Host) -> None:
    going = Run(host).wait_for_load()
    sink = DiagnosticSink()
    assert apply(host.wanted(), host.request(), sink, FileAccess()).outcome is Outcome.REFUSED
    assert [item.code for item in sink.errors] == ["FWT606"]
    rolled_back(host)
    going.result()


def test_who_says_no_changes_nothing(host: Host) -> None:
    before = host.listing()
    plans: list[str] = []

    def decline(plan: str) -> bool:
        plans.append(plan)
        return False

    found = apply(host.wanted(), host.request(ask=decline), DiagnosticSink(), FileAccess())
    assert found.outcome is Outcome.DECLINED
    assert host.listing() == before
    assert "take out of the way: iptables-legacy, ip6 filter" in plans[0]
    assert "although table inet monitoring also judges packets at input: a packet passes if both" in plans[0]


def test_without_root_it_says_so(host: Host) -> None:
    script = (
        "import os, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "from fwtrans.backend.loader.real import LibNft\n"
        "from fwtrans.backend.loader.client import Unavailable\n"
        "try:\n    LibNft()\nexcept Unavailable as fault:\n    print(fault.code)\n"
    )
    # the checkout may be where only root looks, so all is imported before root is given up
    early = "import fwtrans.backend.loader.real, nftables\n"
    assert run(sys.executable, "-c", early + script) == "FWT601\n"
    assert host.state


def test_without_libnftables_it_says_so(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LibNft.__init__, "__defaults__", ("libnothing.so.1",))
    assert [code for code, _ in refused(host)] == ["FWT600"]


@pytest.mark.parametrize(("name", "value"), [("version", "1.0.2"), ("release", "5.15.0-91-generic")])
def test_what_is_too_old_is_refused(host: Host, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    if name == "version":
        monkeypatch.setattr(LibNft, "version", lambda _: value)
    else:
        about = os.uname()
        monkeypatch.setattr(os, "uname", lambda: os.uname_result((*about[:2], value, *about[3:])))
    ((code, message),) = refused(host)
    assert code == "FWT602"
    assert value in message


def test_a_full_disk_is_told_before_anything_changes(host: Host) -> None:
    host.state.mkdir(mode=0o700)
    with mounted(host.state, "size=64k,mode=0700"):
        ((code, message),) = refused(host)
    assert code == "FWT611"
    assert "No space left on device" in message


def test_a_state_folder_that_others_may_write_is_refused(host: Host) -> None:
    host.state.mkdir()
    host.state.chmod(0o777)
    assert [code for code, _ in refused(host)] == ["FWT611"]


def test_an_etc_that_cannot_be_written_is_told_before_anything_changes(host: Host) -> None:
    host.etc.mkdir()
    with mounted(host.etc, "ro"):
        ((code, message),) = refused(host, persist=True)
    assert code == "FWT611"
    assert "Read-only file system" in message


def test_a_snapshot_that_does_not_load_again_is_told(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fwtrans.backend.loader.snapshot.prove_snapshot", lambda _: ("iptables-legacy: no",))
    assert [code for code, _ in refused(host)] == ["FWT609"]


def test_a_way_back_that_does_not_start_is_told(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fwtrans.backend.loader.guard._READY_WITHIN", 0.2)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert [code for code, _ in refused(host)] == ["FWT610"]


def test_a_load_that_fails_is_undone(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    before = host.listing()
    monkeypatch.setattr("fwtrans.apply.run.self_test", lambda *_: ("chain INPUT has 3 rules instead of 4",))
    sink = DiagnosticSink()
    found = apply(host.wanted(), host.request(), sink, FileAccess())
    assert found.outcome is Outcome.RESTORED
    assert [item.code for item in sink.errors] == ["FWT612"]
    assert host.listing() == before


def test_a_restore_that_fails_is_told(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fwtrans.apply.run.self_test", lambda *_: ("no",))
    monkeypatch.setattr("fwtrans.apply.run.restore", lambda *_: ("iptables-legacy is not what it was",))
    sink = DiagnosticSink()
    assert apply(host.wanted(), host.request(), sink, FileAccess()).outcome is Outcome.RESTORE_FAILED
    assert [item.code for item in sink.errors] == ["FWT612", "FWT614"]
    assert read_pending(host.state) is None


def test_nothing_to_confirm(host: Host) -> None:
    sink = DiagnosticSink()
    assert not confirm(host.state, sink, host.boot_files).done
    host.state.mkdir(mode=0o700)
    assert not confirm(host.state, sink, host.boot_files).done
    assert not roll_back(host.state, "nothing", sink, host.boot_files).done
    assert [item.code for item in sink.errors] == ["FWT615", "FWT615", "FWT615"]


# --- boot ---


def test_a_boot_loads_the_rules_once_they_are_confirmed(host: Host) -> None:
    going = Run(host, persist=True).wait_for_load()
    files = host.boot_files
    assert not files.rules.exists(), "a boot now has to come up with the old rules"
    assert not files.unit.exists()
    confirmed(host)
    going.result()
    loaded = run("nft", "list", "table", "ip", "fwtrans"), run("nft", "list", "table", "ip6", "fwtrans")
    with namespace():
        run("nft", "-f", str(files.rules))
        assert (run("nft", "list", "table", "ip", "fwtrans"), run("nft", "list", "table", "ip6", "fwtrans")) == loaded
        run("nft", "-f", str(files.rules))
        assert run("nft", "list", "table", "ip", "fwtrans") == loaded[0]
    unit = files.unit.read_text()
    assert f"ExecStart={find('nft')} -f {files.rules}" in unit
    assert "Before=network-pre.target" in unit
    assert "bridge-nf-call" not in unit
    assert files.link.resolve() == files.unit.resolve()
    if verify := find("systemd-analyze"):
        done = subprocess.run([verify, "verify", "--man=no", str(files.unit)], capture_output=True, check=False)
        assert b"fwtrans.service" not in done.stderr, done.stderr
    rolled_back(host)
    assert not files.rules.exists()
    assert not files.link.is_symlink()


# --- history ---


def test_status_and_history(host: Host) -> None:
    going = Run(host).wait_for_load()
    found = status(host.state, DiagnosticSink(), host.boot_files)
    assert found is not None
    value = status_value(found)
    pending = value["pending"]
    assert isinstance(pending, dict)
    assert pending["loaded"] is True
    assert pending["way_back_ready"] is True
    first = confirmed(host).identity
    going.result()
    found = status(host.state, DiagnosticSink(), host.boot_files)
    assert found is not None
    assert found.pending is None
    assert [item["outcome"] for item in found.history] == ["confirmed"]
    text = status_text(found)
    assert f"  {first}  " in text
    assert "table ip fwtrans: " in text
    for path in host.state.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_old_snapshots_go(host: Host) -> None:
    for _ in range(3):
        request = replace(host.request(confirm_within=0.2), keep=2)
        apply(host.wanted(), request, DiagnosticSink(), FileAccess())
    assert len(list((host.state / "snapshots").iterdir())) == 3  # the one that was just made is spared
    assert threading.active_count() == 1


def without_times(text: str) -> list[str]:
    return [line.split(" [")[0] for line in text.splitlines() if not line.startswith("#")]


def test_the_same_again_changes_nothing_and_waits_for_nobody(host: Host) -> None:
    going = Run(host).wait_for_load()
    confirmed(host)
    going.result()
    text = run("nft", "list", "table", "ip", "fwtrans") + run("nft", "list", "table", "ip6", "fwtrans")
    path = host.dumps / "again.nft"
    path.write_text(text)
    going = Run(host, wanted=host.wanted(path), confirm_within=0.2)
    first = going.result()["outcome"]
    assert first in {"nothing to change", "restored"}, "a listing may spell a rule in another way than we do"
    found = apply(Wanted(_loaded(host), ""), host.request(), DiagnosticSink(), FileAccess())
    assert found.outcome is Outcome.UNCHANGED


def _loaded(host: Host) -> Image:
    state = read_state(host.state)
    assert state is not None
    return state.image


def test_a_snapshot_that_was_damaged_is_told_and_nothing_is_taken_away(host: Host) -> None:
    going = Run(host).wait_for_load()
    (folder,) = (host.state / "snapshots").iterdir()
    (folder / "iptables-legacy-save").write_text("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n")
    time_is_over(host)
    told = going.result()
    assert told["outcome"] == "restore failed"
    assert told["codes"] == ["FWT618", "FWT614"]
    assert "table ip fwtrans" in run("nft", "list", "tables")
    assert "the snapshot cannot be read" in (host.state / "way-back.log").read_text()


def test_an_interrupt_goes_back_at_once(host: Host) -> None:
    before = host.listing()
    going = Run(host).wait_for_load()
    os.kill(going.child, signal.SIGINT)
    told = going.result()
    assert told["outcome"] == "restored"
    assert host.listing() == before


def test_the_child_that_goes_back_may_be_killed_too(host: Host) -> None:
    before = host.listing()
    going = Run(host).wait_for_load()
    guard = guard_of(host)
    children = Path(f"/proc/{guard}/task/{guard}/children")
    time_is_over(host)
    with suppress(FileNotFoundError, ProcessLookupError):  # it has gone back before it was seen at work
        while not (found := children.read_text().split()) and read_pending(host.state) is not None:
            pass
        for child in found:
            os.kill(int(child), signal.SIGKILL)
    assert going.result()["outcome"] == "restored"
    assert host.listing() == before


def test_what_is_not_proved_is_not_loaded(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def undecided(sources: object, settings: Settings, sink: DiagnosticSink, files: FileAccess) -> Translation:
        found = translate(sources, settings, sink, files)  # type: ignore[arg-type]
        sink.add(Diagnostic(code="FWT401", message="inet forward: it takes too long"))
        return found

    monkeypatch.setattr("fwtrans.apply.wanted.translate", undecided)
    sink = DiagnosticSink()
    assert read_wanted(read_paths([str(host.dumps)], sink), Settings(), sink, FileAccess()) is None
    assert [item.code for item in sink.errors] == ["FWT623"]


def test_rules_that_stay_beside_ours_are_told(host: Host) -> None:
    (host.dumps / "ip6tables-save").unlink()
    told = Run(host, confirm_within=0.2).wait_for_load().result()
    said = told["said"]
    assert isinstance(said, list)
    assert "ip6tables-nft has rules that this ruleset does not stand for: they stay in force" in said


def test_an_apply_that_was_broken_off_before_its_way_back_was_ready_is_told(host: Host) -> None:
    before = host.listing()
    host.state.mkdir(mode=0o700)
    pending = Pending(identity="20260101T000000Z", host=this_host(), deadline=0.0, wait=60.0)
    write_pending(host.state, pending)
    sink = DiagnosticSink()
    assert apply(host.wanted(), host.request(), sink, FileAccess()).outcome is Outcome.REFUSED
    assert [(item.code, item.hints) for item in sink.errors] == [
        ("FWT606", ("run `fwtrans rollback`, which puts back whatever had been changed",))
    ]
    assert host.listing() == before


def test_where_the_way_back_is_gone_apply_itself_goes_back(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fwtrans.apply.run._GRACE", 0.2)
    before = host.listing()
    going = Run(host).wait_for_load()
    os.kill(guard_of(host), signal.SIGKILL)
    wait_until(lambda: not guard_is_alive(host.state))
    time_is_over(host)
    told = going.result()
    assert (told["outcome"], told["codes"]) == ("restored", ["FWT618", "FWT610", "FWT613"])
    assert host.listing() == before


def test_what_an_earlier_boot_left_behind_is_not_what_was_there_before(host: Host) -> None:
    """A host that was switched off after a confirmed apply, and whose next apply nobody confirms."""
    going = Run(host).wait_for_load()
    confirmed(host)
    going.result()
    with namespace():
        run("ip", "link", "set", "lo", "up")
        run("iptables-legacy-restore", given="*filter\n:INPUT DROP [0:0]\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n")
        assert read_state(host.state) is None
        sink = DiagnosticSink()
        found = status(host.state, sink, host.boot_files)
        assert found is not None
        assert (found.pending, found.tables, sink.found) == (None, (), [])
        (host.dumps / "iptables-save").write_text(run("iptables-legacy-save"))
        for name in ("ip6tables-save", "ipset-save"):
            (host.dumps / name).unlink()
        before = host.listing()
        told = Run(host, confirm_within=0.2).wait_for_load().result()
        assert told["outcome"] == "restored"
        assert host.listing() == before


def test_tables_that_a_boot_has_loaded_are_told_and_rolled_back(host: Host) -> None:
    before = run("iptables-legacy-save"), run("ip6tables-nft-save")
    going = Run(host, persist=True).wait_for_load()
    confirmed(host)
    going.result()
    with namespace():
        run("nft", "-f", str(host.boot_files.rules))
        found = status(host.state, DiagnosticSink(), host.boot_files)
        assert found is not None
        assert [name for name, _ in found.booted] == ["ip fwtrans", "ip6 fwtrans"]
        assert "table ip fwtrans: " in status_text(found)
        rolled_back(host)
        assert "fwtrans" not in run("nft", "list", "tables")
        after = run("iptables-legacy-save"), run("ip6tables-nft-save")
        assert [sorted(without_times(text)) for text in after] == [sorted(without_times(text)) for text in before]


def test_what_lies_in_an_unsafe_folder_is_not_loaded(host: Host) -> None:
    host.state.mkdir()
    host.state.chmod(0o777)
    sink = DiagnosticSink()
    assert not roll_back(host.state, "", sink, host.boot_files).done
    assert [item.code for item in sink.errors] == ["FWT611"]


@pytest.mark.parametrize("kind", ["text", "json"])
def test_a_script_that_only_nft_understands_is_read_by_nft(host: Host, kind: str, tmp_path: Path) -> None:
    text = "define port = 22\nadd table inet fwtrans\nadd chain inet fwtrans c\nadd rule inet fwtrans c tcp dport $port accept\n"
    if kind == "json":
        rule = {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 22}}
        place = {"family": "inet", "table": "fwtrans"}
        objects = [
            {"add": {"table": {"family": "inet", "name": "fwtrans"}}},
            {"add": {"chain": {**place, "name": "c"}}},
            {"add": {"rule": {**place, "chain": "c", "expr": [rule, {"accept": None}]}}},
        ]
        text = json.dumps({"nftables": objects})
    path = tmp_path / "new.nft"
    path.write_text(text)
    before = host.listing()
    (table,) = host.wanted(path).image
    assert [(chain.name, chain.rules) for chain in table.chains] == [("c", ("tcp dport 22 accept",))]
    assert host.listing() == before
    path.write_text("table inet fwtrans {\n\tchain c {\n\t\t$nothing accept\n")
    sink = DiagnosticSink()
    assert read_wanted(read_paths([str(path)], sink), Settings(), sink, FileAccess()) is None
    assert [item.code for item in sink.errors] == ["FWT603"]


def test_a_confirm_that_was_killed_is_taken_up_again(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    going = Run(host, persist=True).wait_for_load()
    child = os.fork()
    if child == 0:
        monkeypatch.setattr("fwtrans.apply.finish._tidy", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        try:
            confirm(host.state, DiagnosticSink(), host.boot_files)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert going.result()["outcome"] == "confirmed"
    wait_until(lambda: not guard_is_alive(host.state))
    assert "table ip fwtrans" in run("nft", "list", "tables"), "once confirmed nothing goes back"
    sink = DiagnosticSink()
    found = status(host.state, sink, host.boot_files)
    assert found is not None
    assert "run `fwtrans confirm` again" in status_text(found)
    assert apply(host.wanted(), host.request(), sink, FileAccess()).outcome is Outcome.REFUSED
    assert [item.code for item in sink.errors] == ["FWT606", "FWT606"]
    assert not host.boot_files.rules.exists()
    confirmed(host)
    assert host.boot_files.rules.exists()
    assert "table ip6 filter" not in run("nft", "list", "tables").splitlines()
    assert read_pending(host.state) is None
