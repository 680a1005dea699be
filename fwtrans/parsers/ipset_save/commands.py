"""One command from its words: what is written, typed and checked as far as its own line and its set's `create` go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fwtrans.diagnostics import Refused
from fwtrans.parsers.ipset_save.elements import LONGEST_SET_NAME
from fwtrans.parsers.ipset_save.options import (
    CREATE_FLAGS,
    SHORT_FAMILIES,
    ElementOption,
    create_option_name,
    missing_element_option,
    read_header,
)
from fwtrans.parsers.ipset_save.set_types import ALIASES, SET_TYPES, SetType
from fwtrans.parsers.ipset_save.shapes import OPTION, UNKNOWN, Shape, command_terminal, parse_shape, terminals
from fwtrans.parsers.ipset_save.syntax import (
    NO_OPTIONS,
    Command,
    Create,
    CreateOption,
    ElementAction,
    ElementCommand,
    ElementOptions,
    Remark,
    SetAction,
    SetCommand,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from fwtrans.parsers.ipset_save.live_set import LiveSet
    from fwtrans.parsers.ipset_save.values import Names
    from fwtrans.source import SourceFile

_EXIST = frozenset({"-exist", "--exist", "-!"})
_WITHOUT_EFFECT = frozenset(
    {"-q", "-quiet", "-r", "-resolve", "-s", "-sorted", "-n", "-name", "-t", "-terse"}
    | {"--quiet", "--resolve", "--sorted", "--name", "--terse"}
)
_WITHOUT_EFFECT_VALUED = frozenset({"-o", "-output", "--output", "-f", "-file", "--file"})
_OUTPUTS = frozenset({"plain", "save", "xml"})
_ASKING = frozenset({"LIST", "SAVE", "HELP", "VERSION"})
_ACTIONS = {"destroy": SetAction.DESTROY, "flush": SetAction.FLUSH, "rename": SetAction.RENAME, "swap": SetAction.SWAP}


@dataclass(slots=True)
class CommandReader:
    """Reads commands. `live` are the sets that exist at this line, kept by the caller.

    Where a command is refused, `blamed` is the number of the word that it stumbled over. `said_exist` tells whether the
    last command had -exist, whatever became of it.
    """

    names: Names
    live: Mapping[str, LiveSet]
    blamed: int = 0
    said_exist: bool = False

    def read(self, given: Sequence[str], source: SourceFile, line: int) -> Command:
        """Return the command of a line's words, or raise Refused."""
        self.blamed = 0
        places, exist = _without_environment(given)
        self.said_exist = exist
        words = [given[place] for place in places]
        try:
            return self._read(words, source, line, exist=exist)
        finally:
            self.blamed = places[min(self.blamed, len(places) - 1)] if places else 0

    def _read(self, words: list[str], source: SourceFile, line: int, *, exist: bool) -> Command:
        self.blamed = 0
        terminal = command_terminal(words[0]) if words else None
        if terminal is None:
            raise Refused("FWT120", f"`{words[0] if words else ''}` is no command of ipset")
        if terminal in _ASKING:
            return Remark(" ".join(words), source, line)
        if terminal == "TEST":
            raise Refused(
                "FWT124",
                "`test` asks a running set; what depends on its answer cannot be translated",
                hint="take the line out; it changes no set",
            )
        if terminal == "RESTORE":
            raise Refused(
                "FWT124", "`restore` reads another file", hint="give that file to fwtrans as an input of its own"
            )
        if terminal == "CREATE":
            return self._create(words, source, line, exist=exist)
        if terminal in {"ADD", "DELETE"}:
            return self._element(terminal, words, source, line, exist=exist)
        shape = self._shape((terminal, *("NAME" for _ in words[1:])))
        self._check_names(words[1:])
        padded = (*words[1:], "", "")
        return SetCommand(_ACTIONS[shape.command], padded[0], padded[1], source, line)

    def _shape(self, shape: tuple[str, ...]) -> Shape:
        try:
            return parse_shape(shape)
        except Refused as refusal:
            self.blamed = int(refusal.option)
            raise Refused(refusal.code, refusal.message) from None

    def _options_shape(
        self, words: list[str], fixed: tuple[str, ...], takes_value: Callable[[str], bool | None]
    ) -> Shape:
        shape = tuple(terminals(words, fixed, takes_value))
        if UNKNOWN in shape:
            self.blamed = shape.index(UNKNOWN)
            raise Refused("FWT121", f"`{words[self.blamed]}` is no option here, for a set of this type")
        if shape[-1] == OPTION:
            self.blamed = len(words) - 1
            raise Refused("FWT121", f"`{words[-1]}` needs a value")
        return self._shape(shape)

    def _check_names(self, names: Sequence[str]) -> None:
        for index, name in enumerate(names):
            if len(name.encode(errors="surrogateescape")) > LONGEST_SET_NAME:
                self.blamed = index + 1
                raise Refused("FWT122", f"`{name}` is longer than the {LONGEST_SET_NAME} bytes of a set name")

    def _create(self, words: list[str], source: SourceFile, line: int, *, exist: bool) -> Create:
        set_type = self._set_type(words)

        def takes_value(word: str) -> bool | None:
            name = create_option_name(word, set_type)
            return None if name is None else name not in CREATE_FLAGS and word not in SHORT_FAMILIES

        shape = self._options_shape(words, ("CREATE", "NAME", "TYPE"), takes_value)
        self._check_names(words[1:2])
        options: list[CreateOption] = []
        for index, valued in shape.options:
            word = words[index]
            name = create_option_name(word, set_type) or word
            if name in {option.name for option in options} and name not in CREATE_FLAGS:
                self.blamed = index
                raise Refused("FWT121", f"`{word}` is given twice")
            value = words[index + 1] if valued else SHORT_FAMILIES.get(word)
            options.append(CreateOption(name, value))
        self.blamed = 2
        header = read_header(set_type, tuple(options), self.names)
        return Create(words[1], set_type.name, tuple(options), header, source, line, exist)

    def _set_type(self, words: list[str]) -> SetType:
        if len(words) < 3:
            self._shape(("CREATE", "NAME", "TYPE")[: len(words)])
        name = ALIASES.get(words[2], words[2])
        if name not in SET_TYPES:
            self.blamed = 2
            hint = (
                "ipset dropped it with version 6; hash:ip has taken its place"
                if name in {"iptree", "iptreemap"}
                else ""
            )
            raise Refused("FWT120", f"`{name}` is no set type of ipset", hint=hint)
        return SET_TYPES[name]

    def _element(
        self, terminal: str, words: list[str], source: SourceFile, line: int, *, exist: bool
    ) -> ElementCommand:
        if len(words) < 3:
            self._shape((terminal, "NAME", "ELEMENT")[: len(words)])
        target = self.live.get(words[1])
        if target is None:
            self.blamed = 1
            raise Refused("FWT124", f"there is no set `{words[1]}` at this line")
        if target.set_type.name == "list:set":
            words = [*words[:2], *_old_neighbour(words[2]), *words[3:]]
        options = self._element_options(terminal, words, target) if len(words) > 3 else NO_OPTIONS
        self.blamed = 2
        parts = target.read_element(words[2])
        action = ElementAction.ADD if terminal == "ADD" else ElementAction.DELETE
        return ElementCommand(action, words[1], parts, options, source, line, exist)

    def _element_options(self, terminal: str, words: list[str], target: LiveSet) -> ElementOptions:
        """Return the options; `del` takes none but the neighbours in a list:set."""
        known = target.options
        if terminal == "DELETE":
            known = {word: option for word, option in known.items() if word.lstrip("-") in {"before", "after"}}
        names = tuple(option_words(words, known))
        for index, word in names:
            if word not in known:
                self.blamed = index
                raise (
                    missing_element_option(word)
                    if terminal == "ADD"
                    else Refused("FWT121", f"`{word}`: `del` takes the element alone")
                )
        fixed = (terminal, "NAME", "ELEMENT")
        shape = self._options_shape(words, fixed, lambda word: known[word].read is not None)
        slots: list[Any] = list(NO_OPTIONS)
        filled: set[int] = set()
        for index, valued in shape.options:
            self.blamed = index
            option = known[words[index]]
            if option.read is not None and option.slot in filled:
                raise Refused("FWT121", f"`{words[index]}` is given twice")
            filled.add(option.slot)
            self.blamed += valued
            slots[option.slot] = True if option.read is None else option.read(words[index + 1])
        options = ElementOptions._make(slots)
        if options.before and options.after:
            raise Refused("FWT121", "`before` and `after` exclude each other")
        target.shapes.add(tuple(word for _, word in names))
        return options


