"""What stands in Proxmox VE's configuration files: faithful to the text, with the place of every word.

    IN SSH(ACCEPT) -i net0 -source +dc/mgmt # office

is Rule(kind="in", action=Token("ACCEPT", ...), macro=Token("SSH", ...), parameters=(-i net0, -source +dc/mgmt), ...).

A `FirewallFile` holds, section by section, only what PVE takes. The reader has told of the rest, and checked all that can
be checked in one line: its shape, the options' values, the rule type for this kind of file, the action, the interface, the
log level, the form of addresses and ports. Left to the lowering is whatever needs a table or another place: whether
an alias, a set, a group or a macro exists *above that line* (PVE resolves while it reads), names of protocols, services
and ICMP types, and what may stand together (a port needs a protocol that has some).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.source import Origin, Span

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fwtrans.source import SourceFile


class FirewallKind(Enum):
    """Whose a .fw file is; it decides on sections, options and rule types."""

    CLUSTER = "cluster"
    HOST = "host"
    GUEST = "guest"
    VNET = "vnet"


class GuestKind(Enum):
    """What a guest is: a virtual machine, whose ports are tap<id>i<n>, or a container with veth<id>i<n>."""

    QEMU = "qemu"
    LXC = "lxc"


class SectionKind(Enum):
    """The sections of a .fw file; IPSET and GROUP have a name."""

    OPTIONS = "OPTIONS"
    ALIASES = "ALIASES"
    IPSET = "IPSET"
    RULES = "RULES"
    GROUP = "group"


class Token(NamedTuple):
    """A word as written, and its first column, from 0."""

    text: str
    start: int

    @property
    def end(self) -> int:
        """Return the first column behind it."""
        return self.start + len(self.text)


@dataclass(frozen=True, slots=True)
class Placed:
    """Something with a line of its own."""

    source: SourceFile = field(compare=False, repr=False)
    line: int = field(compare=False)

    @property
    def origin(self) -> Origin:
        """Return where it stands, for what is made of it."""
        return Origin(self.source, self.line)

    def span(self, token: Token | None = None) -> Span:
        """Return the place of one of its words, or all of the line."""
        if token is None:
            text = self.source.line(self.line)
            start = len(text) - len(text.lstrip(" \t"))
            return Span(self.source, self.line, start, max(len(text.rstrip(" \t")), start + 1))
        return Span(self.source, self.line, token.start, token.end)


@dataclass(frozen=True, slots=True)
class Option(Placed):
    """`key: value` of [OPTIONS]. `value` is what PVE keeps of `written`.

    A log level in lower case or "" where it is left empty, a policy in upper case, a number without leading zeros, the
    rest as written. cluster.fw's `enable` may be any number: 0 and 1 as usual, a greater one is a time (seconds since 1970) and counts
    as 0 once a minute has passed since.
    """

    key: Token
    value: str
    written: Token

    @property
    def name(self) -> str:
        """Return the key as PVE compares it."""
        return self.key.text.lower()


@dataclass(frozen=True, slots=True)
class Alias(Placed):
    """`name address # comment`. Names are compared in lower case; the address is checked, and kept as written."""

    name: Token
    address: Token
    comment: str = ""

    @property
    def key(self) -> str:
        """Return the name as PVE compares it."""
        return self.name.text.lower()


@dataclass(frozen=True, slots=True)
class IpsetEntry(Placed):
    """`!address # comment`: an address, a network, or an alias with or without `dc/` or `guest/` before it.

    Duplicates and networks of length 0 are not among the entries, as far as they show without resolving an alias.
    """

    address: Token
    nomatch: bool
    comment: str = ""


class RuleOption(Enum):
    """The parameters of a rule, by PVE's names of them."""

    INTERFACE = "iface"
    SOURCE = "source"
    DESTINATION = "dest"
    PROTOCOL = "proto"
    DESTINATION_PORT = "dport"
    SOURCE_PORT = "sport"
    LOG = "log"
    ICMP_TYPE = "icmp-type"


class Parameter(NamedTuple):
    """`-dport 22`. `written` is the option as it stands there, since `--dport` and `-proto` are read as well."""

    option: RuleOption
    written: Token
    value: Token

    @property
    def binds_nothing(self) -> bool:
        """Tell whether PVE goes on as if it were not there: Perl takes the text `0` for false, so for no value."""
        return self.value.text == "0" and self.option in _ZERO_IS_NOTHING


_ZERO_IS_NOTHING = frozenset({RuleOption.INTERFACE, RuleOption.PROTOCOL, RuleOption.SOURCE, RuleOption.DESTINATION})


@dataclass(frozen=True, slots=True)
class Rule(Placed):
    """A line of [RULES] or of a group. `action` is a verdict, or the group's name where the type is GROUP."""

    type: Token
    action: Token
    macro: Token | None
    parameters: tuple[Parameter, ...]
    enabled: bool = True
    comment: str = ""

    @property
    def kind(self) -> str:
        """Return the type as PVE compares it: in, out, forward or group."""
        return self.type.text.lower()

    def parameter(self, option: RuleOption) -> Parameter | None:
        """Return a parameter; of one that is given twice PVE takes the last, and some it does not see (`binds_nothing`)."""
        for parameter in reversed(self.parameters):
            if parameter.option is option:
                return None if parameter.binds_nothing else parameter
        return None

    def value(self, option: RuleOption) -> str:
        """Return a parameter's text, "" where there is none."""
        parameter = self.parameter(option)
        return "" if parameter is None else parameter.value.text


