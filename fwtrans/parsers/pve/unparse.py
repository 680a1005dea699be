"""Prints a .fw file as PVE writes it: what PVE has written comes out as it went in.

Lines that PVE skips, and comments that stand in a line of their own, are not in the syntax; PVE loses them, too, when it
writes a file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.parsers.pve.syntax import Alias, IpsetEntry, Option, Rule, Section, SectionItem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwtrans.parsers.pve.syntax import FirewallFile


def unparse_firewall_file(file: FirewallFile) -> str:
    """Return the text; there is an empty line below each header and one between sections."""
    return "\n".join("".join(f"{line}\n" for line in _section(section)) for section in file.sections)


def unparse_rule(rule: Rule) -> str:
    """Return one rule without its comment."""
    disabled = "" if rule.enabled else "|"
    action = rule.action.text if rule.macro is None else f"{rule.macro.text}({rule.action.text})"
    words = [f"{parameter.written.text} {parameter.value.text}" for parameter in rule.parameters]
    return " ".join([f"{disabled}{rule.type.text}", action, *words])


def _section(section: Section) -> Iterator[str]:
    title = "" if section.title is None else f" {section.title.text}"
    yield _with_comment(f"[{section.kind.value}{title}]", section.comment)
    if section.items:
        yield ""
    yield from map(_item, section.items)


def _item(item: SectionItem) -> str:
    match item:
        case Option():
            return f"{item.key.text}: {item.written.text}".rstrip()
        case Alias():
            return _with_comment(f"{item.name.text} {item.address.text}", item.comment)
        case IpsetEntry():
            return _with_comment(f"{'!' if item.nomatch else ''}{item.address.text}", item.comment)
        case Rule():
            return _with_comment(unparse_rule(item), item.comment)


def _with_comment(text: str, comment: str) -> str:
    return f"{text} # {comment}" if comment else text
