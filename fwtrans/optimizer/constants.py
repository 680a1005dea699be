"""The constants in a chain's rules that may belong to a port, and what is left when they are taken out.

    ether saddr != bc:24:11:a7:35:6c drop     shape: ether saddr not in ?, drop        constant: the address
    limit rate 1/second log prefix ":101: "   shape: a limit ?, a log with prefix ?    constants: bucket, log

Two chains of one shape are one chain with its constants in sets and maps keyed by the port. Only constants of these kinds
are taken out: MAC and IP addresses (or a set of them), a mark that is set, a limit or quota, a log's prefix. What else
differs (a TCP port, a protocol, a verdict) makes another shape.
"""

from __future__ import annotations

import re
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir.effect import Assign, Log
from fwtrans.ir.fields import CT_MARK, MARK, FieldKind
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import AnyOf, FieldTest, KeyPart, MemberTest
from fwtrans.ir.names import NamePattern
from fwtrans.ir.sets import Element
from fwtrans.ir.stateful import Limit, Quota, StatefulTest
from fwtrans.ir.walk import set_names
from fwtrans.optimizer.port_slots import is_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping

    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Table
    from fwtrans.ir.sets import NamedSet
    from fwtrans.ir.verdict import Verdict

_WORDS = re.compile(r"[A-Za-z0-9_.]+")
_ADDRESSES = {FieldKind.MAC, FieldKind.IPV4, FieldKind.IPV6}
# nft's keys have 64 bytes; each part takes a multiple of four, an interface's name 16.
_KEY_BYTES, _NAME_BYTES = 64, 16


class ConstantKind(Enum):
    """What a constant is, and so what it can come from instead."""

    MEMBERS = "members of a set"
    NUMBER = "number"
    BUCKET = "bucket"
    LOG = "log"


class Constant(NamedTuple):
    """One constant, and the step that it was taken out of.

    `own` says that it is a guest's own by its nature: it goes into a map even where no other differs. `key` is what
    a list of addresses is asked by, and `has_ranges` says that it is no hash.
    """

    kind: ConstantKind
    content: Hashable
    step: Step
    own: bool
    key: tuple[KeyPart, ...] = ()
    has_ranges: bool = False


class Parted(NamedTuple):
    """A rule without its constants, and these in the order of the rule's steps."""

    shape: Hashable
    constants: tuple[tuple[Constant, ...], ...]  # for each step


class Sets:
    """The table's sets, seen by their content."""

    def __init__(self, table: Table, context_of: Mapping[str, object]) -> None:
        self._sets = {item.name: item for item in table.sets}
        self._ports = frozenset(port.text for port in context_of.values() if isinstance(port, NamePattern))
        self._contents: dict[object, str] = {}
        self._users: dict[str, set[object]] = {}
        self._plain = {name: tuple(sorted(item.elements)) for name, item in self._sets.items() if _is_plain(item)}
        for chain in table.chains:
            for rule in chain.rules:
                for name in set_names(rule):
                    self._users.setdefault(name, set()).add(context_of.get(chain.name))

    def named(self, name: str) -> NamedSet:
        """Return the set of that name."""
        return self._sets[name]

    def same(self, name: str) -> str:
        """Return one name for all sets that hold the same and that no rule changes."""
        found = self._sets[name]
        if found.dynamic:
            return name
        return self._contents.setdefault((found.fields, found.elements, found.timeout, found.has_counters), name)

    def is_private(self, name: str) -> bool:
        """Tell whether only chains of one port ask the set."""
        users = self._users.get(name, set())
        return len(users) == 1 and None not in users

    def names_port(self, text: str) -> bool:
        """Tell whether a log's prefix names a port, so that no other port has the same."""
        return not self._ports.isdisjoint(words_of(text))

    def plain(self, name: str) -> tuple[Element, ...] | None:
        """Return the elements of a set that may become part of another one."""
        return self._plain.get(name)


def words_of(text: str) -> list[str]:
    """Return the words of a log's prefix or a chain's name."""
    return _WORDS.findall(text)


def _is_plain(item: NamedSet) -> bool:
    if item.dynamic or item.has_counters or item.timeout is not None:
        return False
    return all(field.kind in _ADDRESSES for field in item.fields) and all(
        element.timeout is None and element.expires is None and element.counters is None for element in item.elements
    )


