"""Limits, quotas, counters and counts of connections as text, from the JSON in which they were read.

    {"limit": {"rate": 3, "per": "minute", "inv": true}}        limit rate over 3/minute burst 5 packets

They stand in rules that change sets: `update @s { ip saddr limit rate over 3/minute }`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeAlias

from fwtrans.backend.nft import statements as st
from fwtrans.backend.nft.amounts import quota_text, rate_text
from fwtrans.diagnostics import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

_BYTES = {"bytes": 1, "kbytes": 1 << 10, "mbytes": 1 << 20, "gbytes": 1 << 30}


def state_text(item: Json) -> str:
    """Return one object with a memory as nft reads it behind an element."""
    if isinstance(item, dict) and len(item) == 1:
        ((kind, content),) = item.items()
        printer = _PRINTERS.get(kind)
        if printer is not None and (content is None or isinstance(content, dict)):
            return printer(dict(content or {}))
    raise _no_form(item)


def _no_form(content: Json) -> Refused:
    return Refused("FWT200", f"`{json.dumps(content)}` has no exact nftables form")


def _count(value: Json) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _no_form(value)
    return value


def _amount(content: dict[str, Json], what: str, default: int = 0) -> int:
    unit = content.pop(f"{what}_unit", "bytes")
    if not isinstance(unit, str) or unit not in _BYTES:
        raise _no_form(unit)
    return _count(content.pop(what, default)) * _BYTES[unit]


def _whole(content: dict[str, Json], text: str) -> str:
    if content:
        raise _no_form(content)
    return text


def _limit(content: dict[str, Json]) -> str:
    in_bytes = content.get("rate_unit", "packets") != "packets"
    over, per = bool(content.pop("inv", False)), content.pop("per", None)
    if per not in {period.value for period in st.Period}:
        raise _no_form(per)
    if in_bytes:
        rate, burst = _amount(content, "rate"), _amount(content, "burst") or None
    else:
        content.pop("rate_unit", None)
        content.pop("burst_unit", None)
        rate, burst = _count(content.pop("rate", None)), _count(content.pop("burst", st.DEFAULT_PACKET_BURST))
    return _whole(content, f"limit rate {rate_text(st.Rate(rate, st.Period(per), burst, over, in_bytes))}")


def _quota(content: dict[str, Json]) -> str:
    over, amount, used = bool(content.pop("inv", False)), _amount(content, "val"), _amount(content, "used")
    return _whole(content, f"quota {quota_text(amount, over=over, used=used)}")


def _connections(content: dict[str, Json]) -> str:
    over = "over " if content.pop("inv", False) else ""
    return _whole(content, f"ct count {over}{_count(content.pop('val', None))}")


def _counter(content: dict[str, Json]) -> str:
    if not content:
        return "counter"
    packets, octets = _count(content.pop("packets", None)), _count(content.pop("bytes", None))
    return _whole(content, f"counter packets {packets} bytes {octets}")


_PRINTERS: dict[str, Callable[[dict[str, Json]], str]] = {
    "limit": _limit,
    "quota": _quota,
    "ct count": _connections,
    "counter": _counter,
}
