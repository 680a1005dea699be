"""`fwtrans lab OLD NEW`: the answer, what it says of the kernel, what it does where it cannot ask, and what it leaves behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

from fwtrans.diagnostics import DiagnosticSink
from fwtrans.lab.kernels import SETTING
from fwtrans.lab.sides import Variant, side_of
from fwtrans.source import SourceFile
from tests.lab.kernels_at_hand import environment
from tests.places import FIXTURES, REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from fwtrans.lab.kernels import Kernel

pytestmark = pytest.mark.netns

HOST = FIXTURES / "lab" / "host"
SCRIPT = FIXTURES / "lab" / "host.nft"
SMALL = """\
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -s 10.0.0.0/8 -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -p tcp -m tcp --dport 25 -j REJECT --reject-with tcp-reset
COMMIT
"""
SAME = """\
table ip t {
	chain input {
		type filter hook input priority 0; policy drop;
		tcp dport . ip saddr { 22 . 10.0.0.0/8 } accept
		tcp dport 25 reject with tcp reset
	}
}
"""
LAB = [sys.executable, "-m", "fwtrans", "lab"]


def run(
    *words: str, cwd: Path = REPOSITORY, environment: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LAB, *words], capture_output=True, text=True, check=False, cwd=cwd, timeout=300,
        env={**os.environ, **environment},
    )  # fmt: skip


def envelope(*words: str) -> dict[str, Any]:
    done = run(*words, "--json")
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["command"] == "lab"
    assert found["ok"] == (done.returncode == 0)
    return found


@pytest.fixture
def small(tmp_path: Path) -> str:
    path = tmp_path / "iptables-save"
    path.write_text(SMALL)
    return str(path)


def nft(tmp_path: Path, text: str) -> str:
    path = tmp_path / "new.nft"
    path.write_text(text)
    return str(path)


def test_a_host_and_its_translation_are_the_same() -> None:
    found = envelope(str(HOST), str(SCRIPT), "--budget", "400")["result"]
    assert found["same"], found["differences"][:3]
    assert found["packets"] == 400
    assert found["kernel"] == {"name": "the running kernel", "passed_over": []}
    assert all(found["verdicts"][word] > 10 for word in ("delivered", "refused", "lost"))
    assert found["rules_aimed_at"] > 60


def test_a_difference_is_told_with_the_packet_both_verdicts_and_both_rules(small: str, tmp_path: Path) -> None:
    nft(tmp_path, SAME.replace("10.0.0.0/8", "10.0.0.0/9").replace("with tcp reset", ""))
    done = run(Path(small).name, "new.nft", "--budget", "150", cwd=tmp_path)
    assert done.returncode == 1
    rows = re.sub(r"\s+", " ", done.stdout)
    assert done.stdout.startswith("different: ")
    assert "kernel: the running kernel" in done.stdout
    assert re.search(r"tcp 10\.\d+\.\d+\.\d+:\d+ -> ", rows)
    assert re.search(r"refused, answered tcp-reset . refused, answered icmp 3/3", rows)
    assert "iptables-save:6" in rows
    assert "new.nft:5" in rows


def test_json_tells_a_difference_as_values(small: str, tmp_path: Path) -> None:
    found = envelope(small, nft(tmp_path, SAME.replace("22 .", "23 .")), "--budget", "150")["result"]
    assert not found["same"]
    first = found["differences"][0]
    assert set(first) == {"packet", "probe", "step", "what", "old", "new", "made_for", "where"}
    assert first["what"]
    assert {"text", "rule", "observed"} <= set(first["old"])


def test_the_same_seed_sends_the_same_packets(small: str, tmp_path: Path) -> None:
    other = nft(tmp_path, SAME.replace("22 .", "23 ."))
    one, two = (envelope(small, other, "--budget", "60")["result"]["differences"] for _ in range(2))
    assert [item["probe"] for item in one] == [item["probe"] for item in two]


def test_a_kernel_may_be_named(small: str, tmp_path: Path) -> None:
    launcher = tmp_path / "launcher"
    launcher.write_text('#!/bin/sh\nshift 2\nexec unshare -n bash "$@"\n')
    launcher.chmod(0o755)
    found = envelope(small, nft(tmp_path, SAME), "--budget", "30", "--kernel", str(launcher))["result"]
    assert found["same"]
    assert found["kernel"]["name"] == f"the kernel of {launcher}"


def test_without_root_it_says_so(small: str) -> None:
    without = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]
    done = subprocess.run(
        [*without, *LAB, small, small], capture_output=True, text=True, check=False, cwd=REPOSITORY,
        env={**os.environ, SETTING: ""},
    )  # fmt: skip
    assert done.returncode == 3
    assert "FWT700" in done.stderr
    assert "needs root" in done.stderr


def test_where_no_kernel_loads_both_sides_each_says_why(small: str, tmp_path: Path) -> None:
    other = nft(tmp_path, "table ip t {\n\tchain c {\n\t\ttype nat hook forward priority filter;\n\t}\n}\n")
    done = run(small, other, "--kernel", "running")
    assert done.returncode == 3
    assert "FWT700" in done.stderr
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho this kernel panics\nexit 125\n")
    broken.chmod(0o755)
    done = run(small, small, "--kernel", str(broken))
    assert done.returncode == 3
    assert "FWT700" in done.stderr
    assert "this kernel panics" in done.stderr


SCRIPT_CALLS = """\
#!/bin/sh
touch {marker}
ipset create near hash:net
ipset add near 10.0.0.0/8
iptables -P INPUT DROP
iptables -A INPUT -p tcp --dport 25 -j REJECT --reject-with tcp-reset
PORT=22
iptables -I INPUT -p tcp -m set --match-set near src --dport "$PORT" -j ACCEPT
"""


def test_a_script_is_not_run_but_what_it_leaves_behind_is_loaded(small: str, tmp_path: Path) -> None:
    script = tmp_path / "firewall.sh"
    marker = tmp_path / "was run"
    script.write_text(SCRIPT_CALLS.format(marker=marker))
    found = envelope(str(script), small, "--budget", "60")
    assert found["result"]["same"], found["result"]["differences"][:2]
    assert [item["code"] for item in found["diagnostics"]].count("FWT703") == 1
    assert not marker.exists()
    script.write_text(script.read_text().replace("PORT=22", "PORT=23"))
    found = envelope(str(script), small, "--budget", "60")
    assert not found["result"]["same"]


def test_what_no_tool_loads_is_told() -> None:
    sink = DiagnosticSink()
    script = SourceFile("firewall.sh", "#!/bin/sh\niptables -A INPUT -j DROP\n")
    assert side_of("old", [script], Variant.LEGACY, sink) is None
    assert [item.code for item in sink.found] == ["FWT701"]


def test_what_lies_beside_dumps_is_not_in_the_way(small: str, tmp_path: Path) -> None:
    folder = tmp_path / "collected"
    folder.mkdir()
    (folder / "iptables-save").write_text(SMALL)
    (folder / "interfaces").write_text("auto eth0\niface eth0 inet dhcp\n\tpost-up iptables -P INPUT DROP\n")
    found = envelope(str(folder), small, "--budget", "30")
    assert found["result"]["same"]
    assert not any(item["code"] == "FWT703" for item in found["diagnostics"])


def test_firewall_calls_of_interfaces_are_loaded_as_a_dump(tmp_path: Path) -> None:
    place = tmp_path / "interfaces"
    rules = "\tpost-up iptables -A INPUT -p tcp --dport 25 -j REJECT --reject-with tcp-reset\n"
    place.write_text(f"auto eth0\niface eth0 inet dhcp\n{rules}")
    script = "table ip t {\n\tchain c {\n\t\ttype filter hook input priority 0;\n\t\ttcp dport 25 reject with tcp reset\n\t}\n}\n"
    assert envelope(str(place), nft(tmp_path, script), "--budget", "30")["result"]["same"]


NODE = FIXTURES / "golden" / "proxmox" / "10-small-node"


@pytest.mark.kernel
def test_a_configuration_of_proxmox_is_compared_with_its_translation(bridge_kernel: Kernel) -> None:
    launcher = {SETTING: bridge_kernel.command[0]} if bridge_kernel.timed else {}
    done = run(
        str(NODE / "input"), str(NODE / "expected.nft"), "--budget", "120", "--json",
        "--kernel", "uml" if launcher else "running", environment=launcher,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert found["result"]["same"], found["result"]["differences"][:2]
    assert found["result"]["verdicts"]["delivered"] > 5
    assert "FWT703" in [item["code"] for item in found["diagnostics"]]


def test_what_no_reader_knows_is_refused(small: str, tmp_path: Path) -> None:
    other = tmp_path / "notes"
    other.write_text("the firewall is in the cellar\n")
    done = run(str(other), small)
    assert done.returncode == 3
    assert "FWT101" in done.stderr


def test_a_kernel_that_ends_in_the_middle_is_told(small: str, tmp_path: Path) -> None:
    launcher = tmp_path / "launcher"
    launcher.write_text(
        '#!/bin/sh\nshift 2\ngrep -q lab.agent "$1" && { echo gone; exit 125; }\nexec unshare -n bash "$@"\n'
    )
    launcher.chmod(0o755)
    done = run(small, small, "--kernel", str(launcher))
    assert done.returncode == 3
    assert "FWT702" in done.stderr
    assert "gone" in done.stderr


def of_run(marker: str) -> list[Path]:
    """Return the processes of a run, which its environment tells."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if marker.encode() in path.read_bytes().split(b"\0"):
                found.append(path.parent)
    return found


