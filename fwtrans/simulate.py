"""One packet, described in a few words, through a ruleset: what becomes of it, by which rules, at what cost.

`key=value` pairs become a packet and its way through the hooks. What is not said gets the value that an ordinary packet
has; what contradicts itself is refused, because a verdict on an impossible packet teaches nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.comparing import asks_for_bridge_ports
from fwtrans.diagnostics import Diagnostic, DiagnosticSink, Refused
from fwtrans.ir import fields as f
from fwtrans.ir.effect import Nat, NatKind
from fwtrans.ir.fields import FIELDS, Family, Field, FieldKind
from fwtrans.ir.host import Host
from fwtrans.ir.ruleset import Hook
from fwtrans.ir.walk import fields_read
from fwtrans.lower.values import read_address, read_mac, read_number, read_port, read_protocol
from fwtrans.optimizer.bridged.hardware import hardware_addresses
from fwtrans.semantics.bridged.journey import journey, read_end
from fwtrans.semantics.bridged.topology import guest_ports
from fwtrans.semantics.concrete import Decision, Outcome, evaluate
from fwtrans.semantics.packet import HookVisit, Packet, Unknown, UnknownKind
from fwtrans.semantics.path import Hop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from fwtrans.ir.ruleset import Ruleset

KEYS = (
    "hook", "from", "to", "iif", "oif", "physdev-in", "physdev-out", "src", "dst", "proto", "sport", "dport", "icmp-type",
    "icmp-code", "tcp-flags", "mac-src", "mac-dst", "mark", "ct-mark", "state", "assume",
)  # fmt: skip
_HOOKS = {hook.value: hook for hook in Hook}
_STATES = {"invalid": 0, "established": 1, "related": 2, "new": 3, "untracked": 4}
_FLAGS = {"fin": 1, "syn": 2, "rst": 4, "psh": 8, "ack": 16, "urg": 32, "ece": 64, "cwr": 128, "none": 0}
_WITH_PORTS = {6, 17, 33, 132, 136}
_SEES_IN = {Hook.PREROUTING, Hook.INPUT, Hook.FORWARD}
_ENDS = "an end is tap100i0, vm100, vm100i1, ct200, host, outside, nfvm, or a port with its bridge as in vmbr0/eth0"
_UNKNOWN = Host()
_SEES_OUT = {Hook.FORWARD, Hook.OUTPUT, Hook.POSTROUTING}


class Visited(NamedTuple):
    """One hook visit: where, by which interfaces and ports, and what it came to."""

    visit: HookVisit
    outcome: Outcome
    interfaces: tuple[str, ...]


class Simulated(NamedTuple):
    """The hook visits in order with what each came to; the last one decides."""

    packet: Packet
    visits: tuple[Visited, ...]
    asked: tuple[Unknown, ...]

    @property
    def last(self) -> Outcome:
        """Return the outcome of the visit that decided."""
        return self.visits[-1].outcome


@dataclass(frozen=True, slots=True)
class Probe:
    """A packet, the hooks it passes or the ends that it goes between, and what is assumed of what cannot be modelled."""

    family: Family
    hooks: tuple[Hook, ...]
    values: Mapping[Field, int | str]
    assumed: Mapping[str, bool] = field(default_factory=dict)
    ends: tuple[str, str] | None = None


def read_probe(words: Sequence[str], sink: DiagnosticSink) -> Probe | None:
    """Return the packet that the words describe; None where they do not describe one (the sink says why)."""
    given: dict[str, str] = {}
    assumed: dict[str, bool] = {}
    try:
        for word in words:
            key, found, value = word.partition("=")
            _check_key(key, word, given, has_value=bool(found))
            if key == "assume":
                name, _, answer = value.rpartition(":")
                assumed[name or answer] = answer.lower() not in {"no", "false", "0"}
            else:
                given[key] = value
        return _Building(given).probe(assumed)
    except Refused as refused:
        hints = (refused.hint,) if refused.hint else ()
        sink.add(Diagnostic(code=refused.code, message=refused.message, hints=hints))
        return None


def _check_key(key: str, word: str, given: Mapping[str, str], *, has_value: bool) -> None:
    if not has_value:
        raise Refused("FWT102", f"`{word}` is not key=value")
    if key not in KEYS and key not in FIELDS:
        near = get_close_matches(key, KEYS, n=1)
        raise Refused(
            "FWT103", f"unknown key `{key}`", hint=f"did you mean `{near[0]}`" if near else "keys: " + ", ".join(KEYS)
        )
    if key in given:
        raise Refused("FWT111", f"`{key}` is given twice")


@dataclass(slots=True)
class _Building:
    given: dict[str, str]
    values: dict[Field, int | str] = field(default_factory=dict)

    def probe(self, assumed: Mapping[str, bool]) -> Probe:
        family = self._family()
        hooks = self._hooks()
        self._interfaces(hooks)
        protocol = self._transport(family)
        self._addresses(family)
        self._state(protocol)
        self._link()
        self._own_fields()
        return Probe(family, hooks, self.values, assumed, self._ends())

    def _ends(self) -> tuple[str, str] | None:
        if "from" not in self.given and "to" not in self.given:
            return None
        clash = next((key for key in ("hook", "iif", "oif", "physdev-in", "physdev-out") if key in self.given), None)
        if clash is not None:
            raise Refused("FWT117", f"`{clash}` beside `from` and `to`, which say the whole way")
        missing = next((key for key in ("from", "to") if key not in self.given), None)
        if missing is not None:
            raise Refused("FWT116", f"`{missing}` is missing", hint=_ENDS)
        return self.given["from"], self.given["to"]

    def _family(self) -> Family:
        found = {
            key: Family.IP6 if ":" in self.given[key] else Family.IP for key in ("src", "dst") if key in self.given
        }
        if len(set(found.values())) > 1:
            raise Refused("FWT117", f"src={self.given['src']} and dst={self.given['dst']} are of different families")
        family = next(iter(found.values()), None)
        if family is None:
            family = Family.IP6 if self.given.get("proto") in {"icmpv6", "ipv6-icmp", "58"} else Family.IP
        self.values[f.NFPROTO] = 10 if family is Family.IP6 else 2
        self.values[f.ETHER_PROTOCOL] = 0x86DD if family is Family.IP6 else 0x0800
        return family

    def _hooks(self) -> tuple[Hook, ...]:
        if "from" in self.given or "to" in self.given:
            return ()
        if "hook" in self.given:
            names = self.given["hook"].split(",")
            for name in names:
                if name not in _HOOKS:
                    raise Refused("FWT112", f"`{name}` is not a hook", hint="one of: " + ", ".join(_HOOKS))
            return tuple(_HOOKS[name] for name in names)
        if "iif" in self.given and "oif" in self.given:
            return (Hook.PREROUTING, Hook.FORWARD, Hook.POSTROUTING)
        if "iif" in self.given:
            return (Hook.PREROUTING, Hook.INPUT)
        if "oif" in self.given:
            return (Hook.OUTPUT, Hook.POSTROUTING)
        raise Refused(
            "FWT116",
            "where does the packet go?",
            hint="give from=... and to=..., hook=input, or iif=..., or oif=..., or both",
        )

    def _interfaces(self, hooks: tuple[Hook, ...]) -> None:
        for key, field_, seen in (("iif", f.IIFNAME, _SEES_IN), ("oif", f.OIFNAME, _SEES_OUT)):
            if key in self.given and hooks and not set(hooks) & seen:
                where = ", ".join(hook.value for hook in hooks)
                raise Refused("FWT117", f"a packet at {where} has no {key}")
            self.values[field_] = self.given.get(key, "")
        self.values[f.PORT_IN] = self.given.get("physdev-in", "")
        self.values[f.PORT_OUT] = self.given.get("physdev-out", "")
        self.values[f.BRIDGED] = int("physdev-in" in self.given and "physdev-out" in self.given)
        self.values[f.IBRNAME] = self.values[f.OBRNAME] = ""

    def _transport(self, family: Family) -> int:
        icmp = 58 if family is Family.IP6 else 1
        with_type = "icmp-type" in self.given or "icmp-code" in self.given
        default = "icmpv6" if with_type and family is Family.IP6 else "icmp" if with_type else "tcp"
        protocol = read_protocol(self.given.get("proto", default), "proto", family)
        self.values[f.L4PROTO] = protocol
        self.values[f.HAS_TRANSPORT] = 1
        for key in ("sport", "dport"):
            if key in self.given and protocol not in _WITH_PORTS:
                raise Refused("FWT117", f"`{key}` with protocol {protocol}: it has no ports")
        if with_type and protocol != icmp:
            raise Refused("FWT117", f"`icmp-type` with protocol {protocol}")
        if "tcp-flags" in self.given and protocol != 6:
            raise Refused("FWT117", f"`tcp-flags` with protocol {protocol}")
        if protocol in _WITH_PORTS:
            self.values[f.SPORT] = read_port(self.given.get("sport", "40000"), "sport")
            self.values[f.DPORT] = read_port(self.given.get("dport", "443"), "dport")
        elif protocol == icmp:
            kind, code = (f.ICMP6_TYPE, f.ICMP6_CODE) if family is Family.IP6 else (f.ICMP_TYPE, f.ICMP_CODE)
            self.values[kind] = _word_or_number(kind, self.given.get("icmp-type", "echo-request"), "icmp-type")
            self.values[code] = read_number(self.given.get("icmp-code", "0"), "icmp-code", high=255)
        return protocol

    def _addresses(self, family: Family) -> None:
        ends = (f.source_address(family), f.destination_address(family))
        usual = ("2001:db8::10", "2001:db8::20") if family is Family.IP6 else ("192.0.2.10", "198.51.100.20")
        for key, field_, default in zip(("src", "dst"), ends, usual, strict=True):
            self.values[field_] = read_address(self.given.get(key, default), key, family)
        if family is Family.IP6:
            self.values.update({f.IP6_CLASS: 0, f.IP6_HOPLIMIT: 64, f.IP6_LENGTH: 40})
        else:
            self.values.update(
                {f.IP_TOS: 0, f.IP_TTL: 64, f.IP_LENGTH: 60, f.IP_FRAGMENT: 0x4000, f.IP_ID: 1, f.IP_HEADER_LENGTH: 5}
            )

    def _state(self, protocol: int) -> None:
        name = self.given.get("state", "new")
        if name not in _STATES:
            raise Refused("FWT112", f"`{name}` is not a connection state", hint="one of: " + ", ".join(_STATES))
        tracked = name not in {"invalid", "untracked"}
        if "ct-mark" in self.given and not tracked:
            raise Refused("FWT117", f"a packet in state {name} has no connection and so no ct-mark")
        self.values[f.CT_STATE] = _STATES[name]
        self.values[f.HAS_CONNTRACK] = int(tracked)
        self.values[f.MARK] = read_number(self.given.get("mark", "0"), "mark")
        if tracked:
            self.values[f.CT_MARK] = read_number(self.given.get("ct-mark", "0"), "ct-mark")
            self.values.update({f.CT_STATUS: 0, f.CT_DIRECTION: 0})
        if protocol == 6:
            usual = "syn" if name == "new" else "ack"
            self.values[f.TCP_FLAGS] = _flags(self.given.get("tcp-flags", usual))

    def _link(self) -> None:
        self.values.update(
            {f.PACKET_TYPE: 0, f.PRIORITY: 0, f.PACKET_LENGTH: 60, f.NFTRACE: 0, f.HAS_SOCKET: 0, f.HAS_VLAN: 0}
        )
        self.values[f.HAS_ETHERNET] = int(bool(self.values[f.IIFNAME]))
        self.values[f.ETHER_TYPE] = self.values[f.ETHER_PROTOCOL]
        for key, field_ in (("mac-src", f.ETHER_SADDR), ("mac-dst", f.ETHER_DADDR)):
            if key in self.given:
                self.values[field_] = read_mac(self.given[key], key)
                self.values[f.HAS_ETHERNET] = 1

    def _own_fields(self) -> None:
        """Take fields by the catalogue's own names, for what has no key of its own: `ip.ttl=1`."""
        for key, text in self.given.items():
            found = FIELDS.get(key)
            if found is None or key in KEYS:
                continue
            self.values[found] = text if found.kind is FieldKind.NAME else _word_or_number(found, text, key)


