"""Ways of a packet: one hook visit, or several behind one another that belong to one journey.

A packet from guest to guest on one node passes PVE's FORWARD three times, each time with other bridge ports; in nftables
it passes bridge prerouting and postrouting once. Both are a `Path`, and comparing compares what comes out at the end. A
hop says what the packet has at that hop beside what the hook itself says: ports, interfaces. Everything else is the same
packet at every hop, with marks as the hop before has left them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.semantics.domain import fixed_values

if TYPE_CHECKING:
    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import PureTest
    from fwtrans.semantics.packet import HookVisit


class Hop(NamedTuple):
    """A hook visit with what is known about the packet there."""

    visit: HookVisit
    known: tuple[tuple[Field, int | str], ...] = ()

    @property
    def values(self) -> dict[Field, int | str]:
        """Return every field that is known at this hop."""
        return {**fixed_values(self.visit), **dict(self.known)}


class Path(NamedTuple):
    """The hops of one journey on each side; the packet goes on to the next hop where one lets it pass.

    `facts` hold for every packet of the journey when it starts, beside what the hooks say. `ignored` are bits of written
    fields that nobody looks at when it ends. Without `answers` a REJECT counts as a drop.
    """

    name: str
    old: tuple[Hop, ...]
    new: tuple[Hop, ...]
    facts: tuple[PureTest, ...] = ()
    ignored: tuple[tuple[Field, int], ...] = ()
    answers: bool = True

    @property
    def visit(self) -> HookVisit:
        """Return the first visit: the only one, where hook visits are compared one by one."""
        return (*self.old, *self.new)[0].visit


def visit_path(visit: HookVisit) -> Path:
    """Return one hook visit as a path."""
    hops = (Hop(visit),)
    return Path(f"{visit.family.value} {visit.hook.value}", hops, hops)
