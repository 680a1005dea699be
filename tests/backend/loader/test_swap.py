"""Two hundred swaps under a flood, on two CPUs: what both rulesets deny never gets through, what both allow always does."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from fwtrans.backend.loader.load import load
from fwtrans.backend.loader.plan import Present, make_plan
from fwtrans.backend.loader.transaction import Transaction
from tests.backend.loader.images import ALLOWED, DENIED, big
from tests.backend.loader.traffic import Traffic

if TYPE_CHECKING:
    from fwtrans.backend.loader.real import LibNft
    from fwtrans.backend.loader.state import State

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="on one CPU no packet can meet a half-made ruleset"),
]


@pytest.mark.parametrize(("remembers", "swaps"), [(True, 200), (False, 30)], ids=["the difference", "everything anew"])
def test_no_packet_slips_through_while_rules_are_swapped(
    kernel: LibNft, remembers: bool, swaps: int, lab_long: bool
) -> None:
    swaps = 200 if lab_long else swaps
    rulesets = big("a"), big("b")
    state: State | None = load(kernel, rulesets[0], None).state
    with Traffic(DENIED, ALLOWED) as traffic:
        for number in range(swaps):
            answer = load(kernel, rulesets[(number + 1) % 2], state if remembers else None)
            assert answer.faults == ()
            assert bool(answer.doubts) is not remembers
            state = answer.state
        passed = traffic.result()
    assert passed.denied_sent > 100 * swaps
    assert passed.allowed_sent > 10 * swaps
    assert passed.denied_arrived == 0
    assert passed.allowed_arrived == passed.allowed_sent


def test_deleting_and_defining_a_table_would_be_seen(kernel: LibNft) -> None:
    """What the loader does not do: the control that shows that this traffic finds a gap."""
    rulesets = big("a"), big("b")
    with Traffic(DENIED, ALLOWED) as traffic:
        for number in range(1000):
            if number >= 30 and number % 10 == 0 and traffic.denied_arrived():
                break  # on a busy machine sender and loader may be on one CPU for a while, where there is no gap to be seen
            gone = make_plan([Present(rulesets[number % 2][0], None)] if number else [], ())
            new = make_plan([], rulesets[(number + 1) % 2])
            assert kernel.run(Transaction((*gone.switch.commands, *new.switch.commands))) == ()
        passed = traffic.result()
    assert passed.denied_arrived > 0 or passed.allowed_arrived < passed.allowed_sent
