"""What a node's own hostname, hosts and interfaces say of it, where no vms.json does: its name, address and network.

PVE takes the address that /etc/hosts has for the node's name, loopback left out, and for the alias `local_network` the
first route that leads there and is narrower than everything; the network of the interface with that address is the same.
"""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface
from typing import TYPE_CHECKING

from fwtrans.diagnostics import DiagnosticSink
from fwtrans.parsers.interfaces.parse import parse_interfaces
from fwtrans.parsers.pve.syntax import NodeFacts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fwtrans.parsers.interfaces.syntax import IfaceStanza
    from fwtrans.source import SourceFile


def facts_of_host(files: Mapping[str, SourceFile], node: str = "") -> NodeFacts | None:
    """Return what is known; None where not even the name is. `files` are any of HOST_FILES, by that name."""
    name = node or _name(files.get("hostname"))
    if not name:
        return None
    interfaces = tuple(_interfaces(files.get("interfaces")))
    address = _address(name, files.get("hosts")) or next((str(own.ip) for own, gateway in interfaces if gateway), "")
    network = next((str(own.network) for own, _ in interfaces if str(own.ip) == address), "")
    return NodeFacts(files.get("hosts") or files.get("hostname") or files.get("interfaces"), name, network, address)


def _name(source: SourceFile | None) -> str:
    for line in source.lines if source is not None else ():
        words = line.split()
        if words and not words[0].startswith("#"):
            return words[0].partition(".")[0]
    return ""


def _address(name: str, source: SourceFile | None) -> str:
    for line in source.lines if source is not None else ():
        words = line.partition("#")[0].split()
        if name not in {word.partition(".")[0] for word in words[1:]}:
            continue
        try:
            address = ip_address(words[0])
        except ValueError:
            continue
        if not address.is_loopback:
            return str(address)
    return ""


def _interfaces(source: SourceFile | None) -> Iterator[tuple[IPv4Interface | IPv6Interface, bool]]:
    """Yield the addresses of the file, each with whether its stanza has a gateway. Its mistakes are told elsewhere."""
    if source is None:
        return
    file = parse_interfaces(source, DiagnosticSink(), lambda _: None, lambda _: ())
    for stanza in file.interfaces():
        for address in stanza.values("address"):
            try:
                own = ip_interface(address.strip() + _mask(stanza, address))
            except ValueError:
                continue
            if not own.ip.is_loopback:
                yield own, bool(stanza.values("gateway"))


def _mask(stanza: IfaceStanza, address: str) -> str:
    masks = stanza.values("netmask")
    return "" if "/" in address or not masks else f"/{masks[0].strip()}"
