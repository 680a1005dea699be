"""From input texts to one IR ruleset: which format each is, its reader, its lowering, and how they fit together.

Several inputs make one ruleset: the dumps of both families, the ipsets they name, and the firewall lines of
interfaces(5) and scripts for a family that has no dump (a dump holds already what those lines have done). An nft
ruleset stands alone. What reads anything but dumps is imported where there is such an input: a dump need not wait for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from fwtrans.diagnostics import Diagnostic, DiagnosticSink, Refused
from fwtrans.ir.fields import Family
from fwtrans.ir.host import Host
from fwtrans.ir.ruleset import Ruleset, Table
from fwtrans.lower.ebtables import bridge_assumptions, lower_ebtables
from fwtrans.lower.extensions.registry import ExtensionOptions
from fwtrans.lower.ipset import lower_ipsets
from fwtrans.lower.iptables import lower_dump
from fwtrans.lower.own_times import mixed_times, without_time
from fwtrans.lower.wellknown import PROTOCOLS, SERVICES
from fwtrans.parsers.ebtables_save.dialect import ARPTABLES, EBTABLES
from fwtrans.parsers.ebtables_save.parse import parse_bridge_dump
from fwtrans.parsers.ipset_save.parse import parse_ipset_save
from fwtrans.parsers.ipset_save.syntax import IPV6, MemberPart
from fwtrans.parsers.ipset_save.values import Names
from fwtrans.parsers.iptables_save.dump import parse_dump, refuse_what_is_no_text
from fwtrans.parsers.iptables_save.sniff import families_named, sections, sniff_family
from fwtrans.parsers.pve.sources import at_its_origin, part_sources
from fwtrans.parsers.registry import Format, recognise
from fwtrans.source import SourceFile, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fwtrans.parsers.ebtables_save.dialect import Dialect
    from fwtrans.parsers.ebtables_save.syntax import BridgeDump
    from fwtrans.parsers.ipset_save.syntax import IpsetSet
    from fwtrans.parsers.iptables_save.syntax import IptablesDump
    from fwtrans.parsers.shell_script import ScriptCommand
    from fwtrans.read_scripts import ScriptRules
    from fwtrans.source import Origin


class Files(Protocol):
    """How readers reach the files that an input names (`source` in interfaces, `include` in nft)."""

    def read(self, path: str) -> SourceFile | None:
        """Return one file, None where it cannot be read."""

    def matching(self, pattern: str) -> tuple[str, ...] | None:
        """Return the paths that a shell pattern names, sorted; None where it cannot be looked for."""


class Reading(NamedTuple):
    """The ruleset of all inputs, every rule that was read (for the account of what became of each), and the host."""

    ruleset: Ruleset
    read: tuple[Origin, ...]
    host: Host


def read_inputs(
    sources: Sequence[SourceFile],
    sink: DiagnosticSink,
    files: Files,
    left_out: list[Diagnostic] | None = None,
    *,
    strict: bool = False,
    pve_nftables: bool = False,
) -> Reading | None:
    """Return all inputs as one ruleset; None where nothing can be said (the sink says why).

    With `left_out`, which collects what could not be translated, marks stand in the rules for it (`ir/untranslated.py`).
    With `strict`, nothing is said where Proxmox VE would leave something out of its own configuration; with `pve_nftables`
    what only its nftables backend makes of that is read, too.
    """
    if not sources:
        return None
    start = len(sink.found)
    parted = part_sources(sources)
    reader = _Reader(sink, files, left_out, pve_nftables)
    for source in parted.others:
        reader.take(source)
    reader.carry_out(parted.pve)
    if reader.holds_nothing and not sink.errors:
        sink.add(_no_rules(parted.others))
    if strict:
        from fwtrans.parsers.pve.complaints import refuse_mistakes  # noqa: PLC0415 -- see the module docstring

        refuse_mistakes(sink, start)
    readable = not sink.has_errors("1")
    reading = reader.lower()  # in any case, so that the findings of every stage are told in one run
    sink.found[start:] = [at_its_origin(item) for item in sink.found[start:]]
    return reading if readable else None


def as_dumps(sources: Sequence[SourceFile], files: Files) -> tuple[SourceFile, ...]:
    """Return inputs as tools load them: in place of calls and configurations, the dumps of what these leave behind.

    What is wrong with the inputs is for `read_inputs` to say.
    """
    reader = _Reader(DiagnosticSink(), files)
    parted = part_sources(sources)
    for source in parted.others:
        reader.take(source)
    reader.carry_out(parted.pve)
    kept = [source for source in parted.others if recognise(source.text, source.name) in _LOADED]
    return (*kept, *reader.written({id(source) for source in kept}))


def _doubtful(source: SourceFile, line: int) -> Diagnostic:
    message = "dumps of iptables and of ip6tables stand in one file, and which of them this table is of nothing tells"
    span = Span(source, line, 0, max(len(source.line(line)), 1))
    return Diagnostic(code="FWT138", message=message, span=span, hints=("put each dump into a file of its own",))


def _no_rules(sources: Sequence[SourceFile]) -> Diagnostic:
    """Return what is said of scripts and configurations that load no rules."""
    names = ", ".join(f"`{source.name}`" for source in sources)
    hint = "what a host has loaded is told by `iptables-save`, or by `fwtrans collect`"
    return Diagnostic(code="FWT101", message=f"no call in {names} loads a rule", hints=(hint,))


@dataclass(slots=True)
class _Reader:
    """Collects what each input holds, then lowers all of it together."""

    sink: DiagnosticSink
    files: Files
    left_out: list[Diagnostic] | None = None
    pve_nftables: bool = False
    options: ExtensionOptions = field(default_factory=ExtensionOptions)
    dumps: list[IptablesDump] = field(default_factory=list)
    bridge_dumps: list[BridgeDump] = field(default_factory=list)
    ipsets: list[IpsetSet] = field(default_factory=list)
    rulesets: list[Ruleset] = field(default_factory=list)
    calls: list[ScriptCommand] = field(default_factory=list)
    host: Host = field(default_factory=Host)

    @property
    def holds_nothing(self) -> bool:
        """Tell whether nothing was found that could hold rules."""
        return not (self.dumps or self.bridge_dumps or self.ipsets or self.rulesets)

    def take(self, source: SourceFile) -> None:
        """Read one input in its own format."""
        if not source.text.strip():
            message = f"`{source.name}` is empty"
            hint = "an empty dump means that the command which made it failed, or that no table was loaded"
            self.sink.add(Diagnostic(code="FWT101", message=message, hints=(hint,)))
            return
        found = recognise(source.text, source.name)
        read = _READERS.get(found)
        if read is None:
            message = f"`{source.name}` is in no format that is read here"
            self.sink.add(Diagnostic(code="FWT101", message=message, span=Span(source, 1, 0, 1)))
            return
        read(self, source)

    def dump(self, source: SourceFile, family: Family) -> None:
        """Read an iptables dump; of a file that holds both families, each part by itself."""
        for section in sections(source):
            if section.doubtful:
                self.sink.add(_doubtful(source, section.first))
            of_family = section.family or family.value
            found = parse_dump(
                source, of_family, self.options, self.sink, first=section.first, last=section.last
            )  # fmt: skip
            if found is not None:
                self.dumps.append(found)

    def commands(self, source: SourceFile) -> None:
        """Read `iptables -S` output or a script's plain command lines, for each family whose program it calls."""
        from fwtrans.parsers.iptables_save.command_lines import parse_script  # noqa: PLC0415 -- see the module docstring

        families = families_named(source.text) or (sniff_family(source.text) or Family.IP.value,)
        for family in families:
            found = parse_script(source, family, self.options, self.sink)
            if found is not None:
                self.dumps.append(found)

    def script(self, source: SourceFile) -> None:
        """Read the firewall calls of a shell script; nothing is run."""
        from fwtrans.parsers.shell_script import read_script  # noqa: PLC0415 -- see the module docstring

        if not refuse_what_is_no_text(source, self.sink):
            self.carried_out(read_script(source, self.sink))

    def interfaces(self, source: SourceFile) -> None:
        """Read the firewall calls in stanzas of /etc/network/interfaces."""
        from fwtrans.parsers.interfaces.parse import parse_interfaces  # noqa: PLC0415 -- see the module docstring
        from fwtrans.read_scripts import commands_of_interfaces  # noqa: PLC0415 -- see the module docstring

        if refuse_what_is_no_text(source, self.sink):
            return
        found = parse_interfaces(source, self.sink, self.files.read, self.files.matching)
        self.carried_out(commands_of_interfaces(found))

    def carried_out(self, commands: Sequence[ScriptCommand]) -> None:
        """Keep what calls leave behind, once every input is known: a dump holds what they have done already."""
        self.calls.extend(commands)

    def carry_out(self, pve: Sequence[SourceFile] = ()) -> None:
        """Run what the inputs call, in the model: only programs whose dump is not among the inputs.

        A Proxmox VE configuration is compiled behind that, as pve-firewall puts its rules behind those it finds.
        """
        dumped = {_PROGRAMS[dump.family] for dump in self.dumps} | {dump.program for dump in self.bridge_dumps}
        if self.ipsets:
            dumped.add("ipset")
        calls = [call for call in self.calls if call.program not in dumped]
        left = self._ran(calls) if calls else None
        made = left.dumps if left is not None else ()
        if pve:
            self.compile(pve, made, bool(dumped))
        else:
            self.dumps.extend(made)
        if left is not None:
            self.bridge_dumps.extend(left.bridge_dumps)
            self.ipsets.extend(left.sets)

    def _ran(self, calls: Sequence[ScriptCommand]) -> ScriptRules:
        from fwtrans.read_scripts import run_commands  # noqa: PLC0415 -- see the module docstring

        return run_commands(calls, self.options, Names(PROTOCOLS, SERVICES), self.sink)

    def compile(self, pve: Sequence[SourceFile], called: Sequence[IptablesDump], dumped: bool) -> None:
        """Read what pve-firewall makes of a configuration, with the rules that the other inputs' calls leave behind.

        Where dumps are among the inputs they hold PVE's rules already, and the configuration is not asked.
        """
        if dumped:
            message = (
                "dumps are among the inputs and hold what pve-firewall has made of its configuration: it is not read"
            )
            self.sink.add(Diagnostic(code="FWT173", message=message, span=Span(pve[0], 1, 0, 1)))
            return
        from fwtrans.read_pve import dumps_of_pve, written_out  # noqa: PLC0415 -- see the module docstring

        texts = {dump.family: written_out(dump) for dump in called}
        others = (texts.get("ip"), texts.get("ip6"))
        dumps, self.host = dumps_of_pve(pve, others, self.sink, nftables=self.pve_nftables)
        self.dump(dumps.ip, Family.IP)
        self.dump(dumps.ip6, Family.IP6)
        self.ipset(dumps.ipset)
        if dumps.ebtables.text:
            self.bridge(dumps.ebtables, EBTABLES)

    def ipset(self, source: SourceFile) -> None:
        """Read an ipset dump."""
        self.ipsets.extend(parse_ipset_save(source, self.sink, Names(PROTOCOLS, SERVICES)).sets)

    def bridge(self, source: SourceFile, dialect: Dialect) -> None:
        """Read an ebtables or arptables dump."""
        found = parse_bridge_dump(source, dialect, self.sink)
        if found is not None:
            self.bridge_dumps.append(found)

    def nft_json(self, source: SourceFile) -> None:
        """Read `nft -j list ruleset`."""
        from fwtrans.parsers.nft_json.parse import parse_nft_json  # noqa: PLC0415 -- see the module docstring

        items = parse_nft_json(source, self.sink)
        if items is not None:
            self.add_nft(source, items)

    def nft_text(self, source: SourceFile) -> None:
        """Read an nft script, or what `nft list ruleset` prints."""
        from fwtrans.parsers.nft_text.parse import parse_nft_text  # noqa: PLC0415 -- see the module docstring

        before = len(self.sink.errors)
        items = parse_nft_text(source, self.sink, self.files)
        if len(self.sink.errors) == before:
            self.add_nft(source, items)

    def add_nft(self, source: SourceFile, items: list[Any]) -> None:
        """Lower nft objects at once: they stand for themselves."""
        from fwtrans.lower.nft.ruleset import lower_nft  # noqa: PLC0415 -- see the module docstring

        found = lower_nft(source, items, self.sink)
        if found is not None:
            self.rulesets.append(found)

    def written(self, kept: set[int]) -> Iterator[SourceFile]:
        """Yield as dumps what was read, without what came from sources of these identities."""
        from fwtrans.parsers.ebtables_save.unparse import unparse_bridge_dump  # noqa: PLC0415 -- few ask for dumps again
        from fwtrans.parsers.ipset_save.unparse import unparse  # noqa: PLC0415 -- few ask for dumps again
        from fwtrans.parsers.iptables_save.unparse import unparse_dump  # noqa: PLC0415 -- few ask for dumps again

        sets = [item for item in self.ipsets if id(item.create.source) not in kept]
        if sets:
            elements = (element for item in sets for element in item.elements)
            yield SourceFile("ipset-save", unparse([*(item.create for item in sets), *elements]) + "\n")
        for dump in self.dumps:
            if id(dump.source) not in kept:
                yield SourceFile(f"{_PROGRAMS[dump.family]}-save", unparse_dump(dump))
        for bridge in self.bridge_dumps:
            if id(bridge.source) not in kept:
                yield SourceFile(f"{bridge.program}-save", unparse_bridge_dump(bridge))

    def lower(self) -> Reading:
        """Return everything as one ruleset."""
        tables: list[Table] = []
        assumptions: list[str] = []
        for dump in self.dumps:
            sets = lower_ipsets(self.ipsets, Family(dump.family))
            lowered = lower_dump(dump, sets, self.sink, left_out=self.left_out)
            tables.append(lowered.table)
            assumptions.extend(text for text in lowered.assumptions if text not in assumptions)
        tables.extend(self._sets_without_rules(tables))
        tables.extend(_lowered(bridge, self.sink) for bridge in self.bridge_dumps)
        assumptions.extend(text for bridge in self.bridge_dumps for text in bridge_assumptions(bridge))
        for ruleset in self.rulesets:
            tables.extend(ruleset.tables)
        asleep = tuple(table for ruleset in self.rulesets for table in ruleset.asleep)
        return Reading(Ruleset(tuple(tables), tuple(assumptions), asleep), tuple(self._read()), self.host)

    def _sets_without_rules(self, tables: Sequence[Table]) -> Iterator[Table]:
        """Say which sets no rule uses; where there are no rules at all, the sets are what is wanted."""
        if not self.dumps and self.ipsets:
            lowered = {
                Family.IP: lower_ipsets(self.ipsets, Family.IP),
                Family.IP6: lower_ipsets(self.ipsets, Family.IP6),
            }
            found = []
            for item in self.ipsets:
                try:
                    found.append(lowered[Family.IP6 if item.header.family == IPV6 else Family.IP][item.name])
                except Refused as refused:
                    span = Span(
                        item.create.source, item.create.line, 0, max(len(item.create.source.line(item.create.line)), 1)
                    )
                    self.sink.add(Diagnostic(code=refused.code, message=refused.message, span=span))
            times = mixed_times(found)
            yield Table(Family.INET, "fwtrans", (), tuple(without_time(item, times) for item in found))
            return
        used = {named.name for table in tables for named in table.sets}
        unused = [item for item in self.ipsets if item.name not in used and not self._is_listed(item.name, used)]
        if unused:
            place, line = unused[0].create.source, unused[0].create.line
            count = f"{len(unused)} sets are" if len(unused) > 1 else f"set `{unused[0].name}` is"
            self.sink.add(
                Diagnostic(
                    code="FWT206",
                    message=f"{count} used by no rule and left out",
                    span=Span(place, line, 0, max(len(place.line(line)), 1)),
                    notes=(", ".join(item.name for item in unused),) if len(unused) > 1 else (),
                )
            )

    def _is_listed(self, name: str, used: set[str]) -> bool:
        """Tell whether a list that rules use has the set as a member: its elements are in the list's set then."""
        return any(
            isinstance(part, MemberPart) and part.name == name
            for item in self.ipsets
            if item.name in used
            for element in item.elements
            for part in element.parts
        )

    def _read(self) -> Iterator[Origin]:
        for dump in self.dumps:
            for table in dump.tables:
                for chain in table.chains:
                    yield from (dump.source.origin(rule.line) for rule in chain.rules)
        for bridge in self.bridge_dumps:
            for part in bridge.tables:
                for each in part.chains:
                    yield from (bridge.source.origin(rule.line) for rule in each.rules)


