"""What became of each input rule: one line a rule, in the order of the input, and the counts above them."""

from __future__ import annotations

from collections import Counter, defaultdict
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fwtrans.diagnostics import Diagnostic
    from fwtrans.source import Origin


class Fate(Enum):
    """What can become of a rule."""

    EXACT = "exact"
    SEVERAL = "exact, as several rules"
    NO_EFFECT = "does nothing: not printed"
    NEVER = "can never match: not printed"
    REFUSED = "not translated"


class RuleFate(NamedTuple):
    """One input rule and its fate. `code` says why where it was refused."""

    origin: Origin
    fate: Fate
    printed: int
    code: str = ""


class Coverage(NamedTuple):
    """The fate of every rule of the input."""

    fates: tuple[RuleFate, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Return how many rules met each fate; fates that nothing met are left out."""
        found = Counter(item.fate for item in self.fates)
        return {fate.value: found[fate] for fate in Fate if found[fate]}


def coverage(
    read: Iterable[Origin],
    printed: Mapping[tuple[str, int], int],
    never: Iterable[tuple[str, int]],
    diagnostics: Iterable[Diagnostic],
) -> Coverage:
    """Return the fate of every rule that was read.

    Origins are compared by (file, line): `printed` says how many output rules name each, `never` which cannot match.
    """
    refused: dict[tuple[str, int], str] = {}
    for item in diagnostics:
        if item.span is not None and item.severity.value == "error":
            refused.setdefault((item.span.source.name, item.span.line), item.code)
    dead = set(never)
    times: defaultdict[tuple[str, int], int] = defaultdict(int)
    fates: list[RuleFate] = []
    for origin in read:
        key = (origin.source.name, origin.line)
        times[key] += 1
        if times[key] > 1:
            continue
        fates.append(_fate(origin, printed.get(key, 0), refused.get(key, ""), is_dead=key in dead))
    return Coverage(tuple(fates))


def _fate(origin: Origin, count: int, code: str, *, is_dead: bool) -> RuleFate:
    if code:
        return RuleFate(origin, Fate.REFUSED, 0, code)
    if count == 0:
        return RuleFate(origin, Fate.NEVER if is_dead else Fate.NO_EFFECT, 0)
    return RuleFate(origin, Fate.EXACT if count == 1 else Fate.SEVERAL, count)
