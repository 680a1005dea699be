"""Prints a dump back in the canonical order of iptables-save 1.8.9, from the structure alone.

What iptables-save itself wrote comes back letter by letter. General options come first in the order -s -d -i -o -p -f,
then matches, then the target; a match that `-p` alone had loaded is spelled out; counters stand in front of a rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.parsers.iptables_save.words import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwtrans.parsers.iptables_save.syntax import ExtensionUse, IptablesDump, OptionUse, RuleSyntax, TableSyntax

_ORDER = {name: place for place, name in enumerate(("-s", "-d", "-i", "-o", "-p", "-f"))}


def unparse_dump(dump: IptablesDump) -> str:
    """Return the text of a dump, as iptables-restore takes it."""
    return "".join(f"{line}\n" for table in dump.tables for line in _table_lines(table))


def unparse_rule(chain: str, rule: RuleSyntax) -> str:
    """Return a rule as a line of a dump."""
    words = [] if rule.counters is None else [_counters(rule.counters)]
    words += ["-A", quoted(chain)]
    for option in sorted(rule.options, key=lambda option: _ORDER.get(option.name, len(_ORDER))):
        words += _option_words(option)
    for use in rule.matches:
        words += ["-m", *_use_words(use)]
    if rule.target is not None:
        words += ["-g" if rule.goto else "-j", *_use_words(rule.target)]
    return " ".join(words)


def _table_lines(table: TableSyntax) -> Iterator[str]:
    """Yield the lines of a table; comments stand where they stood."""
    comments = list(reversed(table.comments))
    for number, line in _content(table):
        while comments and comments[-1][0] < number:
            yield comments.pop()[1]
        yield line
    yield from (text for _, text in reversed(comments))


def _content(table: TableSyntax) -> Iterator[tuple[int, str]]:
    """Yield what a table says, with the lines where it was said."""
    yield table.line, f"*{table.name}"
    for chain in table.chains:
        yield chain.line, f":{chain.name} {chain.policy or '-'} {_counters(chain.counters or (0, 0))}"
    for chain in table.chains:
        for rule in chain.rules:
            yield rule.line, unparse_rule(chain.name, rule)
    yield table.end, "COMMIT"


def _counters(counters: tuple[int, int]) -> str:
    return f"[{counters[0]}:{counters[1]}]"


def _use_words(use: ExtensionUse) -> list[str]:
    return [quoted(use.name), *(word for option in use.options for word in _option_words(option))]


def _option_words(option: OptionUse) -> list[str]:
    values = option.spelled if option.spelled is not None else [quoted(value) for value in option.values]
    return [*(["!"] if option.negated else []), option.name, *values]
