"""Values that remember what was found out about them: their hash, and what functions of nothing but the value answered.

    @remembers_hash
    @dataclass(frozen=True, slots=True)
    class IntervalSet(Hashed): ...

    @once
    def fields_read(rule: Rule) -> frozenset[Field]: ...

A rule goes through dozens of passes, and most leave it as it is. What it reads, writes and names was found anew by each,
and a rule's hash is that of all its tests, and theirs that of all their intervals: a third of a whole translation.
An answer is kept with the rule and not in a table, so that it goes when the rule goes and looking it up compares no rules.
"""

from __future__ import annotations

from functools import update_wrapper
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable


class Hashed:
    """Has room for the hash. It is no field of a dataclass, and has no value before somebody asks."""

    __slots__ = ("_hash",)

    _hash: int


class Remembering(Hashed):
    """Has room for answers as well."""

    __slots__ = ("_answers",)

    _answers: dict[object, Any]


_Class = TypeVar("_Class", bound=type[Hashed])
_Value = TypeVar("_Value", bound=Remembering)
_Answer = TypeVar("_Answer")


def remembers_hash(made: _Class) -> _Class:
    """Return the class with its own hash, found once for each instance."""
    find = made.__hash__

    def remembered(self: Hashed) -> int:
        try:
            return self._hash
        except AttributeError:
            found = find(self)
            object.__setattr__(self, "_hash", found)
            return found

    made.__hash__ = remembered  # type: ignore[method-assign,assignment]
    return made


def once(function: Callable[[_Value], _Answer]) -> Callable[[_Value], _Answer]:
    """Return the function, called once for each value; it must look at what equality compares and at nothing else."""

    def answered(value: _Value) -> _Answer:
        try:
            found: _Answer = value._answers[function]  # noqa: SLF001 -- this module is what it is for
        except KeyError:
            found = value._answers[function] = function(value)  # noqa: SLF001 -- this module is what it is for
        except AttributeError:
            # what the function asks may be answered before it, and kept
            found = function(value)
            answers = getattr(value, "_answers", None)
            if answers is None:
                answers = {}
                object.__setattr__(value, "_answers", answers)
            answers[function] = found
        return found

    return update_wrapper(answered, function)
