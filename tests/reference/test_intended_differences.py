"""The page of intended differences has each name that a report can tell, with its very words, and no other."""

from __future__ import annotations

import re

from fwtrans.semantics.bridged import reading
from fwtrans.semantics.bridged.reading import ALWAYS, Intended
from tests.places import REPOSITORY

PAGE = REPOSITORY / "docs" / "reference" / "intended-differences.md"
ENTRY = re.compile(r"^### (\S+)\n\n(.+)\n\nIt shows when: (.+)$", re.MULTILINE)


def known_differences() -> dict[str, str]:
    single = (value for value in vars(reading).values() if isinstance(value, Intended))
    return {item.name: item.text for item in (*ALWAYS, *single)}


def test_the_page_has_every_difference_in_the_reports_words() -> None:
    page = {name: text for name, text, _ in ENTRY.findall(PAGE.read_text())}
    wanted = {name: f"{text[0].upper()}{text[1:]}." for name, text in known_differences().items()}
    assert page == wanted


def test_what_is_always_told_stands_first() -> None:
    always, _, sometimes = PAGE.read_text().partition("## Where the rules bring them")
    assert [name for name, *_ in ENTRY.findall(always)] == [item.name for item in ALWAYS]
    assert not {item.name for item in ALWAYS} & {name for name, *_ in ENTRY.findall(sometimes)}
