"""Small nodes for tests: a configuration as a mapping, and what pve-firewall makes of it."""

from __future__ import annotations

from typing import NamedTuple

from fwtrans.diagnostics import Diagnostic, DiagnosticSink
from fwtrans.lower.pve.compile import Dumps, compile_node
from fwtrans.parsers.pve.directory import read_pve_directory
from fwtrans.source import SourceFile

ON = "[OPTIONS]\nenable: 1\n"
FACTS = '{"nodename": "pve1", "local_network": "172.16.1.0/24", "host_ip": "172.16.1.2", "qemu": {}, "lxc": {}}'
NIC = "net0: virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1\n"


class Made(NamedTuple):
    """The dumps and what was said."""

    dumps: Dumps
    found: list[Diagnostic]

    @property
    def codes(self) -> list[str]:
        return [item.code for item in self.found]

    def chain(self, name: str, family: str = "ip") -> list[str]:
        """Return a chain's rules without `-A NAME` and without the signature."""
        lines = getattr(self.dumps, family).text.splitlines()
        start = f"-A {name} "
        return [line[len(start) :].strip() for line in lines if line.startswith(start) and "PVESIG" not in line]


def make(files: dict[str, str], *, nftables: bool = False) -> Made:
    """Compile a node; what is not given is a node with the firewall on and its facts known."""
    files = {"cluster.fw": ON, "vms.json": FACTS, **files}
    sink = DiagnosticSink()
    config = read_pve_directory({name: SourceFile(name, text) for name, text in files.items()}, sink)
    return Made(compile_node(config, sink, nftables=nftables), sink.found)


def guest(rules: str, *, options: str = "", cluster: str = ON, nics: str = NIC) -> Made:
    """Compile a node with one virtual machine."""
    text = f"{ON}{options}\n[RULES]\n{rules}\n"
    return make({"cluster.fw": cluster, "100.fw": text, "qemu-server/100.conf": nics})


def host(rules: str, *, cluster: str = ON) -> Made:
    """Compile a node with rules of the host."""
    return make({"cluster.fw": cluster, "host.fw": f"[RULES]\n{rules}\n"})
