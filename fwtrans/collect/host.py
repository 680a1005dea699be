"""The host around the rules: networks, bridges, settings, versions, Proxmox VE's configuration. Files are copied, some in part.

Only what is on a list is taken. Of guests' configurations that is the lines of network cards and names, for others hold
passwords and keys; of /etc/network/interfaces everything, with the values of keys and passwords left out.
"""

from __future__ import annotations

import json
import os
import platform
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fwtrans.backend.loader.programs import find, run
from fwtrans.parsers.pve.sdn_sets import NotSdn, sets_of_sdn

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fwtrans.collect.files import Collection

_SECRET = re.compile(
    r"(?i)^(\s*\S*(?:psk|passw|passphrase|secret|private-?key|preshared-?key|wep-?key|wireless-key|token|identity-key)\S*\s+)\S.*$"
    r"|((?:private-?key|preshared-?key|passw(?:or)?d|passphrase|secret|psk|token|api-?key)\s*[ =]\s*)\S+"
    r"|(://)[^/\s@]+(?=@)"  # a user and a password in a URL
    r"|(\s)(?:0x[0-9a-f]{16,}|[0-9a-f]{32,})(?=\s|$)"  # keys of ipsec and macsec; a mark has eight digits at most
    r"|([\s\"'=])[A-Za-z0-9+/]{43}=(?=[\s\"']|$)"  # keys of WireGuard
)
_GUEST_LINE = re.compile(r"(?:net\d+|name|hostname|template):|\[")
_COROSYNC_LINE = re.compile(
    r"\s*(?:\}|[a-z_]+ \{|(?:ring|link)\d+_addr:|name:|nodeid:|transport:|version:|bindnetaddr:)"
)
_SETTINGS = (
    "net/bridge",
    "net/netfilter",
    "net/ipv4/ip_forward",
    "net/ipv6/conf/all/forwarding",
    "net/ipv4/conf/all/rp_filter",
    "net/ipv4/ip_local_port_range",
)
_PACKAGES = (
    "iptables", "nftables", "libnftables1", "ipset", "ebtables", "arptables", "pve-firewall", "proxmox-firewall", "pve-manager",
    "netfilter-persistent", "iptables-persistent", "ufw", "firewalld", "docker-ce", "docker.io", "fail2ban", "libvirt-daemon-system",
)  # fmt: skip


def collect_host(collection: Collection, root: Path = Path("/")) -> None:
    """Add all of it. `root` is another place for the files of tests."""
    _copy(collection, root, "etc/hostname", "hostname")
    _copy(collection, root, "etc/hosts", "hosts")
    _interfaces(collection, root)
    _proxmox(collection, root)
    _networks(collection)
    collection.facts["programs"] = _programs()
    collection.facts["settings"] = _settings(root)
    collection.facts["kernel"] = os.uname().release
    collection.facts["machine"] = platform.machine()
    collection.facts["packages"] = _packages(collection)


