"""Plain tables for the terminal: columns aligned, one rule a row, readable without color and at any width."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.report.coverage import Fate

if TYPE_CHECKING:
    from fwtrans.report.coverage import Coverage


def coverage_text(found: Coverage, *, most: int = 40) -> str:
    """Return the counts, then every rule that was not printed one to one, at most `most` of them."""
    lines = [f"{len(found.fates)} rules read"]
    lines.extend(f"  {count:6}  {fate}" for fate, count in found.counts.items())
    notable = [item for item in found.fates if item.fate is not Fate.EXACT]
    if notable:
        lines.append("")
    for item in notable[:most]:
        reason = f" ({item.code})" if item.code else f" ({item.printed})" if item.printed > 1 else ""
        lines.append(f"  {item.origin.location}: {item.fate.value}{reason}")
        lines.append(f"      {_shortened(item.origin.text)}")
    if len(notable) > most:
        lines.append(f"  and {len(notable) - most} more")
    return "\n".join(lines) + "\n"


def _shortened(text: str, width: int = 110) -> str:
    safe = "".join(letter if letter.isprintable() else "?" for letter in text)
    return safe if len(safe) <= width else safe[: width - 3] + "..."
