"""From the number of a word back to its columns. Rules hold no columns, so a line is split again for a message."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fwtrans.parsers.iptables_save.shell_words import logical_line, shell_words
from fwtrans.parsers.iptables_save.words import word_columns
from fwtrans.source import Span

if TYPE_CHECKING:
    from fwtrans.parsers.iptables_save.syntax import ChainSyntax, CommandLine, RuleSyntax
    from fwtrans.source import SourceFile

# What iptables-save, iptables -S and files for iptables-restore hold; everything else went through a shell.
_OF_IPTABLES = re.compile(r"[ \t]*(?:[-!\[*:#]|COMMIT)")


def word_span(source: SourceFile, place: RuleSyntax | CommandLine | ChainSyntax | int, word: int | None) -> Span:
    """Return where a word stands; the whole line where `word` is None or the line has no such word."""
    line = place if isinstance(place, int) else place.line
    text = source.line(line)
    if word is not None and word >= 0:
        if not is_shell_line(text):
            columns = word_columns(text)
            if word < len(columns):
                return Span(source, line, *columns[word])
        else:
            words = tuple(shell_words(logical_line(source, line)[0], line))
            if word < len(words):
                return Span(source, words[word].line, words[word].start, words[word].end)
    start = len(text) - len(text.lstrip(" \t"))
    return Span(source, line, start, max(len(text.rstrip(" \t")), start))


def is_shell_line(text: str) -> bool:
    """Tell whether a line is a command for a shell, by the program in front, and not one of iptables' own formats."""
    return _OF_IPTABLES.match(text) is None
