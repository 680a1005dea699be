"""The case tables of the targets: `input ; nft text ; OK` or `input ; ; FAIL CODE`, one case a line, # for remarks."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

FIXTURES = Path(__file__).parents[3] / "fixtures" / "extensions"


class Case(NamedTuple):
    """`code` is empty where the input is right. `place` is the file and line, the name of the test."""

    place: str
    text: str
    expected: str
    code: str


def read_cases(pattern: str = "target-*.cases") -> list[Case]:
    """Return every case of the files, in order."""
    cases: list[Case] = []
    for path in sorted(FIXTURES.glob(pattern)):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if not line or line.startswith("#"):
                continue
            text, expected, result = line.rsplit(" ;", 2)
            word, _, code = result.strip().partition(" ")
            assert (word, bool(code)) in {("OK", False), ("FAIL", True)}, f"{path.name}:{number}: {result}"
            cases.append(Case(f"{path.name}:{number}", text.strip(), expected.strip(), code))
    return cases
