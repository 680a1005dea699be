"""How deep jumps may go: what is refused is what the kernel refuses."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from fwtrans.backend.nft import model as nft
from fwtrans.backend.nft.nesting import DEEPEST, too_deep
from fwtrans.backend.nft.text import print_ruleset

if TYPE_CHECKING:
    from collections.abc import Callable

INPUT = nft.BaseHook(type=nft.ChainType.FILTER, hook=nft.Hook.INPUT, priority=0)


def chain(name: str, *targets: str, kind: nft.VerdictKind = nft.VerdictKind.JUMP, base: bool = False) -> nft.Chain:
    rules = tuple(nft.Rule((nft.Verdict(kind, target),)) for target in targets)
    return nft.Chain(name=name, base=INPUT if base else None, rules=rules)


def ladder(depth: int, kind: nft.VerdictKind = nft.VerdictKind.JUMP, *, base: bool = True) -> nft.Table:
    steps = [chain(f"c{number}", f"c{number + 1}", kind=kind, base=base and not number) for number in range(depth)]
    return nft.Table(family=nft.Family.IP, name="t", chains=(*steps, chain(f"c{depth}")))


def mapped(depth: int) -> nft.Table:
    """Return a ladder whose last step is a map."""
    table = ladder(depth - 1)
    jump = nft.AnonymousMap(((nft.Number(6), nft.Verdict(nft.VerdictKind.JUMP, "end")),))
    last = nft.Rule((nft.VerdictMap(nft.Meta("l4proto"), jump),))
    chains = (*table.chains[:-1], nft.Chain(name=table.chains[-1].name, rules=(last,)), chain("end"))
    return nft.Table(family=table.family, name="t", chains=chains)


TABLES: dict[str, Callable[[int], nft.Table]] = {
    "jump": ladder,
    "goto": lambda depth: ladder(depth, nft.VerdictKind.GOTO),
    "map": mapped,
    "no base chain": lambda depth: ladder(depth, base=False),
}


@pytest.mark.netns
@pytest.mark.parametrize("depth", [DEEPEST, DEEPEST + 1])
@pytest.mark.parametrize("kind", TABLES)
def test_what_is_refused_is_what_the_kernel_refuses(kind: str, depth: int) -> None:
    table = TABLES[kind](depth)
    done = subprocess.run(
        ["unshare", "-n", "nft", "-f", "-"],
        input=print_ruleset(nft.Ruleset((table,))).text, text=True, capture_output=True, check=False,
    )  # fmt: skip
    refused = list(too_deep(table))
    assert (done.returncode != 0) == bool(refused), done.stderr
    assert bool(refused) == (depth > DEEPEST and kind != "no base chain")


def test_the_longest_way_is_told_though_shorter_ones_come_first() -> None:
    table = ladder(DEEPEST + 3)
    start = chain("start", "c18", "c9", "c0", base=True)
    (way,) = too_deep(nft.Table(family=table.family, name="t", chains=(start, *ladder(DEEPEST + 3, base=False).chains)))
    assert way == ("start", *(f"c{number}" for number in range(DEEPEST + 4)))


def test_a_loop_and_a_very_long_way_end() -> None:
    loop = nft.Table(family=nft.Family.IP, name="t", chains=(chain("a", "b", base=True), chain("b", "a")))
    assert list(too_deep(loop)) == []
    assert len(next(too_deep(ladder(50_000)))) == 50_001
