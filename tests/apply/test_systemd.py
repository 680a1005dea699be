"""Where systemd runs: the way back is a unit of its own, and a boot comes up with the old rules until the new are confirmed.

systemd is process 1 of namespaces that are made anew for each boot, in a kernel of its own; the power is cut by killing it.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from fwtrans.backend.loader.guard import NotArmed, _systemd_is_ours, arm
from fwtrans.backend.loader.pending import Pending, end_pending, guard_is_alive, seconds_since_boot, write_pending
from fwtrans.backend.loader.state import this_host
from fwtrans.lab.kernels import SETTING, choose, run_script
from tests.namespaces import namespace
from tests.places import REPOSITORY

SYSTEMD = Path("/lib/systemd/systemd")

BOOT = r"""
set -u
repository=$1 python=$2
mkdir -p /sys/fs/cgroup /etc/iptables /mnt/steps
mount -t cgroup2 none /sys/fs/cgroup
echo 1 > /proc/sys/vm/overcommit_memory  # the stacks of oxidd's threads are large and stay empty
for name in udevd udev-trigger journald journal-flush tmpfiles-setup tmpfiles-setup-dev random-seed sysctl modules-load update-utmp machine-id-commit binfmt remount-fs timesyncd resolved networkd logind; do
  ln -sf /dev/null "/etc/systemd/system/systemd-$name.service"
done
printf '%s\n' '*filter' ':INPUT DROP [0:0]' ':FORWARD ACCEPT [0:0]' ':OUTPUT ACCEPT [0:0]' '-A INPUT -i lo -j ACCEPT' \
  '-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT' COMMIT > /etc/iptables/rules.v4
cat > /etc/systemd/system/netfilter-persistent.service <<'END'
[Unit]
DefaultDependencies=no
Before=network-pre.target
Wants=network-pre.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/iptables-legacy-restore /etc/iptables/rules.v4
[Install]
WantedBy=sysinit.target
END
mkdir -p /etc/systemd/system/sysinit.target.wants
ln -sf ../netfilter-persistent.service /etc/systemd/system/sysinit.target.wants/
cat > /etc/systemd/system/lab.service <<END
[Unit]
DefaultDependencies=no
Requires=sysinit.target
After=sysinit.target
[Service]
Type=oneshot
KillMode=process
WorkingDirectory=$repository
ExecStart=/bin/bash -c 'ip link set lo up; source /mnt/tools; source /mnt/script; echo end of script'
StandardOutput=append:/mnt/said
StandardError=inherit
END
cat > /mnt/tools <<END
export PATH=$PATH:/usr/sbin:/sbin
fwtrans() { $python -m fwtrans "\$@"; }
END
cat >> /mnt/tools <<'END'
now() {
  echo "$1: $(iptables-legacy-save | grep -c '^-A') old rules, $(nft list tables | tr '\n' ' ')"
}
in_a_session() { # as sshd starts a command: in a scope of its own
  (systemd-run --quiet --scope --unit=session bash -c '"$@" > /mnt/session 2>&1' fwtrans "$python" -m fwtrans "$@" &)
}
until_loaded() {
  for attempt in $(seq 3000); do
    fwtrans status 2> /dev/null | grep -q 'waits for .* seconds left' && return
    sleep 0.1
  done
  cat /mnt/session
}
end_session() {
  systemctl kill --signal=KILL session.scope
  while systemctl --quiet is-active session.scope; do sleep 0.1; done
}
END
echo "python=$python" >> /mnt/tools
boot() {
  echo "-- $1"
  cat > /mnt/script
  container=lab unshare --pid --fork --kill-child --mount --mount-proc --net "$systemd" --system --unit=lab.service > /mnt/log 2>&1 &
  power=$!
  for attempt in $(seq 4000); do
    grep -qs 'end of script' /mnt/said && break
    sleep 0.1
  done
  kill -KILL "$power"; wait "$power" 2> /dev/null
  grep -v 'end of script' /mnt/said || cat /mnt/log
  rm -f /mnt/said
}
systemd=/lib/systemd/systemd
"""

SCRIPT = (
    BOOT
    + r"""
