"""Rules of the configuration to iptables commands, in PVE's own order of words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.diagnostics import Diagnostic, DiagnosticSink
from fwtrans.lower.pve.chains import Chains, LeftOut, log_target
from fwtrans.lower.pve.check import CheckedRule, part_values
from fwtrans.lower.pve.macros import macro_parts
from fwtrans.lower.pve.names import ICMP, ICMP6, ICMP6_TYPES, ICMP_TYPES, LOG_LEVELS, WITH_PORTS
from fwtrans.lower.pve.standard import SET_ACCEPT_MARK
from fwtrans.parsers.pve.syntax import RuleOption
from fwtrans.parsers.pve.values import ALIAS

if TYPE_CHECKING:
    from fwtrans.lower.pve.node import Node
    from fwtrans.lower.pve.scope import Scope

_LARGEST_TYPE = 255


@dataclass(slots=True)
class Compilation:
    """The making of one IP version's filter table.

    `actions` is shared by both versions. PVE puts a rule's target in place of its action when it first makes the rule,
    and names the action in the log prefix: so the second time (another NIC, or IPv6) the prefix names the target.
    """

    version: int
    node: Node
    chains: Chains
    sink: DiagnosticSink
    actions: dict[CheckedRule, str]
    told: set[tuple[str, str]] = field(default_factory=set)

    def tell(self, code: str, message: str, rule: CheckedRule, note: str) -> None:
        """Put a finding about a rule into the sink, once for both versions."""
        key = (code, f"{rule.rule.source.name}:{rule.rule.line}:{message}")
        if key not in self.told:
            self.told.add(key)
            span = rule.rule.span(rule.rule.action)
            self.sink.add(Diagnostic(code=code, message=message, span=span, notes=(note,)))


class Where(NamedTuple):
    """The chain that a rule is for, whose names it uses, and what its log lines say of the guest."""

    chain: str
    scope: Scope
    vmid: int = 0
    incoming: str = ""
    outgoing: str = ""


def applies(rule: CheckedRule, version: int) -> bool:
    """Tell whether a rule is on, and for this IP version."""
    return rule.rule.enabled and rule.version in {None, version}


def add_rule(
    compilation: Compilation, rule: CheckedRule, where: Where, targets: dict[str, str], *, named: bool
) -> None:
    """Add the commands of a rule: all of its macro's parts or none. `named` puts the action into the log prefix."""
    action = compilation.actions.get(rule, rule.action)
    message = f"{action}: " if named else ""
    target = compilation.actions[rule] = targets.get(action, action)
    commands: list[str] = []
    for values in _variants(rule, compilation.version):
        match = _match(values, where, compilation.version)
        level = values[RuleOption.LOG]
        if level in LOG_LEVELS:
            log = log_target(where.chain, where.vmid, message, level, compilation.chains.limit)
            commands.append(f"-A {where.chain} {match} {log}")
        commands.append(f"-A {where.chain} {match} {jump_to(target)}")
    for command in commands:
        compilation.chains.append(where.chain, command, rule.rule.origin)


def jump_to(target: str) -> str:
    """Return the target; the accept mark is set in a chain that returns to the caller's caller."""
    return f"-g {target}" if target == SET_ACCEPT_MARK else f"-j {target}"


def _variants(rule: CheckedRule, version: int) -> list[dict[RuleOption, str]]:
    """Return the values of each rule that a rule stands for: one, or one for each part of its macro."""
    own = {option: rule.value(option) for option in RuleOption}
    if not rule.macro:
        return [own]
    return [
        {**own, **{option: value for option, value in part_values(part) if value}}
        for part in macro_parts(rule.macro, version)
    ]


def _match(values: dict[RuleOption, str], where: Where, version: int) -> str:
    words = []
    if where.incoming:
        words.append(f"-i {where.incoming}")
    if where.outgoing:
        words.append(f"-o {where.outgoing}")
    for option, letter in ((RuleOption.SOURCE, "s"), (RuleOption.DESTINATION, "d")):
        if values[option]:
            words.append(_address(values[option], letter, where.scope, version))
    words.extend(_protocol_words(values))
    return " ".join(words)


def _address(text: str, letter: str, scope: Scope, version: int) -> str:
    side = {"s": "src", "d": "dst"}[letter]
    if text.startswith("+"):
        name = scope.ipset(text)
        if name is None:
            raise LeftOut(f"there is no set `{text[1:]}`")
        return f"-m set --match-set {name.for_version(version)} {side}"
    if ALIAS.fullmatch(text):
        alias = scope.alias(text)
        if alias is None:
            raise LeftOut(f"there is no alias `{text}`")
        return f"-{letter} {alias.text}"
    if "-" in text:
        return f"-m iprange --{side}-range {text}"
    return f"-{letter} {text}"


def _protocol_words(values: dict[RuleOption, str]) -> list[str]:
    """Return protocol, ICMP type and ports; a single port stands before a list, as iptables wants it."""
    protocol = values[RuleOption.PROTOCOL]
    if protocol in {"", "0"}:
        return []
    several = "," in values[RuleOption.SOURCE_PORT]
    destination, source = _destination_port(values), _source_port(values)
    ports = [*destination, *source] if several else [*source, *destination]
    return [f"-p {protocol}", *_icmp_type(values), *ports]


def _icmp_type(values: dict[RuleOption, str]) -> list[str]:
    protocol, kind = values[RuleOption.PROTOCOL], values[RuleOption.ICMP_TYPE]
    if not kind:
        return []
    if protocol not in ICMP | ICMP6:
        raise LeftOut(f"protocol `{protocol}` has no ICMP types")
    return [f"-m {protocol} --{'icmp-type' if protocol in ICMP else 'icmpv6-type'} {kind}"]


def _destination_port(values: dict[RuleOption, str]) -> list[str]:
    protocol, port = values[RuleOption.PROTOCOL], values[RuleOption.DESTINATION_PORT]
    if not port:
        return []
    if protocol in {"icmp", "icmpv6"}:  # PVE keeps the type of its macros' rules here
        _check_type(port, ICMP_TYPES if protocol == "icmp" else ICMP6_TYPES)
        return [f"-m {protocol} --{protocol}-type {port}"]
    if protocol not in WITH_PORTS:
        raise LeftOut(f"protocol `{protocol}` has no ports")
    if "," in port:
        return [f"--match multiport --dports {port}"]
    return [] if port == "0" else [f"--dport {port}"]


def _check_type(kind: str, names: frozenset[str]) -> None:
    if not (int(kind) <= _LARGEST_TYPE if kind.isascii() and kind.isdigit() else kind in names):
        raise LeftOut(f"`{kind}` is no ICMP type")


def _source_port(values: dict[RuleOption, str]) -> list[str]:
    protocol, port = values[RuleOption.PROTOCOL], values[RuleOption.SOURCE_PORT]
    if port in {"", "0"}:
        return []
    if protocol not in WITH_PORTS:
        raise LeftOut(f"protocol `{protocol}` has no ports")
    return [f"--match multiport --sports {port}" if "," in port else f"--sport {port}"]
