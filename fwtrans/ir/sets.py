"""Named sets and maps with their elements."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import fields as known
from fwtrans.ir.fields import FieldKind
from fwtrans.ir.intervals import Interval
from fwtrans.ir.names import NamePattern
from fwtrans.ir.remembering import Remembering, remembers_hash
from fwtrans.ir.stateful import StatefulTest
from fwtrans.ir.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from fwtrans.ir.fields import Field
    from fwtrans.source import Origin

# One dimension of an element: an inclusive interval of numbers, or a name pattern.
Part = Interval | NamePattern


class Element(NamedTuple):
    """One element. Times in seconds; `counters` are packets and bytes."""

    key: tuple[Part, ...]
    timeout: float | None = None
    expires: int | None = None
    comment: str = ""
    counters: tuple[int, int] | None = None


class Declared(NamedTuple):
    """What was declared of a set or map that others fill, and decides nothing today.

    `beside_rest` are the elements of a set with a catch-all, which others may take out, or add to; None where it has none.
    """

    takes_ranges: bool = False
    has_counters: bool = False
    timeout: float | None = None
    size: int | None = None
    comment: str = ""
    is_constant: bool = False
    gc_interval: float | None = None
    prefers_memory: bool = False
    beside_rest: tuple[Element, ...] | None = None


@dataclass(frozen=True, slots=True)
class NamedSet(Remembering):
    """A set. `fields` say what the dimensions are, by an example field of the right kind and width.

    `dynamic` sets are changed by rules while packets pass. Elements do not overlap: what iptables decides by longest
    prefix is resolved into plain intervals before it comes here. `takes_packets` says that a rule may add a packet's own
    values as they are: the set masks nothing, holds no networks and no range. `takes_ranges` says that networks or ranges
    may be put into it, whether there is one today or not; one that `merges` takes those that overlap. A `held` set is dynamic only until it is printed, so that no pass
    rests on what is in it. `declared` is what a file of nftables says of it beside that.
    """

    name: str
    fields: tuple[Field, ...]
    elements: tuple[Element, ...] = ()
    dynamic: bool = False
    timeout: float | None = None
    size: int | None = None
    has_counters: bool = False
    comment: str = ""
    takes_packets: bool = field(default=False, compare=False)
    takes_ranges: bool = field(default=False, compare=False)
    merges: bool = field(default=False, compare=False)
    held: bool = field(default=False, compare=False)
    origin: Origin | None = field(default=None, compare=False)
    declared: Declared = field(default=Declared(), compare=False)

    @property
    def is_live(self) -> bool:
        """Tell whether somebody may change it while the ruleset is loaded.

        Nobody changes a set without a name of its own; and pve-firewall writes its sets from its configuration.
        """
        return not self.name.startswith(("__", "PVEFW-"))


# A verdict, a number, the test of a stateful object, the name of another object, or an address range with ports.
MapValue = Verdict | int | str | StatefulTest | tuple[Interval, ...]


class MapElement(NamedTuple):
    """Key and value. `kept` is what else was declared of it, without a key where this is a catch-all or a part of one."""

    key: tuple[Part, ...]
    value: MapValue
    kept: Element | None = None

    @property
    def is_rest(self) -> bool:
        """Tell whether it stands for keys that no other element has."""
        return self.kept is not None and not self.kept.key


@remembers_hash
@dataclass(frozen=True, slots=True)
class NamedMap(Remembering):
    """A map. `value` says what it holds: "verdict", or the name of a field's type, or an object kind ("limit")."""

    name: str
    fields: tuple[Field, ...]
    value: str
    elements: tuple[MapElement, ...] = ()
    origin: Origin | None = field(default=None, compare=False)
    declared: Declared = field(default=Declared(), compare=False)


_EXAMPLES = {
    FieldKind.NAME: known.IIFNAME,
    FieldKind.IPV4: known.IP_SADDR,
    FieldKind.IPV6: known.IP6_SADDR,
    FieldKind.MAC: known.ETHER_SADDR,
}


def example_of(field: Field) -> Field:
    """Return the field that stands for the type: `typeof oifname` and `type ifname` are the same set."""
    if field in {known.SPORT, known.DPORT}:
        return known.DPORT
    if field in {known.MARK, known.CT_MARK, known.SOCKET_MARK}:
        return known.MARK
    if field in {known.ETHER_PROTOCOL, known.ETHER_TYPE}:
        return known.ETHER_TYPE
    if field.kind is FieldKind.NAME and field.spelling[0] != "meta":
        return field  # a helper, an operating system: no name of an interface
    return _EXAMPLES.get(field.kind, field)


def keys_of(item: NamedSet | NamedMap, fields: Collection[Field]) -> Iterator[Part]:
    """Yield the parts of a set's or map's elements that stand for one of the fields."""
    places = [place for place, field in enumerate(item.fields) if field in fields]
    for element in item.elements:
        yield from (element.key[place] for place in places)


def place_among(written: Sequence[NamedSet | NamedMap]) -> Callable[[NamedSet | NamedMap], int]:
    """Return what sorts sets or maps in the order in which they were read; those that are new stand last."""
    places = {item.name: place for place, item in enumerate(written)}
    return lambda item: places.get(item.name, len(places))
