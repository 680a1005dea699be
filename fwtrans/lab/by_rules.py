"""What the rules of a Proxmox VE host say of a probe: its whole way over the bridges, judged by the concrete evaluator.

The lab's verdicts are the kernel's. This is asked to name rules in the report, and to tell a difference that is meant from a
fault that looks like it: whether a refusal that now arrives was one before is a question to the rules, not to the packets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_interface
from typing import TYPE_CHECKING

from fwtrans.ir import fields as known
from fwtrans.ir.fields import Family, Field
from fwtrans.ir.verdict import Reject
from fwtrans.lab.blame import ESTABLISHED, packet_of, place_of
from fwtrans.lab.conversation import LINK_KINDS, group_mac, no_address
from fwtrans.lab.probe import Follow, Probe
from fwtrans.lab.topology import HOST
from fwtrans.semantics.bridged.journey import journey, read_end
from fwtrans.semantics.bridged.topology import guest_ports
from fwtrans.semantics.concrete import Decision, evaluate
from fwtrans.semantics.packet import Packet, UnknownKind

if TYPE_CHECKING:
    from fwtrans.ir.ruleset import Ruleset
    from fwtrans.lab.topology import PveTopology
    from fwtrans.semantics.concrete import Outcome
    from fwtrans.semantics.packet import Unknown
    from fwtrans.semantics.path import Hop

_UNICAST, _LOCAL, _BROADCAST, _MULTICAST = 1, 2, 3, 5
"""Types of addresses, as the kernel numbers them (RTN_)."""
_SYN_ACK, _ACK_PUSH, _ECHO_REPLIES = 0x12, 0x18, {8: 0, 128: 129}
_PORTS = (known.PORT_IN, known.PORT_OUT, known.IIFNAME, known.OIFNAME, known.IBRNAME, known.OBRNAME)
_CODES = {
    "icmp": {
        "net-unreachable": 0, "no-route": 0, "host-unreachable": 1, "prot-unreachable": 2, "port-unreachable": 3,
        "net-prohibited": 9, "host-prohibited": 10, "admin-prohibited": 13,
    },
    "icmp6": {
        "no-route": 0, "admin-prohibited": 1, "addr-unreachable": 3, "host-unreachable": 3, "port-unreachable": 4,
        "policy-fail": 5, "reject-route": 6,
    },
}  # fmt: skip
"""Codes of ICMP's destination unreachable (RFC 792, RFC 1812) and ICMPv6's (RFC 4443); icmpx takes the family's."""


