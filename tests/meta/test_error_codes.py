"""A code that a user can meet has a page with an example, and a test that makes it happen."""

from __future__ import annotations

import ast
import re

import pytest

from fwtrans.diagnostics import CODES
from tests.meta.sources import modules, short
from tests.places import ERROR_PAGES, FIXTURES, REPOSITORY

SECTIONS = ["What it means", "Example", "Why it matters", "What to do"]
IN_FENCE = re.compile(r"```.*?```", re.DOTALL)
FENCE = re.compile(r"^```(\S+)\n.+?^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"FWT\d{3}")


def text_of_tests() -> str:
    """Return all that tests and cases say, but for the tests that name codes without making them happen."""
    only_names = {"meta", "diagnostics", "test_output.py", "test_explain.py", "test_exitcodes.py"}
    paths = [path for path in (REPOSITORY / "tests").rglob("*.py") if not only_names & set(path.parts)]
    paths += [
        path for path in FIXTURES.rglob("*") if path.is_file() and path.suffix in {".cases", ".diag", ".json", ".toml"}
    ]
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


TESTED = frozenset(CODE.findall(text_of_tests()))


@pytest.mark.parametrize("code", CODES)
def test_a_code_has_a_page_with_an_example(code: str) -> None:
    path = ERROR_PAGES / f"{code}.md"
    assert path.is_file(), f"docs/errors/{code}.md is missing; `fwtrans explain {code}` has nothing to show"
    # a comment at the start of a line of an example is no heading
    page = IN_FENCE.sub(lambda block: block[0].replace("\n#", "\n "), path.read_text(encoding="utf-8"))
    title, *parts = re.split(r"^#+ ", page, flags=re.MULTILINE)[1:]
    assert title.strip() == f"{code}: {CODES[code].title}"
    assert [part.split("\n")[0] for part in parts] == SECTIONS
    assert all(part.split("\n", 1)[1].strip() for part in parts), "a section is empty"
    assert FENCE.search(parts[1]), "the example is a fenced block that names its format"


@pytest.mark.parametrize("code", CODES)
def test_a_code_is_named_by_a_test(code: str) -> None:
    assert code in TESTED, f"no test and no case makes {code} happen"


def test_a_page_belongs_to_a_code() -> None:
    assert {path.name for path in ERROR_PAGES.iterdir()} == {f"{code}.md" for code in CODES}


def test_codes_are_well_formed_and_sorted() -> None:
    assert list(CODES) == sorted(CODES)
    for code, entry in CODES.items():
        assert CODE.fullmatch(code)
        assert entry.title == entry.title.strip().rstrip(".!")


def test_the_program_says_only_codes_of_the_table() -> None:
    unknown = [
        f"{short(path)}:{node.lineno}: {node.value}"
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if CODE.fullmatch(node.value) and node.value not in CODES
    ]
    assert not unknown, "\n".join(unknown)
