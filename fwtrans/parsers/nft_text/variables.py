"""`define` and `$name`. A variable's text goes where its name stands, as nft puts its expression there."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field

from fwtrans.parsers.nft_text.faults import BadStatement, closest

_USE = re.compile(r'"[^"\n]*"|\$([A-Za-z_][-\w/.]*)')
_DEFINE = re.compile(r"\s*(define|redefine)\s+([A-Za-z_][-\w/.]*)\s*=\s*(.*?)\s*$", re.DOTALL)
_UNDEFINE = re.compile(r"\s*undefine\s+([A-Za-z_][-\w/.]*)\s*$")
LONGEST = 1 << 24
"""Characters that a statement may grow to: definitions of definitions grow with each step."""


@dataclass(slots=True)
class Scope:
    """Variables of a block, and of those around it."""

    outer: Scope | None = None
    known: dict[str, str] = field(default_factory=dict)

    def find(self, name: str) -> str | None:
        """Return what stands for the name, None where nothing does."""
        found = self.known.get(name)
        return self.outer.find(name) if found is None and self.outer is not None else found

    def names(self) -> set[str]:
        """Return every name that is known here."""
        return {*self.known, *(self.outer.names() if self.outer is not None else ())}


@dataclass(slots=True)
class Expanded:
    """A text with its variables filled in, and the way back: offsets in the result to offsets before."""

    text: str
    breaks: list[int] = field(default_factory=list)
    shifts: list[int | None] = field(default_factory=list)
    origins: list[int] = field(default_factory=list)

    def before(self, offset: int) -> int:
        """Return where in the text as written the character comes from."""
        index = bisect_right(self.breaks, offset) - 1
        if index < 0:
            return offset
        shift = self.shifts[index]
        return self.origins[index] if shift is None else offset + shift


def expand(text: str, scope: Scope) -> Expanded:
    """Return the text with each `$name` replaced; BadStatement where nothing is defined for it."""
    if "$" not in text:
        return Expanded(text)
    pieces: list[str] = []
    result = Expanded("")
    done = length = 0
    for use in _USE.finditer(text):
        if use[1] is None:
            continue
        found = scope.find(use[1])
        if found is None:
            hint = closest(use[1], scope.names()) or f"write `define {use[1]} = ...` before this line"
            raise BadStatement("FWT153", f"`${use[1]}` is not defined", use.start(), use.end(), hint=hint)
        kept = text[done : use.start()]
        pieces += [kept, found]
        length += len(kept)
        result.breaks += [length, length + len(found)]
        length += len(found)
        result.shifts += [None, use.end() - length]
        result.origins += [use.start(), use.end()]
        done = use.end()
        if length > LONGEST:
            raise BadStatement("FWT153", "the definitions grow without end", use.start(), use.end())
    pieces.append(text[done:])
    result.text = "".join(pieces)
    return result


def define(text: str, scope: Scope) -> bool:
    """Carry out a definition; False where the statement is none."""
    found = _DEFINE.match(text)
    if found is not None:
        word, name, value = found.groups()
        if word == "define" and name in scope.known:
            hint = f"`redefine {name} = ...` gives it a new value"
            message = f"`{name}` is defined already"
            raise BadStatement("FWT153", message, found.start(2), found.end(2), hint=hint)
        if not value:
            raise BadStatement("FWT153", f"`{name}` gets no value", found.start(2), found.end(2))
        try:
            scope.known[name] = expand(value, scope).text
        except BadStatement as fault:
            start = found.start(3)
            raise BadStatement(
                fault.code, fault.message, fault.start + start, fault.end + start, hint=fault.hint
            ) from None
        return True
    found = _UNDEFINE.match(text)
    if found is not None:
        if scope.known.pop(found[1], None) is None:
            raise BadStatement("FWT153", f"`{found[1]}` is not defined", found.start(1), found.end(1))
        return True
    return False