def words_of(process: Path) -> str:
    with suppress(OSError):
        return (process / "cmdline").read_text(errors="replace").replace("\0", " ")
    return ""


def namespaces_of(processes: Iterable[Path]) -> set[str]:
    """Return the network namespaces that processes are in or hold open, this test's own aside."""
    found = set()
    for process in processes:
        with suppress(OSError):
            held = [process / "ns" / "net", *(process / "fd").iterdir()]
            for path in held:
                with suppress(OSError):
                    found.add(str(path.readlink()))
    own = str(Path("/proc/self/ns/net").readlink())
    return {name for name in found if name.startswith("net:") and name != own}


def hold(namespaces: AbstractSet[str], processes: Iterable[Path], stack: ExitStack) -> None:
    """Hold namespaces open: the number of one that is gone is the next one's, and that may be another test's."""
    for process in processes:
        with suppress(OSError):
            for path in (process / "ns" / "net", *(process / "fd").iterdir()):
                with suppress(OSError):
                    if str(path.readlink()) in namespaces:
                        stack.callback(os.close, os.open(path, os.O_RDONLY | os.O_CLOEXEC))


def everywhere() -> list[Path]:
    return list(Path("/proc").glob("[0-9]*"))


def kept_by_files() -> set[str]:
    """Return what keeps namespaces alive without a process: names of `ip netns`, and mounts."""
    names = {path.name for path in Path("/run/netns").glob("*")}
    return names | {line for line in Path("/proc/self/mounts").read_text().splitlines() if line.startswith("nsfs ")}


