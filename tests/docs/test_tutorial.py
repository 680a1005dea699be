"""The tutorial, followed word by word on a node of the corpora, in a kernel that tracks bridged packets."""

from __future__ import annotations

import json
import shlex
import sys
from typing import TYPE_CHECKING

import pytest

from fwtrans.lab.kernels import SETTING, choose, run_script
from tests.docs.followed import Command, commands, normalised, with_outputs
from tests.golden import UPDATE_OPTION
from tests.places import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

PAGE = REPOSITORY / "docs" / "tutorial" / "proxmox-node.md"
# What the reader of the tutorial has: a node whose firewall runs, and fwtrans on the path.
NODE = r"""
set -u
repository=$1 corpus=$2 python=$3
export PATH=$PATH:/usr/sbin:/sbin PYTHONPATH=$repository NO_COLOR=1
echo 1 > /proc/sys/vm/overcommit_memory  # the stacks of oxidd's threads are large and stay empty
mkdir -p /tmp/tutorial && cd /tmp/tutorial
fwtrans() {
  case $1 in  # /var is not ours to write to
    apply | confirm | status | rollback) "$python" -m fwtrans "$@" --state-dir /tmp/state ;;
    *) "$python" -m fwtrans "$@" ;;
  esac
}
for module in br_netfilter ebtable_filter ip_set_hash_net iptable_filter ip6table_filter iptable_raw ip6table_raw; do
  modprobe -q "$module"  # where they are modules
done
ipset restore < "$corpus/ipset-save"
iptables-legacy-restore < "$corpus/iptables-save"
ip6tables-legacy-restore < "$corpus/ip6tables-save"
ebtables-legacy-restore < "$corpus/ebtables-save"
echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables
loaded() {
  for attempt in $(seq 6000); do
    grep -qs '"loaded": true' /tmp/state/pending.json && return
    kill -0 $! || return
    sleep 0.1
  done
}
"""


def script(steps: list[Command]) -> str:
    """Return what runs the commands one after the other; what waits in the first terminal runs beside the others."""
    lines = [NODE]
    for number, step in enumerate(steps):
        if step.where == "first terminal":
            lines += [f"{{ {step.text}\n}} > out.{number} 2>&1 &", "loaded"]
        else:
            lines.append(f"{{ {step.text}\n}} > /tmp/out.{number} 2>&1")
    lines = [line.replace("> out.", "> /tmp/out.") for line in lines]
    encode = "import json,sys; print('OUTPUTS ' + json.dumps([open(f'/tmp/out.{n}').read() for n in range(int(sys.argv[1]))]))"
    lines += ["wait", f'"$python" -c {shlex.quote(encode)} {len(steps)}']
    return "\n".join(lines)


@pytest.mark.kernel
@pytest.mark.netns
def test_the_tutorial_is_true_word_by_word(shared: Path, request: pytest.FixtureRequest) -> None:
    page = PAGE.read_text(encoding="utf-8")
    steps = commands(page)
    assert len(steps) > 8
    kernel = choose(environment={SETTING: str(shared / "lab" / "run-uml")})
    corpus = shared / "pve-corpus" / "f-pol-drop-drop"
    answer = run_script(kernel, script(steps), (str(REPOSITORY), str(corpus), sys.executable), seconds=1200)
    line = next((text for text in answer.output.splitlines() if text.startswith("OUTPUTS ")), None)
    assert line is not None, answer.output
    outputs: list[str] = json.loads(line.removeprefix("OUTPUTS "))
    if request.config.getoption(UPDATE_OPTION):
        PAGE.write_text(with_outputs(page, outputs), encoding="utf-8")
        return
    assert [(step.text, normalised(step.output)) for step in steps] == [
        (step.text, normalised(output)) for step, output in zip(steps, outputs, strict=True)
    ]
