"""What an optimiser makes of plain rules is proved equal to them, and one element changed is told."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fwtrans.ir.ruleset import Ruleset
from fwtrans.semantics.equivalence import compare
from tests.semantics.builders import ACCEPT
from tests.semantics.shapes import SHAPES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.semantics.shapes import Pair

SMALL = 60


def without_one(ruleset: Ruleset) -> Ruleset:
    """Return the ruleset without the last element of its last map that decides something, or else of its last set."""
    (table,) = ruleset.tables
    if table.maps:
        *others, last = table.maps
        at = max(at for at, element in enumerate(last.elements) if element.value != ACCEPT)
        fewer = replace(last, elements=last.elements[:at] + last.elements[at + 1 :])
        return Ruleset((replace(table, maps=(*others, fewer)),))
    *kept, changed = table.sets
    return Ruleset((replace(table, sets=(*kept, replace(changed, elements=changed.elements[:-1]))),))


@pytest.mark.parametrize("make", [make for make, _ in SHAPES.values()], ids=lambda make: make.__name__)
def test_another_shape_is_the_same(make: Callable[[int], Pair]) -> None:
    old, new = make(SMALL)
    assert compare(old, new).equal
    assert compare(new, old).equal


@pytest.mark.parametrize("make", [make for make, _ in SHAPES.values()], ids=lambda make: make.__name__)
def test_one_element_less_is_a_difference(make: Callable[[int], Pair]) -> None:
    old, new = make(SMALL)
    found = compare(old, without_one(new))
    assert found.differences
    assert not found.undecided
    assert all(difference.confirmed for difference in found.differences)
