"""Security groups: two chains each, made when a rule first names the group.

A group's chain clears the accept mark, sets it on what it accepts, and its caller looks at the mark afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.lower.pve.commands import Compilation, Where, add_rule, applies
from fwtrans.lower.pve.standard import ACCEPT_MARK, CLEARED_MARK, REJECT, SET_ACCEPT_MARK

if TYPE_CHECKING:
    from fwtrans.lower.pve.check import CheckedRule

_TARGETS = {"ACCEPT": SET_ACCEPT_MARK, "REJECT": REJECT}


def add_group_rule(compilation: Compilation, rule: CheckedRule, where: Where, direction: str, accept: str) -> None:
    """Add the jump into a group and the test of the mark behind it; only the jump is bound to an interface."""
    group = rule.action
    chain = f"GROUP-{group}-{direction}"
    if chain not in compilation.chains:
        _make_group(compilation, rule, group)
    match = ""
    if direction == "OUT" and where.outgoing:
        match = f"-o {where.outgoing}"
    elif direction == "IN" and where.incoming:
        match = f"-i {where.incoming}"
    origin = rule.rule.origin
    compilation.chains.rule(where.chain, match, f"-j {chain}", origin)
    compilation.chains.rule(where.chain, f"-m mark --mark {ACCEPT_MARK}", f"-j {accept}", origin)


def _make_group(compilation: Compilation, rule: CheckedRule, group: str) -> None:
    rules = compilation.node.cluster.groups.get(group)
    if rules is None:
        message = f"there is no security group `{group}`"
        note = "PVE makes an empty group of it: nothing of what the group should accept or block is in force here"
        compilation.tell("FWT177", message, rule, note)
        rules = ()
    for direction in ("IN", "OUT"):
        chain = f"GROUP-{group}-{direction}"
        compilation.chains.create(chain)
        compilation.chains.rule(chain, "", f"-j MARK --set-mark {CLEARED_MARK}")
        where = Where(chain, compilation.node.scope())
        for each in rules:
            if each.kind == direction.lower() and applies(each, compilation.version):
                add_rule(compilation, each, where, _TARGETS, named=False)
