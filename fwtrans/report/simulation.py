"""What became of a simulated packet, in words and as plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.pprint import print_rule, print_step
from fwtrans.ir.verdict import Reject
from fwtrans.report.packets import packet_text, packet_values

if TYPE_CHECKING:
    from fwtrans.semantics.concrete import Passed
    from fwtrans.simulate import Simulated


def simulation_text(found: Simulated) -> str:
    """Return the verdict first, then the way there."""
    lines = [f"{_verdict(found)}: {packet_text(found.packet)}"]
    lines.extend(f"  does: {effect}" for effect in _effects(found))
    for visit, outcome, interfaces in found.visits:
        way = " -> ".join(name or "-" for name in interfaces) if any(interfaces) else ""
        lines.append(
            f"  {visit.family.value} {visit.hook.value}{f' ({way})' if way else ''}: {len(outcome.trace)} rules, {outcome.lookups} look-ups"
        )
        lines.extend(f"    {_passed(passed)}" for passed in outcome.trace if passed.held)
    lines.extend(f"  assumed: {unknown.kind.value} {unknown.identity}" for unknown in found.asked)
    return "\n".join(lines) + "\n"


def simulation_value(found: Simulated) -> dict[str, object]:
    """Return the same for the JSON envelope."""
    reject = next((effect for effect in found.last.effects if isinstance(effect, Reject)), None)
    return {
        "packet": packet_values(found.packet),
        "verdict": found.last.decision.value,
        "reject": " ".join(part for part in (reject.protocol, reject.kind) if part) if reject is not None else None,
        "effects": _effects(found),
        "rules_evaluated": sum(outcome.rules_evaluated for _, outcome, _ in found.visits),
        "lookups": sum(outcome.lookups for _, outcome, _ in found.visits),
        "steps": sum(outcome.steps for _, outcome, _ in found.visits),
        "trace": [
            {
                "hook": visit.hook.value,
                "family": visit.family.value,
                "chain": passed.chain.name,
                "rule": passed.number + 1,
                "held": passed.held,
                "origin": passed.rule.origins[0].location if passed.rule.origins else None,
                "text": passed.rule.origins[0].text if passed.rule.origins else print_rule(passed.rule),
            }
            for visit, outcome, _ in found.visits
            for passed in outcome.trace
        ],
        "assumed": [{"kind": unknown.kind.value, "identity": unknown.identity} for unknown in found.asked],
    }


def _verdict(found: Simulated) -> str:
    reject = next((effect for effect in found.last.effects if isinstance(effect, Reject)), None)
    if reject is None:
        return found.last.decision.value
    return f"reject with {reject.protocol}{f' {reject.kind}' if reject.kind else ''}"


def _effects(found: Simulated) -> list[str]:
    return [
        print_step(effect)  # type: ignore[arg-type] # verdicts print the same way
        for _, outcome, _ in found.visits
        for effect in outcome.effects
        if not isinstance(effect, (tuple, Reject))
    ]


def _passed(passed: Passed) -> str:
    origin = passed.rule.origins[0] if passed.rule.origins else None
    if origin is None:
        return f"{passed.chain.name} {passed.number + 1}: {print_rule(passed.rule)}"
    return f"{origin.location}: {origin.text}"
