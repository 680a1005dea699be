"""The differences that are meant, in words and as plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.semantics.bridged.reading import Intended

_SHOWN = 4


def intended_text(found: Sequence[Intended]) -> str:
    """Return the differences by name, with the first lines that each concerns."""
    lines = ["different on purpose, because each packet is judged once:"]
    for item in found:
        lines.append(f"  - {item.name}: {item.text}")
        if item.origins:
            shown = ", ".join(origin.location for origin in item.origins[:_SHOWN])
            more = len(item.origins) - _SHOWN
            lines.append(f"      {shown}" + (f" and {more} more" if more > 0 else ""))
    return "\n".join(lines) + "\n"


def intended_value(item: Intended) -> dict[str, object]:
    """Return one difference for the JSON envelope."""
    return {"name": item.name, "text": item.text, "origins": [origin.location for origin in item.origins]}
