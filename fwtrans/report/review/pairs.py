"""Differences told by what decided before and what decides now, put together over guests and hooks.

For two sides that are built differently. Names and numbers of guests are taken out of chains and rules, so that what is the
same for each guest is one line; a known difference of Proxmox VE's two firewalls is told by its name (`known`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fwtrans.ir.fields import NFPROTO
from fwtrans.ir.ruleset import Hook
from fwtrans.report.review.entries import category_of, joined, sorted_by_risk
from fwtrans.report.review.known import explained
from fwtrans.report.review.model import Entry, RuleText, plain
from fwtrans.report.review.witnesses import witness_of
from fwtrans.semantics.bridged.topology import guest_port
from fwtrans.semantics.concrete import Decision
from fwtrans.semantics.outcome import DifferenceKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fwtrans.semantics.outcome import Difference, SideResult

_FAMILIES: dict[object, str] = {2: "IPv4", 10: "IPv6"}
_PORT = re.compile(r"(?:tap|veth)\d+i\d+")
_GUEST_CHAIN = re.compile(r"guest-\d+")
_HARDWARE = re.compile(r"\b[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}\b")
_ADDRESS = re.compile(r"\b\d+\.\d+\.\d+\.\d+(?:/\d+)?\b|\b[0-9a-f]{1,4}(?::[0-9a-f]{0,4}){2,7}(?:/\d+)?")


def entries_of_pairs(differences: Iterable[Difference], *, both_pve: bool = False) -> tuple[Entry, ...]:
    """Return the lines of a review, the riskiest first; `both_pve` says that both sides are Proxmox VE's own firewalls."""
    return sorted_by_risk(joined(_entry(item, both_pve=both_pve) for item in differences))


def _entry(item: Difference, *, both_pve: bool) -> Entry:
    passed, passes = (side.outcome.decision is Decision.ACCEPT for side in (item.old, item.new))
    category = category_of(item.kind, item.subject, passed=passed, passes=passes)
    way, guests = _way(item)
    before, now = (_rules(side) for side in (item.old, item.new))
    known = explained(item) if both_pve else None
    old, new = (_told(side, rules) for side, rules in ((item.old, before), (item.new, now)))
    what = (known.what,) if known is not None else (f"{old}; now {new}",)
    cause = f"{old} -> {new}"
    subject = (
        f" ({plain(_general(item.subject))})" if item.kind not in {DifferenceKind.VERDICT, DifferenceKind.LOG} else ""
    )
    return Entry(
        category, way, guests, tuple(text + ("" if known else subject) for text in what), cause, before, now, (), "",
        (_FAMILIES.get(item.packet.values.get(NFPROTO), "frames"),), (witness_of(item.path, item.packet, item.old, item.new, confirmed=item.confirmed),),
        explained=known.name if known is not None else "",
    )  # fmt: skip


def _way(item: Difference) -> tuple[str, tuple[str, ...]]:
    sent, to, got = item.path.name.rpartition(" to ")
    # what one gets from another is what its own rules let in
    is_sent = "from" in sent and guest_port(got.split()[0]) is None if to else "from" in got
    found = _PORT.search(item.path.name if is_sent else got)
    port = guest_port(found[0]) if found is not None else None
    if port is None:
        hook = item.path.visit.hook
        return {Hook.INPUT: "to the host", Hook.OUTPUT: "from the host"}.get(hook, _over_bridges(item.path.name)), ()
    return ("from guest" if is_sent else "to guest"), (str(port.vmid),)


def _over_bridges(name: str) -> str:
    return "between ports that are no guest's" if " over " in name else _general(name)


def _rules(side: SideResult) -> tuple[RuleText, ...]:
    return tuple(
        RuleText(
            plain(place.origins[0].text) if place.origins else f"rule {place.number + 1}",
            place.origins[0].location if place.origins else "",
            place.chain,
        )
        for place in side.decided_by
    )


def _told(side: SideResult, rules: tuple[RuleText, ...]) -> str:
    by = "; ".join(dict.fromkeys(f"`{_general(rule.text)}` in {_general(rule.chain)}" for rule in rules[-1:]))
    return f"{side.outcome.decision.value}" + (f" by {by}" if by else "")


def _general(text: str) -> str:
    """Return a text without what is a guest's own."""
    text = _PORT.sub("tapN", _GUEST_CHAIN.sub("guest-N", text))
    return _ADDRESS.sub("ADDRESS", _HARDWARE.sub("MAC", text))
