"""Each statement prints as written in the table of cases, and the real nft takes text and JSON for the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwtrans.backend.nft.target import DEBIAN_12
from fwtrans.backend.nft.text_statements import statements_text
from tests.backend.nft.listing import (
    Loaded,
    is_sayable_in_json,
    lab_launcher,
    listed_rules,
    load,
    load_in_lab,
    nft_version,
    normalised,
    printed,
    sayable_in_json,
)
from tests.backend.nft.statement_cases import CASES, Case

if TYPE_CHECKING:
    from pathlib import Path

NUMBERED = tuple(enumerate(CASES))
HERE = tuple(item for item in NUMBERED if not item[1].place.needs_lab)
IN_LAB = tuple(item for item in NUMBERED if item[1].place.needs_lab)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.text)
def test_statement_prints_as_the_table_says(case: Case) -> None:
    assert statements_text(case.statements) == case.text


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.text)
def test_json_of_nft_1_0_6_refuses_what_the_table_says(case: Case) -> None:
    assert is_sayable_in_json(case, DEBIAN_12) == case.json


def differences(cases: tuple[tuple[int, Case], ...], loaded: Loaded) -> list[str]:
    assert loaded.status == 0, loaded.errors
    listed = {index: normalised(text) for index, text in listed_rules(loaded.listing).items()}
    assert listed.keys() == {index for index, _ in cases}
    if nft_version() != DEBIAN_12.nft:
        return []
    return [
        f"{case.text!r} is listed as {listed[index]!r}, not {case.listed!r}"
        for index, case in cases
        if listed[index] != normalised(case.listed)
    ]


@pytest.mark.netns
def test_nft_lists_what_the_table_says() -> None:
    assert not differences(HERE, load(printed(HERE, as_json=False)))


@pytest.mark.netns
def test_text_and_json_list_back_equal() -> None:
    cases = sayable_in_json(HERE)
    text = load(printed(cases, as_json=False))
    json = load(printed(cases, as_json=True), as_json=True)
    assert not differences(cases, text)
    assert not differences(cases, json)
    assert normalised(json.listing) == normalised(text.listing)


@pytest.mark.netns
def test_what_nft_lists_loads_and_lists_the_same_again() -> None:
    once = load(printed(HERE, as_json=False))
    again = load(once.listing)
    assert again.status == 0, again.errors
    assert normalised(again.listing) == normalised(once.listing)


@pytest.mark.kernel
def test_lab_kernel_lists_what_the_table_says(tmp_path: Path) -> None:
    launcher = lab_launcher()
    if launcher is None:
        pytest.skip("neither FWTRANS_LAB_UML nor ../shared/lab/run-uml names a lab kernel")
    texts = [(printed(IN_LAB, as_json=as_json), as_json) for as_json in (False, True)]
    for loaded in load_in_lab(texts, launcher, tmp_path):
        assert not differences(IN_LAB, loaded)
