"""A case's rule as the backend prints it, in a table of its own."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.backend.nft.lower import Printing, lower_ruleset
from fwtrans.backend.nft.text import print_ruleset, rule_text
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.ir.bits import BitSet
from fwtrans.ir.fields import L4PROTO, TCP_FLAGS, Family
from fwtrans.ir.match import FieldTest
from fwtrans.ir.rule import Rule
from fwtrans.ir.ruleset import BaseHook, Chain, Hook, Ruleset, Table
from fwtrans.ir.sets import NamedSet
from fwtrans.lower.late_conntrack import with_tracked_chains
from fwtrans.source import Origin, SourceFile
from tests.lower.extensions.target_uses import lower_target, protocols_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwtrans.backend.nft import model as nft
    from fwtrans.ir.rule import Step


PRIORITIES = {"raw": -300, "mangle": -150, "filter": 0, "security": 50}


def base_hook(table: str, chain: str) -> BaseHook:
    hook = Hook(chain.lower())
    if table == "nat":
        return BaseHook("nat", hook, -100 if chain in {"PREROUTING", "OUTPUT"} else 100)
    return BaseHook("route" if (table, chain) == ("mangle", "OUTPUT") else "filter", hook, PRIORITIES[table])


class Printed(NamedTuple):
    """The rules of the built-in chain (and of its second one, behind connection tracking), and all that is loaded."""

    rules: str
    text: str


def ruleset_of(line: str, sets: Mapping[str, NamedSet]) -> Ruleset:
    """Return a table with the one rule of a case, as the driver would make it."""
    family = Family.IP6 if line.startswith("ip6:") else Family.IP
    words = shlex.split(line.removeprefix("ip6:"))
    table = words[words.index("-t") + 1] if "-t" in words else "filter"
    chain = words[words.index("-A") + 1] if "-A" in words else "FORWARD"
    steps: list[Step] = []
    protocols = protocols_of(words, family)
    if not protocols.is_full:
        steps.append(FieldTest(L4PROTO, protocols))
    if "--syn" in words:
        steps.append(FieldTest(TCP_FLAGS, BitSet.cube(8, 0x17, 0x02)))
    lowered = lower_target(line, sets=sets)
    rule = Rule((*steps, *lowered.outcome.steps), lowered.outcome.verdict, (Origin(SourceFile("case", line), 1),))
    declared = tuple(item for item in lowered.shared.values() if isinstance(item, NamedSet))
    sink = DiagnosticSink()
    chains = with_tracked_chains((Chain(chain, (rule,), base_hook(table, chain)),), sink)
    assert not sink.errors, sink.errors
    return Ruleset((Table(family, "case", chains, declared),))


def objects_of(ruleset: Ruleset) -> nft.Ruleset:
    """Return the nft objects of a ruleset that has no fault."""
    sink = DiagnosticSink()
    objects = lower_ruleset(ruleset, sink, Printing()).ruleset
    assert not sink.errors, sink.errors
    return objects


def printed(line: str, sets: Mapping[str, NamedSet]) -> Printed:
    """Return the rule of a case as nft text; several rules with ` | ` between them."""
    objects = objects_of(ruleset_of(line, sets))
    rules = [rule for item in objects.tables[0].chains if item.base is not None for rule in item.rules]
    return Printed(" | ".join(rule_text(replace(item, comment="")) for item in rules), print_ruleset(objects).text)
