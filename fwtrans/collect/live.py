"""The rules that run on this host, as texts: read at once, written nowhere, nothing is changed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fwtrans.collect.files import Collection
from fwtrans.collect.firewall import collect_firewall
from fwtrans.diagnostics import Diagnostic
from fwtrans.source import SourceFile

if TYPE_CHECKING:
    from fwtrans.diagnostics import DiagnosticSink

LIVE = "live"
_VARIANTS = "variants/"
_NO_RULES = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"


def read_live(sink: DiagnosticSink) -> tuple[SourceFile, ...]:
    """Return the dumps of all programs and the tables of nft; where part of it cannot be read, nothing (the sink says why).

    A part of the rules would make a review that is wrong, where `collect` can leave a gap and name it. A kernel without any
    rule lets everything through, which is said as a dump that does the same.
    """
    if os.geteuid() != 0:
        hint = "the rules of the kernel are shown to root only; `fwtrans collect` as root makes a directory that anybody can compare"
        sink.add(Diagnostic(code="FWT601", message="reading the rules that run needs root", hints=(hint,)))
        return ()
    collection = Collection()
    both = collect_firewall(collection)
    for program in both:
        message = f"{program}: legacy and nft rules are loaded at once, and both are applied to packets"
        hint = f"flush the one that is not meant, for instance: {program}-legacy -F"
        sink.add(Diagnostic(code="FWT621", message=message, hints=(hint,)))
    missing = [gap for gap in collection.gaps if gap.matters]
    for gap in missing:
        sink.add(Diagnostic(code="FWT115", message=f"`{LIVE}`: {gap.what} cannot be read: {gap.why}"))
    if both or missing:
        return ()
    found = [file for file in collection.files if not file.name.startswith(_VARIANTS)]
    if not any(file.content.strip() for file in found):
        return (SourceFile(f"{LIVE}/iptables-save", _NO_RULES),)
    return tuple(SourceFile(f"{LIVE}/{file.name}", file.content) for file in found if file.content.strip())
