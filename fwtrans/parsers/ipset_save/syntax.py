"""The lines of an ipset dump as typed values, and the sets that they leave behind. Nothing is interpreted.

Elements come by the hundred thousand, so nodes are plain named tuples. A part of an element holds its numbers and, as
`text`, how it was written, so that a dump prints back as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from fwtrans.source import SourceFile

IPV4 = "inet"
IPV6 = "inet6"
NO_FAMILY = ""


class AddressPart(NamedTuple):
    """Addresses `first` to `last`: one host, a prefix with its host bits cleared, or a range put into order."""

    first: int
    last: int
    text: str


class PortPart(NamedTuple):
    """Ports `first` to `last` of one protocol.

    Of ICMP and ICMPv6 (1 and 58) the number is type * 256 + code; of protocols without ports it is 0. A bitmap:port
    keeps no protocol (None): its numbers match TCP and UDP alike.
    """

    protocol: int | None
    first: int
    last: int
    text: str


class MacPart(NamedTuple):
    """An Ethernet address."""

    address: int
    text: str


class MarkPart(NamedTuple):
    """A packet mark; the set's markmask is not applied yet."""

    mark: int
    text: str


class InterfacePart(NamedTuple):
    """An interface's name, of a bridge port where `physdev` is set. A plus sign in it is a letter like any other."""

    name: str
    physdev: bool
    text: str


class MemberPart(NamedTuple):
    """The name of a set in a list:set."""

    name: str
    text: str


Part = AddressPart | PortPart | MacPart | MarkPart | InterfacePart | MemberPart


class ElementOptions(NamedTuple):
    """What stands behind an element. None is: not given. `before` and `after` name a neighbour in a list:set."""

    timeout: int | None = None
    nomatch: bool = False
    wildcard: bool = False
    packets: int | None = None
    bytes: int | None = None
    comment: str | None = None
    skbmark: tuple[int, int] | None = None
    skbprio: tuple[int, int] | None = None
    skbqueue: int | None = None
    before: str = ""
    after: str = ""


NO_OPTIONS = ElementOptions()


class CreateOption(NamedTuple):
    """One option of `create` as written, under its present name. `value` is None for a flag."""

    name: str
    value: str | None


class SetHeader(NamedTuple):
    """What `create` says of a set. `range` is the span of a bitmap: addresses or ports, both ends included.

    `bitmask` is an address, `netmask` a prefix length; None is: not given. `timeout` is the default of new elements.
    """

    family: str = NO_FAMILY
    timeout: int | None = None
    counters: bool = False
    comment: bool = False
    skbinfo: bool = False
    forceadd: bool = False
    netmask: int | None = None
    bitmask: int | None = None
    markmask: int | None = None
    range: tuple[int, int] | None = None
    maxelem: int | None = None
    hashsize: int | None = None
    bucketsize: int | None = None
    initval: int | None = None
    size: int | None = None


class Create(NamedTuple):
    """`create NAME TYPE OPTIONS`. `type` is the present name of the set type, whatever was written."""

    name: str
    type: str
    options: tuple[CreateOption, ...]
    header: SetHeader
    source: SourceFile
    line: int
    exist: bool = False


class ElementAction(Enum):
    """What happens to an element."""

    ADD = "add"
    DELETE = "del"


class ElementCommand(NamedTuple):
    """`add NAME ELEMENT OPTIONS` or `del NAME ELEMENT`: one part for each dimension of the set's type.

    The MAC address of a bitmap:ip,mac may be left out; then there is one part.
    """

    action: ElementAction
    name: str
    parts: tuple[Part, ...]
    options: ElementOptions
    source: SourceFile
    line: int
    exist: bool = False


class SetAction(Enum):
    """What happens to whole sets."""

    DESTROY = "destroy"
    FLUSH = "flush"
    RENAME = "rename"
    SWAP = "swap"


class SetCommand(NamedTuple):
    """`destroy` or `flush` of one set or (no name) of all, `rename` or `swap` of two."""

    action: SetAction
    name: str
    other: str
    source: SourceFile
    line: int


class Remark(NamedTuple):
    """A line that changes no set: a comment, an empty line, COMMIT, `list` or `save`."""

    text: str
    source: SourceFile
    line: int


Command = Create | ElementCommand | SetCommand | Remark


@dataclass(frozen=True, slots=True)
class IpsetSet:
    """A set as the commands leave it. `create` made it, but `name` may have come later, by `rename` or `swap`.

    What was deleted is gone; a range that lost its middle has become two elements, each written by us.
    """

    name: str
    create: Create
    elements: tuple[ElementCommand, ...]

    @property
    def type(self) -> str:
        """Return the name of the set's type."""
        return self.create.type

    @property
    def header(self) -> SetHeader:
        """Return what `create` said."""
        return self.create.header


@dataclass(frozen=True, slots=True)
class IpsetDump:
    """All commands in order, and the sets that exist after the last one."""

    commands: tuple[Command, ...]
    sets: tuple[IpsetSet, ...]
