"""Walks that are kept: what comes out is the same as if every chain had been walked anew, and they are really used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwtrans.optimizer import settled
from fwtrans.optimizer.chain_walk import ChainWalk
from fwtrans.optimizer.fold import folded
from tests.optimizer.corpus import NODES, pve_table

if TYPE_CHECKING:
    from pathlib import Path


def forget() -> None:
    settled._walks.clear()
    settled._numbers.clear()


@pytest.mark.parametrize("name", NODES[:6])
def test_what_is_kept_of_other_tables_changes_nothing(shared: Path, name: str) -> None:
    table = pve_table(shared, name)
    forget()
    anew = folded(table)
    kept = folded(table)
    for other in NODES[:3]:
        folded(pve_table(shared, other))
    assert folded(table) == kept == anew
    forget()
    assert folded(table) == anew


def test_a_chain_is_not_walked_again_that_has_not_changed(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walked: list[str] = []
    run = ChainWalk.run

    def counted(self: ChainWalk) -> object:
        walked.append(self.chain.name)
        return run(self)

    table = folded(pve_table(shared, NODES[0]))
    monkeypatch.setattr(ChainWalk, "run", counted)
    forget()
    folded(table)
    first = len(walked)
    folded(table)
    entries = sum(chain.base is not None for chain in table.chains)
    assert len(walked) - first <= first // 2
    assert len(walked) - first >= entries