def _word_or_number(field_: Field, text: str, key: str) -> int:
    for word, value in field_.symbols:
        if word == text:
            return value
    return read_number(text, key, high=(1 << field_.width) - 1)


def _flags(text: str) -> int:
    value = 0
    for word in text.lower().split(","):
        if word not in _FLAGS:
            raise Refused("FWT112", f"`{word}` is not a TCP flag", hint="one of: " + ", ".join(_FLAGS))
        value |= _FLAGS[word]
    return value


def simulate(ruleset: Ruleset, probe: Probe, host: Host = _UNKNOWN) -> Simulated:
    """Send the packet on its way; what one hook writes into it (marks), the next one sees."""
    hops, values = _way(ruleset, probe, host)
    first = dict(values)
    asked: list[Unknown] = []
    answer = _answerer(probe.assumed, asked)
    visits: list[Visited] = []
    raw = _raw_fields(ruleset)
    for hop in hops:
        seen = {**values, **hop.values}
        seen |= _raw_addresses(raw, probe.family, seen)
        outcome = evaluate(ruleset, hop.visit, Packet(seen), answer)
        visits.append(Visited(hop.visit, outcome, _shown(seen)))
        if outcome.decision is not Decision.ACCEPT:
            break
        values.update({field_: value for field_, value in outcome.values.items() if field_ not in hop.values})
        values.update(_translated(outcome, probe.family, values))
    return Simulated(Packet(first), tuple(visits), tuple(asked))