def _read(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8", errors="surrogateescape")
    except OSError:
        return None


def _copy(collection: Collection, root: Path, path: str, name: str) -> None:
    text = _read(root / path)
    if text is None:
        collection.miss(f"/{path}", "it is not there")
    else:
        collection.add(name, f"/{path}", text)


# --- /etc/network ---


def _interfaces(collection: Collection, root: Path) -> None:
    """Copy /etc/network/interfaces and what it may source, each line in its place."""
    top = root / "etc/network"
    text = _read(top / "interfaces")
    if text is None:
        collection.miss("/etc/network/interfaces", "it is not there")
        return
    collection.add("interfaces", "/etc/network/interfaces", _without_secrets(collection, "interfaces", text))
    for path in sorted(top.rglob("*")):
        name = str(path.relative_to(top))
        if (
            name != "interfaces"
            and path.is_file()
            and (name.startswith("interfaces.d/") or f"/etc/network/{name}" in text)
        ):
            found = _read(path)
            if found is None:
                collection.miss(f"/etc/network/{name}", "it cannot be read", matters=True)
            else:
                collection.add(name, f"/etc/network/{name}", _without_secrets(collection, name, found))


def _without_secrets(collection: Collection, name: str, text: str) -> str:
    lines = text.split("\n")
    for index, line in enumerate(lines):
        clean = _SECRET.sub(lambda found: f"{next(filter(None, found.groups()), '')}left-out", line)
        if clean != line:
            lines[index] = clean
            collection.left_out.append(f"{name}:{index + 1}: a value that may be secret")
    return "\n".join(lines)


# --- Proxmox VE ---


def _proxmox(collection: Collection, root: Path) -> None:
    top = root / "etc/pve"
    if not top.is_dir():
        return
    node = _node_name(top, root)
    guests = _guests(collection, top, node)
    for path in sorted(top.glob("firewall/*.fw")):
        if path.stem == "cluster" or path.stem in guests:
            _copy(collection, root, str(path.relative_to(root)), f"pve/firewall/{path.name}")
    host = top / "nodes" / node / "host.fw"
    if host.exists():
        _copy(collection, root, str(host.relative_to(root)), f"pve/nodes/{node}/host.fw")
    for path in sorted(top.glob("sdn/firewall/*.fw")):
        _copy(collection, root, str(path.relative_to(root)), f"pve/sdn/firewall/{path.name}")
    _sdn(collection, top)
    corosync = _read(top / "corosync.conf")
    if corosync is not None:
        kept = _kept_lines(corosync, _COROSYNC_LINE)
        collection.add("pve/corosync.conf", "/etc/pve/corosync.conf, addresses and names only", kept)


def _sdn(collection: Collection, top: Path) -> None:
    """Add the sets that the firewall has from SDN. They are in no file: PVE makes them of the running configuration."""
    running = _read(top / "sdn/.running-config")
    leases = _read(top / "sdn/pve-ipam-state.json") or _read(top / "priv/ipam.db")  # the second up to PVE 8.2
    try:
        sets = sets_of_sdn(running or "", leases or "")
    except NotSdn as fault:
        collection.miss("the sets of SDN", str(fault), matters=True)
        return
    if sets:
        source = "/etc/pve/sdn/.running-config and its addresses of guests, the sets that Proxmox VE makes of them"
        collection.add("pve/sdn.json", source, json.dumps({"ipset": sets}, indent=1) + "\n")


def _node_name(top: Path, root: Path) -> str:
    local = top / "local"
    if local.is_symlink():
        return local.readlink().name
    return (_read(root / "etc/hostname") or platform.node()).strip().split(".")[0]


def _guests(collection: Collection, top: Path, node: str) -> set[str]:
    """Copy the network lines of this node's guests; return their numbers."""
    found = set()
    for kind in ("qemu-server", "lxc"):
        for path in sorted((top / "nodes" / node / kind).glob("*.conf")):
            text = _read(path)
            if text is None:
                collection.miss(f"/etc/pve/nodes/{node}/{kind}/{path.name}", "it cannot be read", matters=True)
                continue
            found.add(path.stem)
            kept = _kept_lines(text.split("\n[", 1)[0] + "\n", _GUEST_LINE)
            source = f"/etc/pve/nodes/{node}/{kind}/{path.name}, network and name only"
            collection.add(f"pve/nodes/{node}/{kind}/{path.name}", source, kept)
            collection.left_out.append(f"pve/nodes/{node}/{kind}/{path.name}: lines that are not of the network")
    return found


def _kept_lines(text: str, wanted: re.Pattern[str]) -> str:
    """Return the text with every other line empty, so that line numbers stay those of the original."""
    return "\n".join(line if wanted.match(line) else "" for line in text.split("\n"))


# --- what runs ---


def _networks(collection: Collection) -> None:
    if find("ip") is None:
        collection.miss("addresses", "ip (package iproute2) is not installed", matters=True)
        return
    done = run(["ip", "-json", "-details", "address"])
    try:
        links = json.loads(done.text)
    except ValueError:
        collection.miss("addresses", done.error or "`ip -json -details address` cannot be read", matters=True)
        return
    collection.facts["bridges"] = {
        link["ifname"]: sorted(port["ifname"] for port in links if port.get("master") == link["ifname"])
        for link in links
        if link.get("linkinfo", {}).get("info_kind") == "bridge"
    }
    collection.facts["vlans"] = _vlans(links)
    collection.facts["interfaces"] = [
        {
            "name": link.get("ifname"),
            "type": link.get("linkinfo", {}).get("info_kind") or link.get("link_type"),
            "up": "UP" in link.get("flags", ()),
            "mac": link.get("address"),
            "master": link.get("master"),
            "addresses": [
                f"{found['local']}/{found['prefixlen']}" for found in link.get("addr_info", ()) if "local" in found
            ],
        }
        for link in links
    ]


def _vlans(links: Iterable[dict[str, Any]]) -> dict[str, list[str]]:
    """Return the tags of each port of a bridge that looks at tags, as `bridge vlan` shows them."""
    aware = {
        link["ifname"]
        for link in links
        if link.get("linkinfo", {}).get("info_data", {}).get("vlan_filtering") and find("bridge")
    }
    done = run(["bridge", "-json", "vlan", "show"]) if aware else None
    try:
        ports = json.loads(done.text) if done is not None else []
    except ValueError:
        ports = []
    masters = {link["ifname"]: link.get("master", link["ifname"]) for link in links}
    return {
        port["ifname"]: [_tags(tag) for tag in port.get("vlans", ())]
        for port in ports
        if masters.get(port["ifname"]) in aware
    }


def _tags(tag: dict[str, Any]) -> str:
    """Return `10 pvid untagged` or `100-200`."""
    numbers = f"{tag['vlan']}-{tag['vlanEnd']}" if "vlanEnd" in tag else str(tag["vlan"])
    return " ".join([numbers, *(flag.removeprefix("Egress ").lower() for flag in tag.get("flags", ()))])


def _programs() -> dict[str, str]:
    """Return what stands behind the common names: which variant `iptables` is on this host. Nothing is run for it."""
    found = {name: find(name) for name in ("iptables", "ip6tables", "ebtables", "arptables")}
    return {name: Path(path).resolve().name for name, path in found.items() if path is not None}


def _settings(root: Path) -> dict[str, str]:
    found = {}
    top = root / "proc/sys"
    for name in _SETTINGS:
        paths: Iterable[Path] = sorted((top / name).glob("*")) if (top / name).is_dir() else [top / name]
        for path in paths:
            text = _read(path) if path.is_file() else None
            if text is not None:
                found[str(path.relative_to(top)).replace("/", ".")] = " ".join(text.split())
    return found


def _packages(collection: Collection) -> dict[str, str]:
    if find("dpkg-query") is None:
        collection.miss("versions of packages", "dpkg-query is not installed")
        return {}
    done = run(["dpkg-query", "-W", "-f", "${Package} ${Version} ${db:Status-Abbrev}\n", *_PACKAGES])
    words = (line.split() for line in done.text.splitlines())
    return {parts[0]: parts[1] for parts in words if len(parts) == 3 and parts[2].startswith("ii")}
