"""What the tests of the interfaces reader share: a file system in a dictionary."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.diagnostics import DiagnosticSink
from fwtrans.diagnostics.render import render
from fwtrans.parsers.interfaces.parse import parse_interfaces
from fwtrans.source import SourceFile

if TYPE_CHECKING:
    from fwtrans.diagnostics import Diagnostic
    from fwtrans.parsers.interfaces.syntax import IfaceStanza, InterfacesFile
    from fwtrans.parsers.shell_script import ScriptCommand

MAIN = "/etc/network/interfaces"


class Read(NamedTuple):
    """What came of a file."""

    file: InterfacesFile
    found: tuple[Diagnostic, ...]

    @property
    def codes(self) -> list[str]:
        return [item.code for item in self.found]

    @property
    def message(self) -> str:
        (found,) = self.found
        return render(found)


def read(text: str, others: dict[str, str] | None = None, *, can_look: bool = True) -> Read:
    """Read a file beside which there are others."""
    files = {name: SourceFile(name, content) for name, content in (others or {}).items()}
    files[MAIN] = SourceFile(MAIN, text)

    def find(pattern: str) -> tuple[str, ...] | None:
        if not can_look:
            return None
        return tuple(sorted(name for name in files if fnmatchcase(name, pattern)))

    sink = DiagnosticSink()
    file = parse_interfaces(files[MAIN], sink, files.get, find)
    return Read(file, tuple(sink.found))


def read_well(text: str, others: dict[str, str] | None = None) -> InterfacesFile:
    """Read a file that has no fault."""
    done = read(text, others)
    assert not done.found, done.found
    return done.file


def only_stanza(text: str) -> IfaceStanza:
    """Return the one iface stanza of a file without fault."""
    (stanza,) = read_well(text).interfaces()
    return stanza


def shown(commands: tuple[ScriptCommand, ...]) -> list[tuple[str, str, str]]:
    """Return phase, program and words, which is what commands are mostly asked for."""
    return [(command.phase, command.program, " ".join(word.value for word in command.words)) for command in commands]
