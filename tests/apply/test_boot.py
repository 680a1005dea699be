"""The unit that loads the rules at boot."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from fwtrans.apply.boot import BootFiles, boot_script, kept, obstacle, persist, put_back, unit_text
from fwtrans.backend.loader.image_text import read_image
from fwtrans.backend.loader.programs import find
from tests.backend.loader.images import image

if TYPE_CHECKING:
    from pathlib import Path

RULES = image("table bridge fwtrans {\n\tchain forward {\n\t\tdrop\n\t}\n}\n")


def test_with_a_bridge_table_bridged_packets_are_kept_from_iptables(tmp_path: Path) -> None:
    files = BootFiles(tmp_path)
    unit = unit_text(files, RULES)
    # systemd would put a variable of its own in the place of a single dollar sign
    assert "bridge-nf-call-$$name; done'" in unit
    assert "bridge-nf-call" not in unit_text(files, image("table inet fwtrans {\n}\n"))
    persist(files, RULES)
    verify = find("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is not installed")
    done = subprocess.run([verify, "verify", "--man=no", str(files.unit)], capture_output=True, check=False)
    assert b"fwtrans.service" not in done.stderr, done.stderr


def test_rules_are_written_and_taken_away_again(tmp_path: Path) -> None:
    files = BootFiles(tmp_path)
    assert obstacle(files) == ""
    assert kept(files) is None
    persist(files, RULES)
    first = kept(files)
    assert first == boot_script(RULES)
    assert read_image(first.split("\n\n", 2)[2]) == RULES
    assert files.rules.stat().st_mode & 0o077 == 0
    persist(files, ())
    put_back(files, first)
    assert kept(files) == first
    put_back(files, None)
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []


def test_a_folder_that_is_a_file_is_an_obstacle(tmp_path: Path) -> None:
    (tmp_path / "nftables.d").write_text("")
    assert "nftables.d" in obstacle(BootFiles(tmp_path))
