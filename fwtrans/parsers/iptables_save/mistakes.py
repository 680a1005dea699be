"""What is wrong with a line that cannot be sorted into options and values, and what its writer probably meant.

Each function returns or raises the `BadLine` of one mistake. Nothing here runs for a good line.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from fwtrans.parsers.iptables_save import general
from fwtrans.parsers.iptables_save.out_of_tree import unknown_to_linux
from fwtrans.parsers.iptables_save.steps import known_options, spellings, word_number
from fwtrans.parsers.iptables_save.words import BadLine

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fwtrans.parsers.iptables_save.classify import Classifier
    from fwtrans.parsers.iptables_save.options import OptionTable
    from fwtrans.parsers.iptables_save.steps import Line

MOST_HINTS = 1000
"""How often a name is compared with all that are known: a file may be wrong in every line."""

_PROTOCOLS = ("tcp", "udp", "icmp", "icmp6", "sctp", "dccp")
_COMMON_MATCHES = (
    *("comment", "conntrack", "state", "multiport", "limit", "hashlimit", "mac", "mark", "connmark", "set", "iprange"),
    *("physdev", "recent", "owner", "addrtype", "time", "string", "length", "pkttype", "connlimit", "ttl", "hl"),
)
_FAMILIES = {"ip": "ip6", "ip6": "ip"}
_TOOLS = {"ip": "iptables", "ip6": "ip6tables"}
_JOINTS = (":", ",", "/")


def missing_value(option: str, word: int, terminals: Sequence[str] = ("", "")) -> BadLine:
    """Return the error of an option at the end of its line, or with too few words behind it."""
    count = sum(terminal != "OLD_NOT" for terminal in terminals) - 1
    needs = "a value" if count == 1 else f"{count} words"
    return BadLine("FWT106", f"`{option}` needs {needs} behind it", word=word)


def refuse_bad_name(name: str, word: int) -> None:
    """Refuse what cannot be the name of a chain or target."""
    if not name:
        raise BadLine("FWT112", "name of a target is empty", word=word)
    if len(name) > general.LONGEST_NAME:
        raise BadLine(
            "FWT112", f"`{name}` is longer than the {general.LONGEST_NAME} characters of a chain or target", word=word
        )
    if any(character in " \t\n\v\f\r" for character in name):
        raise BadLine("FWT112", f"`{name}` has a blank in it; no chain or target has one", word=word)


def unknown_match(options: OptionTable, name: str, family: str, word: int) -> BadLine:
    """Return the error of `-m name` without such a match."""
    tool = _TOOLS.get(family, family)
    other = _FAMILIES.get(family, "")
    if other and options.match_options(name, other) is not None:
        hint = f"this is read as rules of {tool}; those of {_TOOLS[other]} belong in a dump of their own"
        return BadLine("FWT104", f"match `{name}` exists in {_TOOLS[other]} alone, not in {tool}", word=word, hint=hint)
    foreign = unknown_to_linux("match", name, word)
    if foreign is not None:
        return foreign
    near = name.lower() if options.match_options(name.lower(), family) is not None else ""
    return BadLine("FWT104", f"match `{name}` is not known", word=word, hint=f"did you mean `{near}`?" if near else "")


def other_family(option: str, family: str, word: int) -> BadLine:
    """Return the error of `iptables -6`."""
    return BadLine("FWT102", f"`{option}` contradicts `{_TOOLS.get(family, family)}`", word=word)


def not_in_a_file(option: str, word: int) -> BadLine:
    """Return the error of an option that iptables-restore takes on its own command line only."""
    return BadLine("FWT102", f"`{option}` cannot stand in a file for iptables-restore, which refuses it", word=word)


def no_fragments_in_ip6(word: int) -> BadLine:
    """Return the error of `ip6tables -f`."""
    return BadLine("FWT103", "`-f` does not exist in ip6tables", word=word, hint="use `-m frag --fragmore`")


def glued_interface(option: str, word: str, value: str, number: int) -> BadLine:
    """Return the error of `-ieth0`: hardly what its writer meant, and not to be translated as what he meant either."""
    return BadLine(
        "FWT112",
        f"iptables takes all of `{word}` for the name of an interface, which no packet has",
        word=number,
        hint=f"write a blank: `{option} {value}`",
    )


def refuse_single_dash(classifier: Classifier, line: Line) -> None:
    """Refuse `-dport 443`, which getopt reads as `-d port` with a stray `443`."""
    word = line.word
    meant = _long_name(classifier, line, "-" + word)
    if not meant:
        return
    behind = line.words[line.index + 1 : line.index + 2]
    is_followed = bool(behind) and behind[0][:1] not in {"-", "!"}
    if not is_followed and word[1] in "jgmio":
        return  # `-jump` may well be `-j ump`
    raise BadLine(
        "FWT113",
        f"`{word}` is read as `{word[:2]} {word[2:]}`",
        word=line.number,
        hint=f"write `-{word}`, with two dashes",
    )


def not_an_option(classifier: Classifier, line: Line) -> BadLine:
    """Return the error of a word that stands where an option should and is none."""
    if line.word == "--":
        return BadLine("FWT102", "`--` ends the options, and words follow it", word=line.number + 1)
    if line.word[:1] != "-" or line.word == "-":
        return _stray_word(classifier, line)
    return _unknown_option(classifier, line)


def _stray_word(classifier: Classifier, line: Line) -> BadLine:
    word = line.word
    hint, label = "", ""
    values = _values_before(line)
    option = line.words[line.index - line.shape[-1].take] if values else ""
    if values and (word.startswith(_JOINTS) or values[-1].endswith(_JOINTS)):
        hint = f"remove the blank: `{option} {' '.join(values)}{word}`"
    elif values and values[-1][:1] == "-":
        hint = f"`{option}` takes the word behind it whatever it is, here `{values[-1]}`; its own value may be missing"
    elif word.startswith("!") and len(word) > 1:
        hint = f"write a blank behind the exclamation mark: `! {word[1:]}`"
    elif values and values[-1][:1] == "'":
        hint = "iptables-restore knows double quotes only"
    elif classifier.options.target_options(word, classifier.family) is not None:
        hint = f"a target stands behind `-j`: `-j {word}`"
    if values and not hint:
        label = f"`{option}` takes {'one word' if len(values) == 1 else f'{len(values)} words'}"
    return BadLine("FWT102", f"`{word}` stands where an option should", word=line.number, hint=hint, label=label)


def _values_before(line: Line) -> list[str]:
    """Return the values of the option that stands before the word, if it has any."""
    if not line.shape:
        return []
    values = [terminal for terminal in line.shape[-1].terminals[1:] if terminal != "OLD_NOT"]
    return line.words[line.index - len(values) : line.index]


def _unknown_option(classifier: Classifier, line: Line) -> BadLine:
    option = line.word.partition("=")[0]
    to_chain = [step for step in line.shape if step.terminals == ("JUMP", "CHAIN")]
    meant = _long_name(classifier, line, option)
    if to_chain and not meant:
        position = sum(step.take for step in line.shape[: line.shape.index(to_chain[0])]) + 1
        number = word_number(line.shape[: line.shape.index(to_chain[0])]) + 1
        name = line.words[position]
        foreign = unknown_to_linux("target", name, number)
        return foreign or BadLine(
            "FWT105", f"target `{name}` is not known, so neither is its option `{option}`", word=number
        )
    if len(_meanings(classifier, line, option)) > 1:
        several = ", ".join(f"`{name}`" for name in _meanings(classifier, line, option))
        return BadLine("FWT103", f"`{option}` may stand for {several}", word=line.number)
    loaded = ", ".join(f"`{item.name}`" for item in line.context.loaded)
    of_whom = f"neither iptables nor {loaded} has" if loaded else "iptables has no"
    hint = _where_it_belongs(classifier, line, option)
    if not hint and classifier.hints_left > 0:
        classifier.hints_left -= 1
        near = get_close_matches(option, _known_names(line), n=1)
        hint = f"did you mean `{near[0]}`?" if near else ""
    if line.shape and line.shape[-1].name.startswith("--to") and option[1:2].isdigit():
        hint = "remove the blank in front of it"
    verb = "an option" if loaded else "option"
    return BadLine("FWT103", f"{of_whom} {verb} `{option}`", word=line.number, hint=hint)


def _known_names(line: Line) -> list[str]:
    """Return every long option that could stand here."""
    context = line.context.implied or line.context
    own = [name for _, option in known_options(context) for name in spellings(option)]
    return [*own, *general.BY_LONG]


def _meanings(classifier: Classifier, line: Line, abbreviation: str) -> list[str]:
    """Return what an abbreviation could stand for."""
    if len(abbreviation) < 3 or classifier.find(line.context, abbreviation) is not None:
        return []
    return sorted(name for name in set(_known_names(line)) if name.startswith(abbreviation))


def _long_name(classifier: Classifier, line: Line, option: str) -> str:
    """Return the long option that the word is or shortens, also if the protocol for it is not named yet."""
    if len(option) < 4:
        return ""
    step = classifier.find(line.context, option)
    if step is not None:
        return step.name
    return option if _of_protocols(classifier, option) else ""


def _of_protocols(classifier: Classifier, option: str) -> list[str]:
    """Return the protocols whose match has the option."""
    return [name for name in _PROTOCOLS if option in _names(classifier, name)]


def _names(classifier: Classifier, match: str) -> Iterable[str]:
    options = classifier.options.match_options(match, classifier.family) or ()
    return {name for option in options for name in spellings(option)}


def _where_it_belongs(classifier: Classifier, line: Line, option: str) -> str:
    """Return a hint if the option belongs to a match that is not loaded in front of it."""
    loaded = {item.name for item in line.context.loaded} | {line.context.protocol}
    protocols = _of_protocols(classifier, option)
    if protocols:
        places = [] if loaded & set(protocols) else [f"`-p {name}`" for name in protocols[:2]]
    else:
        places = [
            f"`-m {name}`" for name in _COMMON_MATCHES if name not in loaded and option in _names(classifier, name)
        ]
    return f"`{option}` is known behind {' or '.join(places)}" if places else ""
