"""A copy of everything that filters on this host, made before anything changes, and proved to load again.

snapshots/20261121T055000Z/
manifest.json           when, why, what of it was switched off, the bridge settings, a checksum of each file
tables.json             our own tables, as an image
iptables-legacy-save    ... each owner's own dump, ipset-save; ebtables-legacy's tables in binary form
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fwtrans.backend.loader import old_rules
from fwtrans.backend.loader.image import Image, TableName
from fwtrans.backend.loader.load import load
from fwtrans.backend.loader.old_rules import OldRules, ToolFailed, tables_of
from fwtrans.backend.loader.programs import Scratch
from fwtrans.backend.loader.real import LibNft
from fwtrans.backend.loader.state import image_of_value, image_value, sync_directory, write_private
from fwtrans.backend.loader.threads import in_namespace_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from fwtrans.backend.loader.client import NftClient

FOLDER = "snapshots"
MANIFEST = "manifest.json"
_TABLES = "tables.json"
_SETS = "ipset-save"
FORMAT = 1
_LATEST = 1e11  # seconds: no clock says that


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was there. `dormant` are nft tables that were switched off already, `loads` those that come after it."""

    identity: str
    made: float
    image: Image
    old: tuple[OldRules, ...] = ()
    sets: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    dormant: tuple[TableName, ...] = ()
    loads: tuple[TableName, ...] = ()

    def of(self, owner: str) -> OldRules | None:
        """Return what one owner had."""
        return next((rules for rules in self.old if rules.owner == owner), None)


def take_snapshot(client: NftClient, ours: Image, identity: str, loads: Iterable[TableName]) -> Snapshot:
    """Read everything; raises ToolFailed. `ours` are our own tables as they are loaded."""
    tables = old_rules.tables_of_iptables(client)
    return Snapshot(
        identity,
        time.time(),
        ours,
        old_rules.read_old_rules(tables),
        old_rules.read_sets(),
        old_rules.read_bridge_settings(),
        tuple(sorted(client.dormant_tables())),
        tuple(loads),
    )


def prove_snapshot(snapshot: Snapshot) -> tuple[str, ...]:
    """Load it in an empty namespace and return what does not come out as it was: nothing, if it can be relied on."""
    faults: list[str] = []
    try:
        with Scratch() as scratch:
            if snapshot.sets:
                old_rules.put_sets_back(snapshot.sets, scratch.prefix)
            for rules in snapshot.old:
                old_rules.put_back(rules, scratch.prefix)
                again = old_rules.dump_of(rules.owner, scratch.prefix)
                if tables_of(again) != tables_of(rules.dump):
                    faults.append(f"{rules.owner}: {_first_difference(rules.dump, again)}")
            if snapshot.image:
                faults.extend(in_namespace_of(scratch.process, lambda: _load_alone(snapshot.image)))
    except (ToolFailed, OSError) as fault:
        faults.append(str(fault))
    return tuple(faults)


def _load_alone(image: Image) -> list[str]:
    client = LibNft()
    try:
        return [fault.message for fault in load(client, image, None).faults]
    finally:
        client.close()


def _first_difference(before: str, after: str) -> str:
    one, other = tables_of(before), tables_of(after)
    for table in one.keys() | other.keys():
        left, right = one.get(table, ()), other.get(table, ())
        for line, again in zip(left, right, strict=False):
            if line != again:
                return f"`{line}` comes back as `{again}`"
        if len(left) != len(right):
            return f"{len(left)} lines of {table} come back as {len(right)}"
    return "it comes back as something else"


# --- on the disk ---


def new_identity(directory: Path) -> str:
    """Return a name for a snapshot: the time, and a number where that is taken."""
    base = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    name, number = base, 2
    while (directory / FOLDER / name).exists():
        name, number = f"{base}-{number}", number + 1
    return name


