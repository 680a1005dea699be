"""A node's configuration after checking: what every part of the compilation asks for, with PVE's defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fwtrans.diagnostics import Diagnostic, DiagnosticSink
from fwtrans.lower.pve.check import CheckedRule, check_rule
from fwtrans.lower.pve.names import LOG_LEVELS
from fwtrans.lower.pve.scope import Names, Scope, read_address
from fwtrans.parsers.pve.syntax import Alias, FirewallFile, FirewallKind, IpsetEntry, Rule, SectionKind
from fwtrans.parsers.pve.values import ALIAS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwtrans.parsers.pve.syntax import GuestConf, Option, PveConfig, Section
    from fwtrans.source import Origin


class Options(NamedTuple):
    """The options of a file."""

    options: Mapping[str, Option] = {}

    def text(self, name: str, default: str = "") -> str:
        """Return an option's value."""
        option = self.options.get(name)
        return default if option is None else option.value

    def flag(self, name: str, *, default: bool) -> bool:
        """Tell whether an option is on."""
        option = self.options.get(name)
        return default if option is None else option.value != "0"

    def number(self, name: str, default: int) -> int:
        """Return a number; 0 is none to PVE."""
        return int(self.text(name) or 0) or default

    def log_level(self, name: str) -> str:
        """Return a log level, "" where nothing is logged."""
        level = self.text(name)
        return level if level in LOG_LEVELS else ""

    def origin(self, name: str) -> Origin | None:
        """Return where an option stands, None where it is not set."""
        option = self.options.get(name)
        return None if option is None else option.origin


class SetSection(NamedTuple):
    """A set as its file has it, with the entries that PVE takes. `section` is None for one that PVE makes itself."""

    section: Section | None
    entries: tuple[IpsetEntry, ...] = ()

    @property
    def written(self) -> tuple[IpsetEntry, ...]:
        """Return all entries in the order of their lines, those too that PVE leaves out of the set."""
        if self.section is None:
            return ()
        items = (item for item in self.section.items if isinstance(item, IpsetEntry))
        return tuple(sorted((*items, *self.section.refused), key=lambda entry: entry.line))


class CheckedFile(NamedTuple):
    """A .fw file. `names` are those defined at its end, in whose terms commands and sets are made."""

    options: Options = Options()
    rules: tuple[CheckedRule, ...] = ()
    groups: Mapping[str, tuple[CheckedRule, ...]] = {}
    sets: Mapping[str, SetSection] = {}
    names: Names = Names()


class CheckedGuest(NamedTuple):
    """A guest with a .fw file that says something."""

    conf: GuestConf
    file: CheckedFile


class Node(NamedTuple):
    """All that the compilation of a node needs."""

    config: PveConfig
    cluster: CheckedFile
    host: CheckedFile
    guests: tuple[CheckedGuest, ...]
    sdn: frozenset[str]
    vnets: Mapping[str, CheckedFile] = {}
    """Firewalls of vnets, where the nftables backend is asked for."""

    def scope(self, guest: CheckedGuest | None = None) -> Scope:
        """Return the names that rules of a guest, or of host and cluster, can use once all is read."""
        if guest is None:
            return Scope(self.cluster.names, sdn=self.sdn)
        return Scope(self.cluster.names, guest.file.names, guest.conf.vmid, self.sdn)


def check_node(config: PveConfig, sink: DiagnosticSink, *, nftables: bool = False) -> Node:
    """Return what PVE takes of all files, cluster.fw first, because the others name what it defines.

    With `nftables` the parts that only the nftables backend uses are kept.
    """
    sdn = frozenset(name for name, _ in config.sdn.ipsets) if config.sdn is not None else frozenset[str]()
    cluster = _check_file(config.cluster, Scope(Names(), sdn=sdn), sink, nftables=nftables)
    host = _check_file(config.host, Scope(cluster.names, sdn=sdn), sink, nftables=nftables)
    guests = []
    for guest in config.guests.values():
        if guest.firewall is not None and guest.firewall.sections:
            scope = Scope(cluster.names, Names(), guest.conf.vmid, sdn)
            guests.append(CheckedGuest(guest.conf, _check_file(guest.firewall, scope, sink)))
    vnets = {
        name: _check_file(file, Scope(cluster.names, sdn=sdn), sink, nftables=True)
        for name, file in config.vnets.items()
        if nftables
    }
    return Node(config, cluster, host, tuple(guests), sdn, vnets)


def _check_file(
    file: FirewallFile | None, scope: Scope, sink: DiagnosticSink, *, nftables: bool = False
) -> CheckedFile:
    """Read a file's sections in order, so that each line sees only the names above it."""
    if file is None:
        return CheckedFile()
    own = scope.cluster if file.kind is FirewallKind.CLUSTER else scope.own or Names()
    rules: list[CheckedRule] = []
    groups: dict[str, tuple[CheckedRule, ...]] = {}
    sets: dict[str, SetSection] = {}
    for section in file.sections:
        match section.kind:
            case SectionKind.ALIASES:
                for alias in section.items:
                    if isinstance(alias, Alias):
                        own.aliases[alias.key] = read_address(alias.address.text, alias.origin)
            case SectionKind.IPSET:
                own.sets.add(section.name)
                sets[section.name] = SetSection(section, _check_entries(section, scope, sink))
            case SectionKind.RULES:
                rules.extend(_check_rules(section, scope, sink, nftables=nftables))
            case SectionKind.GROUP:
                groups[section.name] = tuple(_check_rules(section, scope, sink, nftables=nftables))
    return CheckedFile(Options(file.options), tuple(rules), groups, sets, own)


def _check_rules(section: Section, scope: Scope, sink: DiagnosticSink, *, nftables: bool) -> list[CheckedRule]:
    found = []
    in_group = section.kind is SectionKind.GROUP
    for item in section.items:
        if isinstance(item, Rule) and item.kind == "forward" and not nftables:
            _tell_of_forward(item, sink)
        elif isinstance(item, Rule) and (checked := check_rule(item, scope, sink, in_group=in_group)) is not None:
            found.append(checked)
    return found


def _tell_of_forward(rule: Rule, sink: DiagnosticSink) -> None:
    if rule.enabled:
        message = "FORWARD rules are for the nftables backend: the iptables backend makes nothing of this one"
        sink.add(Diagnostic(code="FWT180", message=message, span=rule.span(rule.type)))


def _check_entries(section: Section, scope: Scope, sink: DiagnosticSink) -> tuple[IpsetEntry, ...]:
    """Return the entries of a set but for those that name an alias which is not there yet."""
    found = []
    for item in section.items:
        if not isinstance(item, IpsetEntry):
            continue
        text = item.address.text
        if ALIAS.fullmatch(text) and scope.alias(text) is None:
            message = f"there is no alias `{text}` above this line"
            note = "PVE makes the set without this entry"
            hint = "PVE looks names up while it reads: [ALIASES] must stand above the sets that use them"
            span = item.span(item.address)
            sink.add(Diagnostic(code="FWT178", message=message, span=span, notes=(note,), hints=(hint,)))
            continue
        found.append(item)
    return tuple(found)


def vmids_in_order(guests: tuple[CheckedGuest, ...]) -> tuple[CheckedGuest, ...]:
    """Return virtual machines, then containers, each in the order that PVE has: by the digits of their numbers."""
    return tuple(sorted(guests, key=lambda guest: (guest.conf.kind.value != "qemu", str(guest.conf.vmid))))
