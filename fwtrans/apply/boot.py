"""What survives a boot: the rules as a file and a unit that loads it before there is a network. Written at confirm only."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fwtrans.backend.loader.image_text import print_image
from fwtrans.backend.loader.programs import find, run
from fwtrans.backend.loader.state import write_private

if TYPE_CHECKING:
    from fwtrans.backend.loader.image import Image

_UNIT = """\
# Made by `fwtrans apply --persist`; `fwtrans rollback` takes it away again.
[Unit]
Description=Firewall rules of fwtrans
Documentation=man:nft(8)
DefaultDependencies=no
RequiresMountsFor=%(rules)s
After=local-fs.target systemd-modules-load.service
Before=network-pre.target shutdown.target
Wants=network-pre.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=%(nft)s -f %(rules)s
%(bridge)s
[Install]
WantedBy=sysinit.target
"""
_BRIDGE = """\
# Bridged packets are judged by our bridge table, not by iptables; without br_netfilter there is nothing to set
ExecStartPost=-/bin/sh -c 'for name in iptables ip6tables arptables; do echo 0 > /proc/sys/net/bridge/bridge-nf-call-$$name; done'
"""


@dataclass(frozen=True, slots=True)
class BootFiles:
    """Where they are; tests have another /etc."""

    etc: Path = Path("/etc")

    @property
    def rules(self) -> Path:
        """Return the file of the rules."""
        return self.etc / "nftables.d" / "fwtrans.nft"

    @property
    def unit(self) -> Path:
        """Return the unit."""
        return self.etc / "systemd" / "system" / "fwtrans.service"

    @property
    def link(self) -> Path:
        """Return the link that starts the unit at boot."""
        return self.unit.parent / "sysinit.target.wants" / "fwtrans.service"


def obstacle(files: BootFiles) -> str:
    """Return why the files could not be written, or nothing. Folders that are missing are made."""
    for path in (files.rules, files.unit, files.link):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            probe = path.with_name(f".{path.name}.probe")
            write_private(probe, "x" * 4096)
            probe.unlink()
        except OSError as fault:
            return f"{path.parent}: {fault.strerror}"
    return ""


def boot_script(image: Image) -> str:
    """Return the rules as a file that nft loads where nothing of them is there, and where it is."""
    fresh = "".join(f"table {table.name}\ndelete table {table.name}\n" for table in image)
    return f"#!/usr/sbin/nft -f\n# Made by `fwtrans apply --persist`.\n\n{fresh}\n{print_image(image)}"


def unit_text(files: BootFiles, image: Image) -> str:
    """Return the unit."""
    bridge = any(table.name.family == "bridge" for table in image)
    values = {"nft": find("nft") or "/usr/sbin/nft", "rules": files.rules, "bridge": _BRIDGE if bridge else ""}
    return _UNIT % values


def kept(files: BootFiles) -> str | None:
    """Return the rules that the next boot would load, None where there are none."""
    try:
        return files.rules.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None


def persist(files: BootFiles, image: Image) -> None:
    """Write rules and unit and have the unit start at boot; raises OSError."""
    _write(files, boot_script(image), unit_text(files, image))


def put_back(files: BootFiles, rules: str | None) -> None:
    """Make the next boot load these rules, or none of ours; raises OSError."""
    if rules is None:
        for path in (files.link, files.unit, files.rules):
            path.unlink(missing_ok=True)
        _tell_systemd()
    elif rules != kept(files):
        unit = files.unit.read_text(encoding="utf-8") if files.unit.exists() else unit_text(files, ())
        _write(files, rules, unit)


def _write(files: BootFiles, rules: str, unit: str) -> None:
    for path in (files.rules, files.unit, files.link):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_private(files.rules, rules)
    write_private(files.unit, unit)
    files.unit.chmod(0o644)
    if not files.link.is_symlink():
        files.link.symlink_to(os.path.relpath(files.unit, files.link.parent))
    _tell_systemd()


def _tell_systemd() -> None:
    """Have systemd read its units again, where it runs: a boot does so by itself."""
    if Path("/run/systemd/system").is_dir():
        run(["systemctl", "daemon-reload"])
