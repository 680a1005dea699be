"""What of an outcome somebody can see, which is what two rulesets must have in common.

The mark of a packet that is dropped, a translation set up for it, the conntrack mark of a connection that never comes to
be: nobody sees these. A later packet of a connection that nobody has answered is new as well, and the mark that it sets
although it is dropped is taken to be unseen too. The order between a log and the touch of a limit is not seen either, only the order within each.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import effect as does
from fwtrans.ir import verdict as verdicts
from fwtrans.ir.fields import CT_STATE, Family, Field
from fwtrans.semantics.concrete import Decision, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwtrans.semantics.packet import Packet

# Streams of effects that happen whatever becomes of the packet; what goes on with the packet is seen where it passes.
ALWAYS_SEEN = frozenset({"log", "touch", "set", "opaque", "queue", "Duplicate", "Forward"})
_NEW = 3

# What nf_reject answers for the types that nftables has for both protocols, nft(8) and nf_reject.h (kernel 6.1).
_ICMPX = {
    Family.IP: ("icmp", {"no-route": "net-unreachable"}),
    Family.IP6: ("icmpv6", {"host-unreachable": "addr-unreachable"}),
}
Ending = verdicts.Accept | verdicts.Drop | verdicts.Reject | verdicts.SynProxy | verdicts.Return


_OWN_NAMES: Mapping[str, str] = MappingProxyType({})


class Visible(NamedTuple):
    """Verdict, fields and effects by stream."""

    verdict: tuple[object, ...]
    fields: dict[Field, int | str]
    streams: dict[tuple[str, str], tuple[object, ...]]


def visible(outcome: Outcome, packet: Packet, family: Family, names: Mapping[str, str] = _OWN_NAMES) -> Visible:
    """Return what can be seen of a concrete outcome; `names` are what the other side calls the stateful objects."""
    passed = outcome.decision is Decision.ACCEPT
    verdict: list[object] = [outcome.decision]
    streams: dict[tuple[str, str], list[object]] = {}
    for effect in outcome.effects:
        if isinstance(effect, (verdicts.Reject, verdicts.SynProxy)):
            verdict.append(plain_reject(effect, family))
            continue
        stream, content = _stream(effect, names)
        if passed or stream[0] in ALWAYS_SEEN:
            streams.setdefault(stream, []).append(content)
    kept = passed or outcome.decision is Decision.REJECT or packet.values.get(CT_STATE) != _NEW
    fields = {field: value for field, value in outcome.values.items() if passed or (kept and is_of_connection(field))}
    return Visible(tuple(verdict), fields, {stream: tuple(found) for stream, found in streams.items()})


def plain_reject(verdict: Ending, family: Family) -> Ending:
    """Return a reject by what is answered: nftables' icmpx types are the ICMP or ICMPv6 ones of the packet's family."""
    if isinstance(verdict, verdicts.Reject) and verdict.protocol == "icmpx" and family in _ICMPX:
        protocol, kinds = _ICMPX[family]
        return verdicts.Reject(protocol, kinds.get(verdict.kind, verdict.kind))
    return verdict


def is_of_connection(field: Field) -> bool:
    """Tell whether a field belongs to the connection, and so may outlive the packet; its state is the packet's."""
    return field.name.startswith("ct.") and field is not CT_STATE


def _stream(effect: object, names: Mapping[str, str]) -> tuple[tuple[str, str], object]:
    if isinstance(effect, tuple) and effect[0] == "touch":
        touched, key = effect[1:]
        name = names.get(touched.identity, touched.identity)
        return ("touch", name), (key, touched.kind, touched.timeout, touched.size, touched.refreshed)
    if isinstance(effect, does.SetUpdate):
        name = names.get(effect.set_name, effect.set_name)
        return ("set", name), replace(effect, set_name=name)
    if isinstance(effect, (verdicts.Queue, verdicts.TransparentProxy)):
        return ("queue", ""), effect
    if isinstance(effect, does.OpaqueEffect):
        return ("opaque", ""), effect.identity
    if isinstance(effect, does.Log):
        return ("log", ""), effect
    return ("nat" if isinstance(effect, (does.Nat, tuple)) else type(effect).__name__, ""), effect
