"""Reading what a command was given: files, directories of `fwtrans collect`, standard input. The only reader of files.

A file is read as UTF-8; bytes that are not stay as they are (surrogates), so that nothing is lost between reading and
printing; a byte order mark goes. NUL bytes and other binary content are the parsers' business to refuse, with a place.
"""

from __future__ import annotations

import json
import os
import stat
import sys
import tempfile
from ipaddress import ip_interface
from pathlib import Path
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Diagnostic, DiagnosticSink
from fwtrans.ir.host import Host
from fwtrans.parsers.pve.sources import is_pve_directory, recognise_path
from fwtrans.source import SourceFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from ipaddress import IPv4Interface, IPv6Interface

# What `fwtrans collect` writes, in the order in which it is read.
COLLECTED = (
    "iptables-save",
    "ip6tables-save",
    "ipset-save",
    "ebtables-save",
    "arptables-save",
    "interfaces",
)

_DUMPS = COLLECTED[:-1]
_LOADED_AT_BOOT = (
    *("rules.v4", "rules.v6", "ipsets"),  # Debian's netfilter-persistent, in /etc/iptables
    *("iptables", "ip6tables", "ipset", "ebtables", "arptables"),  # Red Hat's services, in /etc/sysconfig
    *("iptables.rules", "ip6tables.rules", "ipset.conf"),  # Arch's units, in /etc/iptables and /etc
    *("rules-save", "rules6-save"),  # OpenRC's services, in /etc/iptables and /var/lib/iptables
    *("iptables.up.rules", "ip6tables.up.rules"),  # many a pre-up line of /etc/network/interfaces
)
"""Files that distributions load the rules from when a host boots."""
_DEEPEST = 5
"""How many folders deep a Proxmox VE configuration goes: pve/nodes/NAME/qemu-server in a copy of /etc, and one more."""

STANDARD_INPUT = "-"
LIVE_RULES = "live"


def read_paths(paths: Iterable[str], sink: DiagnosticSink) -> tuple[SourceFile, ...]:
    """Return the files, those of a directory included; what cannot be read goes to the sink.

    `live` is the ruleset that runs on this host; a file of that name is `./live`.
    """
    found: list[SourceFile] = []
    for path in paths:
        if path == LIVE_RULES:
            found.extend(_read_live(sink))
            continue
        if path == STANDARD_INPUT:
            found.append(_standard_input())
            continue
        place = Path(path)
        if place.is_dir():
            found.extend(_read_directory(place, path, sink))
        else:
            source = _read(place, path, sink)
            if source is not None:
                found.append(source)
    return tuple(found)


def read_host_addresses(texts: Iterable[str], sink: DiagnosticSink) -> tuple[IPv4Interface | IPv6Interface, ...]:
    """Return the host's addresses as they were given on the command line."""
    found: list[IPv4Interface | IPv6Interface] = []
    for text in texts:
        try:
            found.append(ip_interface(text))
        except ValueError:
            hint = "with its network's length, as in 10.0.0.1/24"
            sink.add(Diagnostic(code="FWT112", message=f"`{text}` is no address of a host", hints=(hint,)))
    return tuple(found)


def read_host_facts(paths: Iterable[str]) -> Host:
    """Return what `fwtrans collect` noted of the host: its addresses, and that bridged packets do not pass iptables."""
    for path in paths:
        try:
            facts = json.loads((Path(path) / "facts.json").read_bytes())
            addresses = [
                ip_interface(text) for link in facts["interfaces"] if link["name"] != "lo" for text in link["addresses"]
            ]
            passes = facts["settings"].get("net.bridge.bridge-nf-call-iptables")
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        return Host(addresses=tuple(addresses), bridged=False if passes == "0" else None)
    return Host()


def read_lines(path: str, sink: DiagnosticSink) -> tuple[str, ...]:
    """Return the lines of a file or of standard input."""
    found = read_paths([path], sink)
    return tuple(line for source in found for line in source.text.splitlines())


def _read_live(sink: DiagnosticSink) -> tuple[SourceFile, ...]:
    from fwtrans.collect.live import read_live  # here, because it loads libnftables

    return read_live(sink)


def _standard_input() -> SourceFile:
    data = sys.stdin.buffer.read()
    return SourceFile("<stdin>", data.decode("utf-8-sig", errors="surrogateescape"))


