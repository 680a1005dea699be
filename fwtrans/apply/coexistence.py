"""What else filters on this host: base chains of others at the same hooks, and services that load rules by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.diagnostics import Diagnostic

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fwtrans.backend.loader.client import BaseChain
    from fwtrans.backend.loader.image import Image, TableName

_SIGNS = (
    ("Docker", ("DOCKER", "docker")),
    ("kube-proxy", ("KUBE-", "kube-proxy")),
    ("libvirt", ("LIBVIRT_", "libvirt")),
    ("fail2ban", ("f2b-", "addr-set-", "fail2ban")),
    ("ufw", ("ufw-", "ufw6-")),
    ("firewalld", ("firewalld",)),
    ("Proxmox VE", ("PVEFW-", "proxmox-firewall")),
    ("CrowdSec", ("crowdsec",)),
    ("Tailscale", ("ts-input", "ts-forward")),
)


class Service(NamedTuple):
    """A service that puts rules in place by itself: its unit, the name of its process, and what to do about it."""

    unit: str
    process: str
    advice: str


_SERVICES = (
    Service("pve-firewall", "pve-firewall", "it loads its iptables rules again within ten seconds, and sets bridge-nf-call-iptables to 1; halt it before with: systemctl kill --signal=STOP pve-firewall; and when all is confirmed stop it with: systemctl disable --now pve-firewall"),
    Service("proxmox-firewall", "proxmox-firewall", "it loads its own nftables tables; stop it with: systemctl disable --now proxmox-firewall"),
    Service("netfilter-persistent", "", "it loads iptables rules at boot; keep it from that with: systemctl disable netfilter-persistent"),
    Service("nftables", "", "it loads /etc/nftables.conf at boot, and `flush ruleset` in there removes our tables when it is restarted; look into that file"),
    Service("firewalld", "firewalld", "it keeps rules of its own; stop it with: systemctl disable --now firewalld"),
    Service("ufw", "", "it loads iptables rules at boot; switch it off with: ufw disable"),
    Service("docker", "dockerd", "it adds its rules with iptables again when it starts or a container does; they work beside ours"),
    Service("libvirtd", "libvirtd", "it adds its rules again when a network starts; they work beside ours"),
    Service("fail2ban", "fail2ban-server", "it goes on banning with iptables; give it banaction = nftables"),
)  # fmt: skip


def other_base_chains(chains: Iterable[BaseChain], ours: Image, out: Iterable[TableName]) -> Iterator[Diagnostic]:
    """Yield a finding for each table of others that judges at a hook where ours does. `out` are those taken out."""
    own = {table.name for table in ours}
    gone = set(out)
    hooks: dict[TableName, list[BaseChain]] = {}
    for chain in chains:
        if chain.table not in own and chain.table not in gone:
            hooks.setdefault(chain.table, []).append(chain)
    ours_at = {line.split()[3] for table in ours for chain in table.chains for line in chain.head if "hook" in line}
    for table, others in hooks.items():
        shared = sorted({chain.hook for chain in others if chain.hook in ours_at})
        if not shared:
            continue
        owner = _owner(table, others[0].chains)
        drops = any(chain.policy == "drop" for chain in others)
        message = (
            f"table {table}{f' ({owner})' if owner else ''} also judges packets at {', '.join(shared)}: "
            f"a packet passes if both let it pass{'; its policy is drop' if drops else ''}"
        )
        yield Diagnostic(code="FWT618", message=message)


def _owner(table: TableName, chains: Sequence[str]) -> str:
    names = (table.name, *chains)
    return next((owner for owner, signs in _SIGNS if any(name.startswith(signs) for name in names)), "")


def services(processes: Path = Path("/proc"), units: Path = Path("/etc/systemd/system")) -> Iterator[Diagnostic]:
    """Yield a finding for each service that would change the rules by itself: it runs, or it starts at boot."""
    running = _process_names(processes)
    enabled = {path.name for path in units.glob("*.wants/*")}
    for service in _SERVICES:
        is_running = bool(service.process) and service.process[:15] in running
        at_boot = f"{service.unit}.service" in enabled
        if is_running or at_boot:
            what = "is running" if is_running else "starts at boot"
            yield Diagnostic(code="FWT619", message=f"{service.unit} {what}: {service.advice}")


def _process_names(processes: Path) -> frozenset[str]:
    found = set()
    for path in processes.glob("[0-9]*/comm"):
        try:
            found.add(path.read_text(encoding="utf-8", errors="replace").strip())
        except OSError:
            continue
    return frozenset(found)
