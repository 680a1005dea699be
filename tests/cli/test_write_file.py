"""Files are written whole or not at all; what is no file stays what it is."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from fwtrans.cli.inputs import write_file

if TYPE_CHECKING:
    from pathlib import Path


def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path) -> None:
    """Root could put a file in the place of /dev/null."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text(encoding="utf-8")))
    reader.start()
    write_file(pipe, "text\n")
    reader.join()
    assert read == ["text\n"]
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


def test_behind_a_link_the_file_is_written(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    file, link = tmp_path / "folder" / "file", tmp_path / "link"
    file.write_text("before")
    link.symlink_to(file)
    write_file(link, "after")
    assert link.is_symlink()
    assert file.read_text() == "after"
    assert [path.name for path in file.parent.iterdir()] == ["file"]