@dataclass(frozen=True, slots=True)
class RulesOnBridges:
    """A ruleset on the host that it is for."""

    ruleset: Ruleset
    topology: PveTopology
    on_every_bridge: bool
    """Whether these are rules of iptables, which judges a packet on each bridge that it passes."""

    def refusal(self, probe: Probe, step: int) -> str:
        """Return the answer that the rules give to a packet of the probe, as the lab names answers; nothing for none."""
        outcome = self.outcome(probe, step)
        if outcome is None or outcome.decision is not Decision.REJECT:
            return ""
        verdict = next(effect for effect in reversed(outcome.effects) if isinstance(effect, Reject))
        return _answer(verdict, is_v6=":" in self._sent(probe, step).source_address)

    def rule(self, probe: Probe, step: int) -> str:
        """Return where the rule stands that ends the packet's way, or the last that let it pass."""
        outcome = self.outcome(probe, step)
        if outcome is None:
            return ""
        if outcome.decided_by is None:
            return "no rule" if outcome.decision is Decision.ACCEPT else "policy"
        return place_of(outcome.decided_by)

    def outcome(self, probe: Probe, step: int) -> Outcome | None:
        """Return what becomes of the packet where its way ends; None for what carries no IP."""
        hops = self._hops(probe, step)
        if probe.kind in LINK_KINDS or not hops:
            return None
        sent = self._sent(probe, step)
        values = {**dict.fromkeys(_PORTS, ""), **self._values(sent, step)}
        found, decided = None, None
        for hop in hops:
            found = evaluate(self.ruleset, hop.visit, Packet({**values, **hop.values}), _usual)
            decided = found.decided_by or decided
            if found.decision is not Decision.ACCEPT:
                return found
            values.update({which: value for which, value in found.values.items() if which not in hop.values})
        return replace(found, decided_by=decided) if found is not None else None

    def _hops(self, probe: Probe, step: int) -> tuple[Hop, ...]:
        guests = guest_ports(self.ruleset)
        sent = self._sent(probe, step)
        bridges = {name: bridge for name, _, _, bridge, _ in self.topology.endpoints()}
        ends = [
            read_end(f"{bridges[name]}/{name}" if name in bridges else name, guests)
            for name in (sent.source, sent.target)
        ]
        if ends[0] is None or ends[1] is None or ends[0] == ends[1]:
            return ()
        family = Family.IP6 if ":" in sent.source_address else Family.IP
        return journey(family, ends[0], ends[1], by_iptables=self.on_every_bridge)

    def _sent(self, probe: Probe, step: int) -> Probe:
        """Return the packet of a step as a probe of its own, with the addresses that its ends have."""
        is_v6 = ":" in probe.source_address + probe.target_address or probe.ipv6
        whole = replace(
            probe,
            source_address=probe.source_address or self._address(probe.source, is_v6=is_v6),
            target_address=probe.target_address or self._address(probe.target, is_v6=is_v6),
        )
        follow = probe.follow[step - 1] if step else None
        if follow is None:
            return whole
        if follow is Follow.REQUEST:
            return replace(whole, flags=_ACK_PUSH)
        return replace(
            whole, source=whole.target, target=whole.source, source_address=whole.target_address,
            target_address=whole.source_address, sport=whole.dport, dport=whole.sport, flags=_SYN_ACK, source_mac="",
            target_mac="", icmp_type=_ECHO_REPLIES.get(whole.icmp_type, whole.icmp_type),
        )  # fmt: skip

    def _address(self, name: str, *, is_v6: bool) -> str:
        if name == HOST:
            found = [one.address.partition("/")[0] for one in self.topology.host]
        else:
            found = [address for other, _, own, *_ in self.topology.endpoints() if other == name for address in own]
        return next((one for one in found if (":" in one) == is_v6), no_address(is_v6=is_v6))

    def _values(self, sent: Probe, step: int) -> dict[Field, int | str]:
        hardware = {name: mac for name, mac, *_ in self.topology.endpoints()}
        group = group_mac(sent.target_address)
        target = group or sent.target_mac or hardware.get(sent.target, "")
        values = {
            **packet_of(sent), known.BRIDGED: 0, known.PACKET_LENGTH: 60, known.PRIORITY: 0, known.NFTRACE: 0,
            known.HAS_SOCKET: 0, known.HAS_VLAN: 0, known.CT_DIRECTION: 0, known.HAS_ETHERNET: int(sent.source != HOST),
            known.PACKET_TYPE: 0 if not group else 1 if group == "ff:ff:ff:ff:ff:ff" else 2,
            known.ETHER_SADDR: _number(sent.source_mac or hardware.get(sent.source, "")), known.ETHER_DADDR: _number(target),
        }  # fmt: skip
        values[known.ETHER_TYPE] = values[known.ETHER_PROTOCOL]
        if step:
            values[known.CT_STATE] = ESTABLISHED
        for side, address in (("saddr", sent.source_address), ("daddr", sent.target_address)):
            kind = self._type(address)
            values |= {known.fib((side, *more), "type"): kind for more in ((), ("iif",), ("oif",))}
        return values

    def _type(self, text: str) -> int:
        address = ip_address(text)
        own = [ip_interface(one.address) for one in self.topology.host]
        if any(address == one.ip for one in own):
            return _LOCAL
        is_broadcast = text == "255.255.255.255" or (
            address.version == 4 and any(address == one.network.broadcast_address for one in own)
        )
        return _BROADCAST if is_broadcast else _MULTICAST if address.is_multicast else _UNICAST


def _usual(unknown: Unknown) -> bool:
    """Answer that nothing is used up, and that nobody is in a list yet."""
    return unknown.kind is UnknownKind.STATEFUL


def _answer(verdict: Reject, *, is_v6: bool) -> str:
    if verdict.protocol == "tcp reset":
        return "tcp-reset"
    if is_v6:
        return f"icmp6 1/{_CODES['icmp6'].get(verdict.kind, 4)}"
    return f"icmp 3/{_CODES['icmp'].get(verdict.kind, 3)}"


def _number(mac: str) -> int:
    return int(mac.replace(":", ""), 16) if mac.count(":") == 5 else 0
