"""Reads commands: what `iptables -S` prints, and the iptables lines of a script.

    -A INPUT -i lo -j ACCEPT                       iptables -S: quotes as in a dump
    /sbin/iptables -t nat -A POSTROUTING ...       a script: quotes as in a shell

`commands.py` carries them out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Diagnostic
from fwtrans.parsers.iptables_save.commands import apply_commands
from fwtrans.parsers.iptables_save.dump import refuse_what_is_no_text
from fwtrans.parsers.iptables_save.reader import LineReader, diagnostic_of
from fwtrans.parsers.iptables_save.shell_words import logical_line, refuse_what_a_shell_computes, shell_words
from fwtrans.parsers.iptables_save.spans import is_shell_line
from fwtrans.parsers.iptables_save.syntax import CommandLine, IptablesDump
from fwtrans.parsers.iptables_save.words import BadLine, split_line
from fwtrans.source import Span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fwtrans.diagnostics import DiagnosticSink
    from fwtrans.parsers.iptables_save.options import OptionTable
    from fwtrans.parsers.iptables_save.shell_words import Word
    from fwtrans.source import SourceFile

_PROGRAM = re.compile(r"(?:.*/)?ip(?P<six>6?)tables(?:-legacy|-nft)?", re.DOTALL)


def program_family(word: str) -> str:
    """Return the family that a program works on ("ip" for /sbin/iptables-nft), or nothing for any other program."""
    found = _PROGRAM.fullmatch(word)
    return "" if found is None else "ip" + found.group("six")


def parse_script(
    source: SourceFile, family: str, options: OptionTable, sink: DiagnosticSink, *, table: str = "filter"
) -> IptablesDump | None:
    """Return what commands leave behind if they start with empty tables; None if anything in them is wrong."""
    known = len(sink.errors)
    commands = parse_commands(source, family, options, sink, table=table)
    tables = apply_commands(commands, source, family, options, sink)
    return None if len(sink.errors) > known else IptablesDump(source, family, tables)


def parse_commands(
    source: SourceFile,
    family: str,
    options: OptionTable,
    sink: DiagnosticSink,
    *,
    table: str = "filter",
    reuse_shapes: bool = True,
) -> tuple[CommandLine, ...]:
    """Return the commands of a text for one family; `table` is the one where no -t says otherwise.

    Lines for the program of the other family are left to a second call. Lines without a program's name (iptables -S)
    are taken for this family.
    """
    if refuse_what_is_no_text(source, sink):
        return ()
    reader = LineReader(options, family, in_file=False, reuse=reuse_shapes)
    found: list[CommandLine] = []
    number = 1
    while number <= len(source.lines):
        text = source.line(number)
        behind = number + 1
        if not text.strip(" \t") or text.lstrip(" \t")[:1] == "#":
            pass
        elif is_shell_line(text):
            text, behind = logical_line(source, number)
            found += _shell_commands(reader, source, tuple(shell_words(text, number)), family, sink, table)
        else:
            try:
                words, raws = split_line(text)
                command = reader.template(words, raws).command_line(words, raws, number, table)
                found += [] if command is None else [command]
            except BadLine as error:
                sink.add(diagnostic_of(error, source, number))
        number = behind
    return tuple(found)


def parse_command_words(
    words: Sequence[Word],
    source: SourceFile,
    family: str,
    options: OptionTable,
    sink: DiagnosticSink,
    *,
    table: str = "filter",
    program_at: int = 0,
) -> CommandLine | None:
    """Return the command that another reader has split into words (interfaces(5), a shell); None for an error.

    `words` begin with the first word of their line, so that the numbers in the result are those of `word_span`;
    the program's name is `words[program_at]`. All of `words` belong to this one command.
    """
    reader = LineReader(options, family, in_file=False)
    return _command(reader, source, words, sink, table, program_at)


def _shell_commands(
    reader: LineReader,
    source: SourceFile,
    words: tuple[Word, ...],
    family: str,
    sink: DiagnosticSink,
    table: str,
) -> Iterator[CommandLine]:
    """Yield the commands of one logical line, which separators may divide."""
    try:
        refuse_what_a_shell_computes(words)
    except BadLine as error:
        sink.add(diagnostic_of(error, source, words[0].line, _span(source, words, error.word)))
        return
    begin = 0
    for end in [at for at, word in enumerate(words) if word.separator] + [len(words)]:
        if begin < end:
            named = program_family(words[begin].text)
            if not named:
                sink.add(_no_iptables(source, words[begin]))
            elif named == family:
                command = _command(reader, source, words[:end], sink, table, begin)
                if command is not None:
                    yield command
        begin = end + 1


def _command(
    reader: LineReader,
    source: SourceFile,
    words: Sequence[Word],
    sink: DiagnosticSink,
    table: str,
    program_at: int,
) -> CommandLine | None:
    line = words[program_at].line
    texts = [word.text for word in words]
    try:
        template = reader.template(texts, None, program_at + 1)
        return template.command_line(texts, None, words[0].line, table)
    except BadLine as error:
        sink.add(diagnostic_of(error, source, line, _span(source, words, error.word)))
        return None


def _span(source: SourceFile, words: Sequence[Word], number: int | None) -> Span | None:
    """Return where a word of a command stands; the command's own words know it, whoever has split them."""
    if number is None or number >= len(words):
        first, last = words[0], words[-1]
        end = last.end if last.line == first.line else first.end
        return Span(source, first.line, first.start, end)
    word = words[number]
    return Span(source, word.line, word.start, word.end)


def _no_iptables(source: SourceFile, word: Word) -> Diagnostic:
    return Diagnostic(
        code="FWT102",
        message=f"`{word.text}` is no iptables command, and fwtrans runs no scripts",
        span=Span(source, word.line, word.start, word.end),
        hints=("translate what `iptables-save` prints after the script has run",),
    )
