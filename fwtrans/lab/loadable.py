"""Which rules of a dump a kernel cannot load, because a match, a target or a helper is not built into it.

A lab that refused a whole ruleset for one SCTP rule would say nothing about all others. What is left out is returned, so
that it can be said aloud; whoever compares takes the same rules from both sides, by translating what is left.
"""

from __future__ import annotations

import shlex
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.lab.kernels import run_script

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fwtrans.lab.kernels import Kernel

_TOOLS = {"iptables-save": "iptables-legacy-restore", "ip6tables-save": "ip6tables-legacy-restore"}
_VERDICTS = {"ACCEPT", "DROP", "RETURN"}


class Loadable(NamedTuple):
    """Dumps that a kernel can load, and the rules that were left out for it: file, line number, rule."""

    texts: dict[str, str]
    left_out: tuple[tuple[str, int, str], ...]


class _Rule(NamedTuple):
    name: str
    number: int
    table: str
    text: str
    features: frozenset[str]


def loadable(texts: Mapping[str, str], kernel: Kernel) -> Loadable:
    """Leave out the rules of iptables and ip6tables dumps that need what the kernel does not have."""
    rules = [rule for name in _TOOLS for rule in _rules(name, texts.get(name, ""))]
    missing = _missing(rules, kernel)
    unwanted = {(rule.name, rule.number) for rule in rules if any((rule.name, one) in missing for one in rule.features)}
    left = {
        name: "".join(
            line
            for number, line in enumerate(text.splitlines(keepends=True), start=1)
            if (name, number) not in unwanted
        )
        for name, text in texts.items()
    }
    left_out = tuple((rule.name, rule.number, rule.text) for rule in rules if (rule.name, rule.number) in unwanted)
    return Loadable(left, left_out)


def _rules(name: str, text: str) -> Iterator[_Rule]:
    table = ""
    chains = {line[1:].split()[0] for line in text.splitlines() if line.startswith(":")}
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("*"):
            table = line[1:].strip()
        elif line.startswith("-A "):
            yield _Rule(name, number, table, line, _features(shlex.split(line), chains))


def _features(words: list[str], chains: set[str]) -> frozenset[str]:
    found = set()
    for option, value in pairwise(words):
        if option == "-m" or (option == "-j" and value not in {*chains, *_VERDICTS}) or option == "--helper":
            found.add(f"{option} {value}")
    return frozenset(found)


def _missing(rules: list[_Rule], kernel: Kernel) -> set[tuple[str, str]]:
    """Load one rule for each feature, the one with the fewest others; what never loads is missing."""
    samples: dict[tuple[str, str], _Rule] = {}
    for rule in sorted(rules, key=lambda rule: len(rule.features)):
        for feature in rule.features:
            if "-m set" not in rule.features:
                samples.setdefault((rule.name, feature), rule)
    chosen = list(dict.fromkeys(samples.values()))
    script = "\n".join(f"{_try(rule)} && echo loaded {place}" for place, rule in enumerate(chosen))
    output = run_script(kernel, f"{script}\ntrue\n", seconds=120).output.splitlines()
    good = {
        (rule.name, one) for place, rule in enumerate(chosen) if f"loaded {place}" in output for one in rule.features
    }
    return samples.keys() - good


def _try(rule: _Rule) -> str:
    """Return a command that loads a rule into a chain of its own."""
    rest = [*rule.text.split(maxsplit=2), ""][2]
    words = rest.split()
    for option in ("-j", "-g"):
        # iptables prints a jump last; the chain it leads to is not there
        if option in words[-2:-1] and f"-j {words[-1]}" not in rule.features:
            rest = rest.rpartition(option)[0]
    text = f"*{rule.table}\n:TRIED - [0:0]\n-A TRIED {rest}\nCOMMIT\n"
    return f"printf %s {shlex.quote(text)} | {_TOOLS[rule.name]} 2> /dev/null"