def save_snapshot(directory: Path, snapshot: Snapshot, about: dict[str, Any]) -> Path:
    """Write it, whole or not at all: the manifest is the last file. Raises OSError."""
    folder = directory / FOLDER / snapshot.identity
    folder.parent.mkdir(exist_ok=True, mode=0o700)
    folder.mkdir(mode=0o700)
    files: dict[str, bytes] = {_TABLES: json.dumps(image_value(snapshot.image), indent=1).encode()}
    for rules in snapshot.old:
        files[f"{rules.owner}-save"] = rules.dump.encode(errors="surrogateescape")
        files.update({f"{rules.owner}.{table}": content for table, content in rules.binary})
    if snapshot.sets:
        files[_SETS] = snapshot.sets.encode(errors="surrogateescape")
    for name, content in files.items():
        write_private(folder / name, content)
    manifest = {
        "format": FORMAT,
        "id": snapshot.identity,
        "number": 1 + max((_number(item) for item in history(directory)), default=0),
        "made": snapshot.made,
        "owners": [{"owner": rules.owner, "tables": rules.tables} for rules in snapshot.old],
        "settings": snapshot.settings,
        "dormant": snapshot.dormant,
        "loads": snapshot.loads,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        **about,
    }
    write_private(folder / MANIFEST, json.dumps(manifest, indent=1))
    sync_directory(folder.parent)
    return folder


def read_manifest(directory: Path, identity: str) -> dict[str, Any] | None:
    """Return what a snapshot says of itself, None where there is none of that name that is whole."""
    try:
        value = json.loads((directory / FOLDER / identity / MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    is_whole = isinstance(value, dict) and value.get("format") == FORMAT and value.get("id") == identity
    return value if is_whole and isinstance(made := value.get("made"), int | float) and 0 <= made < _LATEST else None


def read_snapshot(directory: Path, identity: str) -> Snapshot | None:
    """Return a snapshot, None where it is not there, not whole or was changed since."""
    manifest = read_manifest(directory, identity)
    if manifest is None:
        return None
    folder = directory / FOLDER / identity
    try:
        files = {name: (folder / name).read_bytes() for name in manifest["files"]}
        if any(hashlib.sha256(files[name]).hexdigest() != digest for name, digest in manifest["files"].items()):
            return None
        old = tuple(
            OldRules(
                item["owner"],
                _text(files[f"{item['owner']}-save"]),
                tuple(item["tables"]),
                tuple(
                    (table, content) for table in item["tables"] if (content := files.get(f"{item['owner']}.{table}"))
                ),
            )
            for item in manifest["owners"]
        )
        image = image_of_value(json.loads(files[_TABLES]))
        dormant, loads = (tuple(TableName(*map(str, name)) for name in manifest[key]) for key in ("dormant", "loads"))
        settings = {str(name): str(value) for name, value in manifest["settings"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return Snapshot(
        identity, float(manifest["made"]), image, old, _text(files.get(_SETS, b"")), settings, dormant, loads
    )


def note_outcome(directory: Path, identity: str, outcome: str) -> None:
    """Write down what became of the apply that a snapshot was made for."""
    manifest = read_manifest(directory, identity)
    if manifest is not None:
        write_private(directory / FOLDER / identity / MANIFEST, json.dumps({**manifest, "outcome": outcome}, indent=1))


def history(directory: Path) -> tuple[dict[str, Any], ...]:
    """Return the manifests of all snapshots that are whole, the oldest first, whatever a clock said that was set back."""
    found = (manifest for name in _names(directory) if (manifest := read_manifest(directory, name)) is not None)
    return tuple(sorted(found, key=_number))


def _number(manifest: dict[str, Any]) -> int:
    """Return the how many-eth snapshot it was; earlier versions did not count them."""
    number = manifest.get("number", 0)
    return number if isinstance(number, int) else 0


def prune(directory: Path, keep: int, spare: Iterable[str] = ()) -> tuple[str, ...]:
    """Remove the oldest snapshots until `keep` are left, and those that were never finished."""
    spared = set(spare)
    whole = [str(manifest["id"]) for manifest in history(directory)]
    unfinished = [name for name in _names(directory) if name not in {*whole, *spared}]
    whole = [name for name in whole if name not in spared]
    gone = (*unfinished, *whole[: max(len(whole) - keep, 0)])
    for name in gone:
        shutil.rmtree(directory / FOLDER / name, ignore_errors=True)
    return gone


def _names(directory: Path) -> list[str]:
    try:
        return sorted(path.name for path in (directory / FOLDER).iterdir() if path.is_dir())
    except OSError:
        return []


def _text(content: bytes) -> str:
    return content.decode(errors="surrogateescape")
