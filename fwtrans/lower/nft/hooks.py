"""What base chains hang on: hooks, priorities, devices."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir.fields import Family
from fwtrans.ir.rule import Rule
from fwtrans.ir.ruleset import BaseHook, Chain, Hook
from fwtrans.ir.verdict import Jump
from fwtrans.lower.nft.json_types import Json, JsonObject, as_list, as_text

if TYPE_CHECKING:
    from collections.abc import Iterator

_PRIORITIES = {"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100}
_BRIDGE_PRIORITIES = {"dstnat": -300, "filter": -200, "out": 100, "srcnat": 300}


def on_devices(chain: Chain, content: JsonObject) -> Iterator[Chain]:
    """Yield the chain; one that hangs on several devices as a base chain for each, which lead to the one with the rules."""
    devices = [as_text(device, "device") for device in as_list(content.get("dev"))]
    if chain.base is None or len(devices) < 2:
        yield chain
        return
    for device in devices:
        way = Rule((), Jump(chain.name), chain.rules[0].origins if chain.rules else ())
        yield replace(chain, name=f"{chain.name}/{device}", rules=(way,), base=replace(chain.base, device=device))
    yield replace(chain, base=None)


def base_hook(content: JsonObject, family: Family) -> BaseHook | None:
    """Return what makes the chain a base chain, None for any other chain."""
    if "hook" not in content:
        return None
    try:
        hook = Hook(as_text(content.get("hook"), "hook"))
    except ValueError:
        raise Refused("FWT112", f"`{content.get('hook')}` is not a hook") from None
    devices = as_list(content.get("dev"))
    return BaseHook(
        as_text(content.get("type", "filter"), "chain type"),
        hook,
        _priority(content.get("prio", 0), family),
        content.get("policy", "accept") == "accept",
        as_text(devices[0], "device") if devices else "",
    )


_PRIORITY = re.compile(r"([a-z]+|-?\d+)\s*(?:([-+])\s*(\d+))?")


def _priority(value: Json, family: Family) -> int:
    if isinstance(value, int):
        return value
    found = _PRIORITY.fullmatch(as_text(value, "priority").strip())
    known = _BRIDGE_PRIORITIES if family is Family.BRIDGE else _PRIORITIES
    if found is None or (found[1] not in known and not found[1].lstrip("-").isdigit()):
        raise Refused("FWT112", f"`{value}` is not a priority")
    offset = int(found[3] or 0)
    start = known[found[1]] if found[1] in known else int(found[1])
    return start - offset if found[2] == "-" else start + offset