boot 'the power is cut while it waits' <<'END'
now before
fwtrans collect -o /root/before > /dev/null 2>&1 || echo collect failed
in_a_session apply /root/before --persist --yes --confirm-within 300
until_loaded
now loaded
end_session
echo "way back: $(systemctl is-active 'fwtrans-way-back-*') in $(systemctl show --property=Slice --value 'fwtrans-way-back-*')"
fwtrans status | grep -o 'the way back is ready'
ls /etc/nftables.d /etc/systemd/system/fwtrans.service 2>&1 | grep -c 'fwtrans.nft'
END
boot 'the next boot' <<'END'
now 'after the power cut'
systemctl is-active fwtrans.service
fwtrans status | head -2
in_a_session apply /root/before --persist --yes --confirm-within 10
until_loaded
end_session
while systemctl --quiet is-active 'fwtrans-way-back-*'; do sleep 0.1; done
now 'not confirmed'
systemctl is-failed 'fwtrans-way-back-*'
in_a_session apply /root/before --persist --yes --confirm-within 300
until_loaded
end_session
fwtrans confirm | sed 's/ .*//'
now confirmed
while systemctl --quiet is-active 'fwtrans-way-back-*'; do sleep 0.1; done
rm /etc/systemd/system/sysinit.target.wants/netfilter-persistent.service
END
boot 'the boot after it was confirmed' <<'END'
now 'after the second power cut'
systemctl is-active fwtrans.service
systemctl show --property=Before --value fwtrans.service | tr ' ' '\n' | grep network-pre
fwtrans status 2> /dev/null | grep 'table ip'
fwtrans rollback 2>&1 | sed 's/ .*//'
now 'rolled back'
ls /etc/nftables.d
END
"""
)


@pytest.mark.kernel
@pytest.mark.netns
def test_the_way_back_is_a_unit_and_a_boot_comes_up_with_the_old_rules_until_they_are_confirmed(shared: Path) -> None:
    if not SYSTEMD.exists():
        pytest.skip("systemd is not installed")
    kernel = choose(environment={SETTING: str(shared / "lab" / "run-uml"), "PATH": os.environ["PATH"]})
    answer = run_script(kernel, SCRIPT, (str(REPOSITORY), sys.executable), seconds=900)
    assert answer.status == 0, answer.output
    assert answer.output.splitlines() == [
        "-- the power is cut while it waits",
        "before: 2 old rules, ",
        "loaded: 0 old rules, table ip fwtrans ",
        "way back: active in system.slice",
        "the way back is ready",
        "0",
        "-- the next boot",
        "after the power cut: 2 old rules, ",
        "inactive",
        "no table of fwtrans is loaded",
        "the next boot loads none of our rules",
        "not confirmed: 2 old rules, ",
        "confirmed",
        "confirmed: 0 old rules, table ip fwtrans ",
        "-- the boot after it was confirmed",
        "after the second power cut: 0 old rules, table ip fwtrans ",
        "active",
        "network-pre.target",
        "table ip fwtrans: 3 rules, loaded by a boot",
        "restored",
        "rolled back: 2 old rules, ",
    ]


FAKE = """\
#!/bin/sh
printf '%s\\n' "$@" > {told}
echo "Failed to start transient service unit: Unit is masked." >&2
exit 1
"""


def test_what_systemd_is_asked_for_and_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "told"
    fake = tmp_path / "systemd-run"
    fake.write_text(FAKE.format(told=told))
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("fwtrans.backend.loader.guard._systemd_is_ours", lambda: True)
    with pytest.raises(NotArmed, match="systemd-run: Failed to start transient service unit: Unit is masked"):
        arm(tmp_path, "20261121T090000Z")
    words = told.read_text().splitlines()
    assert "--unit=fwtrans-way-back-20261121T090000Z" in words
    assert "--collect" in words
    assert words[-5:] == [sys.executable, "-m", "fwtrans.backend.loader.guard", str(tmp_path), "20261121T090000Z"]


@pytest.mark.netns
def test_in_another_network_namespace_systemd_is_not_asked() -> None:
    """What it starts would see, and restore, the rules of its own namespace."""
    with namespace():
        assert not _systemd_is_ours()


@pytest.mark.netns
def test_a_folder_that_is_given_from_where_one_is_is_found_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    monkeypatch.chdir(tmp_path)
    with namespace():
        pending = Pending(identity="near", host=this_host(), deadline=seconds_since_boot() + 60, wait=60.0, loaded=True)
        write_pending(Path("state"), pending)
        arm(Path("state"), "near")
        assert guard_is_alive(tmp_path / "state")
        end_pending(Path("state"))
        deadline = time.monotonic() + 120
        while guard_is_alive(tmp_path / "state"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
