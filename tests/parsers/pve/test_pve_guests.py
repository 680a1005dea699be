"""qemu-server/*.conf and lxc/*.conf."""

from __future__ import annotations

import pytest

from fwtrans.diagnostics import DiagnosticSink
from fwtrans.parsers.pve.guest_conf import parse_guest_conf
from fwtrans.parsers.pve.syntax import GuestConf, GuestKind
from fwtrans.source import SourceFile
from tests.parsers.pve.pve_reading import Place, places

QEMU = """\
#net7: virtio=BC:24:11:00:00:07,bridge=vmbr0
boot: order=scsi0
name: web01
net1: model=e1000,macaddr=bc:24:11:00:00:02,bridge=vmbr1,tag=20,trunks=1;2,link_down=1
net0: virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,queues=4
parent: before
scsi0: local-lvm:vm-100-disk-0,size=32G

[PENDING]
net0: virtio=BC:24:11:00:00:01,bridge=vmbr9

[before]
net2: virtio=BC:24:11:00:00:03,bridge=vmbr0,firewall=1
"""

LXC = """\
arch: amd64
hostname: ct200
net0: name=eth0,bridge=vmbr0,firewall=yes,hwaddr=BC:24:11:00:00:04,ip=10.0.0.5/24,gw=10.0.0.1,ip6=auto,type=veth
net1: name=eth1,bridge=vmbr1,hwaddr=BC:24:11:00:00:05,ip=dhcp,ip6=2001:db8::5/64
lxc.apparmor.profile: unconfined
lxc.mount.entry = /dev/net dev/net none bind,create=dir
[pve:pending]
net0: name=eth0
"""


def read_guest(text: str, kind: GuestKind = GuestKind.QEMU) -> tuple[GuestConf, DiagnosticSink]:
    sink = DiagnosticSink()
    return parse_guest_conf(SourceFile("100.conf", text), 100, kind, sink), sink


def test_a_virtual_machine() -> None:
    conf, sink = read_guest(QEMU)
    assert not sink.found
    assert (conf.name, conf.vmid, conf.kind) == ("web01", 100, GuestKind.QEMU)
    first, second = conf.devices
    assert (first.name, first.model, first.mac, first.bridge) == ("net0", "virtio", "BC:24:11:00:00:01", "vmbr0")
    assert (first.firewall, first.tag, first.link_down) == (True, None, False)
    assert (second.model, second.mac, second.tag, second.trunks) == ("e1000", "BC:24:11:00:00:02", 20, "1;2")
    assert (second.firewall, second.link_down, second.line) == (False, True, 4)
    assert [(key, word.text) for key, word in first.properties][-1] == ("queues", "4")
    line = conf.source.line(5)
    assert all(line[word.start : word.end] == word.text for _, word in first.properties)


def test_a_container() -> None:
    conf, sink = read_guest(LXC, GuestKind.LXC)
    assert not sink.found
    first, second = conf.devices
    assert (first.mac, first.firewall, first.addresses) == ("BC:24:11:00:00:04", True, ("10.0.0.5/24",))
    assert (second.firewall, second.addresses, second.model) == (False, ("2001:db8::5/64",), "")


@pytest.mark.parametrize(
    ("line", "column"),
    [
        ("net0: virtio=BC:24:11:00:00,bridge=vmbr0", 14),
        ("net0: virtio=BD:24:11:00:00:01,bridge=vmbr0", 14),
        ("net0: virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=maybe", 54),
        ("net0: virtio=BC:24:11:00:00:01,tag=4095", 36),
        ("net0: virtio=BC:24:11:00:00:01,tag=" + "9" * 5000, 36),
        ("net0: virtio=BC:24:11:00:00:01,bridge=", 39),
        ("net0: virtio=BC:24:11:00:00:01,bridge=a,bridge=b", 48),
        ("net0: virtio=BC:24:11:00:00:01,e1000=BC:24:11:00:00:02", 38),
        ("net0: virtio=BC:24:11:00:00:01,firewal=1", 40),
        ("net0: vertio,bridge=vmbr0", 7),
        ("net0: bridge=vmbr0", 7),
        ("net0: virtio,bridge=vmbr0", 7),
        ("net0 virtio", 1),
        (": x", 1),
        ("\x00\x01", 1),
    ],
)
def test_a_line_that_pve_does_not_take(line: str, column: int) -> None:
    conf, sink = read_guest(f"memory: 512\n{line}\n")
    assert places(sink) == [Place("FWT169", 2, column)]
    assert sink.found[0].notes
    assert len(conf.devices) == (line == "net0: virtio,bridge=vmbr0")  # has a MAC address that PVE makes up


def test_a_container_needs_a_name_for_its_port() -> None:
    conf, sink = read_guest("net0: bridge=vmbr0,hwaddr=BC:24:11:00:00:01\n", GuestKind.LXC)
    assert [place.code for place in places(sink)] == ["FWT169"]
    assert not conf.devices


def test_the_last_line_of_a_port_counts_and_odd_keys_are_no_ports() -> None:
    text = "net0: virtio=BC:24:11:00:00:01\nnet0: e1000=BC:24:11:00:00:01\nnet01: x\nnet32: x\nnetwork: x\nNet1: x\n"
    conf, sink = read_guest(text)
    assert [device.model for device in conf.devices] == ["e1000"]
    assert places(sink) == [Place("FWT169", 6, 1)]


def test_crlf_is_taken() -> None:
    conf, sink = read_guest(QEMU.replace("\n", "\r\n"))
    assert not sink.found
    assert [device.mac for device in conf.devices] == ["BC:24:11:00:00:01", "BC:24:11:00:00:02"]
