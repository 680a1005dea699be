"""How things stand, for people and for programs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fwtrans.apply.finish import Status


def status_text(found: Status) -> str:
    """Return what `fwtrans status` prints."""
    lines = []
    if found.pending is not None:
        left = f"{max(found.pending.seconds_left, 0):.0f} seconds left" if found.pending.loaded else "being loaded"
        guard = "the way back is ready" if found.guarded else "THE WAY BACK IS GONE"
        if found.pending.confirmed:
            lines.append(f"apply {found.pending.identity} is confirmed; run `fwtrans confirm` again to end it")
        else:
            lines.append(f"apply {found.pending.identity} waits for `fwtrans confirm`: {left}, {guard}")
    lines.extend(f"table {name}: {size} rules and elements" for name, size in found.tables)
    lines.extend(f"table {name}: {size} rules, loaded by a boot" for name, size in found.booted)
    if not (found.tables or found.booted):
        lines.append("no table of fwtrans is loaded")
    lines.append("the next boot loads our rules" if found.boots else "the next boot loads none of our rules")
    if found.history:
        lines.append("snapshots, each taken before an apply:")
        lines.extend(f"  {item['id']}  {_time(item['made'])}  {item.get('outcome', '')}" for item in found.history)
    return "\n".join(lines) + "\n"


def status_value(found: Status) -> dict[str, object]:
    """Return the same in JSON's types."""
    pending = found.pending
    return {
        "pending": None
        if pending is None
        else {
            "id": pending.identity,
            "loaded": pending.loaded,
            "seconds_left": round(max(pending.seconds_left, 0), 1),
            "way_back_ready": found.guarded,
        },
        "tables": [{"name": name, "size": size} for name, size in found.tables],
        "tables_of_boot": [{"name": name, "rules": size} for name, size in found.booted],
        "foreign_changes": list(found.foreign),
        "loaded_at_boot": found.boots,
        "snapshots": [{key: item.get(key) for key in ("id", "made", "outcome")} for item in found.history],
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
