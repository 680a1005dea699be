"""Others who filter: their base chains, and services that bring rules back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.apply.coexistence import other_base_chains, services
from fwtrans.backend.loader.client import BaseChain
from fwtrans.backend.loader.image import TableName
from tests.backend.loader.images import image

if TYPE_CHECKING:
    from pathlib import Path

OURS = image(
    "table inet fwtrans {\n\tchain input {\n\t\ttype filter hook input priority filter; policy accept;\n\t}\n}\n"
)


def base(table: TableName, name: str, hook: str, policy: str = "accept", chains: tuple[str, ...] = ()) -> BaseChain:
    return BaseChain(table, name, hook, 0, "filter", policy, (name, *chains))


def test_others_at_our_hooks_are_told_with_who_they_are() -> None:
    docker, elsewhere = TableName("ip", "filter"), TableName("ip", "nat")
    chains = (
        base(TableName("inet", "fwtrans"), "input", "input"),
        base(docker, "INPUT", "input", "drop", ("DOCKER-USER",)),
        base(docker, "FORWARD", "forward"),
        base(elsewhere, "PREROUTING", "prerouting"),
    )
    (found,) = other_base_chains(chains, OURS, ())
    assert found.code == "FWT618"
    assert found.message == (
        "table ip filter (Docker) also judges packets at input: a packet passes if both let it pass; its policy is drop"
    )
    assert list(other_base_chains(chains, OURS, [docker])) == []


def test_services_that_run_or_start_at_boot_are_told(tmp_path: Path) -> None:
    processes, units = tmp_path / "proc", tmp_path / "units"
    for number, name in ((7, "pve-firewall"), (8, "fail2ban-server"), (9, "bash")):
        (processes / str(number)).mkdir(parents=True)
        (processes / str(number) / "comm").write_text(f"{name[:15]}\n")
    (units / "multi-user.target.wants").mkdir(parents=True)
    (units / "multi-user.target.wants" / "netfilter-persistent.service").symlink_to("/lib/x")
    found = list(services(processes, units))
    assert {item.code for item in found} == {"FWT619"}
    assert [item.message.split(":")[0] for item in found] == [
        "pve-firewall is running",
        "netfilter-persistent starts at boot",
        "fail2ban is running",
    ]
    assert "systemctl disable --now pve-firewall" in found[0].message
    assert list(services(tmp_path / "none", tmp_path / "none")) == []