def _raw_fields(ruleset: Ruleset) -> frozenset[Field]:
    """Return the bits of the network header that rules ask for without a name."""
    rules = (rule for table in ruleset.tables for chain in table.chains for rule in chain.rules)
    read = {field_ for rule in rules for field_ in fields_read(rule)}
    return frozenset(field_ for field_ in read if field_.spelling[:2] == ("raw", "nh"))


def _raw_addresses(asked: Iterable[Field], family: Family, values: Mapping[Field, int | str]) -> dict[Field, int]:
    """Return those of the bits that are addresses, or parts of them."""
    found: dict[Field, int] = {}
    for address in (f.source_address(family), f.destination_address(family)):
        whole, value = f.raw_address(address), values.get(address)
        if whole is None or not isinstance(value, int):
            continue
        for field_ in asked:
            offset = int(field_.spelling[2]) - int(whole.spelling[2])
            shift = address.width - offset - field_.width
            if offset >= 0 and shift >= 0:
                found[field_] = value >> shift & (1 << field_.width) - 1
    return found


def _shown(values: Mapping[Field, int | str]) -> tuple[str, ...]:
    """Return the interfaces of a visit, each with its bridge or port."""
    pairs = ((f.IIFNAME, f.PORT_IN, f.IBRNAME), (f.OIFNAME, f.PORT_OUT, f.OBRNAME))
    return tuple(
        "/".join(dict.fromkeys(name for field_ in pair if (name := str(values.get(field_, ""))))) for pair in pairs
    )


