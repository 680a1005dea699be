"""What the lab found, as a table for a person and as plain values."""

from __future__ import annotations

from dataclasses import asdict
from io import StringIO
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fwtrans.lab.intended import TEXTS
from fwtrans.lab.probe import Follow, Kind, Probe, verdict_of

if TYPE_CHECKING:
    from fwtrans.lab.probe import Step
    from fwtrans.laboratory import Disagreement, LabResult

_FLAGS = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr")
_MOST_SHOWN = 40


def lab_text(found: LabResult, *, width: int = 120, color: bool = False) -> str:
    """Return the answer first, then a row for each packet that is treated differently."""
    stream = StringIO()
    console = Console(file=stream, width=width, force_terminal=color, no_color=not color, highlight=False, emoji=False)
    console.print(_headline(found))
    console.print(
        f"kernel: {escape(found.kernel)}", *(f"  passed over: {escape(one)}" for one in found.passed_over), sep="\n"
    )
    counts = ", ".join(f"{count} {word}" for word, count in found.verdicts.items())
    console.print(f"packets: {found.probes} (old side: {counts}), for {found.rules_aimed_at} rules")
    if found.unsteady:
        console.print(f"not counted: {found.unsteady} packets that one side treats differently from run to run")
    for name, count in found.intended:
        console.print(
            f"intended: {name} ({count} packet{'' if count == 1 else 's'}): {escape(TEXTS[name])}", soft_wrap=True
        )
    if found.disagreements:
        console.print(_table(found))
    if len(found.disagreements) > _MOST_SHOWN:
        console.print(f"and {len(found.disagreements) - _MOST_SHOWN} more")
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def _headline(found: LabResult) -> str:
    if found.same:
        return "same: the kernel treats every packet alike"
    count = len(found.disagreements)
    return f"different: {count} packet{'' if count == 1 else 's'}"


def _table(found: LabResult) -> Table:
    table = Table(show_lines=True, expand=False)
    for title in ("packet", "old", "new"):
        table.add_column(title, overflow="fold")
    for item in found.disagreements[:_MOST_SHOWN]:
        old, new = item.difference.old, item.difference.new
        table.add_row(
            escape(probe_text(item.probe) + (f"\n{item.where}" if item.where else "")),
            escape(f"{step_text(item, old)}\n{item.old_rule}"),
            escape(f"{step_text(item, new)}\n{item.new_rule}"),
        )
    return table


def probe_text(probe: Probe) -> str:
    """Return a probe in one line: `tcp 192.0.2.10:40000 -> 198.51.100.20:22 syn, eth0 to host`."""
    here, there = probe.source_address, probe.target_address
    if probe.kind in {Kind.TCP, Kind.UDP, Kind.SCTP}:
        here, there = (f"[{one}]" if ":" in one else one for one in (here, there))
        here, there = f"{here}:{probe.sport}", f"{there}:{probe.dport}"
    what = {Kind.TCP: f" {_flags(probe.flags)}", Kind.ICMP: f" type {probe.icmp_type} code {probe.icmp_code}"}
    name = f"protocol {probe.protocol}" if probe.kind is Kind.PROTOCOL else probe.kind.value
    known = ""
    if probe.settled:
        known = ", related" if Follow.RELATED in probe.follow else ", of a known connection"
    return f"{name} {here} -> {there}{what.get(probe.kind, '')}, {probe.source} to {probe.target}{known}"


def _flags(flags: int) -> str:
    return ",".join(word for bit, word in enumerate(_FLAGS) if flags >> bit & 1) or "no flags"


def step_text(item: Disagreement, step: Step | None) -> str:
    """Return what became of a packet on one side, in words; what is beside the verdict only where that differs."""
    if step is None:
        return "not sent: nothing arrived before"
    probe, what = item.probe, item.difference.what
    target = probe.target if step.sender == probe.source else probe.source
    parts = [verdict_of(step, target)]
    if step.answers:
        parts.append(f"answered {', '.join(step.answers)}")
    shown = {
        "shapes": ("arrives as " + "; ".join(step.shapes)) if step.shapes else "arrives as it was sent",
        "logs": f"logged {', '.join(map(repr, step.logs))}" if step.logs else "not logged",
        "ct_mark": f"connection mark {step.ct_mark}",
        "trouble": step.trouble,
    }
    parts.extend(text for name, text in shown.items() if name in what and text)
    if item.difference.step:
        parts[0] = f"packet {item.difference.step + 1} of the conversation {parts[0]}"
    return ", ".join(parts)


def lab_value(found: LabResult) -> dict[str, object]:
    """Return the result for the JSON envelope."""
    return {
        "same": found.same,
        "kernel": {"name": found.kernel, "passed_over": list(found.passed_over)},
        "packets": found.probes,
        "verdicts": dict(found.verdicts),
        "rules_aimed_at": found.rules_aimed_at,
        "unsteady": found.unsteady,
        "intended": dict(found.intended),
        "differences": [
            {
                "packet": probe_text(item.probe),
                "probe": {name: value for name, value in item.probe.as_json().items() if value not in ("", (), None)},
                "step": item.difference.step,
                "what": list(item.difference.what),
                "old": _side_value(item, item.difference.old, item.old_rule),
                "new": _side_value(item, item.difference.new, item.new_rule),
                "made_for": item.made_for,
                "where": item.where,
            }
            for item in found.disagreements
        ],
    }


def _side_value(item: Disagreement, step: Step | None, rule: str) -> dict[str, object]:
    seen = {"text": step_text(item, step), "rule": rule}
    return {**seen, "observed": asdict(step)} if step is not None else dict(seen)
