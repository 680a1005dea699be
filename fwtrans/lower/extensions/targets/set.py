"""`-j SET`: adds the packet's addresses to an ipset, or takes them out; the next rule goes on.

The kernel adds first and then deletes, whatever the order of the options (net/netfilter/xt_set.c). An entry that is there
is left alone, or with `--exist` gets its time anew: nft's `add` and `update`. Where fewer directions are given than
the set has dimensions nothing happens. A port counts with its protocol; for ICMP ipset takes type and code for it, and
0 for protocols without ports, which is why only those with ports may come here, by the rule's `-p` or that of all calls.

A set that a rule changes is a dynamic one in nft: it holds single values, no prefixes and no ranges.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir.effect import SetOperation, SetUpdate
from fwtrans.ir.fields import (
    DPORT,
    ETHER_DADDR,
    ETHER_SADDR,
    IP6_SADDR,
    IP_SADDR,
    L4PROTO,
    MARK,
    SPORT,
    Family,
    destination_address,
    source_address,
)
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import KeyPart
from fwtrans.ir.names import NamePattern
from fwtrans.lower.arriving import arriving_protocols
from fwtrans.lower.extensions.base import BOTH, Outcome, Place, Target, Use, no_exact_form
from fwtrans.lower.values import bad_value, read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.fields import Field
    from fwtrans.ir.rule import Step
    from fwtrans.ir.sets import Element, NamedSet
    from fwtrans.parsers.iptables_save.syntax import IptablesDump, OptionUse

_MAPS = ("--map-mark", "--map-prio", "--map-queue")
_NAME_BYTES = 31
_MOST_DIRECTIONS = 6
_WITH_PORTS = IntervalSet.values(8, (6, 17, 132, 136))

# The kernel's longest time, 2**31 milliseconds in seconds; it takes longer ones for this.
_LONGEST = 2147483
# ipset's own limit where `create` names none.
_ENTRIES = 65536


def changed_sets(dump: IptablesDump) -> frozenset[str]:
    """Return the names of the ipsets that some rule of the dump changes."""
    return frozenset(
        option.values[0]
        for table in dump.tables
        for chain in table.chains
        for rule in chain.rules
        if rule.target is not None and rule.target.name == "SET"
        for option in rule.target.options
        if option.name in {"--add-set", "--del-set"}
    )


def _directions(option: OptionUse) -> tuple[bool, ...]:
    """Return for each dimension whether it is the source; iptables looks at three letters of each word."""
    words = option.values[1].split(",")
    if len(words) > _MOST_DIRECTIONS:
        raise bad_value(option.values[1], f"a list of src and dst with at most {_MOST_DIRECTIONS} words", option.name)
    for word in words:
        if word[:3] not in {"src", "dst"}:
            raise bad_value(option.values[1], "a list of src and dst with commas", option.name)
    return tuple(word.startswith("src") for word in words)


def _find(option: OptionUse, place: Place) -> NamedSet:
    name = option.values[0]
    if len(name.encode()) > _NAME_BYTES:
        raise bad_value(name, f"a set's name: at most {_NAME_BYTES} bytes", option.name)
    found = place.sets.get(name)
    if found is None:
        raise Refused("FWT202", f"set `{name}` is not in the input", option=option.name)
    wrong = IP6_SADDR if place.family is Family.IP else IP_SADDR
    if wrong in found.fields:
        raise Refused("FWT112", f"set `{name}` is of the other family", option=option.name)
    return found


def _key(found: NamedSet, directions: tuple[bool, ...], place: Place, option: OptionUse) -> tuple[KeyPart, ...] | None:
    """Return the packet's fields that make the key; None where there are too few directions."""
    dimensions = tuple(field for field in found.fields if field is not L4PROTO)
    if len(directions) < len(dimensions):
        return None
    key: list[KeyPart] = []
    for field, is_source in zip(dimensions, directions, strict=False):
        if field is DPORT:
            if not arriving_protocols(place).difference(_WITH_PORTS).is_empty:
                raise no_exact_form(
                    f"SET {option.name} {found.name}",
                    "ipset takes an ICMP type for a port, and 0 where a protocol has none; nft reads what is in the "
                    "header's place",
                    option=option.name,
                    hint="name the protocol with `-p`, here or in every call of the chain: tcp, udp, sctp or udplite",
                )
            key.append(KeyPart(L4PROTO))
        key.append(KeyPart(_of_packet(field, is_source, place.family)))
    return tuple(key)


