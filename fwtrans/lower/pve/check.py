"""What pve-firewall checks of a rule besides its words: names that exist above its line, and what may stand together.

A rule that fails is left out, with a warning, as PVE leaves it out. So the rules that come out of here are those that
commands are made of; `version` is the IP version that a rule is for, None where it is for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Diagnostic, DiagnosticSink
from fwtrans.lower.pve.macros import MACRO_NAMES, MacroPart, macro_name, macro_parts
from fwtrans.lower.pve.names import ICMP, ICMP6, ICMP6_TYPES, ICMP_TYPES, PROTOCOLS, SERVICES, SERVICES_OF, WITH_PORTS
from fwtrans.parsers.pve.complaints import did_you_mean, skipped_rule
from fwtrans.parsers.pve.syntax import Rule, RuleOption, Token
from fwtrans.parsers.pve.values import ALIAS, family_of_addresses

if TYPE_CHECKING:
    from fwtrans.lower.pve.scope import Scope

_NOTHING = {"", "0"}  # what Perl takes for no value
_NOT_LOADED = (
    "PVE passes it on to iptables-restore, which then refuses all rules together: nothing is changed until this is put"
    " right"
)


@dataclass(frozen=True, slots=True, eq=False)
class CheckedRule:
    """A rule that PVE takes. `macro` has the macro's own spelling, "" for none; rules are told apart by identity."""

    rule: Rule
    macro: str
    version: int | None

    @property
    def kind(self) -> str:
        """Return in, out, forward or group."""
        return self.rule.kind

    @property
    def action(self) -> str:
        """Return the verdict, or the group's name."""
        return self.rule.action.text

    def value(self, option: RuleOption) -> str:
        """Return a parameter's text, "" where there is none."""
        return self.rule.value(option)


