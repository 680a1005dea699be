"""The stanzas of an interfaces file, with the commands that they run already split into words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwtrans.parsers.shell_script import ScriptCommand
    from fwtrans.source import SourceFile

UP_PHASES = frozenset({"pre-up", "up", "post-up"})
DOWN_PHASES = frozenset({"pre-down", "down", "post-down"})


class OptionLine(NamedTuple):
    """One option as written, `address 10.0.0.1/24`. ifupdown2 takes `bridge_ports` for `bridge-ports`: see `name`."""

    key: str
    value: str
    line: int

    @property
    def name(self) -> str:
        """Return the key with dashes, the spelling of today."""
        return self.key.replace("_", "-")


@dataclass(frozen=True, slots=True)
class IfaceStanza:
    """`iface NAME FAMILY METHOD` with its options.

    `family` and `method` are empty where ifupdown2 lets one leave them out. `options` are those written here;
    `commands` are all that are run for the interface, those of `inherits` first, with $IFACE put in. A template is a
    stanza that others inherit from and that is never brought up itself.
    """

    name: str
    family: str
    method: str
    inherits: str
    options: tuple[OptionLine, ...]
    commands: tuple[ScriptCommand, ...]
    source: SourceFile
    line: int
    is_template: bool = False

    def values(self, name: str) -> tuple[str, ...]:
        """Return the values of an option, whichever way its dashes are written."""
        return tuple(option.value for option in self.options if option.name == name)


@dataclass(frozen=True, slots=True)
class SelectionStanza:
    """`auto`, `allow-CLASS`, `no-auto-down` or `no-scripts`, with names or patterns of interfaces."""

    keyword: str
    names: tuple[str, ...]
    source: SourceFile
    line: int


@dataclass(frozen=True, slots=True)
class MappingStanza:
    """`mapping PATTERN` with the script that chooses, or `rename CUR=NEW`, which has no options."""

    keyword: str
    patterns: tuple[str, ...]
    options: tuple[OptionLine, ...]
    source: SourceFile
    line: int


@dataclass(frozen=True, slots=True)
class SourceStanza:
    """`source` or `source-directory`, with the files that it brings in, in order."""

    keyword: str
    patterns: tuple[str, ...]
    files: tuple[InterfacesFile, ...]
    source: SourceFile
    line: int


Stanza = IfaceStanza | SelectionStanza | MappingStanza | SourceStanza


@dataclass(frozen=True, slots=True)
class InterfacesFile:
    """One file. `stanzas` are its own, `all_stanzas` those of sourced files as well, at their place."""

    source: SourceFile
    stanzas: tuple[Stanza, ...]

    def all_stanzas(self) -> Iterator[Stanza]:
        """Yield every stanza in the order in which ifup reads them."""
        for stanza in self.stanzas:
            yield stanza
            if isinstance(stanza, SourceStanza):
                for file in stanza.files:
                    yield from file.all_stanzas()

    def interfaces(self) -> tuple[IfaceStanza, ...]:
        """Return the iface stanzas, templates left out."""
        return tuple(item for item in self.all_stanzas() if isinstance(item, IfaceStanza) and not item.is_template)

    def selected(self) -> tuple[str, ...]:
        """Return the names and patterns of `auto` and `allow-...` lines: what is brought up without being asked for."""
        return tuple(
            name
            for item in self.all_stanzas()
            if isinstance(item, SelectionStanza) and item.keyword.startswith(("auto", "allow-"))
            for name in item.names
        )
