"""Base chains that say the same for IPv4 and for IPv6 become one in an inet table.

    table ip t { chain in { type filter hook input ...; tcp dport 22 accept } }     table inet t { chain in { type filter
    table ip6 t { chain in { type filter hook input ...; tcp dport 22 accept } }    hook input ...; tcp dport 22 accept } }

Why it is safe: a chain of an inet table sees the packets of both families, at its hook and priority, and rules that are
equal in both tables ask nothing that only one family has. A reject by an ICMP message of a family becomes that by icmpx,
which answers each family in its own way.

It declines where a rule remembers something (a limit of both families together would be spent twice as fast), asks a set
that rules or others fill, or hands packets to a proxy; where a chain that is called is also called from chains that stay;
where another base chain of these families has the same hook and priority, for their order would be left to chance; for
chains of type route, which changes packets as well; and where a name is taken.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.ir import verdict as verdicts
from fwtrans.ir.effect import Assign, AssignFromMap, Log, Nat, NoTrack, ResetTcpOption
from fwtrans.ir.fields import Family
from fwtrans.ir.match import FieldTest, MemberTest
from fwtrans.ir.ruleset import Table
from fwtrans.ir.sets import NamedSet
from fwtrans.ir.stateful import StatefulTest
from fwtrans.ir.walk import flat_steps
from fwtrans.optimizer.base import Pass, Passed
from fwtrans.optimizer.reached import reached

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import BaseHook, Chain, Ruleset
    from fwtrans.ir.sets import NamedMap
    from fwtrans.ir.verdict import Verdict

_SIMPLE = (FieldTest, Assign, AssignFromMap, Log, NoTrack, ResetTcpOption)
_PROXIES = (verdicts.TransparentProxy, verdicts.SynProxy)

# nftables' icmpx types, by those of ICMP and of ICMPv6 that they stand for.
_ICMPX = {
    ("port-unreachable", "port-unreachable"): "port-unreachable",
    ("admin-prohibited", "admin-prohibited"): "admin-prohibited",
    ("net-unreachable", "no-route"): "no-route",
    ("host-unreachable", "addr-unreachable"): "host-unreachable",
}


def run(ruleset: Ruleset) -> Passed:
    """Return the ruleset with what both families say alike said once."""
    for name in dict.fromkeys(table.name for table in ruleset.tables):
        ruleset = _merged(ruleset, name)
    return Passed(ruleset)


PASS = Pass("inet", "one inet chain where IPv4 and IPv6 say the same", run)


class _Halves(NamedTuple):
    """The two tables of a name, and the inet table of that name, which may be empty so far."""

    four: Table
    six: Table
    both: Table


def _merged(ruleset: Ruleset, name: str) -> Ruleset:
    found = {table.family: table for table in ruleset.tables if table.name == name}
    if Family.IP not in found or Family.IP6 not in found:
        return ruleset
    halves = _Halves(found[Family.IP], found[Family.IP6], found.get(Family.INET, Table(Family.INET, name, ())))
    moved = _alike(ruleset, halves)
    if not moved:
        return ruleset
    entries = [chain.name for chain in moved.chains if chain.base is not None]
    both = replace(
        halves.both,
        chains=(*halves.both.chains, *moved.chains),
        sets=(*halves.both.sets, *moved.sets),
        maps=(*halves.both.maps, *moved.maps),
    )
    forms = {
        halves.four: (_without(halves.four, entries),),
        halves.six: (_without(halves.six, entries), both),
        halves.both: (),
    }
    tables = (new for table in ruleset.tables for new in forms.get(table, (table,)))
    return replace(ruleset, tables=tuple(table for table in tables if table.chains or table.keyed or table.kept))


def _alike(ruleset: Ruleset, halves: _Halves) -> Table | None:
    """Return the base chains that can move, with all that they lead to, as an inet table."""
    taken = {item.name for item in (*halves.both.chains, *halves.both.keyed)}
    crowded = _crowded(ruleset)
    wanted = [
        chain.name
        for chain in halves.four.chains
        if chain.base is not None and _place(chain.base) not in crowded and _movable(chain.name, halves, taken)
    ]
    while wanted:
        left = {chain.name for table in (halves.four, halves.six) for chain in _without(table, wanted).chains}
        kept = [name for name in wanted if not left & {chain.name for chain in reached(halves.four, [name]).chains}]
        if kept == wanted:
            return _inet_form(halves, wanted)
        wanted = kept
    return None


def _without(table: Table, entries: Sequence[str]) -> Table:
    """Return what is left of a table; sets that others fill stay in any case."""
    kept = reached(
        table, [chain.name for chain in table.chains if chain.base is not None and chain.name not in entries]
    )
    return replace(kept, sets=tuple(item for item in table.sets if item in kept.sets or item.is_live))


def _inet_form(halves: _Halves, entries: Sequence[str]) -> Table:
    four, six = (reached(table, entries) for table in (halves.four, halves.six))
    chains = tuple(replace(first, rules=_both_rules(first, second) or ()) for first, second in _pairs(four, six))
    return replace(four, family=Family.INET, chains=chains)


def _place(base: BaseHook) -> tuple[str, int]:
    return base.hook.value, base.priority


def _crowded(ruleset: Ruleset) -> set[tuple[str, int]]:
    """Return the hooks and priorities where a family meets more than one base chain."""
    found: set[tuple[str, int]] = set()
    for family in (Family.IP, Family.IP6):
        places = [
            _place(chain.base)
            for table in ruleset.tables
            if table.family in {family, Family.INET}
            for chain in table.chains
            if chain.base is not None
        ]
        found.update(place for place in places if places.count(place) > 1)
    return found


def _movable(name: str, halves: _Halves, taken: set[str]) -> bool:
    four, six = halves.four.chain(name), halves.six.chain(name)
    if four is None or six is None or four.base != six.base or four.base is None or four.base.kind == "route":
        return False
    parts = [reached(table, [name]) for table in (halves.four, halves.six)]
    names = [{item.name for item in (*part.chains, *part.keyed)} for part in parts]
    if names[0] != names[1] or names[0] & taken:
        return False
    if any(_both_rules(first, second) is None for first, second in _pairs(*parts)):
        return False
    return all(map(_is_fixed, parts[0].keyed)) and set(parts[0].keyed) == set(parts[1].keyed)


def _is_fixed(item: NamedSet | NamedMap) -> bool:
    """Tell whether nobody changes what is in it, and nothing in it has a memory."""
    if isinstance(item, NamedSet):
        return not item.is_live and not item.dynamic
    return not any(isinstance(element.value, StatefulTest) for element in item.elements)


def _pairs(four: Table, six: Table) -> Iterable[tuple[Chain, Chain]]:
    others = {chain.name: chain for chain in six.chains}
    return ((chain, others[chain.name]) for chain in four.chains)


def _both_rules(four: Chain, six: Chain) -> tuple[Rule, ...] | None:
    """Return the rules that say for both families what each chain says for its own; None where there are none."""
    if len(four.rules) != len(six.rules):
        return None
    found = tuple(_both(first, second) for first, second in zip(four.rules, six.rules, strict=True))
    return None if None in found else tuple(rule for rule in found if rule is not None)


def _both(four: Rule, six: Rule) -> Rule | None:
    verdict = _both_verdicts(four.verdict, six.verdict)
    if (
        four.steps != six.steps
        or (four.verdict is not None and verdict is None)
        or not all(map(_is_simple, flat_steps(four.steps)))
    ):
        return None
    return replace(four, verdict=verdict, origins=tuple(dict.fromkeys((*four.origins, *six.origins))))


def _both_verdicts(four: Verdict | None, six: Verdict | None) -> Verdict | None:
    """Return the verdict for both families; None where there is none, and where there was none."""
    if (
        isinstance(four, verdicts.Reject)
        and isinstance(six, verdicts.Reject)
        and (four.protocol, six.protocol) == ("icmp", "icmpv6")
    ):
        kind = _ICMPX.get((four.kind, six.kind))
        return verdicts.Reject("icmpx", kind) if kind else None
    return four if four == six and not isinstance(four, _PROXIES) else None


def _is_simple(step: Step) -> bool:
    """Tell whether a step has no memory and does for a packet of either family what it does for one of the other."""
    if isinstance(step, MemberTest):
        return not step.dynamic
    if isinstance(step, Nat):
        return step.addresses is None and not step.map_name
    return isinstance(step, _SIMPLE)
