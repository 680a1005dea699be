"""Reading what a command was given: files, directories of `fwtrans collect`, standard input. The only reader of files.

A file is read as UTF-8; bytes that are not stay as they are (surrogates), so that nothing is lost between reading and
printing; a byte order mark goes. NUL bytes and other binary content are the parsers' business to refuse, with a place.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from ipaddress import ip_interface
from pathlib import Path
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Diagnostic, DiagnosticSink
from fwtrans.parsers.pve.directory import is_pve_directory, recognise_path
from fwtrans.source import SourceFile

if TYPE_CHECKING:
    from collections.abc import Iterable
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
_DEEPEST = 5
"""How many folders deep a Proxmox VE configuration goes: pve/nodes/NAME/qemu-server in a copy of /etc, and one more."""

STANDARD_INPUT = "-"


def read_paths(paths: Iterable[str], sink: DiagnosticSink) -> tuple[SourceFile, ...]:
    """Return the files, those of a directory included; what cannot be read goes to the sink."""
    found: list[SourceFile] = []
    for path in paths:
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


def read_lines(path: str, sink: DiagnosticSink) -> tuple[str, ...]:
    """Return the lines of a file or of standard input."""
    found = read_paths([path], sink)
    return tuple(line for source in found for line in source.text.splitlines())


def _standard_input() -> SourceFile:
    data = sys.stdin.buffer.read()
    return SourceFile("<stdin>", data.decode("utf-8-sig", errors="surrogateescape"))


def _read_directory(place: Path, name: str, sink: DiagnosticSink) -> list[SourceFile]:
    """Return the dumps of a directory; where it has none, the Proxmox VE configuration in it."""
    paths = [known for known in COLLECTED if (place / known).exists()]
    if not any(known in _DUMPS for known in paths):
        paths.extend(_pve_paths(place))
    found = []
    for path in paths:
        source = _read(place / path, str(Path(name) / path), sink)
        if source is not None:
            found.append(source)
    if not paths:
        message = f"directory `{name}` holds none of {', '.join(COLLECTED)}, nor a cluster.fw of Proxmox VE"
        sink.add(Diagnostic(code="FWT115", message=message, hints=("name the files themselves",)))
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


class FileAccess:
    """What readers may ask of the file system: a file that another names, and what a pattern matches."""

    def read(self, path: str) -> SourceFile | None:
        """Return one file, None where it cannot be read."""
        return _read(Path(path), path, DiagnosticSink())

    def matching(self, pattern: str) -> tuple[str, ...]:
        """Return the paths that a shell pattern names, sorted."""
        place = Path(pattern)
        anchor = Path(place.anchor) if place.anchor else Path()
        relative = place.relative_to(place.anchor) if place.anchor else place
        return tuple(sorted(str(found) for found in anchor.glob(str(relative))))


def write_file(place: Path, text: str) -> None:
    """Write the whole file or leave what was there: a new file beside it takes its name when it is complete."""
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
