"""The wheel is the product: grammars and error pages stand outside the package and must be in it all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest

from fwtrans.diagnostics import CODES
from tests.places import ERROR_PAGES, REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, which needs no network, and unpack it far from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def test_it_carries_every_grammar_and_every_page(unpacked: Path) -> None:
    for source, copy in ((REPOSITORY / "grammars", "_grammars"), (ERROR_PAGES, "_errors")):
        originals = {path.name: path.read_bytes() for path in source.iterdir()}
        assert originals
        assert {path.name: path.read_bytes() for path in (unpacked / "fwtrans" / copy).iterdir()} == originals


def test_it_is_typed_licensed_and_has_its_command(unpacked: Path) -> None:
    assert (unpacked / "fwtrans" / "py.typed").is_file()
    (info,) = unpacked.glob("*.dist-info")
    assert "fwtrans = fwtrans.cli.app:main" in (info / "entry_points.txt").read_text(encoding="utf-8")
    assert list(info.rglob("LICENSE"))
    assert not list(unpacked.glob("tests*"))


def test_it_explains_codes_without_the_checkout(unpacked: Path, tmp_path: Path) -> None:
    code = next(iter(CODES))
    done = subprocess.run(
        [sys.executable, "-m", "fwtrans", "explain", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == (unpacked / "fwtrans" / "_errors" / f"{code}.md").read_text(encoding="utf-8")
