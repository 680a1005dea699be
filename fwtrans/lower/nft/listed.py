"""A ruleset as a listing of it says it: `nft list ruleset` leaves out `meta l4proto icmp` in front of `icmp type`.

    meta l4proto icmp icmp type echo-request        icmp type echo-request

The two are not the same where a table sees several families: in front of `icmp type` alone nft asks for IPv4 as well, and
the left one lets IPv6 packets pass that carry messages of IPv4's ICMP. A listing cannot tell the one from the other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir.fields import ETHER_PROTOCOL, ETHER_TYPE, L4PROTO, NFPROTO, Family
from fwtrans.ir.match import FieldTest, MemberTest, number
from fwtrans.ir.verdict import Dispatch
from fwtrans.lower.nft.implied import FRAMES, MESSAGES, SEVERAL, settles_family

if TYPE_CHECKING:
    from fwtrans.ir.fields import Field
    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Ruleset

LEFT_OUT = "a listing leaves out `meta l4proto icmp` in front of `icmp type`: rules are compared as nft lists them"
"""What a comparison of rulesets as they are listed rests on."""
_TRANSPORT = {"icmp": 1, "icmpv6": 58, "igmp": 2}


def as_listed(ruleset: Ruleset) -> Ruleset:
    """Return the ruleset with the family asked for wherever a listing of it would ask for it."""
    tables = tuple(
        replace(
            table,
            chains=tuple(
                replace(chain, rules=tuple(_rule(rule, table.family) for rule in chain.rules)) for chain in table.chains
            ),
        )
        if table.family in SEVERAL
        else table
        for table in ruleset.tables
    )
    return replace(ruleset, tables=tables)


def _rule(rule: Rule, family: Family) -> Rule:
    looked_up = _message_of(rule.verdict.key[0].field) if isinstance(rule.verdict, Dispatch) else ""
    asked = [*map(_message_in, rule.steps), looked_up]
    place = next((index for index, message in enumerate(asked) if message), None)
    if place is None:
        return rule
    own = number(L4PROTO, _TRANSPORT[asked[place]])
    before = rule.steps[:place]
    if own not in before or any(settles_family(step, family) for step in before if step != own):
        return rule
    return replace(rule, steps=(*before, _family_test(asked[place], family), *rule.steps[place:]))


def _message_in(step: Step) -> str:
    if isinstance(step, FieldTest):
        return _message_of(step.field)
    return _message_of(step.key[0].field) if isinstance(step, MemberTest) else ""


def _message_of(field: Field) -> str:
    kind, name, *_ = (*field.spelling, "")
    return name if kind == "payload" and name in _TRANSPORT else ""


def _family_test(message: str, family: Family) -> FieldTest:
    answered = MESSAGES[message]
    if family is Family.INET:
        return number(NFPROTO, answered)
    return number(ETHER_TYPE if family is Family.BRIDGE else ETHER_PROTOCOL, FRAMES[answered])
