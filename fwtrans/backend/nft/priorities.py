"""The names that nft(8) gives to priorities of base chains, where they mean the same for family and hook.

nft 1.0.6 prints a priority up to 10 away from a named one as `filter + 5`, and so do we.
"""

from __future__ import annotations

from fwtrans.backend.nft.objects import Family, Hook

_NEAR = 10
_INET: tuple[tuple[str, int, Hook | None], ...] = (
    ("raw", -300, None),
    ("mangle", -150, None),
    ("dstnat", -100, Hook.PREROUTING),
    ("filter", 0, None),
    ("security", 50, None),
    ("srcnat", 100, Hook.POSTROUTING),
)
_FILTER_ONLY: tuple[tuple[str, int, Hook | None], ...] = (("filter", 0, None),)
_NAMED: dict[Family, tuple[tuple[str, int, Hook | None], ...]] = {
    Family.IP: _INET,
    Family.IP6: _INET,
    Family.INET: _INET,
    Family.ARP: _FILTER_ONLY,
    Family.NETDEV: _FILTER_ONLY,
    Family.BRIDGE: (
        ("dstnat", -300, Hook.PREROUTING),
        ("filter", -200, None),
        ("out", 100, Hook.OUTPUT),
        ("srcnat", 300, Hook.POSTROUTING),
    ),
}


def priority_text(family: Family, hook: Hook, priority: int) -> str:
    """Return `filter`, `mangle - 5`, or the number where no name is near."""
    for name, value, only_at in _NAMED[family]:
        distance = priority - value
        if abs(distance) <= _NEAR and only_at in (None, hook):
            return f"{name} {'+' if distance > 0 else '-'} {abs(distance)}" if distance else name
    return str(priority)
