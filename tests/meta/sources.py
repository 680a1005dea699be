"""What the tests about the project itself share: its modules, and what they import."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from tests.places import PACKAGE, REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def modules() -> list[Path]:
    """Return every module of the package in a stable order."""
    return sorted(PACKAGE.rglob("*.py"))


def short(path: Path) -> str:
    """Return the path as people write it, from the root of the repository."""
    return path.relative_to(REPOSITORY).as_posix()


def imported_names(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and full dotted name of all that a module imports, wherever in it the import stands.

    An import for type checking alone counts as well: it is knowledge all the same.
    """
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{short(path)}:{node.lineno}: relative imports hide the stage"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
