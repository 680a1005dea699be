"""The firewall calls of a script or of interfaces(5), carried out on empty tables, as a booting host carries them out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.diagnostics import Diagnostic, DiagnosticSink
from fwtrans.parsers.ebtables_save.dialect import ARPTABLES, EBTABLES
from fwtrans.parsers.ebtables_save.parse import parse_bridge_commands
from fwtrans.parsers.interfaces.syntax import UP_PHASES
from fwtrans.parsers.ipset_save.parse import parse_ipset_commands
from fwtrans.parsers.iptables_save.command_lines import parse_command_words
from fwtrans.parsers.iptables_save.commands import apply_commands
from fwtrans.parsers.iptables_save.shell_words import Word
from fwtrans.parsers.iptables_save.syntax import Command, IptablesDump
from fwtrans.source import Span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fwtrans.parsers.ebtables_save.syntax import BridgeDump
    from fwtrans.parsers.interfaces.syntax import InterfacesFile
    from fwtrans.parsers.ipset_save.syntax import IpsetSet
    from fwtrans.parsers.ipset_save.values import Names
    from fwtrans.parsers.iptables_save.options import OptionTable
    from fwtrans.parsers.iptables_save.syntax import CommandLine, TableSyntax
    from fwtrans.parsers.shell_script import ScriptCommand

_FAMILIES = {"iptables": "ip", "ip6tables": "ip6"}
_DIALECTS = {"ebtables": EBTABLES, "arptables": ARPTABLES}


class ScriptRules(NamedTuple):
    """What the calls leave behind."""

    dumps: tuple[IptablesDump, ...]
    bridge_dumps: tuple[BridgeDump, ...]
    sets: tuple[IpsetSet, ...]


def commands_of_interfaces(file: InterfacesFile) -> tuple[ScriptCommand, ...]:
    """Return what bringing all interfaces up runs, one after the other, `pre-up` of each first; `down` lines undo it."""
    found: list[ScriptCommand] = []
    for stanza in file.interfaces():
        up = [command for command in stanza.commands if command.phase in UP_PHASES]
        found.extend(sorted(up, key=lambda command: command.phase != "pre-up"))
    return tuple(found)


def run_commands(
    commands: Sequence[ScriptCommand], options: OptionTable, names: Names, sink: DiagnosticSink
) -> ScriptRules:
    """Carry out the firewall calls among the commands; other programs are none of ours."""
    dumps = []
    for program, family in _FAMILIES.items():
        found = _of_one_file([command for command in commands if command.program == program], sink)
        if found:
            tables = _tables(found, family, options, sink)
            dumps.append(IptablesDump(found[0].source, family, tables))
    bridge_dumps = []
    for program, dialect in _DIALECTS.items():
        calls = _of_one_file([command for command in commands if command.program == program], sink)
        if calls:
            dump = parse_bridge_commands(calls, dialect, sink)
            bridge_dumps.extend([dump] if dump is not None else [])
    sets = parse_ipset_commands([command for command in commands if command.program == "ipset"], sink, names).sets
    return ScriptRules(tuple(dumps), tuple(bridge_dumps), sets)


def _of_one_file(commands: list[ScriptCommand], sink: DiagnosticSink) -> list[ScriptCommand]:
    """Refuse calls of one program in several files: their order at boot is not in any of them."""
    for command in commands:
        if command.source is not commands[0].source:
            sink.add(
                Diagnostic(
                    code="FWT134",
                    message=f"`{command.program}` is called here and in {commands[0].source.name} as well",
                    span=Span(command.source, command.place.line, command.place.start, command.place.end),
                    hints=(f"translate what `{command.program}-save` prints when the host is up",),
                )
            )
            return []
    return commands


def _tables(
    commands: list[ScriptCommand], family: str, options: OptionTable, sink: DiagnosticSink
) -> tuple[TableSyntax, ...]:
    source = commands[0].source
    tables: tuple[TableSyntax, ...] = ()
    for batch in _batches(commands):
        lines = [line for call in batch if (line := _command_line(call, family, options, sink)) is not None]
        first = batch[0]
        if first.only_if_absent and lines:
            asking = DiagnosticSink()
            apply_commands([lines[0]._replace(command=Command.CHECK)], source, family, options, asking, start=tables)
            if not asking.errors:
                continue
        own = DiagnosticSink()
        after = apply_commands(lines, source, family, options, own, start=tables)
        if not own.errors:
            tables = after
        elif not first.may_fail:
            sink.found.extend(own.found)
    return tables


def _batches(commands: list[ScriptCommand]) -> Iterator[list[ScriptCommand]]:
    """Yield calls that simply follow each other together, and each that may fail or depends on the tables by itself."""
    batch: list[ScriptCommand] = []
    for command in commands:
        if not (command.may_fail or command.only_if_absent):
            batch.append(command)
            continue
        if batch:
            yield batch
        yield [command]
        batch = []
    if batch:
        yield batch


def _command_line(
    command: ScriptCommand, family: str, options: OptionTable, sink: DiagnosticSink
) -> CommandLine | None:
    place = command.place
    words = [Word(place.value, place.line, place.start, place.end)] * (command.position + 1)
    words += [Word(word.value, word.line, word.start, word.end) for word in command.words]
    return parse_command_words(
        words, command.source, family, options, sink, table=command.table, program_at=command.position
    )