def _of_packet(field: Field, is_source: bool, family: Family) -> Field:
    if field is DPORT:
        return SPORT if is_source else DPORT
    if field is ETHER_SADDR:
        return ETHER_SADDR if is_source else ETHER_DADDR
    if field is MARK:
        return MARK
    return source_address(family) if is_source else destination_address(family)


def _declare(found: NamedSet, place: Place, option: OptionUse) -> None:
    """Declare the set as one that rules change."""
    if not found.takes_packets:
        raise no_exact_form(
            f"SET {option.name} {found.name}",
            "the set holds networks, a range of its own or masked values, and an nft set that rules change holds single "
            "values as the packet has them",
            option=option.name,
        )
    size = found.size or _ENTRIES
    elements = tuple(_points(found, size, option))
    place.assume(
        f"set {found.name} is changed by the rules of one family alone, and does not grow beyond {size} entries"
    )
    if place.shared is not None:
        place.shared[f"set changed by rules: {found.name}"] = replace(found, elements=elements, dynamic=True, size=size)


def _points(found: NamedSet, size: int, option: OptionUse) -> list[Element]:
    """Return the elements one by one: the kernel has taken ranges apart as well."""
    points: list[Element] = []
    for element in found.elements:
        parts = [range(0) if isinstance(part, NamePattern) else range(part[0], part[1] + 1) for part in element.key]
        count = 1
        for part in parts:
            count *= len(part)
        if len(points) + count > size:
            raise Refused("FWT112", f"set `{found.name}` has more than its {size} elements", option=option.name)
        points.extend(element._replace(key=tuple((number, number) for number in values)) for values in product(*parts))
    return points


def _timeout(use: Use, found: NamedSet) -> int | None:
    """Return the seconds that an entry is given, None for the set's own."""
    if not use.has("--timeout"):
        return None
    seconds = min(read_number(use.value("--timeout"), "--timeout", high=0xFFFFFFFE), _LONGEST)
    if found.timeout is None or (seconds == 0 and found.timeout == 0):
        return None
    if seconds == 0:
        raise no_exact_form(
            "SET --timeout 0",
            "an entry of an nft set that has a timeout cannot be kept for ever by a rule",
            option="--timeout",
        )
    return seconds


def _update(use: Use, name: str, place: Place) -> tuple[Step, ...]:
    option = use.find(name)
    if option is None:
        return ()
    found = _find(option, place)
    key = _key(found, _directions(option), place, option)
    if key is None:
        return ()
    _declare(found, place, option)
    if name == "--del-set":
        return (SetUpdate(found.name, key, SetOperation.DELETE),)
    renews = use.has("--exist") and found.timeout is not None
    operation = SetOperation.UPDATE if renews else SetOperation.ADD
    return (SetUpdate(found.name, key, operation, _timeout(use, found)),)


def _check(use: Use) -> None:
    if not any(use.has(name) for name in ("--add-set", "--del-set", "--map-set")):
        raise Refused("FWT116", "`SET` needs `--add-set`, `--del-set` or `--map-set`", option="SET")
    for name in ("--exist", "--timeout"):
        if use.has(name) and not use.has("--add-set"):
            raise Refused("FWT116", f"`{name}` needs `--add-set`", option=name)
    for name in _MAPS:
        if use.has(name) and not use.has("--map-set"):
            raise Refused("FWT116", f"`{name}` needs `--map-set`", option=name)


def _lower(use: Use, place: Place) -> Outcome:
    _check(use)
    mapping = use.find("--map-set")
    if mapping is not None:
        _find(mapping, place)
        _directions(mapping)
        if not any(use.has(name) for name in _MAPS):
            raise Refused("FWT116", f"`--map-set` needs one of `{'`, `'.join(_MAPS)}`", option="--map-set")
        raise no_exact_form(
            "SET --map-set",
            "the marks, priorities and queues that a set's entries carry (skbinfo) would be an nft map; nft cannot "
            "choose a queue of the network card, and fwtrans makes no maps of the others",
            option="--map-set",
        )
    return Outcome((*_update(use, "--add-set", place), *_update(use, "--del-set", place)))


EXTENSION = Target(
    name="SET",
    families=BOTH,
    options=(
        Option(name="--add-set", arity=2),
        Option(name="--exist", arity=0),
        Option(name="--timeout"),
        Option(name="--del-set", arity=2),
        Option(name="--map-set", arity=2),
        *(Option(name=name, arity=0) for name in _MAPS),
    ),
    lower=_lower,
    in_context=True,
)