def _read_directory(place: Path, name: str, sink: DiagnosticSink) -> list[SourceFile]:
    """Return the dumps of a directory; where it has none, the Proxmox VE configuration in it, or what is loaded at boot."""
    paths = [known for known in COLLECTED if (place / known).exists()]
    if not any(known in _DUMPS for known in paths):
        paths.extend(_pve_paths(place) or [known for known in _LOADED_AT_BOOT if (place / known).is_file()])
    found = []
    for path in paths:
        source = _read(place / path, str(Path(name) / path), sink)
        if source is not None:
            found.append(source)
    if not paths:
        message = f"directory `{name}` holds none of {', '.join(COLLECTED)}, nor a cluster.fw of Proxmox VE"
        boot = f"nor is there one of {', '.join(_LOADED_AT_BOOT)}"
        sink.add(Diagnostic(code="FWT115", message=message, notes=(boot,), hints=("name the files themselves",)))
    return found


def _pve_paths(place: Path) -> list[str]:
    """Return the files of a Proxmox VE configuration below a directory, none where it is none.

    On a live node /etc/pve/local is a link to the folder of that node; the other nodes' folders are left alone then.
    Beside them stand, in what was collected, the host's own name and addresses.
    """
    local = place / "local"
    own = local.readlink().name if local.is_symlink() else ""
    found = {}
    for folder, folders, names in os.walk(place):
        inside = Path(folder).relative_to(place)
        if len(inside.parts) == _DEEPEST:
            folders.clear()
        for file in names:
            path = (inside / file).as_posix()
            spoken = recognise_path(path)
            if spoken is not None and spoken.node in {"", own or spoken.node}:
                found[path] = spoken
    if not is_pve_directory(found):
        return []
    return [*sorted(found), *(name for name in ("hostname", "hosts") if (place / name).is_file())]


def _read(place: Path, name: str, sink: DiagnosticSink) -> SourceFile | None:
    try:
        if not stat.S_ISREG(place.stat().st_mode) and not stat.S_ISFIFO(place.stat().st_mode):
            sink.add(Diagnostic(code="FWT115", message=f"`{name}` is not a file"))
            return None
        data = place.read_bytes()
    except OSError as fault:
        sink.add(Diagnostic(code="FWT115", message=f"`{name}`: {fault.strerror}"))
        return None
    return SourceFile(name, data.decode("utf-8-sig", errors="surrogateescape"))


_NETWORK = Path("/etc/network")


class FileAccess:
    """What readers may ask of the file system: a file that another names, and what a pattern matches.

    `paths` are what the command was given. Where that came from another host, so does all that it names: in what
    `fwtrans collect` wrote, /etc/network/interfaces.d is the folder interfaces.d beside the file interfaces.
    """

    def __init__(self, paths: Iterable[str] = ()) -> None:
        given = [Path(path) for path in paths]
        self._folders = tuple(path if path.is_dir() else path.parent for path in given)
        self._is_elsewhere = bool(given) and not any(folder.resolve() == _NETWORK for folder in self._folders)

    def read(self, path: str) -> SourceFile | None:
        """Return one file, None where it cannot be read."""
        for moved in self._moved(path):
            found = _read(Path(moved), moved, DiagnosticSink())
            if found is not None:
                return found
        return None

    def matching(self, pattern: str) -> tuple[str, ...] | None:
        """Return the paths that a shell pattern names, sorted; None where that other host's files are not here."""
        moved = self._moved(pattern)
        found = {path for one in moved for path in _glob(one)}
        if not found and self._is_elsewhere and _is_of_network(pattern) and not self._has_all(moved):
            return None
        return tuple(sorted(found))

    def _moved(self, path: str) -> tuple[str, ...]:
        """Return where a path of the other host is here."""
        if not self._is_elsewhere or not _is_of_network(path):
            return (path,)
        inside = Path(path).relative_to(_NETWORK)
        return tuple(dict.fromkeys(str(folder / inside) for folder in self._folders))

    def _has_all(self, moved: Iterable[str]) -> bool:
        """Tell whether a pattern's folder was collected, with nothing in it that matches."""
        return any((folder / "manifest.json").is_file() for folder in self._folders) or any(
            Path(one).parent.is_dir() and Path(one).parent not in self._folders for one in moved
        )


def _is_of_network(path: str) -> bool:
    return Path(path).is_relative_to(_NETWORK)


def _glob(pattern: str) -> Iterator[str]:
    place = Path(pattern)
    anchor = Path(place.anchor) if place.anchor else Path()
    relative = place.relative_to(place.anchor) if place.anchor else place
    return (str(found) for found in anchor.glob(str(relative)))


def write_file(place: Path, text: str) -> None:
    """Write the whole file or leave what was there: a new file beside it takes its name when it is complete.

    What is no file, as /dev/null or a pipe, is written to: root could put a file in its place, for everybody.
    """
    if place.exists() and not place.is_file():
        place.write_text(text, encoding="utf-8", errors="surrogateescape")
        return
    place = Path(os.path.realpath(place))  # behind a link, not in its stead
    handle, temporary = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644 & ~_umask())
        Path(temporary).replace(place)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    current = os.umask(0o077)
    os.umask(current)
    return current
