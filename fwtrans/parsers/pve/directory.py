"""Reads all of a node's configuration, given as a mapping from relative path to text. Nothing here touches a disk.

Paths are those of /etc/pve (firewall/cluster.fw, nodes/pve1/host.fw, nodes/pve1/qemu-server/100.conf, sdn/firewall/x.fw,
corosync.conf) or of a flat directory (cluster.fw, host.fw, 100.fw, qemu-server/100.conf, vms.json), below any folder.
Where no vms.json is there, the host's own hostname, hosts and interfaces say what they can of the node.

    read_pve_directory({"cluster.fw": ..., "100.fw": ..., "qemu-server/100.conf": ...}, sink).guests[100].firewall
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Diagnostic, DiagnosticSink
from fwtrans.parsers.pve.corosync import parse_corosync
from fwtrans.parsers.pve.firewall_file import parse_firewall_file
from fwtrans.parsers.pve.guest_conf import parse_guest_conf
from fwtrans.parsers.pve.host_files import facts_of_host
from fwtrans.parsers.pve.node_facts import parse_node_facts, parse_sdn, read_sdn
from fwtrans.parsers.pve.sdn_sets import running_of_sections
from fwtrans.parsers.pve.sources import HOST_FILES, PvePath, recognise_path
from fwtrans.parsers.pve.syntax import FirewallKind, Guest, GuestConf, GuestKind, NodeFacts, PveConfig
from fwtrans.source import Span

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwtrans.parsers.pve.syntax import FirewallFile, Sdn
    from fwtrans.source import SourceFile

_HERE = ""
"""The node of files that do not say whose they are."""
_GUEST_KINDS = {"qemu-server": GuestKind.QEMU, "lxc": GuestKind.LXC}


def read_pve_directory(files: Mapping[str, SourceFile], sink: DiagnosticSink, node: str = "") -> PveConfig:
    """Return the configuration of one node: `node`, or the one that the files name."""
    reader = _Reader(sink)
    for path in sorted(files, key=lambda path: (path.count("/"), path)):
        found = recognise_path(path)
        if found is not None:
            reader.offer(found, files[path])
        elif (base := path.replace("\\", "/").rpartition("/")[2]) in HOST_FILES:
            reader.host_files.setdefault(base, files[path])
    return reader.read(node)


@dataclass(slots=True)
class _Reader:
    """The files by the part they play. Of two for one part the one less deep in folders is taken."""

    sink: DiagnosticSink
    files: dict[PvePath, SourceFile] = field(default_factory=dict)
    host_files: dict[str, SourceFile] = field(default_factory=dict)

    def offer(self, found: PvePath, source: SourceFile) -> None:
        taken = self.files.setdefault(found, source)
        if taken is not source:
            self._note(source, f"`{taken.name}` is read in place of this file", "give the directory of one node alone")

    def read(self, node: str) -> PveConfig:
        facts = self._facts() or facts_of_host(self.host_files)
        name = node or self._node_name(facts)
        facts = facts or facts_of_host(self.host_files, name)
        guests = self._guests(name, facts)
        corosync = self._single("corosync")
        return PveConfig(
            cluster=self._firewall(self._single("cluster"), FirewallKind.CLUSTER),
            host=self._firewall(self.files.get(PvePath("host", name)) or self._single("host"), FirewallKind.HOST),
            guests={conf.vmid: Guest(conf, self._guest_firewall(conf.vmid)) for conf in guests},
            corosync=None if corosync is None else parse_corosync(corosync, self.sink),
            node=facts,
            sdn=self._sdn(),
            vnets=self._vnets(),
            foreign=(self.files.get(PvePath("foreign", name="v4")), self.files.get(PvePath("foreign", name="v6"))),
        )

    def _sdn(self) -> Sdn | None:
        """Return the sets that SDN makes: those that were collected, or those of what it runs with."""
        collected = self._single("sdn")
        if collected is not None:
            return parse_sdn(collected, self.sink)
        if not any("+sdn/" in file.text for file in self.files.values()):
            return None  # whatever is wrong there, no rule asks for it
        running, subnets, vnets = (self._single(f"sdn {part}") for part in ("running", "subnets", "vnets"))
        leases = self._single("sdn leases") or self._single("sdn old leases")
        source = running or subnets or leases
        if source is None:
            return None
        if running is None:
            message = (
                "the configuration that SDN runs with is not among the files: its sets are made of what is written here"
            )
            hint = "give `sdn/.running-config` too; what is not applied does not count"
            span = Span(source, 1, 0, max(len(source.line(1)), 1))
            self.sink.add(Diagnostic(code="FWT187", message=message, span=span, hints=(hint,)))
            # of vnets whose subnets are not known no set is made: an empty one would be no word on the rules that ask for it
            vnets = vnets if subnets is not None else None
        text = running.text if running is not None else running_of_sections(_text(vnets), _text(subnets))
        return read_sdn(source, text, _text(leases), self.sink)

    def _single(self, part: str) -> SourceFile | None:
        return self.files.get(PvePath(part))

    def _firewall(self, source: SourceFile | None, kind: FirewallKind) -> FirewallFile | None:
        """Return a .fw file; an empty one is none to PVE."""
        return None if source is None or not source.text else parse_firewall_file(source, kind, self.sink)

    def _facts(self) -> NodeFacts | None:
        source = self._single("facts")
        if source is None:
            return None
        found = DiagnosticSink()
        facts = parse_node_facts(source, found)
        has_confs = any(path.part == "conf" for path in self.files)
        for diagnostic in found.found:
            if diagnostic.code != "FWT169" or not has_confs:  # a guest's own file says the same of the same line
                self.sink.add(diagnostic)
        return facts

    def _node_name(self, facts: NodeFacts | None) -> str:
        """Return the node whose files these are. Files without a node's name need none."""
        if facts is not None and facts.node_name:
            return facts.node_name
        names = sorted({path.node for path in self.files if path.node})
        own = self._vmids(_HERE)
        if own and len(names) > 1:  # /etc/pve/qemu-server is nodes/<own name>/qemu-server under another name
            names = [name for name in names if self._vmids(name) == own]
        elif len(names) > 1:
            message = f"the files are those of {len(names)} nodes ({', '.join(names[:8])}), and nothing says whose firewall is meant"  # fmt: skip
            hint = 'give the files of one node, or put its name into vms.json: {"nodename": "..."}'
            self.sink.add(Diagnostic(code="FWT171", message=message, hints=(hint,)))
        return names[0] if len(names) == 1 else ""

    def _vmids(self, node: str) -> set[str]:
        return {path.name for path in self.files if path.part == "conf" and path.node == node}

    def _guests(self, node: str, facts: NodeFacts | None) -> list[GuestConf]:
        """Return the guests of this node, ascending."""
        confs = {guest.vmid: guest for guest in (facts.guests if facts is not None else ())}
        elsewhere = set()
        own = self._vmids(_HERE)
        for path, source in self.files.items():
            if path.part != "conf" or (path.node and path.name in own):
                continue
            if path.node in {_HERE, node}:
                confs[int(path.name)] = parse_guest_conf(source, int(path.name), _GUEST_KINDS[path.folder], self.sink)
            else:
                elsewhere.add(int(path.name))
        for path, source in self.files.items():
            if path.part == "guest" and int(path.name) not in confs.keys() | elsewhere:
                message = f"there is no guest {path.name} among the files, so PVE does not read this one"
                hint = f"its network stands in qemu-server/{path.name}.conf or lxc/{path.name}.conf"
                self._note(source, message, hint)
        return [confs[vmid] for vmid in sorted(confs)]

    def _guest_firewall(self, vmid: int) -> FirewallFile | None:
        return self._firewall(self.files.get(PvePath("guest", name=str(vmid))), FirewallKind.GUEST)

    def _vnets(self) -> dict[str, FirewallFile]:
        found = {}
        for path, source in self.files.items():
            file = self._firewall(source, FirewallKind.VNET) if path.part == "vnet" else None
            if file is not None:
                found[path.name] = file
        return found

    def _note(self, source: SourceFile, message: str, hint: str) -> None:
        span = Span(source, 1, 0, max(len(source.line(1)), 1))
        self.sink.add(Diagnostic(code="FWT173", message=message, span=span, hints=(hint,)))


def _text(source: SourceFile | None) -> str:
    return "" if source is None else source.text