def _lowered(dump: BridgeDump, sink: DiagnosticSink) -> Table:
    if dump.program == "ebtables":
        return lower_ebtables(dump, sink)
    from fwtrans.lower.arptables import lower_arptables  # noqa: PLC0415 -- see the module docstring

    return lower_arptables(dump, sink)


_PROGRAMS = {"ip": "iptables", "ip6": "ip6tables"}
_LOADED = {
    Format.IPTABLES_SAVE, Format.IP6TABLES_SAVE, Format.IPSET_SAVE, Format.EBTABLES_SAVE, Format.ARPTABLES_SAVE,
    Format.NFT_TEXT, Format.NFT_JSON,
}  # fmt: skip
"""What a tool loads as it is."""

_READERS: dict[Format, Callable[[_Reader, SourceFile], None]] = {
    Format.IPTABLES_SAVE: lambda reader, source: reader.dump(source, Family.IP),
    Format.IP6TABLES_SAVE: lambda reader, source: reader.dump(source, Family.IP6),
    Format.IPSET_SAVE: _Reader.ipset,
    Format.EBTABLES_SAVE: lambda reader, source: reader.bridge(source, EBTABLES),
    Format.ARPTABLES_SAVE: lambda reader, source: reader.bridge(source, ARPTABLES),
    Format.IPTABLES_COMMANDS: _Reader.commands,
    Format.SHELL_SCRIPT: _Reader.script,
    Format.INTERFACES: _Reader.interfaces,
    Format.NFT_JSON: _Reader.nft_json,
    Format.NFT_TEXT: _Reader.nft_text,
}
