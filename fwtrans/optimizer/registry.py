"""The passes, in the order in which they run.

What is dead, empty or said twice goes first, so that nothing is built upon it, and base chains that say the same for IPv4
and IPv6 become one, so that all that follows is done once. Then guests' chains become classes, while each is still one list
of rules. Translations and long runs come next, while rules still stand as they were written; rules that differ in one value
are joined before verdict maps are made, so that a map's key finds whole sets. Maps come over what is left; only then it is
known how few rules a second base chain at a hook has (without its idle end: with it, it may be a search), and which ports
several rules ask. States that no packet has any more are known once rules that accept them stand first. What all this has
left over goes as at the start, so that fewer rounds are needed. Maps of one verdict and lists of hardware addresses become
sets last, because what becomes of the rules behind them is seen more easily before; what asks such a set again goes then,
and so do base chains that have become empty. What keys need not ask goes late too: states once all maps of guests are made,
types of frames once rules ask the same map. Before these go, a leaf of a search that goes on as its caller does is told by
that; and only then look-ups that find nothing there. What rules that are asked together leave to nobody goes at once, for else
another round would find it, and the proof that has begun by then would be of the wrong ruleset. The last ones ask long
maps of logs in one place, those for IPv4 and IPv6 as one; the very last asks how long the kernel would follow what has become of it all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.optimizer import (
    address_lists,
    alternatives,
    asked_again,
    common_ports,
    cuts,
    dead,
    dispatch,
    established_first,
    fold,
    idle_ends,
    idle_hooks,
    idle_returns,
    inet_merge,
    inlining,
    joint_keys,
    joint_logs,
    joint_marks,
    joint_tests,
    key_states,
    known_states,
    last_calls,
    log_calls,
    many_ways,
    merging,
    missed_maps,
    nat_maps,
    new_calls,
    one_base,
    policy_classes,
    port_dispatch,
    port_key,
    port_lists,
    same_ends,
    service_ports,
    service_search,
    sets,
    shared_lists,
    sharing,
    short_ways,
    single_verdicts,
    small_maps,
    tail_calls,
    typed_keys,
)

if TYPE_CHECKING:
    from fwtrans.optimizer.base import Pass

_LEFTOVERS = (fold.PASS, dead.PASS, idle_returns.PASS, sharing.PASS, inlining.PASS)
# What ends earlier than before may be a tail call, and then a search like others; a round of all passes would find it, too.
_SHORTENED = (tail_calls.PASS, service_search.PASS, short_ways.PASS, service_ports.PASS, sharing.PASS)

PASSES: tuple[Pass, ...] = (
    fold.PASS,
    dead.PASS,
    idle_returns.PASS,
    inet_merge.PASS,
    policy_classes.PASS,
    port_dispatch.PASS,
    established_first.PASS,
    port_key.PASS,
    port_lists.PASS,
    sharing.PASS,
    tail_calls.PASS,
    service_search.PASS,
    service_ports.PASS,
    nat_maps.PASS,
    cuts.PASS,
    sets.PASS,
    inlining.PASS,
    dispatch.PASS,
    merging.PASS,
    idle_ends.PASS,
    one_base.PASS,
    common_ports.PASS,
    idle_ends.PASS,
    small_maps.PASS,
    key_states.PASS,
    known_states.PASS,
    new_calls.PASS,
    same_ends.PASS,
    missed_maps.PASS,
    *_LEFTOVERS,
    alternatives.PASS,
    joint_keys.PASS,
    joint_tests.PASS,
    dead.PASS,
    short_ways.PASS,
    *_SHORTENED,
    last_calls.PASS,
    joint_marks.PASS,
    single_verdicts.PASS,
    asked_again.PASS,
    typed_keys.PASS,
    tail_calls.PASS,
    address_lists.PASS,
    shared_lists.PASS,
    idle_hooks.PASS,
    log_calls.PASS,
    joint_logs.PASS,
    many_ways.PASS,
)