SectionItem = Option | Alias | IpsetEntry | Rule


@dataclass(frozen=True, slots=True)
class Section(Placed):
    """A section's header and what stands in it. `name` is `title` in lower case, "" where the kind has none.

    `refused` are entries of a set that PVE leaves out of it, but asks all the same whose ARP a guest may send. The
    address of one is "" where its line has no single word.
    """

    kind: SectionKind
    name: str = ""
    title: Token | None = None
    comment: str = ""
    items: tuple[SectionItem, ...] = ()
    refused: tuple[IpsetEntry, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class FirewallFile:
    """One .fw file, its sections in order. The properties say what PVE makes of sections and names given twice."""

    source: SourceFile = field(compare=False, repr=False)
    kind: FirewallKind
    sections: tuple[Section, ...]

    @property
    def options(self) -> dict[str, Option]:
        """Return the options by name; the last one of a name counts."""
        return {item.name: item for item in self._items(SectionKind.OPTIONS) if isinstance(item, Option)}

    @property
    def aliases(self) -> dict[str, Alias]:
        """Return the aliases by name in lower case; the last one of a name counts."""
        return {item.key: item for item in self._items(SectionKind.ALIASES) if isinstance(item, Alias)}

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Return the rules of all [RULES] sections."""
        return tuple(item for item in self._items(SectionKind.RULES) if isinstance(item, Rule))

    @property
    def ipsets(self) -> dict[str, Section]:
        """Return the sets by name; a second section of a name takes the place of the first."""
        return {section.name: section for section in self.sections if section.kind is SectionKind.IPSET}

    @property
    def groups(self) -> dict[str, Section]:
        """Return the security groups by name; a second section of a name takes the place of the first."""
        return {section.name: section for section in self.sections if section.kind is SectionKind.GROUP}

    def _items(self, kind: SectionKind) -> Iterator[SectionItem]:
        return (item for section in self.sections if section.kind is kind for item in section.items)


@dataclass(frozen=True, slots=True)
class NetworkDevice(Placed):
    """A `net<n>:` line of a guest. `properties` are all of it in order; the others what is asked for most.

    `firewall` is what PVE takes for true. `addresses` are a container's ip= and ip6= (with prefix length), without the
    words dhcp, auto and manual.
    """

    index: int
    mac: str
    bridge: str
    firewall: bool
    tag: int | None
    trunks: str
    link_down: bool
    model: str
    addresses: tuple[str, ...]
    properties: tuple[tuple[str, Token], ...]

    @property
    def name(self) -> str:
        """Return the name that rules use for it: net0."""
        return f"net{self.index}"


@dataclass(frozen=True, slots=True)
class GuestConf:
    """A guest's own configuration. Snapshots and pending changes are no part of it."""

    source: SourceFile = field(compare=False, repr=False)
    vmid: int
    kind: GuestKind
    devices: tuple[NetworkDevice, ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class CorosyncNode(Placed):
    """A node of corosync.conf. `links` are (number, address or host name) of its ring<n>_addr lines, sorted."""

    name: str
    node_id: str
    links: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Corosync:
    """corosync.conf: its nodes in the file's order, and totem's settings, of which `transport` decides on multicast."""

    source: SourceFile = field(compare=False, repr=False)
    nodes: tuple[CorosyncNode, ...]
    totem: tuple[tuple[str, str], ...] = ()

    @property
    def transport(self) -> str:
        """Return totem's transport, "" where it is left to corosync (knet)."""
        return dict(self.totem).get("transport", "")


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a node knows of itself. `local_network` is the alias that PVE makes on its own, "" where it is not known.

    `guests` are the network lines that came with the facts, by vmid, for guests whose conf file is not there.
    """

    source: SourceFile | None = field(compare=False, repr=False)
    node_name: str
    local_network: str
    host_address: str
    guests: tuple[GuestConf, ...] = ()


@dataclass(frozen=True, slots=True)
class SdnEntry:
    """A member of a set that SDN makes."""

    address: str
    nomatch: bool = False


@dataclass(frozen=True, slots=True)
class Sdn:
    """The sets that SDN makes (`+sdn/vnet1-all`), by name without `sdn/`."""

    source: SourceFile | None = field(compare=False, repr=False)
    ipsets: tuple[tuple[str, tuple[SdnEntry, ...]], ...]


class Guest(NamedTuple):
    """A guest of this node, and its .fw file if it has one. A file without a guest is nothing to PVE."""

    conf: GuestConf
    firewall: FirewallFile | None


@dataclass(frozen=True, slots=True)
class PveConfig:
    """All of a node's configuration. `guests` are those of this node, ascending by vmid.

    `foreign` are other software's own rules, as dumps (v4, v6), that the node has beside PVE's.
    """

    cluster: FirewallFile | None
    host: FirewallFile | None
    guests: Mapping[int, Guest]
    corosync: Corosync | None = None
    node: NodeFacts | None = None
    sdn: Sdn | None = None
    vnets: Mapping[str, FirewallFile] = field(default_factory=dict)
    foreign: tuple[SourceFile | None, SourceFile | None] = (None, None)
