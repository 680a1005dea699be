"""Reads a .fw file: its sections, and in each the lines that PVE takes; every other line is complained of.

    parse_firewall_file(source, FirewallKind.GUEST, sink).rules

PVE goes line by line and keeps a current section. A header that it does not know is no header: it is a bad line of the
section above it, which goes on. A header with a bad name ends the section above, and its lines are in none. Both are
followed here, because the lines below count, or do not count, accordingly.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fwtrans.parsers.pve.complaints import Complaints, did_you_mean, shortened
from fwtrans.parsers.pve.lines import BLANKS, SPACE, Line, header, split_line
from fwtrans.parsers.pve.options import OPTIONS, find_option, kinds_with
from fwtrans.parsers.pve.rules import read_rule
from fwtrans.parsers.pve.syntax import (
    Alias,
    FirewallFile,
    FirewallKind,
    IpsetEntry,
    Option,
    Section,
    SectionItem,
    SectionKind,
    Token,
)
from fwtrans.parsers.pve.values import (
    ALIAS,
    LONGEST_GROUP_NAME,
    LONGEST_NAME,
    NAME,
    Mistake,
    has_zero_prefix,
    read_cidr,
    without_full_prefix,
)

if TYPE_CHECKING:
    from fwtrans.diagnostics import DiagnosticSink
    from fwtrans.source import SourceFile

SECTIONS = {
    FirewallKind.CLUSTER: frozenset(SectionKind),
    FirewallKind.GUEST: frozenset(SectionKind) - {SectionKind.GROUP},
    FirewallKind.HOST: frozenset({SectionKind.OPTIONS, SectionKind.RULES}),
    FirewallKind.VNET: frozenset({SectionKind.OPTIONS, SectionKind.RULES}),
}
"""Which sections a kind of file has."""

_BY_NAME = {kind.value.lower(): kind for kind in SectionKind}
_TWICE_HINT = "the first one counts, be it good or bad, with or without `!`"
_NO_SET = "PVE passes it on to ipset, which refuses it: no rule is changed until this is put right"
_OWNERS = {
    FirewallKind.CLUSTER: "cluster.fw",
    FirewallKind.HOST: "host.fw",
    FirewallKind.GUEST: "a guest's .fw file",
    FirewallKind.VNET: "a vnet's .fw file",
}


def parse_firewall_file(source: SourceFile, kind: FirewallKind, sink: DiagnosticSink) -> FirewallFile:
    """Return what PVE takes of a file; whatever it skips is a warning in the sink."""
    reader = _Reader(kind, Complaints(source, sink))
    for number, line in enumerate(source.lines, 1):
        text = line.strip(BLANKS)
        if text and text[0] != "#" and text.strip(SPACE):
            reader.line(text, number, len(line) - len(line.lstrip(BLANKS)))
    return reader.result()


@dataclass(slots=True)
class _Draft:
    """A section while its lines come in."""

    section: Section
    items: list[SectionItem] = field(default_factory=list)
    refused: list[IpsetEntry] = field(default_factory=list)
    addresses: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Reader:
    """One reading. `orphaned_by` is the line of the header whose lines are in no section."""

    kind: FirewallKind
    complaints: Complaints
    drafts: list[_Draft] = field(default_factory=list)
    current: _Draft | None = None
    orphaned_by: int = 0
    seen: dict[tuple[object, str], int] = field(default_factory=dict)

    @property
    def source(self) -> SourceFile:
        return self.complaints.source

    def result(self) -> FirewallFile:
        self.complaints.close()
        sections = tuple(
            replace(draft.section, items=tuple(draft.items), refused=tuple(draft.refused)) for draft in self.drafts
        )
        return FirewallFile(self.source, self.kind, sections)

    def line(self, text: str, number: int, start: int) -> None:
        """Read a line that says something."""
        if text[0] == "[":
            self._header(text, number, start)
        elif self.current is None:
            self._orphan(number)
        else:
            self._item(self.current, split_line(self.current.section.kind, text, start), number)

    # --- headers ---

    def _header(self, text: str, number: int, start: int) -> None:
        found = header(text, start)
        kind = _BY_NAME[found.words[0].text.lower()] if found is not None else None
        if found is None or kind is None or kind not in SECTIONS[self.kind]:
            self._no_header(text, number, kind)
            return
        name = found.words[1] if kind in {SectionKind.IPSET, SectionKind.GROUP} else None
        longest = LONGEST_GROUP_NAME if kind is SectionKind.GROUP else LONGEST_NAME
        if name is not None and (found.wrong is not None or len(name.text) > longest):
            what = "set" if kind is SectionKind.IPSET else "security group"
            message = f"`{shortened(name.text)}` is no name of a {what}"
            hint = f"2 to {longest} characters: a letter, then letters, digits, `-` and `_`"
            note = "PVE skips the header and all lines below it up to the next one"
            self.complaints.add("FWT160", message, self.complaints.at(number, name), note=note, hint=hint)
            self.current, self.orphaned_by = None, number
            return
        section = Section(self.source, number, kind)
        if name is not None:
            section = replace(section, name=name.text.lower(), title=name.token, comment=found.comment)
        self._open(section)

    def _open(self, section: Section) -> None:
        earlier = self.seen.setdefault((section.kind, section.name), section.line)
        if earlier != section.line:
            named = section.title is not None
            shown = f"[{section.kind.value} {section.name}]" if named else f"[{section.kind.value}]"
            note = (
                f"PVE forgets what line {earlier} and those below it said of it"
                if named
                else "the lines of both count, those of the first one first"
            )
            span = self.complaints.whole(section.line)
            message = f"section `{shown}` is given twice, first in line {earlier}"
            self.complaints.add("FWT167", message, span, note=note, hint="put all of it under one header")
        self.current = _Draft(section)
        self.drafts.append(self.current)

    def _no_header(self, text: str, number: int, kind: SectionKind | None) -> None:
        """Complain of a line in brackets that begins no section."""
        hint = ""
        if kind is not None:
            message = f"{_OWNERS[self.kind]} has no section `{shortened(text)}`"
            places = [owner for other, owner in _OWNERS.items() if kind in SECTIONS[other]]
            hint = f"it belongs into {' or '.join(places)}"
        elif text.endswith("\r"):
            message = f"PVE does not take `{shortened(text[:-1])}` for a section, because its line ends in CR LF"
            hint = "let the lines of the file end in LF alone, as Unix has it"
        else:
            message = f"`{shortened(text)}` is no section"
            hint = "`[OPTIONS]`, `[ALIASES]` and `[RULES]` stand alone in their line; `[IPSET name]` and `[group name]` may have a # comment"  # fmt: skip
        if self.current is None:
            self.orphaned_by = number
            note = "PVE skips it, and all lines below it up to the next section"
        else:
            above = self.current.section
            note = f"PVE skips it, and the lines below it count as part of `[{' '.join(filter(None, (above.kind.value, above.name)))}]`, line {above.line}"  # fmt: skip
        self.complaints.add("FWT160", message, self.complaints.whole(number), note=note, hint=hint)

    def _orphan(self, number: int) -> None:
        hint = f"see the header in line {self.orphaned_by}" if self.orphaned_by else "the file needs a section first: [OPTIONS], [RULES] ..."  # fmt: skip
        self.complaints.add(
            "FWT161", "this line stands in no section", self.complaints.whole(number), note="PVE skips it", hint=hint
        )

    # --- lines of sections ---

    def _item(self, draft: _Draft, line: Line, number: int) -> None:
        item: SectionItem | None
        match draft.section.kind:
            case SectionKind.OPTIONS:
                item = self._option(line, number)
            case SectionKind.ALIASES:
                item = self._alias(line, number)
            case SectionKind.IPSET:
                item = self._entry(draft, line, number)
            case _:
                in_group = draft.section.kind is SectionKind.GROUP
                item = read_rule(line, number, self.kind, self.complaints, in_group=in_group)
        if item is not None:
            draft.items.append(item)

    def _option(self, line: Line, number: int) -> Option | None:
        first = line.words[0]
        if line.wrong is not None:
            hint = "an option is a name, a colon directly behind it, and a value"
            self.complaints.add("FWT162", f"`{shortened(first.text)}` is no option", self.complaints.at(number, first), note="PVE skips it", hint=hint)  # fmt: skip
            return None
        option = find_option(self.kind, first.text)
        if option is None:
            message = f"{_OWNERS[self.kind]} has no option `{shortened(first.text)}`"
            others = [_OWNERS[kind] for kind in kinds_with(first.text)]
            hint = f"{' and '.join(others)} has it" if others else did_you_mean(first.text, OPTIONS[self.kind])
            self.complaints.add("FWT162", message, self.complaints.at(number, first), note="PVE skips it", hint=hint)
            return None
        end = first.start + len(first.text) + 1
        written = line.words[1].token if len(line.words) > 1 else Token("", end)
        value = option.read(written.text)
        if isinstance(value, Mistake):
            note = f"PVE skips it; without it, {option.default}"
            if value.fatal:
                note = "PVE stops here: it changes no rule at all until this is put right"
            code = "FWT168" if value.fatal else "FWT162"
            self.complaints.mistake(code, number, written, value, note)
            return None
        found = Option(self.source, number, first.token, value, written)
        self._twice(("option", found.name), number, found.key, "option")
        return found

    def _alias(self, line: Line, number: int) -> Alias | None:
        note = "PVE skips it, and with it all rules and entries of sets that name it"
        name, value = line.word("NAME"), line.word("VALUE")
        if line.wrong is not None or name is None or value is None:
            wrong = line.wrong or line.words[0]
            message = "the address is missing" if not wrong.text else f"`{shortened(wrong.text)}` is out of place here"
            hint = "an alias is a name, exactly one blank, and an address"
            self.complaints.add("FWT163", message, self.complaints.at(number, wrong), note=note, hint=hint)
            return None
        if not NAME.fullmatch(name.text) or len(name.text) > LONGEST_NAME:
            message = f"`{shortened(name.text)}` is a name that no rule can use"
            hint = f"2 to {LONGEST_NAME} characters: a letter, then letters, digits, `-` and `_`"
            self.complaints.add("FWT163", message, self.complaints.at(number, name), note=note, hint=hint)
            return None
        address = read_cidr(value.text)
        if isinstance(address, Mistake):
            if ALIAS.fullmatch(value.text):
                message = "an alias stands for an address or a network, not for another alias"
                address = Mistake(message, f"write the address of `{shortened(value.text)}`")
            self.complaints.mistake("FWT163", number, value, address, note)
            return None
        found = Alias(self.source, number, name.token, value.token, line.comment)
        self._twice(("alias", found.key), number, found.name, "alias")
        return found

    def _entry(self, draft: _Draft, line: Line, number: int) -> IpsetEntry | None:
        value = line.word("VALUE")
        nomatch = line.word("NOT") is not None
        if line.wrong is not None or value is None:
            wrong = line.wrong or line.words[0]
            message = "the address is missing" if not wrong.text else f"`{shortened(wrong.text)}` is one word too many"
            hint = "an entry is one address, network or alias, perhaps with `!` before it; what follows `#` is a comment"  # fmt: skip
            self.complaints.add("FWT164", message, self.complaints.at(number, wrong), note=_left_out(nomatch=nomatch), hint=hint)  # fmt: skip
            draft.refused.append(IpsetEntry(self.source, number, Token("", line.words[0].start), nomatch))
            return None
        entry = IpsetEntry(self.source, number, value.token, nomatch, line.comment)
        mistake = self._entry_mistake(draft, value.text)
        if mistake is None:
            return entry
        draft.refused.append(entry)
        if mistake.fatal:
            self.complaints.mistake("FWT168", number, value, mistake, _NO_SET)
        else:
            self.complaints.mistake("FWT164", number, value, mistake, _left_out(nomatch=nomatch))
        return None

    def _entry_mistake(self, draft: _Draft, text: str) -> Mistake | None:
        """Return what is wrong with an address of a set, and remember it: a bad one too takes the place of later ones."""
        address = None if ALIAS.fullmatch(text) else read_cidr(text)
        known = text if address is None or isinstance(address, Mistake) else without_full_prefix(text)
        twice = known in draft.addresses
        draft.addresses.add(known)
        if has_zero_prefix(text):
            half = "::/1 and 8000::/1" if ":" in text else "0.0.0.0/1 and 128.0.0.0/1"
            return Mistake("a set cannot hold a network of length 0", f"write its halves, {half}")
        if isinstance(address, Mistake):
            return address
        return Mistake(f"`{known}` is in this set already", _TWICE_HINT) if twice else None

    def _twice(self, key: tuple[str, str], number: int, token: Token, what: str) -> None:
        earlier = self.seen.setdefault(key, number)
        if earlier != number:
            message = f"{what} `{shortened(token.text)}` is given twice, first in line {earlier}"
            note = f"PVE takes this one and forgets line {earlier}"
            self.complaints.add("FWT167", message, self.complaints.at(number, token), note=note)
            self.seen[key] = number


def _left_out(*, nomatch: bool) -> str:
    if nomatch:
        return "PVE makes the set without this entry, which takes no addresses out of it"
    return "PVE makes the set without this entry, which adds no addresses to it"
