"""A stage imports only what it may know of: reading the tree from top to bottom is reading the pipeline."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest

from tests.meta.sources import imported_names, modules, short
from tests.places import PACKAGE, REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

BASE = frozenset({"source", "diagnostics"})
VALUES = BASE | {"ir"}
PIPELINE = VALUES | {"parsers", "lower", "semantics", "optimizer", "backend"}

MAY_IMPORT: dict[str, frozenset[str]] = {
    "source": frozenset(),
    "diagnostics": frozenset({"source"}),
    "processes": BASE,
    "parsers": BASE,
    "ir": BASE,
    "lower": VALUES | {"parsers"},
    # the meaning of a ruleset is told from the IR alone, else a proof would trust the reader that it has to check
    "semantics": VALUES | {"processes"},
    "optimizer": VALUES | {"semantics"},
    "backend": VALUES,
    "lab": PIPELINE,
    "report": PIPELINE | {"lab", "laboratory", "simulate"},
    # the parts put together, as library calls
    "read_scripts": BASE | {"parsers"},
    "read_pve": VALUES | {"parsers", "lower"},
    "read": VALUES | {"parsers", "lower", "read_scripts", "read_pve"},
    # which of two comparisons is wanted rests on what the optimiser knows of bridges
    "comparing": VALUES | {"semantics", "optimizer", "processes"},
    "proving": VALUES | {"parsers", "lower", "read", "report", "comparing", "processes"},
    "translate": PIPELINE | {"read", "report", "comparing", "proving", "optimize"},
    "verify": PIPELINE | {"read", "report", "comparing"},
    "review": PIPELINE | {"read", "report", "comparing"},
    "linting": PIPELINE | {"read", "report"},
    "laboratory": PIPELINE | {"read", "lab"},
    "simulate": VALUES | {"lower", "semantics", "optimizer", "comparing"},
    "optimize": VALUES | {"semantics", "optimizer"},
    "optimizing": PIPELINE | {"read", "translate", "optimize", "proving"},
    "collect": PIPELINE,
    "apply": PIPELINE | {"read", "report", "translate", "verify", "collect"},
    "cli": PIPELINE
    | {
        "apply",
        "collect",
        "lab",
        "report",
        "read",
        "translate",
        "verify",
        "review",
        "linting",
        "simulate",
        "optimize",
        "optimizing",
        "laboratory",
    },
    "__main__": frozenset({"cli"}),
    "__init__": PIPELINE
    | {
        "apply",
        "collect",
        "lab",
        "report",
        "read",
        "translate",
        "verify",
        "review",
        "linting",
        "simulate",
        "optimize",
        "optimizing",
        "laboratory",
    },
}
"""What each stage may import besides itself. A new stage is a new line here, and a reason."""

HOMES: dict[str, tuple[str, ...]] = {
    "oxidd": ("fwtrans/semantics/bdd.py",),
    "subprocess": ("fwtrans/backend/loader/", "fwtrans/lab/"),
    "pyroute2": ("fwtrans/lab/", "fwtrans/cli/commands/collect.py"),
    "nftables": ("fwtrans/backend/loader/",),
}
"""Libraries that touch the world or decide how proofs are made, and the only places that may know them."""


def stage_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_every_stage_has_its_place() -> None:
    assert {stage_of(path) for path in modules()} <= MAY_IMPORT.keys()


@pytest.mark.parametrize("path", modules(), ids=short)
def test_a_stage_imports_only_stages_above_it(path: Path) -> None:
    own = stage_of(path)
    wrong = []
    for line, name in imported_names(path):
        parts = name.split(".")
        if parts[0] != "fwtrans":
            continue
        other = parts[1] if len(parts) > 1 else "__init__"
        if other not in {own, *MAY_IMPORT[own]} and not (other == "__init__" and own == "cli"):
            wrong.append(f"{short(path)}:{line}: {own} must not import {name}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", modules(), ids=short)
def test_a_library_with_a_home_is_imported_there_only(path: Path) -> None:
    wrong = [
        f"{short(path)}:{line}: only {' and '.join(HOMES[library])} may import {library}"
        for line, name in imported_names(path)
        if (library := name.split(".")[0]) in HOMES and not short(path).startswith(HOMES[library])
    ]
    assert not wrong, "\n".join(wrong)


def test_ruff_bans_the_same_libraries() -> None:
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]
    banned = settings["flake8-tidy-imports"]["banned-api"]
    assert banned.keys() == HOMES.keys()
    assert "ALL" in settings["select"]
    assert not [code for code in settings["ignore"] if code.startswith("TID")]


def test_a_wrong_import_is_seen(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("import os\ndef f():\n    from fwtrans.cli import app\n    import oxidd.bdd\n")
    assert list(imported_names(module)) == [(1, "os"), (3, "fwtrans.cli.app"), (4, "oxidd.bdd")]
