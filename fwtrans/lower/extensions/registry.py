"""Which extensions there are: name to file. A file is imported when a rule first names its extension."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

from fwtrans.ir.fields import Family
from fwtrans.lower.extensions.base import Match, Target

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fwtrans.parsers.iptables_save.options import Option

# iptables' name -> module in matches/. Two names may share a file where iptables has an alias.
MATCHES: dict[str, str] = {
    "tcp": "tcp",
}

# iptables' name -> module in targets/.
TARGETS: dict[str, str] = {
    "MARK": "mark",
}

_Kind = TypeVar("_Kind", Match, Target)

VERDICTS = ("ACCEPT", "DROP", "RETURN", "QUEUE")


@lru_cache(maxsize=None)
def find_match(name: str, family: Family) -> Match | None:
    """Return the match extension of that name, if it exists in the family."""
    module = MATCHES.get(name)
    if module is None:
        return None
    loaded = import_module(f"fwtrans.lower.extensions.matches.{module}")
    return _of_family([loaded.EXTENSION, *getattr(loaded, "ALSO", ())], name, family)


@lru_cache(maxsize=None)
def find_target(name: str, family: Family) -> Target | None:
    """Return the target extension of that name, if it exists in the family."""
    module = TARGETS.get(name)
    if module is None:
        return None
    loaded = import_module(f"fwtrans.lower.extensions.targets.{module}")
    return _of_family([loaded.EXTENSION, *getattr(loaded, "ALSO", ())], name, family)


def _of_family(candidates: Iterable[_Kind], name: str, family: Family) -> _Kind | None:
    for candidate in candidates:
        if candidate.name == name and family in candidate.families:
            return candidate
    return None


class ExtensionOptions:
    """The reader's view of the registry (its `OptionTable`)."""

    def match_options(self, name: str, family: str) -> tuple[Option, ...] | None:
        """Return the options that `-m name` brings."""
        found = find_match(name, Family(family))
        return found.options if found is not None else None

    def target_options(self, name: str, family: str) -> tuple[Option, ...] | None:
        """Return the options that `-j name` brings."""
        if name in VERDICTS:
            return ()
        found = find_target(name, Family(family))
        return found.options if found is not None else None
