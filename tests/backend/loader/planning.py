"""Plans from one ruleset to another, under the names that are loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.backend.loader.naming import under_loaded_names
from fwtrans.backend.loader.plan import Plan, Present, make_plan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fwtrans.backend.loader.image import Image


def present(loaded: Image) -> tuple[Present, ...]:
    return tuple(
        Present(table, {chain.name: tuple(range(1, len(chain.rules) + 1)) for chain in table.chains})
        for table in loaded
    )


def planned(loaded: Image, wanted: Image, given: Iterable[str] = ()) -> tuple[Image, Plan]:
    """Return what is wanted under the names that are loaded, and what has to be done for it."""
    found = under_loaded_names(present(loaded), wanted, frozenset(given))
    return found, make_plan(present(loaded), found)
