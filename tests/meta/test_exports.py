from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

from tests.meta.sources import modules, short

if TYPE_CHECKING:
    from pathlib import Path


def exported(tree: ast.Module) -> list[str] | None:
    """Return the names in __all__, or None where there is none."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__":
            return list(ast.literal_eval(node.value))
    return None


def imported(tree: ast.Module) -> set[str]:
    """Return the names that the module takes from elsewhere to hand them on."""
    found = set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module != "__future__":
            found |= {alias.asname or alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("path", [path for path in modules() if path.name == "__init__.py"], ids=short)
def test_all_is_sorted_and_complete(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = exported(tree)
    if names is None:
        assert not imported(tree), f"{short(path)} hands names on and has no __all__"
        return
    assert names == sorted(names)
    public = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    assert set(names) == {name for name in imported(tree) | public if not name.startswith("_")}
