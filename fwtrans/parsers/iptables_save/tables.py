"""Tables while lines change them: what iptables would have in memory, and what it would refuse.

Both a dump and a script end here, so both are held to the same rules. Every refusal is a `BadLine`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice, product
from typing import TYPE_CHECKING

from fwtrans.parsers.iptables_save.general import BUILT_IN, LONGEST_NAME
from fwtrans.parsers.iptables_save.mistakes import MOST_HINTS
from fwtrans.parsers.iptables_save.out_of_tree import unknown_to_linux
from fwtrans.parsers.iptables_save.same_rule import rule_key
from fwtrans.parsers.iptables_save.syntax import ChainSyntax, RuleSyntax, TableSyntax
from fwtrans.parsers.iptables_save.words import BadLine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fwtrans.parsers.iptables_save.syntax import ExtensionUse, OptionUse

_POLICIES = frozenset({"ACCEPT", "DROP"})
_VERDICTS = ("ACCEPT", "DROP", "QUEUE", "RETURN")

# iptables refuses these by the chain's name, in every table.
_REFUSED_INTERFACE = {"INPUT": "-o", "PREROUTING": "-o", "OUTPUT": "-i", "POSTROUTING": "-i"}

_ADDRESSES = ("-s", "-d")
_NAMES_TO_COMPARE = 200


@dataclass(slots=True)
class Chain:
    """A chain. `declared` tells a built-in one that the input speaks of from one that is merely there."""

    name: str
    policy: str = ""
    counters: tuple[int, int] | None = None
    line: int = 0
    declared: bool = False
    rules: list[RuleSyntax] = field(default_factory=list)


class Table:
    """One table. Its built-in chains are there from the beginning."""

    def __init__(self, name: str, line: int, is_target: Callable[[str], bool]) -> None:
        self.name = name
        self.line = line
        self.end = 0
        self.comments: list[tuple[int, str]] = []
        self.chains = {chain: Chain(chain, "ACCEPT", line=line) for chain in BUILT_IN[name]}
        self._is_target = is_target
        self._hints_left = MOST_HINTS

    @classmethod
    def thawed(cls, syntax: TableSyntax, is_target: Callable[[str], bool]) -> Table:
        """Return a table that goes on from what was read before."""
        table = cls(syntax.name, syntax.line, is_target)
        table.end, table.comments = syntax.end, list(syntax.comments)
        for chain in syntax.chains:
            table.chains.pop(chain.name, None)
            table.chains[chain.name] = Chain(
                chain.name, chain.policy, chain.counters, chain.line, declared=True, rules=list(chain.rules)
            )
        return table

    def chain(self, name: str, word: int | None, code: str = "FWT114") -> Chain:
        """Return a chain that must be there."""
        chain = self.chains.get(name)
        if chain is None:
            raise BadLine(code, f"table `{self.name}` has no chain `{name}`", word=word, hint=self._near(name))
        return chain

    def declare(self, name: str, policy: str, counters: tuple[int, int] | None, line: int, word: int = 0) -> None:
        """Take over `:name policy [p:b]` of a dump. A built-in chain keeps its policy where it is `-`."""
        chain = self.chains.get(name)
        if chain is None:
            if policy != "-":
                raise BadLine(
                    "FWT114", f"`{name}` is no built-in chain of `{self.name}`; no other has a policy", word=word
                )
            self._refuse_long_name(name, word)
            if name in _VERDICTS:
                raise BadLine("FWT112", f"`{name}` is a verdict and cannot be the name of a chain", word=word)
            chain = self.chains[name] = Chain(name)
        elif name not in BUILT_IN[self.name]:
            raise BadLine("FWT114", f"chain `{name}` is declared a second time", word=word)
        if policy != "-":
            self._set_policy(chain, policy, word + 1)
        if not chain.declared:
            self.chains[name] = self.chains.pop(name)  # in the order of declaration
        chain.declared, chain.line = True, line
        chain.counters = counters

    def append(self, name: str, rule: RuleSyntax, word: int | None, code: str = "FWT109") -> None:
        """Add a rule at the end of a chain."""
        chain = self.chain(name, word, code)
        chain.rules += self._legal(name, rule)

    def insert(self, name: str, number: int, rule: RuleSyntax, word: int) -> None:
        """Add a rule at a position. Several addresses make several rules, each inserted at that same position."""
        chain = self.chain(name, word)
        self._refuse_number(chain, number, len(chain.rules) + 1, word)
        chain.rules[number - 1 : number - 1] = reversed(list(self._legal(name, rule)))

    def replace(self, name: str, number: int, rule: RuleSyntax, word: int) -> None:
        """Put a rule in the place of another."""
        chain = self.chain(name, word)
        rules = list(self._legal(name, rule))
        if len(rules) != 1:
            raise BadLine("FWT114", "one rule is replaced by one rule, and several addresses make several", word=word)
        self._refuse_number(chain, number, len(chain.rules), word)
        chain.rules[number - 1 : number] = rules

    def delete_number(self, name: str, number: int, word: int) -> None:
        """Delete the rule at a position."""
        chain = self.chain(name, word)
        self._refuse_number(chain, number, len(chain.rules), word)
        del chain.rules[number - 1]

    def delete(self, name: str, rule: RuleSyntax, word: int) -> None:
        """Delete the first rule that is the same."""
        chain = self.chain(name, word)
        for position in self._positions(chain, rule, word):
            del chain.rules[position]

    def check(self, name: str, rule: RuleSyntax, word: int) -> None:
        """Refuse what `-C` fails for; it changes nothing."""
        for _ in self._positions(self.chain(name, word), rule, word):
            continue

    def new_chain(self, name: str, line: int, word: int) -> None:
        """Make an empty chain."""
        if name in self.chains:
            raise BadLine("FWT114", f"chain `{name}` is there already", word=word)
        self._refuse_name(name, word)
        self.chains[name] = Chain(name, line=line, declared=True)

    def delete_chain(self, name: str, word: int) -> None:
        """Delete an empty chain that no rule jumps to."""
        chain = self.chain(name, word)
        if name in BUILT_IN[self.name]:
            raise BadLine("FWT114", f"`{name}` is a built-in chain and stays", word=word)
        if chain.rules:
            raise BadLine("FWT114", f"chain `{name}` is not empty", word=word, hint=f"`-F {name}` empties it")
        if name in self._called():
            raise BadLine("FWT114", f"rules still jump to chain `{name}`", word=word)
        del self.chains[name]

    def delete_chains(self, word: int) -> None:
        """Delete every user chain, as `-X` alone does; it fails where one is in use."""
        called = self._called()
        for name in [name for name in self.chains if name not in BUILT_IN[self.name]]:
            if self.chains[name].rules or name in called:
                why = "is not empty" if self.chains[name].rules else "is still jumped to"
                raise BadLine("FWT114", f"`-X` deletes all chains, and `{name}` {why}", word=word)
            del self.chains[name]

    def rename_chain(self, old: str, new: str, word: int) -> None:
        """Give a user chain another name, in the rules that jump to it too."""
        self.chain(old, word)
        if old in BUILT_IN[self.name]:
            raise BadLine("FWT114", f"`{old}` is a built-in chain and keeps its name", word=word)
        if new in self.chains:
            raise BadLine("FWT114", f"chain `{new}` is there already", word=word + 1)
        self._refuse_name(new, word + 1)
        self.chains = {new if name == old else name: chain for name, chain in self.chains.items()}
        self.chains[new].name = new
        for chain in self.chains.values():
            chain.rules = [_retargeted(rule, old, new) for rule in chain.rules]

    def set_policy(self, name: str, policy: str, counters: tuple[int, int] | None, line: int, word: int) -> None:
        """Set the policy of a built-in chain."""
        chain = self.chain(name, word)
        if name not in BUILT_IN[self.name]:
            raise BadLine("FWT114", f"`{name}` is no built-in chain of `{self.name}`; no other has a policy", word=word)
        self._set_policy(chain, policy, word + 1)
        chain.declared, chain.line = True, line
        if counters is not None:
            chain.counters = counters

    def flush(self, name: str, word: int) -> None:
        """Delete the rules of one chain, or of all if the name is empty."""
        for chain in [self.chain(name, word)] if name else self.chains.values():
            chain.rules = []

    def zero(self, name: str, number: int | None, word: int) -> None:
        """Set counters to zero, where there are any."""
        chains = [self.chain(name, word)] if name else list(self.chains.values())
        if number is not None:
            self._refuse_number(chains[0], number, len(chains[0].rules), word)
        for chain in chains:
            chain.rules = [
                _zeroed(rule) if number in {None, position} else rule
                for position, rule in enumerate(chain.rules, start=1)
            ]
            if number is None and chain.counters is not None:
                chain.counters = (0, 0)

    def frozen(self, *, everything: bool) -> TableSyntax:
        """Return the table as syntax; with the built-in chains that nothing was said of, if `everything` is wanted."""
        chains = tuple(
            ChainSyntax(chain.name, chain.policy, chain.counters, tuple(chain.rules), chain.line)
            for chain in self.chains.values()
            if everything or chain.declared or chain.rules or chain.name not in BUILT_IN[self.name]
        )
        return TableSyntax(self.name, chains, self.line, tuple(self.comments), self.end)

    def _legal(self, name: str, rule: RuleSyntax) -> Iterable[RuleSyntax]:
        """Return the rules that a rule makes; refuse what iptables would for the sake of its place."""
        target = rule.target
        if target is not None and rule.calls:
            self._refuse_target(target, rule)
        refused = _REFUSED_INTERFACE.get(name)
        if refused is not None:
            for option in rule.options:
                if option.name == refused:
                    raise BadLine("FWT114", f"`{refused}` cannot be used in chain `{name}`", word=option.word)
        for option in rule.options:
            if option.name in _ADDRESSES and "," in option.values[0]:
                return _one_for_each_address(rule)
        return (rule,)

    def _refuse_target(self, target: ExtensionUse, rule: RuleSyntax) -> None:
        if target.name in BUILT_IN[self.name]:
            raise BadLine("FWT109", f"`{target.name}` is a built-in chain; no rule can jump to it", word=target.word)
        if target.name not in self.chains:
            foreign = None if rule.goto else unknown_to_linux("target", target.name, target.word)
            if foreign is not None:
                raise foreign
            is_target = rule.goto and self._is_target(target.name)
            near = self._near(target.name, () if rule.goto else _VERDICTS)
            hint = f"`-g` goes to a chain; use `-j {target.name}`" if is_target else near
            what = "no chain" if rule.goto else "neither a chain nor a target"
            raise BadLine("FWT109", f"table `{self.name}` has {what} `{target.name}`", word=target.word, hint=hint)

    def _positions(self, chain: Chain, rule: RuleSyntax, word: int) -> Iterator[int]:
        """Yield where the rules stand that are the same; each position counts after the one before was deleted."""
        for one in self._legal(chain.name, rule):
            key = rule_key(one)
            found = next((at for at, other in enumerate(chain.rules) if rule_key(other) == key), None)
            if found is None:
                hint = "a `-D` that only tidies up can be left out: tables are empty at the beginning"
                raise BadLine("FWT114", f"chain `{chain.name}` has no such rule", word=word, hint=hint)
            yield found

    def _called(self) -> set[str]:
        """Return the chains that rules jump or go to."""
        return {
            rule.target.name
            for chain in self.chains.values()
            for rule in chain.rules
            if rule.target is not None and rule.calls
        }

    def _set_policy(self, chain: Chain, policy: str, word: int) -> None:
        if policy not in _POLICIES:
            raise BadLine("FWT114", f"`{policy}` is no policy; expected ACCEPT or DROP", word=word)
        chain.policy = policy

    def _refuse_number(self, chain: Chain, number: int, highest: int, word: int) -> None:
        if number > highest:
            message = f"chain `{chain.name}` has {len(chain.rules)} rules, so there is no place {number}"
            raise BadLine("FWT114", message, word=word + 1)

    def _refuse_name(self, name: str, word: int) -> None:
        self._refuse_long_name(name, word)
        if name[:1] in {"-", "!"} or not name or any(character in " \t\n\v\f\r" for character in name):
            raise BadLine("FWT112", f"`{name}` cannot be the name of a chain", word=word)
        if self._is_target(name):
            raise BadLine("FWT112", f"`{name}` is a target and cannot be the name of a chain", word=word)

    def _refuse_long_name(self, name: str, word: int) -> None:
        if len(name.encode(errors="surrogateescape")) > LONGEST_NAME:
            message = f"`{name}` is longer than the {LONGEST_NAME} characters of a chain's name"
            raise BadLine("FWT112", message, word=word)

    def _near(self, name: str, others: Iterable[str] = ()) -> str:
        """Return a hint if the name is nearly one that there is."""
        if self._hints_left <= 0:
            return ""
        self._hints_left -= 1
        known = [*islice(self.chains, _NAMES_TO_COMPARE), *others]
        same = [other for other in known if other.lower() == name.lower()]
        near = same or get_close_matches(name, known, n=1, cutoff=0.75)
        return f"did you mean `{near[0]}`?" if near else ""


def refuse_unknown_table(name: str, word: int | None = None) -> None:
    """Refuse a table that no kernel has."""
    if name not in BUILT_IN:
        raise BadLine("FWT102", f"there is no table `{name}`; expected one of {', '.join(BUILT_IN)}", word=word)


def _one_for_each_address(rule: RuleSyntax) -> list[RuleSyntax]:
    """Return the rules that iptables makes of several addresses: every source, with every destination."""
    choices = {option.name: _single(option) for option in rule.options if option.name in _ADDRESSES}
    rules = []
    for combination in product(*(choices[name] for name in _ADDRESSES if name in choices)):
        chosen = {option.name: option for option in combination}
        rules.append(rule._replace(options=tuple(chosen.get(option.name, option) for option in rule.options)))
    return rules


def _single(option: OptionUse) -> list[OptionUse]:
    if "," not in option.values[0]:
        return [option]
    if option.negated:
        raise BadLine("FWT110", f"`{option.name}` cannot be negated with several addresses", word=option.word)
    addresses = option.values[0].split(",")
    if "" in addresses:
        raise BadLine("FWT112", f"`{option.values[0]}` has an empty place between commas", word=option.word + 1)
    return [option._replace(values=(address,), spelled=None) for address in addresses]


def _retargeted(rule: RuleSyntax, old: str, new: str) -> RuleSyntax:
    if rule.target is None or not rule.calls or rule.target.name != old:
        return rule
    return rule._replace(target=rule.target._replace(name=new))


def _zeroed(rule: RuleSyntax) -> RuleSyntax:
    return rule if rule.counters is None else rule._replace(counters=(0, 0))
