"""Random rules: both forms load, list back equal, and what is listed lists the same again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from fwtrans.backend.nft.json_form import print_json
from fwtrans.backend.nft.text import print_ruleset
from tests.backend.nft.listing import load, normalised, target
from tests.backend.nft.strategies import rulesets

if TYPE_CHECKING:
    from fwtrans.backend.nft import model as nft


@pytest.mark.netns
@settings(max_examples=60)
@given(rulesets())
def test_text_and_json_of_random_rules_list_back_equal(ruleset: nft.Ruleset) -> None:
    text = load(print_ruleset(ruleset).text)
    json = load(print_json(ruleset, target()), as_json=True)
    assert text.status == 0, text.errors
    assert json.status == 0, json.errors
    assert normalised(json.listing) == normalised(text.listing)


@given(rulesets())
def test_printing_does_not_depend_on_the_run(ruleset: nft.Ruleset) -> None:
    assert print_ruleset(ruleset) == print_ruleset(ruleset)
    assert print_json(ruleset) == print_json(ruleset)
