"""What becomes of packets that come back from a chain, told by the bits of the mark that carry a decision.

A caller that tests such bits behind a jump ends some of the packets that come back: `jump group; mark bit 1 accept`. Where
the called chain knows the bits at its exits, it can say the verdict itself, and nobody has to write or read the mark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.bits import BitSet
from fwtrans.ir.fields import MARK

if TYPE_CHECKING:
    from fwtrans.ir.rule import Rule
    from fwtrans.optimizer.facts import Facts

# What is known of the bits: one cube over them, or None where that is not one.
BitClass = BitSet | None
# A rule without steps that says how packets end; it keeps the origins of the rules that said so before.
Endings = frozenset[tuple[BitClass, "Rule"]]


class Leaving(NamedTuple):
    """How packets go on that come back from a chain.

    `must` are ends that the chain has to say itself, `may` ends that it can say where that helps it to do without the
    mark. An end under None is one for all packets. `cares` tells that the bits are read behind the jump, `seen` that they
    are still seen where the base chain lets the packet pass.
    """

    must: Endings = frozenset()
    may: Endings = frozenset()
    cares: bool = False
    seen: bool = False

    def ending(self, found: BitClass) -> Rule | None:
        """Return the end that the chain has to say for packets with these bits."""
        return _looked_up(self.must, found)

    def possible(self, found: BitClass) -> Rule | None:
        """Return the end of packets with these bits, as far as it is one."""
        return _looked_up(self.must, found) or _looked_up(self.may, found)


def _looked_up(endings: Endings, found: BitClass) -> Rule | None:
    table = dict(endings)
    return table.get(found) or table.get(None)


def class_of(facts: Facts, mask: int) -> BitClass:
    """Return what facts say of the bits."""
    fact = facts.get(MARK)
    if not isinstance(fact, BitSet):
        return None
    found = BitSet.of(MARK.width, ((cube & mask, value & mask) for cube, value in fact.cubes))
    return found if found.only_cube is not None and found.only_cube[0] == mask else None
