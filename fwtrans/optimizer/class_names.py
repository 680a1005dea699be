"""Names of classes: a short hash of what the class's chain says, so that they depend on nothing else.

    tap101i0-OUT and its like  ->  class-OUT-5f0c1d

Constants that live in maps, the identities of limits, the places of rules, and the ports and hardware addresses that stand in
rules and maps are no part of it: one more guest leaves the names of all chains as they are.
"""

from __future__ import annotations

import re
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

from fwtrans.ir.fields import FieldKind
from fwtrans.ir.match import AnyOf, FieldTest, MemberTest
from fwtrans.ir.pprint import print_rule, print_step
from fwtrans.ir.rule import Rule
from fwtrans.ir.stateful import StatefulTest
from fwtrans.ir.verdict import Dispatch, Goto, Jump
from fwtrans.optimizer.names import DIGEST_BYTES, with_figure

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

    from fwtrans.ir.rule import Step
    from fwtrans.ir.ruleset import Chain
    from fwtrans.ir.sets import NamedMap, NamedSet

_DIGITS = 6
_HASH = re.compile(rf"-[0-9a-f]{{{_DIGITS}}}(?=-|$)")
_DIGEST = re.compile(rf"-[0-9a-f]{{{2 * DIGEST_BYTES}}}(?=-|$)")
_COPY = re.compile(r"-[0-9]+$")
_OF_GUESTS = frozenset({FieldKind.NAME, FieldKind.MAC})
_OWN_TO_A_RULE = "__"  # begins the names that the reader of nft gives to sets written inside a rule


def content_hash(lines: Iterable[str]) -> str:
    """Return a short hash of some lines."""
    return with_figure(sha256("\n".join(lines).encode(errors="surrogatepass")).hexdigest(), _DIGITS)


def class_name(chains: Iterable[str], ports: Container[str], digest: str) -> str:
    """Return a name for the class of some chains: what their names say besides the port, and the hash."""
    found = {
        "-".join("class" if word in ports else word for word in _COPY.sub("", _HASH.sub("", chain)).split("-"))
        for chain in chains
    }
    return f"{found.pop() if len(found) == 1 else 'class'}-{digest}"


def is_named_by_content(name: str) -> bool:
    """Tell whether a pass gave a chain its name, from what it says: it is for all who say the same, few as they may be today."""
    return _HASH.search(name) is not None or _DIGEST.search(name) is not None


class Texts:
    """What rules and chains say, behind calls too, without names that come from elsewhere."""

    def __init__(self, chains: Mapping[str, Chain], sets: Mapping[str, NamedSet], maps: Mapping[str, NamedMap]) -> None:
        self._chains = chains
        self._sets = sets
        self._maps = maps
        self._digests: dict[str, str] = {}

    def settle(self, chain: str, digest: str) -> None:
        """Say what a chain is to be called in the texts of others: the hash of its class."""
        self._digests[chain] = digest

    def step(self, step: Step) -> str:
        """Return what a step says."""
        if isinstance(step, StatefulTest):
            return print_step(replace(step, object=replace(step.object, identity="")))
        if isinstance(step, MemberTest) and step.set_name.startswith(_OWN_TO_A_RULE):
            elements = self._sets[step.set_name].elements
            return print_step(replace(step, set_name=content_hash(map(repr, elements))))
        if isinstance(step, FieldTest) and step.field.kind in _OF_GUESTS:
            return step.field.name
        if isinstance(step, AnyOf):
            return "any(" + " | ".join(" & ".join(map(self.step, branch)) for branch in step.branches) + ")"
        return print_step(step)

    def verdict(self, rule: Rule) -> str:
        """Return what a rule's verdict says."""
        verdict = rule.verdict
        if isinstance(verdict, (Jump, Goto)):
            verdict = replace(verdict, chain=self.chain(verdict.chain))
        elif isinstance(verdict, Dispatch):
            verdict = replace(verdict, map_name=content_hash(self._map(verdict.map_name)))
        return print_rule(Rule((), verdict))

    def _map(self, name: str) -> Iterator[str]:
        found = self._maps[name]
        asked = [at for at, field in enumerate(found.fields) if field.kind not in _OF_GUESTS]
        said: set[str] = set()
        for element in found.elements:
            value = element.value
            if isinstance(value, (Jump, Goto)):
                value = replace(value, chain=self.chain(value.chain))
            said.add(repr(([element.key[at] for at in asked], value)))
        yield from sorted(said)

    def chain(self, name: str) -> str:
        """Return the hash of all that a chain says."""
        if name not in self._digests:
            self._digests[name] = name  # what a loop of jumps would find
            rules = self._chains[name].rules
            lines = ("; ".join([*map(self.step, rule.steps), self.verdict(rule)]) for rule in rules)
            self._digests[name] = content_hash(lines)
        return self._digests[name]
