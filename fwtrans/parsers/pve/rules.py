"""Reads a rule, a line of [RULES] or of a security group, and checks what can be checked in the line alone.

What PVE skips is complained of once, at the first word that is wrong. One thing it does not skip: a value of `0` is none
to Perl, so `-source 0` binds a rule to nothing. The rule stays, and that is said; not of `-p 0`, though, which is every
protocol to iptables, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.parsers.pve.complaints import Complaints, did_you_mean, shortened, skipped_rule
from fwtrans.parsers.pve.lines import SPACE, Line, Word
from fwtrans.parsers.pve.syntax import FirewallKind, Parameter, Rule, RuleOption
from fwtrans.parsers.pve.values import LOG_LEVELS, Mistake, check_addresses, check_interface, check_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

_TYPES = {
    FirewallKind.CLUSTER: ("in", "out", "forward", "group"),
    FirewallKind.HOST: ("in", "out", "forward", "group"),
    FirewallKind.GUEST: ("in", "out", "group"),
    FirewallKind.VNET: ("forward", "group"),
}
_GROUP_TYPES = ("in", "out", "forward")
_OPTIONS = {
    "i": RuleOption.INTERFACE,
    "p": RuleOption.PROTOCOL,
    "proto": RuleOption.PROTOCOL,
    "source": RuleOption.SOURCE,
    "dest": RuleOption.DESTINATION,
    "dport": RuleOption.DESTINATION_PORT,
    "sport": RuleOption.SOURCE_PORT,
    "log": RuleOption.LOG,
    "icmp-type": RuleOption.ICMP_TYPE,
}
_SPELLINGS = ("-i", "-p", "-proto", "-source", "-dest", "-dport", "-sport", "-log", "-icmp-type")


def read_rule(line: Line, number: int, kind: FirewallKind, complaints: Complaints, *, in_group: bool) -> Rule | None:
    """Return a rule, or None where PVE skips it."""
    enabled = line.word("DISABLED") is None
    types = _GROUP_TYPES if in_group else _TYPES[kind]
    if line.wrong is not None:
        message, hint, place = _what_is_wrong(line, line.wrong, types)
        note = skipped_rule(_verdict(line), enabled=enabled)
        complaints.add("FWT165", message, complaints.at(number, place), note=note, hint=hint)
        return None
    words = [word for word in line.words if word.terminal not in {"DISABLED", "COMMENT"}]
    first = words.pop(0)
    macro = words.pop(0) if words[0].terminal == "MACRO" else None
    action = words.pop(0)
    rule = Rule(
        complaints.source,
        number,
        first.token,
        action.token,
        None if macro is None else macro.token,
        tuple(_parameters(words)),
        enabled,
        line.comment,
    )
    mistake = _first_mistake(rule, kind, types, in_group=in_group)
    if mistake is not None:
        place, found = mistake
        note = skipped_rule(_verdict(line), enabled=enabled)
        code = "FWT166"
        if found.fatal:
            code = "FWT168"
            note = "PVE passes it on to iptables-restore, which then refuses all rules together: nothing is changed until this is put right"  # fmt: skip
        complaints.mistake(code, number, place, found, note)
        return None
    _tell_of_oddities(rule, complaints)
    return rule


def _parameters(words: list[Word]) -> Iterator[Parameter]:
    for option, value in zip(words[::2], words[1::2], strict=True):
        yield Parameter(_OPTIONS[option.text.lstrip("-")], option.token, value.token)


def _verdict(line: Line) -> str:
    """Return what a rule would do, for the sentence on what it means that it does not; "" where that is unknown."""
    verdict = line.word("VERDICT")
    return verdict.text if verdict is not None else "group" if line.word("GROUP") is not None else ""


# --- lines that the grammar does not take ---


def _what_is_wrong(line: Line, wrong: Word, types: tuple[str, ...]) -> tuple[str, str, Word]:
    """Return message, hint and place for a word that stands where it cannot."""
    expected = line.expected
    if not wrong.text or wrong.terminal == "COMMENT":
        if "VALUE" in expected:
            option = [word for word in line.words if word.terminal in {"OPTION", "INTERFACE"}][-1]
            return f"`{option.text}` has no value", "", option
        missing = "the type" if "DIRECTION" in expected else "the action"
        return f"{missing} of the rule is missing", "a rule begins with IN, OUT, FORWARD or GROUP, and an action", wrong
    if "DIRECTION" in expected:
        if line.words[0].terminal == "DISABLED" and wrong.start > line.words[0].start + 1:
            return "no blank may stand behind `|`", "write `|IN ...`", line.words[0]
        return f"`{shortened(wrong.text)}` is no type of rule", _types_hint(types), wrong
    if "VERDICT" in expected:
        return _bad_action(wrong)
    if "NAME" in expected:
        hint = "2 to 18 characters: a letter, then letters, digits, `-` and `_`"
        return f"`{shortened(wrong.text)}` is no name of a security group", hint, wrong
    return _bad_parameter(wrong, line)


def _bad_action(wrong: Word) -> tuple[str, str, Word]:
    hint = "the actions are ACCEPT, DROP and REJECT, or a macro with one of them in brackets: SSH(ACCEPT)"
    if any(verdict in wrong.text.upper() for verdict in ("ACCEPT", "DROP", "REJECT")):
        hint = "an action is written in capital letters; " + hint
    return f"`{shortened(wrong.text)}` is no action", hint, wrong


def _bad_parameter(rest: Word, line: Line) -> tuple[str, str, Word]:
    """Return what is wrong with the rest of a rule, from the first parameter on that cannot be read."""
    word = rest.text.split(None, 1)[0] if rest.text.split(None, 1) else rest.text
    place = rest._replace(text=word)
    behind = rest.text[len(word) :]
    before = [other for other in line.words if other.terminal == "VALUE" and other.start < rest.start]
    if before and before[-1].start + len(before[-1].text) == rest.start:  # `-log error` is `-log err` and `or` to PVE
        place = Word("REST", before[-1].text + word, before[-1].start)
        return f"`{shortened(place.text)}` is no log level", f"the levels are {', '.join(LOG_LEVELS)}", place
    if line.word("GROUP") is not None:
        return f"`{shortened(word)}` cannot stand in a GROUP rule", "it takes -i alone; bind the rules of the group instead", place  # fmt: skip
    name = word.lstrip("-")
    if name in _OPTIONS and word.startswith("-") and word != "-":
        if len(word) - len(name) > 2 or (len(name) == 1 and word != "-" + name):
            return f"`{shortened(word)}` is no parameter of a rule", f"did you mean `-{name}`?", place
        if name == "log" and behind[:1] == " " and behind[1:2] not in SPACE:
            value = behind[1:].split(None, 1)[0]
            return f"`{shortened(value)}` is no log level", f"the levels are {', '.join(LOG_LEVELS)}", Word("REST", value, rest.start + len(word) + 1)  # fmt: skip
        return f"exactly one blank must stand between `{word}` and its value", "", place
    if not word.startswith("-"):
        return f"`{shortened(word)}` is out of place here", "a list has commas and no blanks: 80,443", place
    return f"`{shortened(word)}` is no parameter of a rule", did_you_mean(word, _SPELLINGS), place


# --- values ---


def _first_mistake(
    rule: Rule, kind: FirewallKind, types: tuple[str, ...], *, in_group: bool
) -> tuple[Word, Mistake] | None:
    """Return the first word of a rule that PVE refuses."""
    if rule.kind not in types:
        where = "a security group" if in_group else "this file"
        return _word(rule.type), Mistake(f"`{rule.type.text}` rules cannot stand in {where}", _types_hint(types))
    if rule.kind == "forward" and rule.action.text == "REJECT":
        return _word(rule.action), Mistake("a FORWARD rule cannot reject", "use DROP")
    for parameter in (found for option in RuleOption if (found := rule.parameter(option)) is not None):
        mistake = _value_mistake(parameter, kind, in_group=in_group)
        if mistake is not None:
            return _word(parameter.value), mistake
    return None


def _value_mistake(parameter: Parameter, kind: FirewallKind, *, in_group: bool) -> Mistake | None:
    text = parameter.value.text
    if parameter.binds_nothing:
        return None
    match parameter.option:
        case RuleOption.INTERFACE:
            if in_group or kind is FirewallKind.VNET:
                where = "a security group" if in_group else "a vnet"
                return Mistake(f"rules of {where} cannot be bound to an interface", "bind the GROUP rule instead" if in_group else "")  # fmt: skip
            if kind is FirewallKind.GUEST and not (text.startswith("net") and text[3:].isdigit() and text.isascii()):
                return Mistake(
                    f"`{shortened(text)}` is no interface of a guest", "they are called net0, net1 and so on"
                )
            return check_interface(text)
        case RuleOption.SOURCE | RuleOption.DESTINATION:
            return check_addresses(text)
        case RuleOption.DESTINATION_PORT | RuleOption.SOURCE_PORT:
            return check_ports(text)
    return None


def _tell_of_oddities(rule: Rule, complaints: Complaints) -> None:
    """Tell of parameters that are given twice, and of those that PVE does not see."""
    seen: dict[RuleOption, Parameter] = {}
    forgotten: dict[RuleOption, Parameter] = {}
    for parameter in rule.parameters:
        if parameter.option in seen:
            forgotten[parameter.option] = seen[parameter.option]
        seen[parameter.option] = parameter
    for option, earlier in forgotten.items():
        last = seen[option].written
        note = f"PVE takes this one and forgets `{shortened(earlier.value.text)}`"
        complaints.add(
            "FWT167", f"`{last.text}` is given twice in this rule", complaints.at(rule.line, last), note=note
        )
    for parameter in seen.values():
        if parameter.binds_nothing and parameter.option is not RuleOption.PROTOCOL:
            message = f"to PVE a `0` behind `{parameter.written.text}` is no value"
            note = "the rule is in force without this condition, and matches more than it says"
            complaints.add("FWT166", message, complaints.at(rule.line, parameter.value), note=note)


def _types_hint(types: tuple[str, ...]) -> str:
    names = [name.upper() for name in types]
    return f"{', '.join(names[:-1])} and {names[-1]} can stand here"


def _word(token: tuple[str, int]) -> Word:
    return Word("VALUE", *token)