SIGNALS = pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])


@SIGNALS
def test_nothing_is_left_behind_when_it_is_interrupted(how: signal.Signals, tmp_path: Path) -> None:
    check_interrupted([str(HOST), str(SCRIPT)], how, tmp_path, {}, "lab.agent")


@pytest.mark.kernel
@SIGNALS
def test_nothing_is_left_of_another_kernel_when_it_is_interrupted(how: signal.Signals, tmp_path: Path) -> None:
    launcher = environment().get(SETTING)
    if launcher is None:
        pytest.skip(f"needs a launcher of another kernel, set {SETTING}")
    sides = [str(NODE / "input"), str(NODE / "expected.nft"), "--kernel", "uml"]
    check_interrupted(sides, how, tmp_path, {SETTING: launcher}, " init=")


def check_interrupted(
    words: list[str], how: signal.Signals, tmp_path: Path, more: Mapping[str, str], begun: str
) -> None:
    marker = f"FWTRANS_TEST_MARKER={tmp_path}"
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    interfaces, kept = Path("/proc/net/dev").read_text().count("\n"), kept_by_files()
    lab = subprocess.Popen(
        [*LAB, *words, "--budget", "9000"], cwd=REPOSITORY, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "FWTRANS_TEST_MARKER": str(tmp_path), "TMPDIR": str(scratch), **more},
    )  # fmt: skip
    end = time.monotonic() + 600
    while not (namespaces := is_at_work(marker, begun)):
        assert time.monotonic() < end, "the agent never started"
        assert lab.poll() is None, lab.communicate()
    with ExitStack() as stack:
        hold(namespaces, of_run(marker), stack)
        lab.send_signal(how)
        lab.communicate(timeout=300)
        while left := of_run(marker):
            assert time.monotonic() < end, [words_of(process) for process in left]
        assert not namespaces & namespaces_of(other for other in everywhere() if other.name != str(os.getpid()))
    assert kept_by_files() == kept
    assert Path("/proc/net/dev").read_text().count("\n") == interfaces
    if how is signal.SIGKILL:
        # nobody was there to clean up: the next run does it
        other = {"TMPDIR": str(scratch), SETTING: "/bin/false"}
        run(str(HOST), str(SCRIPT), "--kernel", "uml", environment=other)
    else:
        assert lab.returncode == 130
    assert not list(scratch.iterdir())


def is_at_work(marker: str, begun: str) -> set[str]:
    """Return the namespaces of a run whose packets are being sent; another kernel keeps its own to itself."""
    processes = of_run(marker)
    if not any(begun in words_of(process) for process in processes):
        return set()
    return namespaces_of(processes) or ({"net: in another kernel"} if begun != "lab.agent" else set())


def test_a_kernel_that_nobody_knows_is_a_mistake_of_the_caller(small: str) -> None:
    done = run(small, small, "--kernel", "fast")
    assert done.returncode == 2
    assert "auto, running, uml" in done.stderr


def test_the_rule_that_translates_for_the_host_is_named(tmp_path: Path) -> None:
    (tmp_path / "iptables-save").write_text(
        "*nat\n:PREROUTING ACCEPT [0:0]\n"
        "-A PREROUTING -p tcp -m addrtype --dst-type LOCAL -m tcp --dport 8080 -j DNAT --to-destination 172.18.0.2:80\n"
        "COMMIT\n*filter\n:FORWARD DROP [0:0]\n-A FORWARD -i lan0 -j ACCEPT\nCOMMIT\n"
    )
    found = envelope(str(tmp_path / "iptables-save"), nft(tmp_path, "table ip t { }\n"), "--budget", "60")["result"]
    assert "iptables-save:3" in {Path(item["old"]["rule"]).name for item in found["differences"]}


def test_other_kernels_are_set_by_a_variable(small: str) -> None:
    done = run(small, small, "--kernel", "uml", environment={SETTING: ""})
    assert done.returncode == 3
    assert SETTING in done.stderr
