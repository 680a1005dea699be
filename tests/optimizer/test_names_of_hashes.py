"""Names that passes make of hashes: what tells them from names that people gave has to be in each of them."""

from __future__ import annotations

from fwtrans.backend.loader.references import is_made
from fwtrans.optimizer.class_names import content_hash, is_named_by_content
from fwtrans.optimizer.names import digest, with_figure


def test_a_hash_without_a_figure_is_taken_a_little_later() -> None:
    assert with_figure("dbdefc0123", 6) == "bdefc0"
    assert with_figure("1bdefcaaaa", 6) == "1bdefc"


def test_a_hash_of_letters_alone_has_a_figure_all_the_same() -> None:
    assert with_figure("abcdefabcdef", 6) == "abcde0"


def test_the_loader_knows_every_such_name_as_made() -> None:
    names = [f"class-{content_hash((str(number),))}" for number in range(3000)]
    names += [f"map-{digest((str(number),))}" for number in range(3000)]
    assert all(map(is_made, names))
    assert all(map(is_named_by_content, names))
