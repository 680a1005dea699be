"""Carries out commands on tables: what a script leaves behind if it starts with empty tables.

Pure: tables and commands in, tables out. What iptables would refuse is an error at its line, because what a script does
after a failed command depends on the script.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.parsers.iptables_save.reader import diagnostic_of
from fwtrans.parsers.iptables_save.syntax import Command
from fwtrans.parsers.iptables_save.tables import Table, refuse_unknown_table
from fwtrans.parsers.iptables_save.words import BadLine

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fwtrans.diagnostics import DiagnosticSink
    from fwtrans.parsers.iptables_save.options import OptionTable
    from fwtrans.parsers.iptables_save.syntax import CommandLine, TableSyntax
    from fwtrans.source import SourceFile


def apply_commands(
    commands: Iterable[CommandLine],
    source: SourceFile,
    family: str,
    options: OptionTable,
    sink: DiagnosticSink,
    *,
    start: Iterable[TableSyntax] = (),
) -> tuple[TableSyntax, ...]:
    """Return the tables that the commands make of those at the `start`, in the order in which they were first named."""

    def is_target(name: str) -> bool:
        return options.target_options(name, family) is not None

    tables = {table.name: Table.thawed(table, is_target) for table in start}
    for command in commands:
        try:
            if command.table not in tables:
                refuse_unknown_table(command.table)
                tables[command.table] = Table(command.table, command.line, is_target)
            apply_command(tables[command.table], command)
        except BadLine as error:
            sink.add(diagnostic_of(error, source, command.line))
    return tuple(table.frozen(everything=True) for table in tables.values())


def apply_command(table: Table, command: CommandLine, no_chain: str = "FWT114") -> None:
    """Carry out one command; `no_chain` is the code for -A to a chain that is not there. Raises `BadLine`."""
    if command.rule is not None:
        _apply_rule(table, command, no_chain)
        return
    chain, word = command.chain, command.word
    match command.command:
        case Command.DELETE if command.number is not None:
            table.delete_number(chain, command.number, word)
        case Command.NEW_CHAIN:
            table.new_chain(chain, command.line, word)
        case Command.DELETE_CHAIN if chain:
            table.delete_chain(chain, word)
        case Command.DELETE_CHAIN:
            table.delete_chains(word)
        case Command.RENAME_CHAIN:
            table.rename_chain(chain, command.argument, word)
        case Command.POLICY:
            table.set_policy(chain, command.argument, command.counters, command.line, word)
        case Command.FLUSH:
            table.flush(chain, word)
        case Command.ZERO:
            table.zero(chain, command.number, word)
        case Command.LIST if chain:
            table.chain(chain, word)


def _apply_rule(table: Table, command: CommandLine, no_chain: str) -> None:
    """Carry out a command that holds a rule."""
    rule = command.rule
    if rule is None:
        return
    chain, word = command.chain, command.word
    match command.command:
        case Command.APPEND:
            table.append(chain, rule, word, no_chain)
        case Command.INSERT:
            table.insert(chain, command.number or 1, rule, word)
        case Command.REPLACE:
            table.replace(chain, command.number or 1, rule, word)
        case Command.DELETE:
            table.delete(chain, rule, word)
        case Command.CHECK:
            table.check(chain, rule, word)
