"""A Proxmox VE node moves to nft and back: bridged packets, ebtables and both families, in a kernel that has all of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from fwtrans.lab.kernels import SETTING, Kernel, choose, run_script
from tests.places import REPOSITORY
from tests.stock_kernel import stock_kernel

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = r"""
set -u
repository=$1 corpus=$2 python=$3
export PATH=$PATH:/usr/sbin:/sbin
cd "$repository"
echo 1 > /proc/sys/vm/overcommit_memory  # the stacks of oxidd's threads are large and stay empty
fwtrans() { "$python" -m fwtrans "$@"; }
for module in br_netfilter ebtable_filter ip_set_hash_net iptable_filter ip6table_filter iptable_raw ip6table_raw; do
  modprobe -q "$module"  # where they are modules
done
ipset restore < "$corpus/ipset-save"
iptables-legacy-restore < "$corpus/iptables-save"
ip6tables-legacy-restore < "$corpus/ip6tables-save"
ebtables-legacy-restore < "$corpus/ebtables-save"
echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables
listing() {
  { iptables-legacy-save; ip6tables-legacy-save; ipset save; ebtables-legacy -L; nft list ruleset
    cat /proc/sys/net/bridge/bridge-nf-call-*; } | grep -v '^#' | sed 's/\[[0-9:]*\]//'
}
listing > /tmp/before
fwtrans collect -o /tmp/host > /tmp/collected 2>&1
listing > /tmp/after
cmp /tmp/before /tmp/after && echo collect changed nothing
fwtrans translate /tmp/host -o /tmp/host.nft > /tmp/translated 2>&1; echo "translate: $?"
fwtrans verify /tmp/host /tmp/host.nft > /tmp/verified 2>&1; echo "verify: $?"
iptables-legacy -A INPUT -p tcp --dport 8006 -j ACCEPT
fwtrans apply /tmp/host --state-dir /tmp/state --yes 2> /tmp/said; echo "apply: $? $(grep -o 'FWT607.*' /tmp/said)"
iptables-legacy -D INPUT -p tcp --dport 8006 -j ACCEPT
fwtrans apply /tmp/host --state-dir /tmp/state --yes --confirm-within 800 > /tmp/said 2>&1 &
for attempt in $(seq 6000); do
  grep -qs '"loaded": true' /tmp/state/pending.json && break
  kill -0 $! || { cat /tmp/said; exit 1; }
  sleep 0.1
done
echo "tables: $(nft list tables | sort | tr '\n' ' ')"
echo "nf-call: $(cat /proc/sys/net/bridge/bridge-nf-call-iptables)"
echo "left: $( (iptables-legacy-save; ip6tables-legacy-save; ebtables-legacy -L) | grep -c -e '^-A' -e '^-p' -e '^-i' )"
fwtrans confirm --state-dir /tmp/state | sed 's/ .*//'
wait
echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables
fwtrans status --state-dir /tmp/state 2>&1 | grep -o 'warning.FWT619.*1 again'
fwtrans rollback --state-dir /tmp/state | sed 's/ .*//'
listing > /tmp/after
cmp /tmp/before /tmp/after && echo all is as it was
"""


@pytest.mark.kernel
@pytest.mark.netns
def test_a_node_moves_to_nft_and_back(shared: Path) -> None:
    moves_and_comes_back(choose(environment={SETTING: str(shared / "lab" / "run-uml")}), shared, seconds=900)


@pytest.mark.lab_long
@pytest.mark.kernel
@pytest.mark.netns
def test_a_node_moves_to_nft_and_back_in_debians_own_kernel(shared: Path) -> None:
    moves_and_comes_back(stock_kernel(shared), shared, seconds=2400)


def moves_and_comes_back(kernel: Kernel, shared: Path, seconds: int) -> None:
    corpus = shared / "pve-corpus" / "f-pol-drop-drop"
    answer = run_script(kernel, SCRIPT, (str(REPOSITORY), str(corpus), sys.executable), seconds=seconds)
    assert answer.status == 0, answer.output
    assert answer.output.splitlines() == [
        "collect changed nothing",
        "translate: 0",
        "verify: 0",
        "apply: 1 FWT607]: /tmp/host/iptables-save: `-A INPUT -p tcp -m tcp --dport 8006 -j ACCEPT` is new",
        "tables: table bridge fwtrans table inet fwtrans table ip fwtrans table ip6 fwtrans ",
        "nf-call: 0",
        "left: 0",
        "confirmed",
        "warning[FWT619]: net.bridge.bridge-nf-call-iptables is 1 again",
        "restored",
        "all is as it was",
    ]