def part_rule(rule: Rule, sets: Sets, final: Callable[[Verdict | None], Hashable], *, owns: bool) -> Parted:
    """Take a rule's constants out. `final` says what a verdict is once the chains behind it have their last names.

    Not all rules' constants can be a guest's own: `owns` tells.
    """
    steps = [_part_step(step, sets) for step in rule.steps]
    constants = (tuple(one if owns else one._replace(own=False) for one in found) for _, found in steps)
    return Parted((tuple(shape for shape, _ in steps), final(rule.verdict)), tuple(constants))


def _part_step(step: Step, sets: Sets) -> tuple[Hashable, tuple[Constant, ...]]:
    if isinstance(step, AnyOf):
        branches = [[_part_step(test, sets) for test in branch] for branch in step.branches]
        shape = ("any", tuple(tuple(part for part, _ in branch) for branch in branches))
        return shape, tuple(item for branch in branches for _, found in branch for item in found)
    if isinstance(step, (FieldTest, MemberTest)):
        asked = membership(step, sets)
        if asked is not None:
            return ("members", asked.key, asked.inside), (
                Constant(ConstantKind.MEMBERS, asked.elements, step, asked.own, asked.key, asked.has_ranges),
            )
        return (replace(step, set_name=sets.same(step.set_name)) if isinstance(step, MemberTest) else step), ()
    if isinstance(step, Assign) and is_plain_mark(step):
        return ("set", step.field), (Constant(ConstantKind.NUMBER, step.constant, step, own=True),)
    if isinstance(step, StatefulTest) and not step.key and isinstance(step.object.kind, (Limit, Quota)):
        return ("bucket", type(step.object.kind)), (Constant(ConstantKind.BUCKET, step, step, own=False),)
    if isinstance(step, Log):
        return replace(step, prefix=""), (Constant(ConstantKind.LOG, step, step, own=sets.names_port(step.prefix)),)
    return step, ()


def is_plain_mark(step: Assign) -> bool:
    """Tell whether a mark is set to a number whatever it was before."""
    return step.field in {MARK, CT_MARK} and not step.keep and step.source is None


class Membership(NamedTuple):
    """A test of addresses as a test of membership, whether they stand in the rule or in a set."""

    key: tuple[KeyPart, ...]
    inside: bool
    elements: tuple[Element, ...]
    own: bool
    has_ranges: bool


def membership(step: FieldTest | MemberTest, sets: Sets) -> Membership | None:
    """Return the test as one of membership; None where it asks something else or its set cannot be a part of another."""
    if isinstance(step, MemberTest):
        elements = sets.plain(step.set_name)
        if elements is None or step.dynamic or not _fits_a_key(step.key):
            return None
        hashed = is_hash(step.key, elements)
        return Membership(step.key, step.inside, elements, hashed and sets.is_private(step.set_name), not hashed)
    values = step.values
    if step.field.kind not in _ADDRESSES or not isinstance(values, IntervalSet) or values.is_empty or values.is_full:
        return None
    others = values.complement()
    inside = len(values.ranges) <= len(others.ranges)
    chosen = values if inside else others
    own = step.field.kind is FieldKind.MAC and chosen.only is not None
    key, elements = (KeyPart(step.field),), tuple(Element((part,)) for part in chosen.ranges)
    return Membership(key, inside, elements, own, not is_hash(key, elements))


def _fits_a_key(key: tuple[KeyPart, ...]) -> bool:
    return _NAME_BYTES + sum((part.field.width + 31) // 32 * 4 for part in key) <= _KEY_BYTES and len(key) < 5


def refill(step: Step, sets: Sets, answers: Iterator[tuple[Step, ...] | None]) -> tuple[Step, ...]:
    """Put other steps in the places of a step's constants, None leaving what is there; the order is `part_rule`'s."""
    if isinstance(step, AnyOf):
        branches = tuple(
            tuple(new for test in branch for new in refill(test, sets, answers)) for branch in step.branches
        )
        return (AnyOf(branches),)  # type: ignore[arg-type] # tests are replaced by tests
    if not _part_step(step, sets)[1]:
        return (step,)
    answer = next(answers)
    return (step,) if answer is None else answer
