"""JSON as mypy sees it, and careful access: a missing key in hostile input is a refusal, never a traceback."""

from __future__ import annotations

from typing import TypeAlias

from fwtrans.diagnostics import Refused

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
JsonObject: TypeAlias = "dict[str, Json]"


class NotModelled(Exception):  # noqa: N818 -- an answer: the construct is kept as an opaque unknown
    """The construct is nftables' but has no model; `what` names it."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


def as_object(value: Json, what: str) -> JsonObject:
    """Return an object, or refuse."""
    if not isinstance(value, dict):
        raise Refused("FWT112", f"{what}: an object was expected, not {type(value).__name__}")
    return value


def as_text(value: Json, what: str) -> str:
    """Return a string, or refuse."""
    if not isinstance(value, str):
        raise Refused("FWT112", f"{what}: a string was expected, not {type(value).__name__}")
    return value


def as_number(value: Json, what: str) -> int:
    """Return an integer, or refuse."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refused("FWT112", f"{what}: a number was expected, not {value!r}")
    return value


def as_seconds(value: Json, what: str) -> float:
    """Return a time: whole seconds in libnftables' JSON, and what its texts say beyond that."""
    return value if isinstance(value, float) else as_number(value, what)


def as_list(value: Json) -> list[Json]:
    """Return a list; a single value is a list of one, as libnftables writes it."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def only_pair(value: Json, what: str) -> tuple[str, Json]:
    """Return the key and value of an object that has one key."""
    found = as_object(value, what)
    if len(found) != 1:
        raise Refused("FWT112", f"{what}: one key was expected, not {len(found)}")
    return next(iter(found.items()))


def asking(statements: Json) -> list[Json]:
    """Return those of a set's statements that may say no to an element; counting says nothing."""
    return [item for item in as_list(statements) if not (isinstance(item, dict) and set(item) & {"counter", "last"})]
