"""Scripts run in the kernel that can do the work, and it is said which one that was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwtrans.lab.kernels import NO_STATUS, SETTING, Kernel, NoKernel, choose, run_script

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.netns

RUNNING = Kernel("the running kernel", ("unshare", "-n", "bash"))


def test_output_and_status_come_back() -> None:
    answer = run_script(RUNNING, 'echo "$1"; echo wrong >&2; exit 7', ("an argument",))
    assert answer == ("an argument\nwrong\n", 7, RUNNING)


def test_a_script_sees_a_namespace_of_its_own() -> None:
    assert run_script(RUNNING, "ls /proc/sys/net/ipv4/conf").output.split() == ["all", "default", "lo"]


def test_a_launcher_that_is_not_there_has_no_status(tmp_path: Path) -> None:
    answer = run_script(Kernel("none", (str(tmp_path / "none"),), ("-t",)), "true")
    assert answer.status == NO_STATUS
    assert "No such file" in answer.output


def test_the_running_kernel_is_taken_where_it_will_do() -> None:
    assert choose("nft list ruleset", {}) == RUNNING


def test_that_no_kernel_will_do_is_told_with_the_reasons() -> None:
    with pytest.raises(NoKernel, match=rf"the running kernel: this is missing; no launcher .*{SETTING}"):
        choose("echo this is missing; false", {})


@pytest.mark.kernel
def test_bridge_conntrack_is_found(shared: Path) -> None:
    launcher = shared / "lab" / "run-uml"
    kernel = choose(environment={SETTING: str(launcher)})
    assert kernel.name == RUNNING.name or str(launcher) in kernel.name
    script = """nft -f - <<'END' && nft list table bridge t
table bridge t {
	chain c {
		type filter hook forward priority -1; policy accept;
		ct state invalid drop
	}
}
END
"""
    answer = run_script(kernel, script)
    assert answer.status == 0, answer.output
    assert "ct state invalid drop" in answer.output
