"""Short ways to write a ruleset down in tests of its meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir import fields as known
from fwtrans.ir.effect import Log
from fwtrans.ir.fields import Family
from fwtrans.ir.match import FieldTest, KeyPart, number, present
from fwtrans.ir.names import NameSet
from fwtrans.ir.rule import Rule, Step
from fwtrans.ir.ruleset import BaseHook, Chain, Hook, Ruleset, Table
from fwtrans.ir.stateful import Limit, LimitUnit, StatefulObject, StatefulTest
from fwtrans.ir.verdict import Accept, Drop, Verdict

if TYPE_CHECKING:
    from fwtrans.ir.sets import NamedMap, NamedSet

ACCEPT, DROP = Accept(), Drop()
SADDR, DADDR = (KeyPart(known.IP_SADDR),), (KeyPart(known.IP_DADDR),)
HAS_PORTS = present(known.HAS_TRANSPORT)
TCP, UDP = number(known.L4PROTO, 6), number(known.L4PROTO, 17)


def rule(*parts: Step | Verdict | None) -> Rule:
    """Return a rule: steps, and at the end perhaps a verdict."""
    *steps, last = parts
    if last is None or isinstance(last, Verdict):
        return Rule(tuple(steps), last)  # type: ignore[arg-type]
    return Rule((*steps, last))  # type: ignore[arg-type]


def dport(*ports: int) -> FieldTest:
    return number(known.DPORT, *ports)


def source(*addresses: int) -> FieldTest:
    return number(known.IP_SADDR, *addresses)


def state(*names: str) -> FieldTest:
    numbers = dict(known.CT_STATE.symbols)
    return number(known.CT_STATE, *(numbers[name] for name in names))


def iifname(name: str) -> FieldTest:
    return FieldTest(known.IIFNAME, NameSet.exact(name))


def log(prefix: str) -> Log:
    return Log(prefix=prefix)


def limit(identity: str, rate: int = 5, *, over: bool = False, key: tuple[KeyPart, ...] = ()) -> StatefulTest:
    return StatefulTest(StatefulObject(identity, Limit(rate, LimitUnit.SECOND, 5)), key, over)


def base(
    *rules: Rule,
    name: str = "main",
    hook: Hook = Hook.FORWARD,
    priority: int = 0,
    accepts: bool = True,
    kind: str = "filter",
) -> Chain:
    return Chain(name, rules, BaseHook(kind, hook, priority, accepts))


def chain(name: str, *rules: Rule) -> Chain:
    return Chain(name, rules)


def table(
    *chains: Chain,
    family: Family = Family.IP,
    name: str = "filter",
    sets: tuple[NamedSet, ...] = (),
    maps: tuple[NamedMap, ...] = (),
) -> Table:
    return Table(family, name, chains, sets, maps)


def ruleset(*parts: Rule | Chain | Table) -> Ruleset:
    """Return a ruleset of tables, or of one table of chains, or of one chain of rules at the forward hook."""
    tables = tuple(part for part in parts if isinstance(part, Table))
    if tables:
        return Ruleset(tables)
    chains = tuple(part for part in parts if isinstance(part, Chain))
    if chains:
        return Ruleset((table(*chains),))
    return Ruleset((table(base(*(part for part in parts if isinstance(part, Rule)))),))
