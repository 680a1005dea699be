"""What fwtrans loaded, kept in a file so that the next load need not list it.

The file says what is in the kernel, not what should be. It holds good for one boot and one network namespace, and while
the generation id stands where it stood. A file that cannot be read, is somebody else's or is from another version is as
good as none: then everything is loaded anew.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fwtrans.backend.loader.image import ChainImage, Image, Kind, ObjectImage, TableImage, TableName

FORMAT = 1
STATE_FILE = "loaded.json"
_NETNS_COOKIE = 71  # SO_NETNS_COOKIE, which Python's socket does not name


@dataclass(frozen=True, slots=True)
class HeldTable:
    """A table as we left it: its image, its handles, and the sums of its sets, where they were taken."""

    image: TableImage
    handle: int
    chains: dict[str, int]
    sets: dict[str, int]
    rules: dict[str, tuple[int, ...]]
    sums: dict[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class State:
    """All that we have loaded into one network namespace since one boot."""

    host: str
    generation: int
    tables: tuple[HeldTable, ...]

    @property
    def image(self) -> Image:
        """Return the tables without their handles."""
        return tuple(table.image for table in self.tables)

    def table(self, name: TableName) -> HeldTable | None:
        """Return one table."""
        return next((table for table in self.tables if table.image.name == name), None)


def this_host() -> str:
    """Return what tells this boot and this network namespace from all others.

    The number of /proc/self/ns/net would not do: the kernel gives it to the next namespace when one goes, as it does when a
    container starts again. The cookie (Linux 5.14) it gives only once.
    """
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as any_socket:
        cookie = any_socket.getsockopt(socket.SOL_SOCKET, _NETNS_COOKIE, 8)
    return f"{boot} {int.from_bytes(cookie, sys.byteorder)}"


def read_state(directory: Path) -> State | None:
    """Return the state, None where there is none that can be trusted, or only one of an earlier boot."""
    path = directory / STATE_FILE
    try:
        with path.open("rb") as stream:
            about = os.fstat(stream.fileno())
            if about.st_uid not in {0, os.geteuid()} or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                return None
            found = _state(json.loads(stream.read()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return found if found is not None and found.host == this_host() else None


def write_state(directory: Path, state: State) -> None:
    """Write it whole or leave the old one; raises OSError."""
    write_private(directory / STATE_FILE, json.dumps(_state_value(state), separators=(",", ":")))


def forget_state(directory: Path) -> None:
    """Take the file away: the next load starts from nothing known."""
    (directory / STATE_FILE).unlink(missing_ok=True)


def write_private(path: Path, text: str | bytes) -> None:
    """Write a file that only its owner reads: a new one beside it, on the disk before it takes the name."""
    data = text.encode(errors="surrogateescape") if isinstance(text, str) else text
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Have names that changed in a directory survive a power loss."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# --- images as JSON, also for snapshots ---


def image_value(image: Image) -> list[dict[str, Any]]:
    """Return an image in JSON's types."""
    return [
        {
            "family": table.name.family,
            "name": table.name.name,
            "head": table.head,
            "objects": [[item.kind.value, item.name, item.body, item.elements] for item in table.objects],
            "chains": [[chain.name, chain.head, chain.rules] for chain in table.chains],
        }
        for table in image
    ]


def image_of_value(value: list[dict[str, Any]]) -> Image:
    """Return the image that `image_value` wrote; raises KeyError, TypeError or ValueError for anything else."""
    return tuple(
        TableImage(
            TableName(_text(table["family"]), _text(table["name"])),
            _texts(table["head"]),
            tuple(
                ObjectImage(Kind(kind), _text(name), _texts(body), _texts(elements))
                for kind, name, body, elements in table["objects"]
            ),
            tuple(ChainImage(_text(name), _texts(head), _texts(rules)) for name, head, rules in table["chains"]),
        )
        for table in value
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(type(value).__name__)
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError(type(value).__name__)
    return tuple(value)


def _state_value(state: State) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "host": state.host,
        "generation": state.generation,
        "tables": image_value(state.image),
        "handles": [
            {
                "table": table.handle,
                "chains": table.chains,
                "sets": table.sets,
                "rules": table.rules,
                "sums": table.sums,
            }
            for table in state.tables
        ],
    }


def _state(value: dict[str, Any]) -> State | None:
    if value["format"] != FORMAT:
        return None
    tables = tuple(
        HeldTable(
            image,
            int(handles["table"]),
            {name: int(handle) for name, handle in handles["chains"].items()},
            {name: int(handle) for name, handle in handles["sets"].items()},
            {chain: tuple(map(int, rules)) for chain, rules in handles["rules"].items()},
            {name: (int(count), int(total)) for name, (count, total) in handles["sums"].items()},
        )
        for image, handles in zip(image_of_value(value["tables"]), value["handles"], strict=True)
    )
    return State(str(value["host"]), int(value["generation"]), tables)
