"""Words of a shell with the variables put in whose values are known; everything else is refused by name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fwtrans.parsers.shell_lists import unfolded
from fwtrans.parsers.shell_words import Kind, Passage, RawWord, ShellWord

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwtrans.parsers.shell_words import Piece

# `$(which iptables)` can only give the program itself; where there is none, the script does nothing worth translating
_WHICH = re.compile(
    r"(?:\$\(|`)\s*(?:which|command\s+-v|type\s+-p)\s+(?:/\S*/)?(ip6?tables\S*|ipset|ebtables\S*|arptables\S*)"
    r"(?:\s+2>\s*/dev/null)?\s*(?:\)|`)"
)
# `seq` prints whole numbers as they are; what it makes of leading zeros or fractions is left to it
_SEQUENCE = re.compile(r"(?:\$\(|`)\s*seq\s+(?:(0|[1-9][0-9]{0,6})\s+)?(0|[1-9][0-9]{0,6})\s*(?:\)|`)", re.ASCII)
_LONGEST_SEQUENCE = 10_000
_ALL_PARAMETERS = re.compile(r"\$\{?([@*])\}?|\$\{([A-Za-z_][A-Za-z0-9_]*)\[([@*])\]\}")
_PARAMETER = re.compile(r"\$([0-9#])|\$\{([0-9]{1,4}|#|[A-Za-z_][A-Za-z0-9_]*)(?::-([^$`\"'\\{}*?\[ \t\n]*))?\}")
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
    """The variables whose values are known, and why the others are not.

    `parameters` are $1, $2 ..., None where they are not known: what a script is called with. `redefined` are the programs
    whose names a script gives to functions or aliases.
    """

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self.values: dict[str, str] = {"IFS": _BLANKS, **(values or {})}
        self.reasons: dict[str, str] = {}
        self.lost: dict[str, str] = {}
        self.parameters: tuple[str, ...] | None = None
        self.arrays: dict[str, tuple[str, ...]] = {}
        self.redefined: frozenset[str] = frozenset()
        self.caseless = False  # patterns may be compared without regard to capitals (`shopt -s nocasematch`)

    def assign(self, name: str, word: RawWord, passage: Passage, *, appended: bool = False) -> None:
        """Set a variable from the word behind its `=`, if that can be read."""
        try:
            (place,) = expand(word, self, passage, split=False) or (ShellWord("", 0, 0, 0),)
        except Unreadable as problem:
            self.forget(name, problem.message)
            return
        if name in self.arrays:  # it sets the first element
            self.forget(name, "it is an array of which one element is set")
            return
        if name in self.lost or (appended and name not in self.values):
            return
        self.values[name] = self.values.get(name, "") * appended + place.value
        self.reasons.pop(name, None)

    def assign_array(
        self, name: str, elements: tuple[RawWord, ...], passage: Passage, *, appended: bool = False
    ) -> None:
        """Set an array from the words between its brackets, if they can be read."""
        if name in self.lost:
            return
        if (appended and name not in self.arrays) or any(word.pieces[0].text[:1] == "[" for word in elements):
            self.forget(name, "it is an array whose elements are not known")
            return
        try:
            words = tuple(place.value for word in elements for place in expand(word, self, passage))
        except Unreadable as problem:
            self.forget(name, problem.message)
            return
        self.values.pop(name, None)
        self.arrays[name] = self.arrays.get(name, ()) * appended + words
        self.reasons[name] = "it is an array"

    def set(self, name: str, value: str) -> None:
        """Set a variable whose value is known, as a loop does at each turn."""
        self.arrays.pop(name, None)
        self.values[name] = value
        self.reasons.pop(name, None)

    def forget(self, name: str, reason: str, *, for_good: bool = False) -> None:
        """Take a variable as unknown from here on; `for_good` is for those that a function sets, whenever it is called."""
        self.values.pop(name, None)
        self.arrays.pop(name, None)
        self.reasons[name] = reason
        if for_good:
            self.lost[name] = reason

    def forget_all(self, reason: str) -> None:
        """Take all variables as unknown."""
        for name in [*self.values, *self.arrays]:
            self.forget(name, reason)


def expand(word: RawWord, variables: Variables, passage: Passage, *, split: bool = True) -> tuple[ShellWord, ...]:
    """Return the words that the shell makes of one: none or several where an unquoted variable has blanks.

    Raises Unreadable where a value is not known, or where the shell would look for files or unfold braces.
    """
    bare = word.bare
    if bare is not None and (not split or not _ODD.search(bare)):
        return (passage.place(word.start, word.end, bare),)
    words = unfolded(word, passage) if split else None
    if words is not None:
        return tuple(place for each in words for place in expand(each, variables, passage))
    parameters = _all_parameters(word, variables, passage, split=split)
    if parameters is not None:
        return tuple(passage.place(word.start, word.end, text) for text in parameters)
    fields: list[str] = []
    current: str | None = None
    for piece in word.pieces:
        value = _value(piece, word, variables, passage)
        if piece.kind is Kind.TEXT or piece.quoted or not split or _WHICH.fullmatch(piece.text):
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


def _all_parameters(word: RawWord, variables: Variables, passage: Passage, *, split: bool) -> tuple[str, ...] | None:
    """Return what `$@`, `$*` or `${ARRAY[@]}` becomes where it is the whole word and known; else None."""
    pieces = [piece for piece in word.pieces if piece.text or not piece.quoted]
    if len(pieces) != 1 or pieces[0].kind is not Kind.COMPUTED:
        return None
    found = _ALL_PARAMETERS.fullmatch(pieces[0].text)
    if found is None:
        return None
    values = variables.arrays.get(found[2]) if found[2] else variables.parameters
    if values is None:
        return None
    place = passage.place(word.start, word.end, "")
    if pieces[0].quoted and (found[1] or found[3]) == "@" and split:
        return values
    _refuse_other_separators(" ", variables, place)
    if pieces[0].quoted or not split:
        return (" ".join(values),)
    if any(_FILE_PATTERN.search(value) for value in values):
        raise Unreadable("FWT132", "the shell makes names of files of what this becomes", place)
    return tuple(part for value in values for part in re.split(r"[ \t\n]+", value) if part)


def _parameter(text: str, variables: Variables) -> str | None:
    """Return what `$1`, `$#`, or a default like `${1:-x}` becomes, None where nobody can say."""
    parameters = variables.parameters
    found = _PARAMETER.fullmatch(text)
    if found is None:
        return None
    name, default = found[1] or found[2], found[3]
    value: str | None
    if name == "#":
        value = None if parameters is None else str(len(parameters))
    elif name.isdigit():
        number = int(name)
        value = None if parameters is None or not number else (*parameters, *[""] * number)[number - 1]
    else:
        value = variables.values.get(name)
    return value or default if value is not None and default is not None else value


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
    if "seq" not in variables.redefined and (found := _SEQUENCE.fullmatch(piece.text)):
        numbers = range(int(found[1] or 1), int(found[2]) + 1)
        if len(numbers) <= _LONGEST_SEQUENCE:
            return "\n".join(map(str, numbers))
    value = _parameter(piece.text, variables)
    if value is not None:
        return value
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