class _Found(Exception):  # noqa: N818 -- it is the answer
    """Ends the checking of a rule at its first problem."""

    def __init__(self, code: str, message: str, token: Token | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.token, self.hint = code, message, token, hint


def check_rule(rule: Rule, scope: Scope, sink: DiagnosticSink, *, in_group: bool = False) -> CheckedRule | None:
    """Return the rule as far as PVE takes it; None where it leaves it out, and the sink says why.

    Some mistakes PVE sees only while it makes the commands. In a file's own rules that is the same in the end; in a
    group's (`in_group`) it breaks off at the guest or the rule that names the group, so such a rule stays in the group.
    """
    try:
        macro = _macro(rule)
        version = _version(rule, scope, in_group=in_group)
        _check_protocol_and_ports(rule, in_group=in_group)
        _check_icmp_type(rule)
        if macro:
            _check_macro(rule, macro, version)
        if rule.enabled:
            _check_loadable(rule)
    except _Found as found:
        note = _NOT_LOADED if found.code == "FWT168" else skipped_rule(_verdict(rule), enabled=rule.enabled)
        sink.add(
            Diagnostic(
                code=found.code,
                message=found.message,
                span=rule.span(found.token),
                notes=(note,),
                hints=(found.hint,) if found.hint else (),
            )
        )
        return None
    if rule.enabled:
        _tell_of_port_zero(rule, sink)
    return CheckedRule(rule, macro, version)


def _verdict(rule: Rule) -> str:
    return "group" if rule.kind == "group" else rule.action.text


def _macro(rule: Rule) -> str:
    if rule.macro is None:
        return ""
    name = macro_name(rule.macro.text)
    if name is None:
        hint = did_you_mean(rule.macro.text, MACRO_NAMES)
        raise _Found("FWT175", f"there is no macro `{rule.macro.text}`", rule.macro, hint)
    return name


def _version(rule: Rule, scope: Scope, *, in_group: bool) -> int | None:
    """Return the IP version that protocol and addresses ask for; they must ask for the same one."""
    protocol = rule.value(RuleOption.PROTOCOL)
    version = 4 if protocol in ICMP else 6 if protocol in ICMP6 else None
    for option in (RuleOption.SOURCE, RuleOption.DESTINATION):
        parameter = rule.parameter(option)
        if parameter is None:
            continue
        elsewhere = in_group and scope.has_elsewhere(parameter.value.text)
        asked = _address_version(parameter.value, scope, elsewhere=elsewhere)
        if asked and version and asked != version:
            message = "protocol, source and destination of the rule belong to IPv4 and to IPv6 at once"
            raise _Found("FWT176", message, parameter.value, "write one rule for each")
        version = version or asked or None
    return version


def _address_version(value: Token, scope: Scope, *, elsewhere: bool) -> int:
    """Return the version of an address, 0 for a set, which has both, and for a name that is there but `elsewhere`."""
    text = value.text
    if text.startswith("+"):
        if scope.ipset(text) is None and not elsewhere:
            raise _Found("FWT175", f"there is no set `{text[1:]}`{_above(text)}", value, _scope_hint(text[1:]))
        return 0
    if ALIAS.fullmatch(text):
        alias = scope.alias(text)
        if alias is None and elsewhere:
            return 0
        if alias is None:
            raise _Found("FWT175", f"there is no alias `{text}`{_above(text)}", value, _scope_hint(text))
        return alias.version
    return family_of_addresses(text)


def _above(text: str) -> str:
    return "" if "sdn/" in text else " above this line"


def _scope_hint(text: str) -> str:
    if text.startswith("sdn/"):
        return "the sets of SDN come with its configuration, which is not among the inputs or has no such set"
    if text.lower() in {"local_network", "management", "blacklist"}:
        return "PVE makes this name on its own, but only after it has read the rules: define it to use it"
    return "PVE looks names up while it reads: [ALIASES] and [IPSET ...] must stand above the rules that use them"


def _check_protocol_and_ports(rule: Rule, *, in_group: bool) -> None:
    parameter = rule.parameter(RuleOption.PROTOCOL)
    protocol = parameter.value.text if parameter is not None else ""
    if parameter is not None and protocol not in PROTOCOLS and protocol not in ICMP | ICMP6 | _NOTHING:
        hint = did_you_mean(protocol, PROTOCOLS)
        if protocol.lower() in PROTOCOLS:
            hint = f"names of protocols are in lower case: `{protocol.lower()}`"
        raise _Found("FWT176", f"there is no protocol `{protocol}`", parameter.value, hint)
    for option, with_types in ((RuleOption.DESTINATION_PORT, True), (RuleOption.SOURCE_PORT, False)):
        ports = rule.parameter(option)
        if ports is None or ports.value.text in _NOTHING:
            continue
        _check_port_names(ports.value, with_types=with_types)
        if protocol in _NOTHING:
            hint = "add `-p tcp` or `-p udp`" if rule.macro is None else "a macro brings its ports with it"
            raise _Found("FWT176", f"`{ports.written.text}` needs a protocol", ports.written, hint)
        with_type = with_types and (protocol in {"icmp", "icmpv6"} or (in_group and protocol in ICMP6))
        if protocol not in WITH_PORTS and not with_type:
            raise _Found("FWT176", f"protocol `{protocol}` has no ports", ports.written)


def _check_port_names(value: Token, *, with_types: bool) -> None:
    items = value.text.split(",")
    types = ICMP_TYPES | ICMP6_TYPES if with_types else frozenset()
    numbers = [item for item in items if item.replace(":", "").isdigit()]
    for item in items:
        if item not in numbers and item not in types and item not in SERVICES:
            raise _Found("FWT176", f"there is no port `{item}`", value, did_you_mean(item, SERVICES))
    if numbers and any(item in types for item in items):
        raise _Found("FWT176", "ICMP types and ports cannot stand in one list", value)


def _check_icmp_type(rule: Rule) -> None:
    parameter = rule.parameter(RuleOption.ICMP_TYPE)
    if parameter is None or parameter.value.text in _NOTHING:
        return
    text, protocol = parameter.value.text, rule.value(RuleOption.PROTOCOL)
    if protocol not in ICMP | ICMP6:
        hint = "add `-p icmp` or `-p icmpv6`"
        raise _Found("FWT176", "`-icmp-type` needs the protocol icmp, icmpv6 or ipv6-icmp", parameter.written, hint)
    if rule.value(RuleOption.DESTINATION_PORT) not in _NOTHING:
        raise _Found("FWT176", "`-icmp-type` and `-dport` cannot stand together", parameter.written)
    types = ICMP_TYPES if protocol in ICMP else ICMP6_TYPES
    if text not in types:
        hint = "PVE takes numbers with `-dport` alone" if text.isdigit() else did_you_mean(text, types)
        raise _Found("FWT176", f"`{text}` is no type of `{protocol}`", parameter.value, hint)


def _check_macro(rule: Rule, name: str, version: int | None) -> None:
    """Refuse a parameter that the macro sets to something else."""
    for part in macro_parts(name, version):
        for option, own in part_values(part):
            parameter = rule.parameter(option)
            if own and parameter is not None and parameter.value.text != own:
                message = f"macro `{name}` sets {option.value} itself, to `{own}`"
                raise _Found("FWT176", message, parameter.written, "write the rule without the macro")


def part_values(part: MacroPart) -> tuple[tuple[RuleOption, str], ...]:
    """Return what a part of a macro sets."""
    return (
        (RuleOption.PROTOCOL, part.protocol),
        (RuleOption.DESTINATION_PORT, part.destination_port),
        (RuleOption.SOURCE_PORT, part.source_port),
    )


def _check_loadable(rule: Rule) -> None:
    """Refuse what PVE lets through and iptables-restore does not: all rules of the family would fail with it."""
    protocol = rule.value(RuleOption.PROTOCOL)
    for option in (RuleOption.DESTINATION_PORT, RuleOption.SOURCE_PORT):
        ports = rule.parameter(option)
        if ports is None or ports.value.text in _NOTHING or protocol in ICMP | ICMP6:
            continue
        items = ports.value.text.split(",")
        if protocol in {"udplite", "136"} and len(items) == 1:
            hint = "a list of two ports works: iptables has them of its multiport match"
            raise _Found("FWT168", "iptables has no single port for protocol udplite", ports.value, hint)
        for item in items:
            if item in SERVICES | ICMP_TYPES | ICMP6_TYPES and item not in SERVICES_OF.get(protocol, frozenset()):
                raise _Found("FWT168", f"`{item}` is no port of protocol `{protocol}`", ports.value, "write its number")


def _tell_of_port_zero(rule: Rule, sink: DiagnosticSink) -> None:
    """Say that `-dport 0` binds the rule to no port: to Perl 0 is no value."""
    if rule.value(RuleOption.PROTOCOL) in {"icmp", "icmpv6"}:
        return
    for option in (RuleOption.DESTINATION_PORT, RuleOption.SOURCE_PORT):
        ports = rule.parameter(option)
        if ports is not None and ports.value.text == "0":
            message = f"to PVE a `0` behind `{ports.written.text}` is no value"
            note = "the rule is in force without this condition, and matches more than it says"
            sink.add(Diagnostic(code="FWT176", message=message, span=rule.span(ports.value), notes=(note,)))
