"""`fwtrans collect`: read everything, write it into a new directory."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.collect.files import Collection, is_collected, write_collection
from fwtrans.collect.firewall import collect_firewall
from fwtrans.collect.host import collect_host
from fwtrans.diagnostics import Diagnostic

if TYPE_CHECKING:
    from pathlib import Path

    from fwtrans.collect.files import Gap
    from fwtrans.diagnostics import DiagnosticSink


class Taken(NamedTuple):
    """The files that were written, and what is not there."""

    files: tuple[str, ...]
    gaps: tuple[Gap, ...]


def collect(folder: Path, root: Path, sink: DiagnosticSink) -> Taken | None:
    """Write a snapshot of this host; None where it could not be written (the sink says why)."""
    if os.geteuid() != 0:
        hint = "the rules of the kernel are shown to root only"
        sink.add(Diagnostic(code="FWT601", message="collecting needs root", hints=(hint,)))
        return None
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not is_collected(folder))):
        message = f"`{folder}` is there and was not written by `fwtrans collect`"
        sink.add(Diagnostic(code="FWT611", message=message, hints=("name a directory that is new",)))
        return None
    collection = Collection()
    both = collect_firewall(collection)
    collect_host(collection, root)
    for program in both:
        message = f"{program}: legacy and nft rules are loaded at once; see variants/ in what was collected"
        hint = f"flush the one that is not meant, for instance: {program}-legacy -F"
        sink.add(Diagnostic(code="FWT621", message=message, hints=(hint,)))
    for gap in collection.gaps:
        if gap.matters:
            sink.add(Diagnostic(code="FWT622", message=f"{gap.what}: {gap.why}"))
    try:
        files = write_collection(folder, collection, {"made": time.time(), "host": os.uname().nodename})
    except OSError as fault:
        sink.add(Diagnostic(code="FWT611", message=f"{fault.filename or folder}: {fault.strerror}"))
        return None
    return Taken(files, tuple(collection.gaps))
