"""`numgen inc mod 2 vmap { 0 : goto a, 1 : goto b }`: a look-up by a number that is drawn anew for each packet.

Which number a packet gets nobody knows, and it has one in the whole look-up. So there is one rule for each element, each
behind a draw of its own that holds or not, and the printer makes one statement of all of them again.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir.stateful import Drawn, StatefulObject, StatefulTest
from fwtrans.lower.nft.json_types import Json, NotModelled, as_list
from fwtrans.lower.nft.one_by_one import GOES_ON, does_more
from fwtrans.lower.nft.sets import lower_verdict

if TYPE_CHECKING:
    from fwtrans.ir.verdict import Verdict
    from fwtrans.lower.nft.scope import Scope


def drawn_ways(content: Json, behind: list[Json], scope: Scope) -> list[tuple[StatefulTest, Verdict | None]]:
    """Return a draw and a verdict for each element of the map; none where it is no such look-up.

    `behind` are the statements that packets meet for which the map says `continue`, which has no verdict.
    """
    key = content.get("key") if isinstance(content, dict) else None
    data = content.get("data") if isinstance(content, dict) else None
    if not isinstance(key, dict) or set(key) != {"numgen"} or not isinstance(data, dict) or set(data) != {"set"}:
        return []
    values: list[tuple[int, Json, Verdict | None]] = []
    for entry in as_list(data["set"]):
        pair = as_list(entry)
        try:
            way = None if pair[-1] == GOES_ON else lower_verdict(pair[-1])
            values.append((_first(pair[0]), pair[0], way))
        except (NotModelled, Refused, IndexError):
            return []
    if any(way is None for _, _, way in values) and any(does_more(statement) for statement in behind):
        return []
    generator, draw = json.dumps(key, sort_keys=True), scope.identity("drawn")
    return [
        (
            StatefulTest(StatefulObject(f"{draw}/{number}", Drawn(generator, json.dumps(held), number, len(values)))),
            verdict,
        )
        for number, (_, held, verdict) in enumerate(sorted(values, key=lambda value: value[0]))
    ]


def _first(held: Json) -> int:
    """Return the least number of an element: a listing sorts them."""
    ends = held.get("range") if isinstance(held, dict) else held
    least = ends[0] if isinstance(ends, list) and ends else ends
    if isinstance(least, bool) or not isinstance(least, int):
        raise NotModelled("an element that is no number")
    return least
