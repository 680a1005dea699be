"""Prints a bridge dump back, in the order and spelling in which it was read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.parsers.iptables_save.words import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwtrans.parsers.ebtables_save.syntax import BridgeDump, BridgeRule
    from fwtrans.parsers.iptables_save.syntax import OptionUse

_ALWAYS_QUOTED = {"--log-prefix", "--nflog-prefix", "--ulog-prefix"}


def unparse_bridge_dump(dump: BridgeDump, *, with_counters: bool = False) -> str:
    """Return the text. A `!` stands where the program puts it: ebtables behind the option, arptables in front."""
    numbered = list(_lines(dump, with_counters=with_counters))
    if (
        dump.comments
    ):  # between the lines where they stood; calls, which have none, leave rules in an order of their own
        numbered = sorted([*dump.comments, *numbered])
    return "".join(f"{text}\n" for _, text in numbered)


def _lines(dump: BridgeDump, *, with_counters: bool) -> Iterator[tuple[int, str]]:
    for table in dump.tables:
        yield table.line, f"*{table.name}"
        for chain in table.chains:
            yield chain.line, f":{chain.name} {chain.policy}"
        for chain in table.chains:
            for rule in chain.rules:
                head = "[{}:{}] ".format(*rule.counters) if with_counters and rule.counters is not None else ""
                yield rule.line, f"{head}-A {chain.name} {_rule(rule, dump.program)}".rstrip()


def _rule(rule: BridgeRule, program: str) -> str:
    words: list[tuple[int, str]] = [(use.word, _option(use, program)) for use in rule.options]
    if rule.target:
        words.append((rule.target_word - 1, f"-j {rule.target}"))
    return " ".join(text for _, text in sorted(words))


def _option(use: OptionUse, program: str) -> str:
    values = [f'"{value}"' if use.name in _ALWAYS_QUOTED else quoted(value) for value in use.values]
    if not use.negated:
        return " ".join([use.name, *values])
    if program == "ebtables":
        return " ".join([use.name, "!", *values])
    return " ".join(["!", use.name, *values])
