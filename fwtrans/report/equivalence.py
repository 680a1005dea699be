"""What a comparison found, in words and as plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.pprint import print_step
from fwtrans.report.intended import intended_text, intended_value
from fwtrans.report.packets import packet_text, packet_values
from fwtrans.report.review.known import explained
from fwtrans.report.review.model import plain
from fwtrans.report.review.pairs import entries_of_pairs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.report.review.model import Entry
    from fwtrans.semantics.bridged.reading import Intended
    from fwtrans.semantics.outcome import Comparison, Difference, Place, SideResult


def comparison_text(found: Comparison, intended: Sequence[Intended] = (), *, both_pve: bool = False) -> str:
    """Return the answer first, then each difference with its packet, then what the answer rests on.

    Where both sides are Proxmox VE's own firewalls, the differences that are known between them are told by name, each once.
    """
    lines = [_headline(found)]
    if both_pve:
        for number, entry in enumerate(entries_of_pairs(found.differences, both_pve=True), 1):
            lines.extend(["", *_entry_lines(number, entry)])
    else:
        for number, item in enumerate(found.differences, 1):
            lines.extend(["", *_difference_lines(number, item)])
    if found.omitted:
        lines.extend(["", f"and more: {found.omitted} hooks hold more differences than are shown"])
    for unknown in found.undecided:
        names = f" ({', '.join(unknown.names[:5])})" if unknown.names else ""
        lines.append(f"cannot decide: {unknown.path.name}: {unknown.reason}{names}")
    if found.assumptions:
        lines.extend(["", "this rests on:", *(f"  - {text}" for text in found.assumptions)])
    if intended:
        lines.extend(["", intended_text(intended).rstrip()])
    return "\n".join(lines) + "\n"


def _headline(found: Comparison) -> str:
    if found.equal:
        return "equal: both do the same with every packet"
    if found.differences:
        return f"different: {len(found.differences)} cause{'' if len(found.differences) == 1 else 's'}"
    return "cannot decide"


def _difference_lines(number: int, item: Difference) -> list[str]:
    visit = item.path.name
    lesser = " (a lesser difference)" if item.is_lesser else ""
    return [
        f"{number}. {visit}: {item.kind.value}{f' {item.subject}' if item.subject != item.kind.value else ''}{lesser}",
        f"   packet: {packet_text(item.packet)}",
        f"   old: {_side_text(item.old)}",
        f"   new: {_side_text(item.new)}",
    ]


def _entry_lines(number: int, entry: Entry) -> list[str]:
    name = f" [{entry.explained}]" if entry.explained else ""
    witness = entry.witnesses[0]
    return [
        f"{number}. {entry.category.value}{name} {entry.where}: {plain(entry.region)}",
        f"   {witness.hook}, packet: {plain(witness.packet)}",
        f"   old: {plain(witness.old)}",
        f"   new: {plain(witness.new)}",
    ]


def difference_text(item: Difference) -> str:
    """Return a difference in one line: where, which packet, and what each side does."""
    where = item.path.name
    sides = f"old {_side_text(item.old)}; new {_side_text(item.new)}"
    return f"{where}, {item.kind.value} {item.subject}: {packet_text(item.packet)}: {sides}"


def _side_text(side: SideResult) -> str:
    places = "; ".join(place_text(place) for place in side.decided_by)
    effects = "".join(f", {_effect_text(effect)}" for effect in side.outcome.effects if not isinstance(effect, tuple))
    return f"{side.outcome.decision.value}{effects}" + (f" by {places}" if places else "")


def _effect_text(effect: object) -> str:
    try:
        return print_step(effect)  # type: ignore[arg-type] # verdicts print the same way
    except (AttributeError, TypeError):
        return repr(effect)


def place_text(place: Place) -> str:
    """Return where a rule stands and what its source says."""
    origin = f" [{place.origins[0].location}]" if place.origins else ""
    what = "policy" if place.number < 0 else f"rule {place.number + 1}"
    return f"{what} of {place.chain}{origin}"


def comparison_value(
    found: Comparison, intended: Sequence[Intended] = (), *, both_pve: bool = False
) -> dict[str, object]:
    """Return the comparison for the JSON envelope; `known` is the name of a known difference, empty where it has none."""
    return {
        "equal": found.equal,
        "undecided": [
            {"hook": item.path.name, "reason": item.reason, "names": list(item.names)} for item in found.undecided
        ],
        "assumptions": list(found.assumptions),
        "differences": [
            {
                "hook": item.path.name,
                "kind": item.kind.value,
                "subject": item.subject,
                "known": name.name if both_pve and (name := explained(item)) is not None else "",
                "lesser": item.is_lesser,
                "confirmed": item.confirmed,
                "packet": packet_values(item.packet),
                "old": _side_value(item.old),
                "new": _side_value(item.new),
                "origins": {"old": _origins(item.old), "new": _origins(item.new)},
            }
            for item in found.differences
        ],
        "omitted": found.omitted,
        "intended": [intended_value(item) for item in intended],
    }


def _side_value(side: SideResult) -> dict[str, object]:
    return {
        "verdict": side.outcome.decision.value,
        "effects": [_effect_text(effect) for effect in side.outcome.effects if not isinstance(effect, tuple)],
        "rules": [place_text(place) for place in side.decided_by],
    }


def _origins(side: SideResult) -> list[str]:
    return [origin.location for place in side.decided_by for origin in place.origins]