def check_ends(ruleset: Ruleset, probe: Probe, sink: DiagnosticSink) -> bool:
    """Tell whether the ruleset's host has the ends that a packet goes between; if not, the sink says why."""
    guests = guest_ports(ruleset)
    unknown = [name for name in probe.ends or () if read_end(name, guests) is None]
    for name in unknown:
        sink.add(Diagnostic(code="FWT112", message=f"`{name}` is no end of a way", hints=(_ENDS,)))
    if unknown or probe.ends is None:
        return not unknown
    start, goal = (read_end(name, guests) for name in probe.ends)
    if start == goal:
        message = f"from={probe.ends[0]} and to={probe.ends[1]} are one end: such a packet meets no bridge"
        sink.add(Diagnostic(code="FWT117", message=message, hints=(_ENDS,)))
    return start != goal


def _way(ruleset: Ruleset, probe: Probe, host: Host) -> tuple[tuple[Hop, ...], dict[Field, int | str]]:
    """Return the hook visits of the packet, and the packet as it starts."""
    values = dict(probe.values)
    if probe.ends is None:
        interfaces = {field_: values[field_] for field_ in (f.IIFNAME, f.OIFNAME)}
        visits = [(HookVisit(probe.family, hook), _hidden(hook)) for hook in probe.hooks]
        own = [Hop(visit, tuple((field_, "" if field_ in hidden else name) for field_, name in interfaces.items())) for visit, hidden in visits]  # fmt: skip
        return tuple(own), values
    guests = guest_ports(ruleset)
    start, goal = (read_end(name, guests) for name in probe.ends)
    assert start is not None  # noqa: S101 -- `check_ends` has looked
    assert goal is not None  # noqa: S101 -- so it has at this one
    hardware = {**host.hardware, **hardware_addresses(ruleset)}
    for end, field_ in ((start, f.ETHER_SADDR), (goal, f.ETHER_DADDR)):
        if end.port in hardware:
            values.setdefault(field_, hardware[end.port])
    usual = dict.fromkeys((f.IIFNAME, f.OIFNAME, f.IBRNAME, f.OBRNAME, f.PORT_IN, f.PORT_OUT), "")
    start_values = {**values, **usual, f.BRIDGED: 0}
    return journey(probe.family, start, goal, by_iptables=asks_for_bridge_ports(ruleset)), start_values


