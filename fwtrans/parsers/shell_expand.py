"""Words of a shell with the variables put in whose values are known; everything else is refused by name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fwtrans.parsers.shell_words import Kind, Passage, RawWord, ShellWord

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwtrans.parsers.shell_words import Piece

# `$(which iptables)` can only give the program itself; where there is none, the script does nothing worth translating
_WHICH = re.compile(
    r"(?:\$\(|`)\s*(?:which|command\s+-v|type\s+-p)\s+(?:/\S*/)?(ip6?tables\S*|ipset|ebtables\S*|arptables\S*)"
    r"(?:\s+2>\s*/dev/null)?\s*(?:\)|`)"
)
_BLANKS = " \t\n"
_ODD = re.compile(r"[*?{]")
_FILE_PATTERN = re.compile(r"[*?]")
_BRACES = re.compile(r"\{[^{}]*(?:,|\.\.)[^{}]*\}")


class Unreadable(Exception):  # noqa: N818 -- an answer like Refused, with a place
    """A word, or a command, that only a running shell could read."""

    def __init__(self, code: str, message: str, place: ShellWord, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.place = place
        self.hint = hint


class Variables:
    """The variables whose values are known, and why the others are not."""

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self.values: dict[str, str] = {"IFS": _BLANKS, **(values or {})}
        self.reasons: dict[str, str] = {}
        self.lost: dict[str, str] = {}

    def assign(self, name: str, word: RawWord, passage: Passage, *, appended: bool = False) -> None:
        """Set a variable from the word behind its `=`, if that can be read."""
        try:
            (place,) = expand(word, self, passage, split=False) or (ShellWord("", 0, 0, 0),)
        except Unreadable as problem:
            self.forget(name, problem.message)
            return
        if name in self.lost or (appended and name not in self.values):
            return
        self.values[name] = self.values.get(name, "") * appended + place.value
        self.reasons.pop(name, None)

    def set(self, name: str, value: str) -> None:
        """Set a variable whose value is known, as a loop does at each turn."""
        self.values[name] = value
        self.reasons.pop(name, None)

    def forget(self, name: str, reason: str, *, for_good: bool = False) -> None:
        """Take a variable as unknown from here on; `for_good` is for those that a function sets, whenever it is called."""
        self.values.pop(name, None)
        self.reasons[name] = reason
        if for_good:
            self.lost[name] = reason

    def forget_all(self, reason: str) -> None:
        """Take all variables as unknown."""
        for name in list(self.values):
            self.forget(name, reason)


def expand(word: RawWord, variables: Variables, passage: Passage, *, split: bool = True) -> tuple[ShellWord, ...]:
    """Return the words that the shell makes of one: none or several where an unquoted variable has blanks.

    Raises Unreadable where a value is not known, or where the shell would look for files or unfold braces.
    """
    bare = word.bare
    if bare is not None and (not split or not _ODD.search(bare)):
        return (passage.place(word.start, word.end, bare),)
    fields: list[str] = []
    current: str | None = None
    for piece in word.pieces:
        value = _value(piece, word, variables, passage)
        if piece.kind is not Kind.VARIABLE or piece.quoted or not split:
            current = (current or "") + value
            continue
        _refuse_other_separators(value, variables, passage.place(word.start, word.end, ""))
        parts = re.split(r"[ \t\n]+", value)
        for index, part in enumerate(parts):
            if index and current is not None:
                fields.append(current)
                current = None
            if part:
                current = (current or "") + part
    if current is not None:
        fields.append(current)
    if split:
        _refuse_patterns(word, passage)
    return tuple(passage.place(word.start, word.end, text) for text in fields)


def _refuse_other_separators(value: str, variables: Variables, place: ShellWord) -> None:
    """Refuse to split a value where the shell would take other characters than blanks for what stands between words."""
    separators = variables.values.get("IFS")
    if separators is not None and set(separators) == set(_BLANKS):
        return
    if separators is None or set(value) & (set(separators) | set(_BLANKS)):
        message = "the script changes `IFS`, and with it where the shell cuts this word"
        raise Unreadable("FWT132", message, place, "write the words in place of the variable")


def _value(piece: Piece, word: RawWord, variables: Variables, passage: Passage) -> str:
    if piece.kind is Kind.TEXT:
        return piece.text
    if piece.kind is Kind.VARIABLE:
        if piece.text in variables.values:
            return variables.values[piece.text]
        reason = variables.reasons.get(piece.text, "nothing before it sets it")
        raise Unreadable(
            "FWT133",
            f"`${piece.text}` is not known: {reason}",
            passage.place(word.start, word.end, ""),
            f"write the value in place of `${piece.text}`",
        )
    if found := _WHICH.fullmatch(piece.text):
        return found[1]
    raise Unreadable(
        "FWT132",
        f"only a shell could tell what `{piece.text}` becomes, and fwtrans runs none",
        passage.place(word.start, word.end, ""),
        "write in its place what it becomes",
    )


def _refuse_patterns(word: RawWord, passage: Passage) -> None:
    plain = "".join(piece.text if piece.kind is Kind.TEXT and not piece.quoted else "\0" for piece in word.pieces)
    for pattern, what in ((_FILE_PATTERN, "names of files"), (_BRACES, "several words, in bash but not in sh")):
        if found := pattern.search(plain):
            raise Unreadable(
                "FWT132",
                f"the shell makes {what} of `{found.group()}`",
                passage.place(word.start, word.end, ""),
                "put the word into single quotes if it is meant as it is written",
            )
