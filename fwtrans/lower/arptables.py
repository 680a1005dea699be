"""arptables' meaning: one dump becomes an IR table of the arp family."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Diagnostic, DiagnosticSink, Refused
from fwtrans.ir import fields as f
from fwtrans.ir.effect import Assign
from fwtrans.ir.fields import Family, Field
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import FieldTest, PureTest, negated_if
from fwtrans.ir.rule import Rule
from fwtrans.ir.ruleset import BaseHook, Chain, Hook, Table
from fwtrans.ir.verdict import Accept, Drop, Jump, Return, Verdict
from fwtrans.lower.bridge_options import mac_tests
from fwtrans.lower.bridge_targets import refuse_several
from fwtrans.lower.unreached_loops import without_unreached_loops
from fwtrans.lower.values import (
    bad_value,
    network_set,
    read_interface,
    read_mac,
    read_number,
    read_short_address,
    read_source,
)
from fwtrans.parsers.ebtables_save.parse import bridge_word_span

if TYPE_CHECKING:
    from collections.abc import Callable

    from fwtrans.ir.rule import Step
    from fwtrans.parsers.ebtables_save.syntax import BridgeChain, BridgeDump, BridgeRule
    from fwtrans.parsers.iptables_save.syntax import OptionUse

_HOOKS = {"INPUT": Hook.INPUT, "OUTPUT": Hook.OUTPUT}
_VERDICTS: dict[str, Verdict] = {"ACCEPT": Accept(), "DROP": Drop(), "RETURN": Return()}
_OPERATIONS = {"Request": 1, "Reply": 2, "Request_Reverse": 3, "Reply_Reverse": 4, "DRARP_Request": 5, "DRARP_Reply": 6, "DRARP_Error": 7, "InARP_Request": 8, "ARP_NAK": 9}  # fmt: skip
_ONES = 0xFFFFFFFF


def lower_arptables(dump: BridgeDump, sink: DiagnosticSink, *, name: str = "fwtrans") -> Table:
    """Return the dump as one IR table; what cannot be said exactly goes to the sink."""
    chains: list[Chain] = []
    for table in dump.tables:
        user = frozenset(chain.name for chain in table.chains)
        for chain in table.chains:
            if chain.name == "FORWARD":
                if chain.rules or chain.policy != "ACCEPT":
                    refused = Refused("FWT200", "nftables has no forward hook for ARP: use ebtables or a bridge table")
                    _report(dump, chain, None, 0, refused, sink)
                continue
            chains.append(_lower_chain(dump, chain, user, sink))
    return without_unreached_loops(Table(Family.ARP, name, tuple(chains)), sink)


def _lower_chain(dump: BridgeDump, chain: BridgeChain, user: frozenset[str], sink: DiagnosticSink) -> Chain:
    rules = []
    for number, syntax in enumerate(chain.rules, 1):
        try:
            steps, verdict = _lower_rule(syntax, user)
        except Refused as refused:
            _report(dump, chain, syntax, number, refused, sink)
            continue
        rules.append(Rule(tuple(steps), verdict, (dump.source.origin(syntax.line),), syntax.counters))
    hook = _HOOKS.get(chain.name)
    base = BaseHook("filter", hook, 0, chain.policy == "ACCEPT") if hook is not None else None
    return Chain(chain.name, tuple(rules), base, dump.source.origin(chain.line))


def _lower_rule(syntax: BridgeRule, user: frozenset[str]) -> tuple[list[Step], Verdict | None]:
    steps: list[Step] = [test for use in syntax.options if use.name in _MATCHES for test in _MATCHES[use.name](use)]
    target = syntax.target
    for use in syntax.options:
        if use.name not in _MATCHES and _owner(use.name) != target:
            raise Refused("FWT116", f"`{use.name}` needs `-j {_owner(use.name)}`", option=use.name)
    if target in user:
        return steps, Jump(target)
    if target in {"", "CONTINUE"}:
        return steps, None
    if target in _VERDICTS:
        return steps, _VERDICTS[target]
    given = {use.name: use.values[0] for use in syntax.options if use.values}
    make = _TARGETS.get(target)
    if make is None:
        raise Refused("FWT105", f"unknown target `{target}`", option=target)
    return [*steps, *make(given)], _end(target, given)


def _owner(option: str) -> str:
    """Return the target that has the option."""
    if option.startswith("--mangle-"):
        return "mangle"
    return "CLASSIFY" if option == "--set-class" else "MARK"


def _end(target: str, given: dict[str, str]) -> Verdict | None:
    if target != "mangle":
        return None
    name = given.get("--mangle-target", "ACCEPT")
    if name == "CONTINUE":
        return None
    if name not in _VERDICTS:
        raise Refused("FWT112", f"`{name}` is not ACCEPT, DROP or CONTINUE", option="--mangle-target")
    return _VERDICTS[name]


def _report(
    dump: BridgeDump, chain: BridgeChain, syntax: BridgeRule | None, number: int, refused: Refused, sink: DiagnosticSink
) -> None:
    line, word = (syntax.line, syntax.target_word) if syntax is not None else (chain.line, 0)
    if syntax is not None:
        word = next((use.word for use in syntax.options if use.name == refused.option), word)
    label = f"rule {number} of chain {chain.name}" if number else f"chain {chain.name}"
    span = bridge_word_span(dump.source, line, word)
    sink.add(Diagnostic(code=refused.code, message=refused.message, span=span, label=label))


# --- matches ---


def _ip(field: Field) -> Callable[[OptionUse], tuple[PureTest, ...]]:
    def lower(use: OptionUse) -> tuple[PureTest, ...]:
        address, mask = read_source(use.values[0], use.name, Family.IP)
        if mask == 0 and not use.negated:
            return ()
        return (negated_if(FieldTest(field, network_set(address, mask, 32)), use.negated),)

    return lower


def _mac(field: Field) -> Callable[[OptionUse], tuple[PureTest, ...]]:
    return lambda use: mac_tests(field, use)


def _interface(field: Field) -> Callable[[OptionUse], tuple[PureTest, ...]]:
    def lower(use: OptionUse) -> tuple[PureTest, ...]:
        return (negated_if(FieldTest(field, read_interface(use.values[0], use.name)), use.negated),)

    return lower


def _number(field: Field, words: dict[str, int], *, base: int) -> Callable[[OptionUse], tuple[PureTest, ...]]:
    def lower(use: OptionUse) -> tuple[PureTest, ...]:
        text, found, mask = use.values[0].partition("/")
        ones = (1 << field.width) - 1
        if found and read_number(mask, use.name) != ones:
            raise Refused("FWT200", f"`{use.name}` with a mask has no exact nftables form here", option=use.name)
        try:
            value = words[text] if text in words else _based(text, base, use.name)
        except ValueError:
            raise bad_value(text, "a number", use.name) from None
        if not 0 <= value <= ones:
            raise bad_value(text, f"a number up to {ones}", use.name)
        return (negated_if(FieldTest(field, IntervalSet.single(field.width, value)), use.negated),)

    return lower


def _based(text: str, base: int, option: str) -> int:
    """Return a number of that base; base 0 leaves it to how the number is written."""
    return int(text, 16 if text.startswith("0x") else base) if base else read_number(text, option)


_HEXADECIMAL = re.compile(r"(?:0[xX])?0*[0-9a-fA-F]{1,8}", re.ASCII)
_MATCHES: dict[str, Callable[[OptionUse], tuple[PureTest, ...]]] = {
    "-s": _ip(f.ARP_SADDR_IP),
    "-d": _ip(f.ARP_DADDR_IP),
    "--src-mac": _mac(f.ARP_SADDR_ETHER),
    "--dst-mac": _mac(f.ARP_DADDR_ETHER),
    "-i": _interface(f.IIFNAME),
    "-o": _interface(f.OIFNAME),
    "--h-length": _number(f.ARP_HLEN, {}, base=10),
    "--opcode": _number(f.ARP_OPERATION, _OPERATIONS, base=10),
    "--h-type": _number(f.ARP_HTYPE, {"Ethernet": 1}, base=16),
    "--proto-type": _number(f.ARP_PTYPE, {"ipv4": 0x800}, base=0),
}


# --- targets ---


def _mangle(given: dict[str, str]) -> tuple[Step, ...]:
    steps: list[Step] = []
    for option, field in (
        ("--mangle-mac-s", f.ARP_SADDR_ETHER),
        ("--mangle-mac-d", f.ARP_DADDR_ETHER),
        ("--mangle-ip-s", f.ARP_SADDR_IP),
        ("--mangle-ip-d", f.ARP_DADDR_IP),
    ):
        if option in given:
            read = (
                read_mac(given[option], option)
                if field.width == 48
                else read_short_address(given[option], option, Family.IP)
            )
            steps.append(Assign(field, 0, read))
    if not steps:
        raise Refused(
            "FWT116", "`mangle` needs --mangle-ip-s, --mangle-ip-d, --mangle-mac-s or --mangle-mac-d", option="mangle"
        )
    return tuple(steps)


_MOST_OF_A_CLASS = 0xFFFF


def _classify(given: dict[str, str]) -> tuple[Step, ...]:
    major, found, minor = given.get("--set-class", "").partition(":")
    try:
        parts = int(major, 16), int(minor, 16)
    except ValueError:
        raise bad_value(given.get("--set-class", ""), "a class MAJOR:MINOR", "--set-class") from None
    if not found:
        raise bad_value(major, "a class MAJOR:MINOR", "--set-class")
    if not all(0 <= part <= _MOST_OF_A_CLASS for part in parts):
        raise bad_value(given["--set-class"], "a class MAJOR:MINOR, each of 16 bits", "--set-class")
    return (Assign(f.PRIORITY, 0, parts[0] << 16 | parts[1]),)


_MARKS = ("--set-mark", "--and-mark", "--or-mark", "--xor-mark")


def _mark(given: dict[str, str]) -> tuple[Step, ...]:
    refuse_several(given, _MARKS)
    for option in _MARKS:
        if option not in given:
            continue
        value = _hexadecimal(given[option], option)
        if option == "--set-mark":
            return (Assign(f.MARK, 0, value),)
        keep = {"--and-mark": value, "--or-mark": _ONES & ~value, "--xor-mark": _ONES}[option]
        return (Assign(f.MARK, keep, 0 if option == "--and-mark" else value),)
    raise Refused("FWT116", "`MARK` needs --set-mark, --and-mark, --or-mark or --xor-mark", option="MARK")


def _hexadecimal(text: str, option: str) -> int:
    """Return a mark as arptables reads and prints it (`%x`): `17` is 0x17. What stands behind the number is no mask there."""
    if not _HEXADECIMAL.fullmatch(text):
        raise bad_value(text, "a mark: a hexadecimal number of 32 bits", option)
    return int(text, 16)


_TARGETS: dict[str, Callable[[dict[str, str]], tuple[Step, ...]]] = {
    "mangle": _mangle,
    "CLASSIFY": _classify,
    "MARK": _mark,
}
