"""One flat IR rule (no any-of left) to nft rules: nearly always one, with a helper chain where one is not enough.

The transport protocol is printed once: `-p tcp --dport 22` is `tcp dport 22`, because nft tests the protocol by itself
for a field of a protocol's header. It is left to nft only if such a field comes before the first stateful step, so that
a bucket is charged for the same packets.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Protocol

from fwtrans.backend.nft import model as nft
from fwtrans.backend.nft.asked_families import asked_by_messages, message_protocol, settles_family
from fwtrans.backend.nft.effects import assignment, effect_statement, stateful_statement, verdict_statement
from fwtrans.backend.nft.foreign import ENDING, headers_asked, kind_of, named_sets, negated_match
from fwtrans.backend.nft.header_writes import header_write, is_header_write
from fwtrans.backend.nft.missing_things import is_missing
from fwtrans.backend.nft.selectors import (
    HEADER_PROTOCOLS,
    PORT_PROTOCOLS,
    key_expression,
    literal,
    match_of,
    selector,
)
from fwtrans.diagnostics import Refused
from fwtrans.ir.effect import (
    Assign,
    AssignFromMap,
    AssignFromTable,
    Count,
    Nat,
    OpaqueEffect,
    SetHelper,
    SetSecmark,
    SetTimeoutPolicy,
    SetUpdate,
)
from fwtrans.ir.fields import CT_STATE, ETHER_PROTOCOL, HAS_CONNTRACK, HAS_TRANSPORT, L4PROTO, MARK, NFPROTO, Family
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest, MemberTest, OpaqueTest, number, present
from fwtrans.ir.rule import is_pure
from fwtrans.ir.stateful import EveryNth, Limit, Quota, Random, StatefulFromMap, StatefulTest
from fwtrans.ir.verdict import Dispatch, Goto, Reject, Return, SynProxy, TransparentProxy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import KeyPart, ValueSet
    from fwtrans.ir.rule import Step
    from fwtrans.ir.verdict import Verdict


class Shared(Protocol):
    """What a table keeps for all its rules."""

    family: Family
    settled: Mapping[Field, ValueSet]
    proof_only: bool
    guard_ports: bool

    def chain_name(self, name: str) -> str:
        """Return the printed name of a chain of the IR."""

    def set_name(self, name: str) -> str:
        """Return the printed name of a set of the IR."""

    def keeps_set(self, name: str) -> bool:
        """Tell whether there is a set, map or flow table of that name, and it is printed under it."""

    def map_value(self, name: str) -> str:
        """Return what a map of the IR holds."""

    def is_shared(self, test: StatefulTest) -> bool:
        """Tell whether several rules use the object, or a map names it."""

    def named_object(self, test: StatefulTest) -> str:
        """Declare the shared limit or quota once, and return its name."""

    def keyed_set(self, test: StatefulTest) -> str:
        """Declare the dynamic set that holds one object for each key, and return its name."""

    def object_of(self, step: SetHelper | SetTimeoutPolicy | SetSecmark | Count) -> str:
        """Declare the helper, timeout policy, security mark or named counter once, and return its name."""

    def helper_chain(self, wanted: str, rules: tuple[tuple[nft.Statement, ...], ...]) -> str:
        """Add a chain of our own and return its name."""


_UNKNOWN_TO_BRIDGES = {"fib": "routes", "socket": "sockets", "ipsec": "transformations"}
_IP6 = number(NFPROTO, 10)
_IS_TCP = number(L4PROTO, 6)
# established, related, new
_TRACKED = IntervalSet.values(CT_STATE.width, (1, 2, 3))
_ANSWERED = {
    "icmp": (number(NFPROTO, 2), number(ETHER_PROTOCOL, 0x800)),
    "icmpv6": (_IP6, number(ETHER_PROTOCOL, 0x86DD)),
}
_OBJECTS = {
    SetHelper: nft.ObjectKind.CT_HELPER,
    SetTimeoutPolicy: nft.ObjectKind.CT_TIMEOUT,
    SetSecmark: nft.ObjectKind.SECMARK,
    Count: nft.ObjectKind.COUNTER,
}


def statements_of(
    steps: tuple[Step, ...], verdict: Verdict | None, shared: Shared, counter: nft.Counter | None
) -> tuple[nft.Statement, ...]:
    """Return the statements of the flat rule; empty where it does nothing at all."""
    steps = _with_protocol_of_answer(steps, verdict)
    return _Writer(shared, steps).write(_without_asked_by_answer(steps, verdict, shared.family), verdict, counter)


def _with_protocol_of_answer(steps: tuple[Step, ...], verdict: Verdict | None) -> tuple[Step, ...]:
    """Ask for TCP where it is reset: nft does so by itself, at the end where something is done before, and whoever reads the rule reads it."""
    resets = isinstance(verdict, Reject) and verdict.protocol == "tcp reset"
    if not resets or any(_asks_for_tcp(step) for step in steps):
        return steps
    return (_IS_TCP, *steps) if all(map(is_pure, steps)) else (*steps, _IS_TCP)


def _without_asked_by_answer(steps: tuple[Step, ...], verdict: Verdict | None, family: Family) -> tuple[Step, ...]:
    """Leave out the first test where it only asks whose answer a reject is: nft puts that in front of the rule itself."""
    if not isinstance(verdict, Reject) or family is Family.IP or family is Family.IP6 or not steps:
        return steps
    return steps[1:] if steps[0] in _ANSWERED.get(verdict.protocol, ()) else steps


def _asks_for_tcp(step: Step) -> bool:
    return isinstance(step, FieldTest) and step.field is L4PROTO and step.values == _IS_TCP.values


def _settled_protocol(steps: tuple[Step, ...]) -> int | None:
    """Return the one protocol that the pure tests at the front demand."""
    for step in steps:
        if not is_pure(step):
            return None
        if isinstance(step, FieldTest) and step.field is L4PROTO and isinstance(step.values, IntervalSet):
            return step.values.only
    return None


def _is_implied(steps: tuple[Step, ...], protocol: int | None, family: Family) -> bool:
    """Tell whether nft will test the protocol by itself, and nothing more, before the first stateful step."""
    settled = False
    for step in steps:
        if not is_pure(step):
            return False
        if isinstance(step, FieldTest) and message_protocol(step.field, family) == protocol:
            return settled
        settled = settled or (settles_family(step, family) and step != number(L4PROTO, protocol or 0))
        if isinstance(step, FieldTest) and step.field.spelling[0] == "payload":
            header = step.field.spelling[1]
            if header == "th":
                header = PORT_PROTOCOLS.get(protocol or 0, "th")
            if HEADER_PROTOCOLS.get(header) == protocol:
                return True
    return False


def _named_again(before: tuple[Step, ...], rest: tuple[Step, ...], verdict: Verdict | None) -> tuple[Step, ...]:
    """Return the tests of the protocol that a chain for the rest of a rule has to repeat.

    nft refuses `dnat to 10.0.0.1:80` where the same rule does not ask for the protocol, whatever the way to it asks.
    """
    if isinstance(verdict, SynProxy) or any(isinstance(step, Nat) and step.ports is not None for step in rest):
        return tuple(step for step in before if isinstance(step, FieldTest) and step.field is L4PROTO)
    return ()


def _is_said_by(step: Step, after: Step | None) -> bool:
    """Tell whether a step only asks if the statement behind it goes on, which that statement asks by itself."""
    return (
        isinstance(step, OpaqueTest)
        and isinstance(after, OpaqueEffect)
        and bool(after.expression)
        and step.holds
        and step.identity == after.identity
    )


def _is_asked_by(step: Step, after: Step | None) -> bool:
    """Tell whether a step only asks for the protocol of a header that the statement behind it looks into: nft asks itself.

    Not so for translations, which nft takes to a port only where the rule says the protocol.
    """
    if not isinstance(step, FieldTest) or step.field is not L4PROTO or not isinstance(after, OpaqueEffect):
        return False
    if not after.expression or kind_of(after.expression) in {*ENDING, "tproxy"}:
        return False
    # of messages nft would ask for the family as well
    headers = headers_asked(after.expression) - {"icmp", "icmpv6"}
    return any(step == number(L4PROTO, HEADER_PROTOCOLS.get(name, 0)) for name in headers)


class _Writer:
    __slots__ = ("guarded", "has_family", "is_ip6", "out", "protocol", "shared", "skip_protocol", "there")

    def __init__(self, shared: Shared, steps: tuple[Step, ...]) -> None:
        self.shared = shared
        self.protocol = _settled_protocol(steps)
        self.skip_protocol = self.protocol is not None and _is_implied(steps, self.protocol, shared.family)
        self.has_family = False
        self.guarded = HAS_TRANSPORT in shared.settled or not shared.guard_ports
        self.is_ip6 = any(isinstance(step, FieldTest) and step == _IP6 for step in steps)
        self.there: set[str] = set()
        """What tests before have asked that fail where it is not there."""
        self.out: list[nft.Statement] = []

    def write(
        self, steps: tuple[Step, ...], verdict: Verdict | None, counter: nft.Counter | None
    ) -> tuple[nft.Statement, ...]:
        counted = counter is None
        if said := asked_by_messages(steps, self.shared.family):
            steps = tuple(step for step in steps if step not in said)
            self.has_family, self.skip_protocol = True, False
        steps = tuple(step for step, after in zip_longest(steps, steps[1:]) if not _is_said_by(step, after))
        steps = tuple(step for step, after in zip_longest(steps, steps[1:]) if not _is_asked_by(step, after))
        for index, step in enumerate(steps):
            if is_missing(step):
                rest = (*_named_again(steps[:index], steps[index + 1 :], verdict), *steps[index + 1 :])
                self._unless(step.field, rest, verdict, None if counted else counter)
                return tuple(self.out)
            if not counted and not is_pure(step) and not isinstance(step, (StatefulTest, StatefulFromMap)):
                self.out.append(counter)  # type: ignore[arg-type] # counted is true where counter is None
                counted = True
            self._step(step, is_last=index == len(steps) - 1 and verdict is None)
        if not counted:
            self.out.append(counter)  # type: ignore[arg-type] # same
        if isinstance(verdict, TransparentProxy):
            self._transparent_proxy(verdict)
        elif verdict is not None and not self._ends_by_itself():
            if isinstance(verdict, Dispatch):
                for part in verdict.key:
                    self._ask_protocol(part.field)
            self.out.append(verdict_statement(verdict, self.shared.chain_name))
        return tuple(self.out)

    def _ends_by_itself(self) -> bool:
        """NAT and `fwd` decide the packet: a verdict behind one would be refused as unreachable."""
        last = self.out[-1] if self.out else None
        return isinstance(last, (nft.Nat, nft.Forward)) or (
            isinstance(last, nft.Foreign) and kind_of(last.json) in ENDING
        )

    def _step(self, step: Step, *, is_last: bool) -> None:
        skipped = self.skip_protocol
        self._write_step(step, is_last=is_last)
        self.has_family = self.has_family or (
            skipped == self.skip_protocol and settles_family(step, self.shared.family)
        )

    def _write_step(self, step: Step, *, is_last: bool) -> None:
        if isinstance(step, FieldTest):
            self._field_test(step)
        elif isinstance(step, MemberTest):
            self._member_test(step)
        elif isinstance(step, StatefulTest):
            self._stateful(step)
        elif isinstance(step, (AssignFromMap, StatefulFromMap)):
            self._from_map(step)
        elif isinstance(step, (Assign, AssignFromTable)) and is_header_write(step):
            self._header_write(step, is_last=is_last)
        elif isinstance(step, Assign):
            self._assign(step, is_last=is_last)
        elif isinstance(step, (SetHelper, SetTimeoutPolicy, SetSecmark)) or (isinstance(step, Count) and step.name):
            self.out.append(nft.ObjectStatement(_OBJECTS[type(step)], self.shared.object_of(step)))
        elif isinstance(step, SetUpdate):
            self._guard_key(step.key)
            statement = effect_statement(step, self.shared.family)
            assert isinstance(statement, nft.SetUpdate)  # noqa: S101 -- that is what a set update becomes
            name = self.shared.set_name(step.set_name)
            self.out.append(nft.SetUpdate(statement.kind, name, statement.key, statement.timeout))
        elif isinstance(step, (OpaqueTest, OpaqueEffect)):
            self.out.append(self._foreign(step))
        else:
            self.out.append(effect_statement(step, self._family_of(step)))  # type: ignore[arg-type] # expand took AnyOf out

    def _family_of(self, step: Step) -> Family:
        """Return the family of the addresses in a step: in inet tables a translation has one of its own."""
        family = self.shared.family
        if family is not Family.INET or not isinstance(step, Nat) or step.addresses is None:
            return family
        return Family.IP6 if self.is_ip6 or step.addresses[1] >> 32 else Family.IP

    def _foreign(self, step: OpaqueTest | OpaqueEffect) -> nft.Foreign:
        """Return what we do not model in the words in which it was read."""
        holds = not isinstance(step, OpaqueTest) or step.holds
        names = named_sets(step.expression) if step.expression else frozenset()
        lost = sorted(name for name in names if not self.shared.keeps_set(name))
        if lost:
            raise Refused("FWT200", f"a statement names `{lost[0]}`, which fwtrans reads but cannot print")
        if not step.expression:
            raise Refused("FWT200", "fwtrans reads but cannot print a statement here: what it comes to is not modelled")
        return nft.Foreign(step.expression if holds else negated_match(step.expression))

    # --- tests ---

    def _guard(self) -> None:
        if not self.guarded:
            self.out.extend(match_of(present(HAS_TRANSPORT), self.shared.family, self.protocol))
            self.guarded = True

    def _refuse_elsewhere(self, field: Field) -> None:
        """Refuse what only br_netfilter knows, and on bridges what they do not know; proofs are printed all the same."""
        if self.shared.proof_only:
            return
        unknown = _UNKNOWN_TO_BRIDGES.get(field.spelling[0]) if self.shared.family is Family.BRIDGE else None
        if unknown:
            said = " ".join(filter(None, field.spelling))
            raise Refused("FWT200", f"`{said}` has no nftables form for packets on a bridge, which know no {unknown}")
        if field.spelling[0] == "physdev":
            raise Refused(
                "FWT201", "bridge port matches (physdev) can be printed in the bridge family only", option="physdev"
            )

    def _ask_protocol(self, field: Field) -> None:
        """Ask for the protocol of a message, where nft would ask for its family as well."""
        protocol = message_protocol(field, self.shared.family)
        if protocol is not None and not self.has_family:
            self.out.extend(match_of(number(L4PROTO, protocol), self.shared.family, protocol))
            self.has_family = True

    def _guard_key(self, key: tuple[KeyPart, ...]) -> None:
        for part in key:
            self._refuse_elsewhere(part.field)
            self._ask_protocol(part.field)
        if any(_needs_transport(part.field) for part in key):
            self._guard()

    def _field_test(self, test: FieldTest) -> None:
        self._refuse_elsewhere(test.field)
        if test.field.name in self.there and test == present(test.field):
            return
        self.there.update(_shown_by(test))
        if test.field is L4PROTO and self.skip_protocol:
            self.skip_protocol = False
            return
        if test.field is HAS_TRANSPORT:
            if test == present(HAS_TRANSPORT) and self.shared.guard_ports:
                self._guard()
                return
        elif _needs_transport(test.field):
            self._guard()
        self._ask_protocol(test.field)
        self.out.extend(match_of(test, self.shared.family, self.protocol))

    def _member_test(self, test: MemberTest) -> None:
        self._guard_key(test.key)
        operator = nft.Operator.IMPLICIT if test.inside else nft.Operator.NOT_EQUAL
        name = self.shared.set_name(test.set_name)
        self.out.append(nft.Match(key_expression(test.key), nft.SetReference(name), operator))

    def _stateful(self, test: StatefulTest) -> None:
        if test.key:
            self._guard_key(test.key)
            again = bool(test.object.timeout) and test.object.refreshed
            kind = nft.UpdateKind.UPDATE if again else nft.UpdateKind.ADD
            inner = (stateful_statement(test),)
            self.out.append(nft.SetUpdate(kind, self.shared.keyed_set(test), key_expression(test.key), None, inner))
            return
        if self.shared.is_shared(test):
            if isinstance(test.object.kind, EveryNth):
                raise Refused(
                    "FWT200",
                    "a counter of packets (statistic nth) cannot be shared by the several rules that this one becomes",
                )
            if isinstance(test.object.kind, (Limit, Quota)):
                kind_of = nft.ObjectKind.LIMIT if isinstance(test.object.kind, Limit) else nft.ObjectKind.QUOTA
                self.out.append(nft.ObjectStatement(kind_of, self.shared.named_object(test)))
                return
            if not isinstance(test.object.kind, Random):
                raise Refused("FWT200", "a connection count without a key cannot be shared by several rules")
        self.out.append(stateful_statement(test))

    def _from_map(self, step: AssignFromMap | StatefulFromMap) -> None:
        self._guard_key(step.key)
        name = self.shared.set_name(step.map_name)
        lookup = nft.MapLookup(key_expression(step.key), nft.SetReference(name))
        if isinstance(step, AssignFromMap):
            self.out.append(nft.Assignment(selector(step.field), lookup))
        else:
            self.out.append(nft.ObjectStatement(nft.ObjectKind(self.shared.map_value(step.map_name)), lookup))

    def _unless(
        self, field: Field, rest: tuple[Step, ...], verdict: Verdict | None, counter: nft.Counter | None
    ) -> None:
        """Go on with the rest of the rule in a chain of its own, which what has the thing leaves at once."""
        assert not isinstance(verdict, (Return, Goto))  # noqa: S101 -- `missing_things` has seen to that
        rest = _with_protocol_of_answer(rest, verdict)
        inner = _Writer(self.shared, rest)
        inner.protocol = self.protocol or inner.protocol
        inner.guarded = self.guarded
        there = match_of(present(field), self.shared.family, self.protocol)
        leave: tuple[nft.Statement, ...] = (*there, nft.Verdict(nft.VerdictKind.RETURN))
        rules = [leave, inner.write(rest, verdict, counter)]
        name = self.shared.helper_chain(f"without-{field.spelling[1].replace(' ', '-')}", tuple(filter(None, rules)))
        self.out.append(nft.Verdict(nft.VerdictKind.JUMP, name))

    # --- effects that need more than a statement ---

    def _header_write(self, step: Assign | AssignFromTable, *, is_last: bool) -> None:
        statements = header_write(step, self.shared.helper_chain, self.shared.family)
        if not is_last and any(isinstance(item, nft.Verdict) for item in statements):
            raise Refused("FWT200", "changing single bits of a header must be the last thing a rule does")
        self.out.extend(statements)

    def _assign(self, step: Assign, *, is_last: bool) -> None:
        if step.source is None or step.keep == 0:
            found = assignment(step)
            if found is not None:
                self.out.append(found)
            return
        if not is_last:
            raise Refused("FWT200", "copying some bits of a mark must be the last thing a rule does")
        if ("has.conntrack", 1) in step.source.field.requires:
            # Without an entry there is nothing to copy, and iptables leaves the mark alone.
            self._field_test(present(HAS_CONNTRACK))
        name = self.shared.helper_chain(f"copy-{step.field.name}-bits", _bit_by_bit(step))
        self.out.append(nft.Verdict(nft.VerdictKind.JUMP, name))

    def _transparent_proxy(self, verdict: TransparentProxy) -> None:
        """Redirect and accept; where no socket listens, iptables drops, while nft would go on with the next rule."""
        if self.shared.family is Family.BRIDGE:
            raise Refused("FWT200", "`TPROXY` has no nftables form for packets on a bridge, which know no sockets")
        if self.protocol is None:
            raise Refused("FWT200", "TPROXY needs one protocol: -p tcp or -p udp")
        width = 32 if self.shared.family.value == "ip" else 128
        address = None if verdict.address is None else nft.Address(verdict.address, width)
        redirect: list[nft.Statement] = [
            nft.Match(nft.Meta("l4proto"), literal(L4PROTO, self.protocol)),
            # port 0 is the packet's own; nft wants one of the two named
            nft.Tproxy(address, nft.Number(verdict.port) if verdict.port or address is None else None),
        ]
        mark = assignment(Assign(MARK, verdict.mark_keep, verdict.mark_constant))
        if mark is not None:
            redirect.append(mark)
        redirect.append(nft.Verdict(nft.VerdictKind.ACCEPT))
        name = self.shared.helper_chain("tproxy", (tuple(redirect), (nft.Verdict(nft.VerdictKind.DROP),)))
        self.out.append(nft.Verdict(nft.VerdictKind.GOTO, name))


def _shown_by(test: FieldTest) -> set[str]:
    """Return the fields of what is there wherever a test holds; whether headers are there is asked by a guard."""
    found = {name for name, value in test.field.requires if value == 1} - {HAS_TRANSPORT.name}
    if test.field is CT_STATE and isinstance(test.values, IntervalSet) and test.values.difference(_TRACKED).is_empty:
        found.add(HAS_CONNTRACK.name)
    return found


def _needs_transport(field: Field) -> bool:
    return ("has.transport", 1) in field.requires


def _bit_by_bit(step: Assign) -> tuple[tuple[nft.Statement, ...], ...]:
    """Return rules for field = ((field & keep) ^ source) ^ constant: nft of our targets cannot combine two fields.

    First all that does not depend on the source, then each source bit by itself.
    """
    assert step.source is not None  # noqa: S101 -- the caller looked
    rules: list[tuple[nft.Statement, ...]] = []
    first = assignment(Assign(step.field, step.keep, step.constant))
    if first is not None:
        rules.append((first,))
    ones = (1 << step.field.width) - 1
    for position in range(step.source.field.width):
        bit = 1 << position
        moved = bit << step.source.shift if step.source.shift >= 0 else bit >> -step.source.shift
        if not step.source.mask & bit or not moved & ones:
            continue
        flip = assignment(Assign(step.field, ones, moved))
        assert flip is not None  # noqa: S101 -- it flips a bit
        found = selector(step.source.field)
        masked = nft.Binary(nft.BinaryOperator.AND, found, literal(step.source.field, bit))
        rules.append((nft.Match(masked, literal(step.source.field, bit), nft.Operator.EQUAL), flip))
    return tuple(rules)