def _translated(outcome: Outcome, family: Family, values: Mapping[Field, int | str]) -> dict[Field, int | str]:
    """Return what address translation has changed for the hooks behind: of a range the first address."""
    found: dict[Field, int | str] = {}
    for effect in outcome.effects:
        if not isinstance(effect, Nat):
            continue
        is_source = effect.kind in {NatKind.SNAT, NatKind.MASQUERADE}
        address, port, bit = (
            (f.source_address(family), f.SPORT, 0x10) if is_source else (f.destination_address(family), f.DPORT, 0x20)
        )
        status = values.get(f.CT_STATUS, 0)
        found[f.CT_STATUS] = (status if isinstance(status, int) else 0) | bit
        if effect.addresses is not None and not effect.prefix:
            found[address] = effect.addresses[0]
        if effect.ports is not None and port in values:
            found[port] = effect.ports[0]
    return found


def _hidden(hook: Hook) -> frozenset[Field]:
    """Return the interfaces that a packet does not have at this hook."""
    found: set[Field] = set()
    if hook not in _SEES_IN:
        found.add(f.IIFNAME)
    if hook not in _SEES_OUT:
        found.add(f.OIFNAME)
    return frozenset(found)


def _answerer(assumed: Mapping[str, bool], asked: list[Unknown]) -> Callable[[Unknown], bool]:
    def answer(unknown: Unknown) -> bool:
        if unknown not in asked:
            asked.append(unknown)
        for name, value in assumed.items():
            if name == unknown.identity or name in unknown.identity:
                return value
        # Nothing is used up and nobody is in a list yet, unless somebody says so.
        return unknown.kind is UnknownKind.STATEFUL

    return answer
