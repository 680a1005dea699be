"""What `fwtrans lint` found, in words, as plain values and as SARIF: rules that do nothing, and known mistakes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.report.equivalence import place_text
from fwtrans.report.sarif import Found, Kind, sarif_text
from fwtrans.report.shadowing import lint_text, lint_value
from fwtrans.semantics.mistakes import MistakeKind
from fwtrans.semantics.shadowing import FindingKind

if TYPE_CHECKING:
    from fwtrans.semantics.mistakes import Mistake
    from fwtrans.semantics.shadowing import Lint
    from fwtrans.source import Origin

_MEANING = {
    MistakeKind.NO_INTERFACE: "A rule asks for an interface that packets do not have at its hook",
    MistakeKind.FLAG_VALUES: "Flags are compared with exact values, so that two flags at once match nothing",
    MistakeKind.LOST_NEGATION: "A translation has lost a negation",
    MistakeKind.BEFORE_TRACKING: "A chain asks for a connection's state before it is known",
    MistakeKind.ARP_IS_INVALID: "A bridge rule for invalid packets denies ARP",
    MistakeKind.FAILS_OPEN: "A chain is at a priority where a kernel passes it by",
    MistakeKind.LEFT_OUT: "A rule was not translated and is only a comment",
    MistakeKind.MARK_LEAK: "The node trusts a mark that guests' rules set",
    FindingKind.UNREACHABLE_CHAIN: "No packet gets to a chain",
    FindingKind.NEVER_MATCHES: "No packet matches a rule",
    FindingKind.SHADOWED: "Earlier rules take everything that a rule asks for",
    FindingKind.NEVER_MATTERS: "A rule changes nothing",
}


class Linted(NamedTuple):
    """All findings: by proof, by form, and the comments that are rules."""

    proved: Lint
    mistakes: tuple[Mistake, ...]
    left_out: tuple[Origin, ...]

    @property
    def is_clean(self) -> bool:
        """Tell whether nothing was found and everything was decided."""
        return not (self.proved.findings or self.proved.undecided or self.mistakes or self.left_out)


def linted_text(found: Linted) -> str:
    """Return the mistakes first: they are about what a ruleset lets through."""
    lines: list[str] = []
    for kind in MistakeKind:
        told = [
            *((place_text(item.place), item.text) for item in found.mistakes if item.kind is kind),
            *((origin.location, _plain(origin.text)) for origin in found.left_out if kind is MistakeKind.LEFT_OUT),
        ]
        if told:
            lines.append(f"{kind.value}: {len(told)}")
            for place, text in told:
                lines.extend([f"  {_plain(place)}", f"      {text}"])
            lines.append("")
    return "\n".join([*lines, lint_text(found.proved)])


def _plain(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def linted_value(found: Linted) -> dict[str, object]:
    """Return the findings for the JSON envelope."""
    mistakes = [
        {
            "kind": item.kind.value,
            "table": item.place.table,
            "chain": item.place.chain,
            "rule": item.place.number + 1 if item.place.number >= 0 else None,
            "origins": [origin.location for origin in item.place.origins],
            "text": item.text,
        }
        for item in found.mistakes
    ]
    left_out = [{"location": origin.location, "text": origin.text} for origin in found.left_out]
    return {**lint_value(found.proved), "mistakes": mistakes, "left_out": left_out}


def linted_sarif(found: Linted) -> str:
    """Return the findings as a SARIF log."""
    results = [
        Found(_kind(item.kind), "warning", f"{place_text(item.place)}: {item.text}", _locations(item.place.origins))
        for item in found.mistakes
    ]
    results.extend(
        Found(_kind(MistakeKind.LEFT_OUT), "error", _plain(origin.text), (origin.location,))
        for origin in found.left_out
    )
    results.extend(
        Found(
            _kind(item.kind), "note", f"{place_text(item.place)}: {item.reason}",
            (*_locations(item.place.origins), *(text for place in item.because for text in _locations(place.origins))),
        )
        for item in found.proved.findings
    )  # fmt: skip
    return sarif_text(results)


def _kind(kind: MistakeKind | FindingKind) -> Kind:
    return Kind(kind.value.replace(" ", "-").lower(), _MEANING[kind])


def _locations(origins: tuple[Origin, ...]) -> tuple[str, ...]:
    return tuple(origin.location for origin in origins)
