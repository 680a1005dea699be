"""Packets that show a difference, and the boxes of packets that it is, as a review keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.pprint import print_rule, print_values
from fwtrans.report.packets import packet_text, packet_values
from fwtrans.report.review.model import Cut, Step, Witness, plain
from fwtrans.semantics.changes import matters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwtrans.semantics.boxes import Boxes
    from fwtrans.semantics.outcome import SideResult
    from fwtrans.semantics.packet import Packet
    from fwtrans.semantics.path import Path

_MOST_STEPS = 60


def witness_of(path: Path, packet: Packet, old: SideResult, new: SideResult, *, confirmed: bool) -> Witness:
    """Return a packet with what both sides do with it."""
    return Witness(
        path.name, packet_text(packet), packet_values(packet), side_words(old), side_words(new),
        tuple(_trace(old)), tuple(_trace(new)), confirmed,
    )  # fmt: skip


def side_words(side: SideResult) -> str:
    """Return a side's verdict and the rules that decided."""
    places = [
        f"{'policy' if place.number < 0 else f'rule {place.number + 1}'} of {place.chain}"
        + (f" [{place.origins[0].location}]" if place.origins else "")
        for place in side.decided_by
    ]
    return f"{side.outcome.decision.value}" + (f" by {'; '.join(places)}" if places else "")


def _trace(side: SideResult) -> Iterator[Step]:
    passed = side.outcome.trace
    held = [item for item in passed if item.held and matters(item.rule)]
    for item in held[-_MOST_STEPS:]:
        origin = item.rule.origins[0] if item.rule.origins else None
        text = plain(origin.text) if origin is not None else print_rule(item.rule)
        yield Step(item.chain.name, text, item.held, origin.location if origin is not None else "")


def cut_of(path: Path, found: Boxes) -> Cut:
    """Return all packets of a region, as the values of their fields."""
    shown = tuple(
        {
            **{field.name: print_values(field, values) for field, values in box.values.items()},
            **{
                f"{unknown.kind.value} {unknown.identity}": "yes" if answer else "no"
                for unknown, answer in box.answers.items()
            },
        }
        for box in found.boxes
    )
    return Cut(path.name, shown, found.complete)
