"""Cases that are files: golden directories and extension tables.

A golden directory is fixtures/golden/<stage>/<NN-topic>/ (NN: 10 whole hosts, 50 language, 70 one feature) with

    about.toml      why = "..." and whatever else the stage's test wants to know
    input.<suffix>  or a folder input/
    expected.*      what the stage makes of it, one file for each thing that is compared

and a stage's test is

    @golden_cases("backend")
    def test_backend_golden(case: GoldenCase) -> None:
        case.expect("nft", to_text(case.read_input()))

`pytest --update-golden` writes the expected files instead of comparing them; read the difference before you commit it.

An extension table, fixtures/extensions/<name>.cases, holds one case a line: `input ; expected ; OK` or
`input ; expected ; FAIL FWTnnn`, where `=` stands for the input unchanged. Blank lines and lines that begin with `#` are
for the reader. `*mangle` sets the table, `:PREROUTING` the chain, `@ip`, `@ip6` or `@both` the family of the lines below.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.places import FIXTURES, REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

GOLDEN = FIXTURES / "golden"
EXTENSIONS = FIXTURES / "extensions"
UPDATE_OPTION = "--update-golden"

_FAMILIES = {"@ip": ("ip",), "@ip6": ("ip6",), "@both": ("ip", "ip6")}
_OUTCOME = re.compile(r"OK|FAIL (FWT\d{3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenCase:
    """One golden directory. `node` is the test that runs it, for the command that a failure names."""

    folder: Path
    about: Mapping[str, Any]
    update: bool = False
    node: str = ""

    @property
    def name(self) -> str:
        """Return the folder's own name."""
        return self.folder.name

    @property
    def input(self) -> Path:
        """Return the input: the folder input/, or the only file input.*."""
        found = sorted(self.folder.glob("input*"))
        assert len(found) == 1, f"{self.folder}: one input/ or input.* is needed, found {[path.name for path in found]}"
        return found[0]

    def read_input(self) -> str:
        """Return the text of an input that is one file, with its line ends as they are."""
        return self.input.read_bytes().decode()

    def expect(self, suffix: str, actual: str) -> None:
        """Compare with expected.<suffix>; under --update-golden write it."""
        path = self.folder / f"expected.{suffix}"
        if self.update:
            path.write_bytes(actual.encode())
            return
        name = path.relative_to(REPOSITORY)
        command = f"pytest '{self.node}' {UPDATE_OPTION}"
        if not path.is_file():
            pytest.fail(
                f"{name} is missing; look at what would be in it and write it with:\n  {command}", pytrace=False
            )
        expected = path.read_bytes().decode()
        if expected != actual:
            pytest.fail(
                f"{name} differs:\n{_difference(expected, actual)}\nif the new text is right: {command}", pytrace=False
            )


def golden_cases(stage: str) -> pytest.MarkDecorator:
    """Return the decorator that runs a test with every golden case of a stage, as its argument `case`."""
    cases = [pytest.param(case, id=case.name, marks=pytest.mark.golden) for case in load_golden(stage)]
    assert cases, f"there is no golden case in {GOLDEN / stage}"
    return pytest.mark.parametrize("case", cases, indirect=True)


def load_golden(stage: str) -> list[GoldenCase]:
    """Return the cases of a stage in the order of their names. A folder without a reason to exist is an error."""
    cases = []
    for folder in sorted(path for path in (GOLDEN / stage).glob("*") if path.is_dir()):
        about = tomllib.loads((folder / "about.toml").read_text(encoding="utf-8"))
        assert str(about.get("why", "")).strip(), f"{folder}/about.toml does not say why the case exists"
        cases.append(GoldenCase(folder=folder, about=about))
    return cases


def bind_case(case: GoldenCase, request: pytest.FixtureRequest) -> GoldenCase:
    """Return the case with what only the running test knows."""
    return replace(case, update=bool(request.config.getoption(UPDATE_OPTION)), node=request.node.nodeid)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtensionCase:
    """One line of an extension table. `code` is empty where the line has to succeed."""

    place: str
    family: str
    table: str
    chain: str
    input: str
    expected: str
    code: str


def extension_cases(name: str = "*") -> pytest.MarkDecorator:
    """Return the decorator that runs a test with every line of the tables, as its argument `line`."""
    cases = [case for path in sorted(EXTENSIONS.glob(f"{name}.cases")) for case in load_extension_table(path)]
    assert cases, f"there is no case in {EXTENSIONS}/{name}.cases"
    return pytest.mark.parametrize("line", [pytest.param(case, id=f"{case.place}-{case.family}") for case in cases])


def load_extension_table(path: Path) -> Iterator[ExtensionCase]:
    """Yield the cases of one table; a line that is no case stops the run, so that none is left out in silence."""
    families: tuple[str, ...] = ("ip",)
    table, chain = "filter", "FORWARD"
    for number, raw in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        text = raw.strip()
        if not text or text.startswith("#"):
            continue
        if text.startswith("*"):
            table = text[1:]
        elif text.startswith(":"):
            chain = text[1:]
        elif text in _FAMILIES:
            families = _FAMILIES[text]
        else:
            source, expected, code = _split_case(text, f"{path.name}:{number}")
            for family in families:
                yield ExtensionCase(
                    place=f"{path.name}:{number}",
                    family=family,
                    table=table,
                    chain=chain,
                    input=source,
                    expected=expected,
                    code=code,
                )


def _split_case(text: str, place: str) -> tuple[str, str, str]:
    """Split at semicolons that stand between blanks; one inside a comment or an nft set does not."""
    fields = [field.strip() for field in re.split(r"(?:^|\s);(?=\s|$)", text)]
    assert len(fields) == 3, f"{place}: three fields are needed: input ; expected ; OK or FAIL FWTnnn"
    source, expected, outcome = fields
    matched = _OUTCOME.fullmatch(outcome)
    assert matched, f"{place}: the outcome is OK or FAIL FWTnnn, not `{outcome}`"
    return source, source if expected == "=" else expected, matched[1] or ""


def _difference(expected: str, actual: str) -> str:
    lines = difflib.unified_diff(
        expected.splitlines(keepends=True), actual.splitlines(keepends=True), fromfile="expected", tofile="actual"
    )
    return "".join(line if line.endswith("\n") else line + "\n\\ no newline at the end\n" for line in lines)