def _old_neighbour(element: str) -> list[str]:
    """Return `name,before,other`, as ipset 4 had it, in words of today."""
    pieces = element.split(",")
    return pieces if len(pieces) == 3 and pieces[1] in {"before", "after"} else [element]


def read_known_options(words: list[str], target: LiveSet) -> ElementOptions | None:
    """Return the options of an `add` whose sequence of options has been seen for its set; None for any other."""
    known = target.options
    slots: list[Any] = list(NO_OPTIONS)
    names: list[str] = []
    index = 3
    try:
        while index < len(words):
            word = words[index]
            slot, read = known[word]
            names.append(word)
            if read is None:
                slots[slot] = True
            else:
                index += 1
                slots[slot] = read(words[index])
            index += 1
    except (KeyError, IndexError):
        return None
    return ElementOptions._make(slots) if tuple(names) in target.shapes else None


def option_words(words: Sequence[str], known: Mapping[str, ElementOption]) -> Iterator[tuple[int, str]]:
    """Yield the words that stand where options stand, with their places."""
    index = 3
    while index < len(words):
        yield index, words[index]
        option = known.get(words[index])
        index += 1 if option is None or option.read is None else 2


def command_words(words: Sequence[str]) -> list[str]:
    """Return a call's words from its command on, without the options that ipset takes out wherever they stand."""
    try:
        places, _ = _without_environment(words)
    except Refused:
        return []
    return [words[place] for place in places]


def _without_environment(words: Sequence[str]) -> tuple[list[int], bool]:
    """Return the places of the words that matter, and whether -exist is among the others.

    ipset takes such options out wherever they stand, even as the value of another option.
    """
    places: list[int] = []
    exist = False
    index = 0
    while index < len(words):
        word = words[index]
        if word[:1] != "-":
            places.append(index)
        elif word in _EXIST:
            exist = True
        elif word in _WITHOUT_EFFECT_VALUED:
            index += 1
            value = "".join(words[index : index + 1])
            if not value or ("o" in word and value not in _OUTPUTS):
                raise Refused("FWT121", f"`{word}` needs a value that ipset knows", option=word)
        elif word not in _WITHOUT_EFFECT:
            places.append(index)
        index += 1
    return places, exist
