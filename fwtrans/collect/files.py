"""What was collected: files with their source, what is missing and why, what was left out on purpose."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fwtrans.backend.loader.state import write_private

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FORMAT = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Collected:
    """One file: its name in the directory, where it came from, its content."""

    name: str
    source: str
    content: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that is not there. `matters` tells whether a translation could need it."""

    what: str
    why: str
    matters: bool = False


@dataclass(slots=True)
class Collection:
    """All of it, while it grows."""

    files: list[Collected] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def add(self, name: str, source: str, content: str) -> None:
        """Keep a file."""
        self.files.append(Collected(name, source, content))

    def miss(self, what: str, why: str, *, matters: bool = False) -> None:
        """Say that something is not there."""
        self.gaps.append(Gap(what, why, matters))


def write_collection(folder: Path, collection: Collection, about: dict[str, Any]) -> tuple[str, ...]:
    """Write all files and, as the last one, the manifest; return the names. Raises OSError.

    Nobody but the owner may read them: rules tell an attacker where the holes are.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    every = [*collection.files, Collected("facts.json", "the running host", _json(collection.facts))]
    for item in every:
        place = folder / item.name
        _folders(folder, place.parent)
        write_private(place, item.content)
    manifest = {
        "format": FORMAT,
        **about,
        "files": [{"name": item.name, "from": item.source, "sha256": _digest(item.content)} for item in every],
        "missing": [{"what": gap.what, "why": gap.why} for gap in collection.gaps],
        "left_out": collection.left_out,
    }
    write_private(folder / MANIFEST, _json(manifest))
    return tuple(item.name for item in every)


def is_collected(folder: Path) -> bool:
    """Tell whether a directory was written by `fwtrans collect` and is whole."""
    try:
        value = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(value, dict) and value.get("format") == FORMAT and "files" in value


def _folders(top: Path, folder: Path) -> None:
    for inner in reversed([folder, *folder.parents]):
        if inner.is_relative_to(top):
            inner.mkdir(exist_ok=True, mode=0o700)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def _json(value: object) -> str:
    return json.dumps(value, indent=1, sort_keys=True, default=_plain) + "\n"


def _plain(value: object) -> Iterable[object]:
    if isinstance(value, frozenset | set):
        return sorted(value)
    raise TypeError(type(value).__name__)
