"""Which program a shell command calls, behind `sudo` and its like, and what is known of programs.

Names of other ways to load rules are known, too, so that none of them passes for an ordinary command.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.parsers.ipset_save.commands import command_words
from fwtrans.parsers.ipset_save.shapes import command_terminal
from fwtrans.parsers.shell_expand import Unreadable, Variables, expand
from fwtrans.parsers.shell_words import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.parsers.shell_words import Passage, RawWord, ShellWord

_FIREWALL = re.compile(r"(iptables|ip6tables|ebtables|arptables)(?:-legacy|-nft)?|(ipset)")
_MULTI = frozenset({"xtables-multi", "xtables-legacy-multi", "xtables-nft-multi"})
_MENTION = re.compile(r"(?<![\w-])(?:ip6?tables|ebtables|arptables|ipset)(?:-legacy|-nft)?(?![\w-])")
_CHANGING_MENTION = re.compile(
    r"(?<![\w-])(?:ip6?tables|ebtables|arptables)(?:-legacy|-nft)?\s[^|;&]*-(?:A|I|D|R|N|X|P|F|E|Z)\b"
    r"|(?<![\w-])(?:ip6?tables|ebtables|arptables)(?:-legacy|-nft)?\s[^|;&]*--(?:append|insert|delete|policy|flush|new-chain)\b"
    r"|(?<![\w-])(?:ip6?tables|ebtables|arptables)(?:-legacy|-nft)?-restore\b|(?<![\w-])nft\s+(?:-f|add|insert|flush|delete)\b"
    r"|(?<![\w-])ipset\s+(?:-\S+\s+)*(?:create|add|del|destroy|flush|swap|rename|restore)\b"
)
_RESTORING = re.compile(r"(?:iptables|ipt|ip6tables|ip6t|ipset|ebtables|arptables)[_}\"'-]*restore", re.IGNORECASE)
_OF_RULES = re.compile(r"iptables|ip6tables|ebtables|arptables|\bip6?t(?:ables)?\b", re.IGNORECASE)
_OF_NFT = re.compile(r"\bnft\b", re.IGNORECASE)
# Variables for programs that print, log or ask.
_SAYING = re.compile(r"echo|print|log|debug|msg|say|warn|info|die|error|which|type|test", re.IGNORECASE)
_OF_SETS = re.compile(r"ipset", re.IGNORECASE)
_COMMAND_WORD = re.compile(
    r"(?P<asks>-[nvx46]*[CLSVh]|--(?:check|list|list-rules|version|help))"
    r"|-[nvx46]*[ADIRNXPFEZ]|--(?:append|delete|insert|replace|new(?:-chain)?|delete-chain|policy|flush|rename-chain|zero)"
)
_RULE_WORDS = frozenset({"-A", "-I", "-D", "-N", "-P", "-F", "-X", "-t", "--append", "--insert", "--policy"})

LOADERS = frozenset(
    {
        *(
            f"{name}{kind}-restore"
            for name in ("iptables", "ip6tables", "ebtables")
            for kind in ("", "-legacy", "-nft")
        ),
        *("arptables-restore", "arptables-nft-restore", "iptables-apply", "ip6tables-apply"),
        *("netfilter-persistent", "nft", "ufw", "firewall-cmd", "ferm", "shorewall", "shorewall6", "pve-firewall"),
    }
)
"""Programs that load rules from somewhere else, or in another language."""

_NFT_CHANGES = frozenset({"add", "insert", "replace", "delete", "destroy", "flush", "create", "rename", "reset"})
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "ksh", "zsh"})
_FIREWALL_SCRIPT = re.compile(r".*(?:firewall|netfilter).*\.(?:sh|bash)", re.IGNORECASE)
_COMMAND = re.compile(r"-[a-z]*c")
_SCRIPT_NAME = re.compile(r".*\.(?:sh|bash)")
# Variables of the system's own, and functions for messages of init scripts.
_WITHOUT_RULES = re.compile(
    r"/etc/(?:default|sysconfig)/.*|/etc/(?:profile|rc\.status|os-release)|.*/(?:init-)?functions"
)
_FUNCTIONS = re.compile(r"/lib/lsb/init-functions|/etc/(?:rc\.d/)?init\.d/functions")
_LOADING_SERVICES = frozenset(
    {"iptables", "ip6tables", "ipset", "netfilter-persistent", "nftables", "ufw", "firewalld"}
)
_SERVICE_TOOLS = frozenset({"service", "systemctl", "invoke-rc.d", "rc-service"})
_LOADING_ACTIONS = frozenset({"start", "restart", "reload", "force-reload", "condrestart", "try-restart"})
_NOT_LOADING = frozenset({"stop", "status", "disable", "list", "show", "save", "-L", "-v", "version", "--version"})

# Words that only lead to the program. The number says how many words of its own each takes; options come on top.
_WRAPPERS = {
    **dict.fromkeys(("sudo", "doas", "env", "exec", "command", "nohup", "nice", "ionice", "chronic"), 0),
    "timeout": 1,
}
_WRAPPER_VALUES = {
    "sudo": frozenset({"-u", "-g", "-h", "-p"}),
    "doas": frozenset({"-u"}),
    "env": frozenset({"-u"}),
    "nice": frozenset({"-n"}),
    "ionice": frozenset({"-c", "-n"}),
    "timeout": frozenset({"-k", "-s"}),
}

# What these do with the name of a firewall program is no call of it.
_HARMLESS = re.compile(
    r"echo|printf|logger|test|\[|\[\[|which|type|hash|modprobe|rmmod|insmod|lsmod|depmod|rm|ls|cat|chmod|chown|touch|mkdir"
    r"|[ef]?grep|sed|awk|cp|mv|ln|find|true|:|exit|return|apt|apt-get|dpkg|man|cd|set|shift|trap|sleep|wait|kill|killall"
    r"|pkill|pgrep|pidof|update-alternatives|export|install|head|tail|wc|sort|cut|tr|tee|date|ip|sysctl|service|systemctl"
    r"|invoke-rc\.d|rc-service|command"
)
_ALWAYS_TRUE = re.compile(r"echo|printf|true|:|sleep|logger|sysctl|modprobe|set|export|umask|touch|mkdir|cd")


class Call(NamedTuple):
    """A program with the words behind it. `problem` says why one of those words cannot be read.

    `offset` is where the program's own word begins in the passage.
    """

    program: str
    words: tuple[ShellWord, ...]
    place: ShellWord
    offset: int
    is_firewall: bool
    problem: Unreadable | None = None
    loads: bool = False
    hides_firewall: bool = False


def firewall_program(name: str) -> str | None:
    """Return iptables, ip6tables, ipset, ebtables or arptables for a program's path or name; else None.

    /etc/init.d/iptables has the name, but is a script that loads rules.
    """
    if name.startswith("/etc/"):
        return None
    found = _FIREWALL.fullmatch(name.rpartition("/")[2])
    return None if found is None else found[1] or found[2]


def mentions_firewall(text: str) -> bool:
    """Tell whether the name of a firewall program occurs."""
    return _MENTION.search(text) is not None


def runs_what_it_reads(call: Call) -> bool:
    """Tell whether a call is of a shell without a script: it runs what comes by a pipe, from a file or the lines below."""
    name = call.program.rpartition("/")[2]
    words = [word.value for word in call.words]
    if name not in _SHELLS:
        return name in {".", "source"} and words[:1] == ["/dev/stdin"]
    is_value = False
    for word in words:
        if is_value:
            is_value = False
        elif word[:1] not in {"-", "+"} or word == "-":
            return word in {"-", "/dev/stdin"}
        elif word in {"-n", "--version", "--help"}:
            return False
        elif not word.startswith("--"):
            if "s" in word:
                return True
            is_value = word[-1] in "oO"
    return True


def speaks_of_firewall(words: Sequence[RawWord], passage: Passage) -> bool:
    """Tell whether words look like those of a firewall's program, whatever they are called with.

    They look so by their options, by the program behind `$SUDO`, or by what the variable in its place is called: `$IPSET`.
    """
    if not words:
        return False
    behind = [passage.text[word.start : word.end].strip("\"'") for word in words[1:]]
    program = passage.text[words[0].start : words[0].end]
    if any(word.bare in _RULE_WORDS for word in words[1:]):
        return True
    if _SAYING.search(program):
        return False  # what is quoted there is text
    first = next((word.rpartition("/")[2] for word in behind if word[:1] != "-"), "")
    if (
        first in LOADERS
        or program.strip("\"'").rpartition("/")[2] in LOADERS
        or _RESTORING.search(f"{program} {first}")
    ):
        return True
    if _OF_NFT.search(program) and (first in _NFT_CHANGES or "-f" in behind):
        return True
    if _OF_RULES.search(program):
        commands = filter(None, map(_COMMAND_WORD.fullmatch, behind))
        return any(not command["asks"] for command in commands)
    plain = (word for word in behind if not any(map(str.isspace, word)))
    return _CHANGING_MENTION.search(" ".join(["ipset" if _OF_SETS.search(program) else "", *plain])) is not None


def find_call(words: Sequence[RawWord], variables: Variables, passage: Passage) -> Call | None:
    """Return which program is called with what; None where the program itself cannot be told."""
    rest = list(words)
    fields: list[ShellWord] = []
    offsets: list[int] = []
    while not fields:
        if not rest:
            return None
        try:
            fields = list(expand(rest[0], variables, passage))
        except Unreadable:
            return None
        offsets = [rest.pop(0).start] * len(fields)
    problem: Unreadable | None = None
    first_problem = len(fields)
    for word in rest:
        try:
            fields.extend(expand(word, variables, passage))
        except Unreadable as unreadable:
            if problem is None:
                problem, first_problem = unreadable, len(fields)
            place = passage.place(word.start, word.end, passage.text[word.start : word.end])
            fields.append(place)
        offsets.extend([word.start] * (len(fields) - len(offsets)))
    skipped = _wrapper_length(fields)
    place, behind = fields[skipped], tuple(fields[skipped + 1 :])
    program = firewall_program(place.value)
    if program is not None:
        return Call(
            program,
            behind,
            place,
            offsets[skipped],
            is_firewall=True,
            problem=problem if first_problem > skipped else None,
        )
    name = place.value.rpartition("/")[2] or place.value
    return Call(
        name,
        behind,
        place,
        offsets[skipped],
        is_firewall=False,
        problem=problem,
        loads=_loads(name, place.value, behind),
        hides_firewall=_hides(name, behind, words),
    )


def _wrapper_length(fields: Sequence[ShellWord]) -> int:
    """Return how many words stand before the program proper: `sudo -n env LC_ALL=C`."""
    index = 0
    while index < len(fields) - 1:
        name = fields[index].value.rpartition("/")[2]
        if name in _MULTI:
            index += 1
            continue
        if name not in _WRAPPERS or (name == "command" and fields[index + 1].value in {"-v", "-V"}):
            return index
        after = index + 1
        while after < len(fields) and (
            fields[after].value.startswith("-") or (name == "env" and "=" in fields[after].value)
        ):
            after += 2 if fields[after].value in _WRAPPER_VALUES.get(name, ()) else 1
        after += _WRAPPERS[name]
        if after >= len(fields):
            return index
        index = after
    return index


def _loads(name: str, path: str, behind: Sequence[ShellWord]) -> bool:
    words = {word.value for word in behind}
    if name in LOADERS:
        return not words & _NOT_LOADING
    services = {word.removesuffix(".service") for word in words}
    if name in _SERVICE_TOOLS:
        return bool(services & _LOADING_SERVICES) and bool(words & _LOADING_ACTIONS)
    if _FIREWALL_SCRIPT.fullmatch(_script_of(name, path, behind)):
        return not words & _NOT_LOADING
    return path.startswith("/etc/init.d/") and name in _LOADING_SERVICES and bool(words & _LOADING_ACTIONS)


def _script_of(name: str, path: str, behind: Sequence[ShellWord]) -> str:
    """Return the name of the script that a call runs, "" where it is none."""
    if "/" in path:
        return name
    if name in {".", "source"} | _SHELLS:
        return next((word.value.rpartition("/")[2] for word in behind if word.value[:1] not in {"-", "+"}), "")
    return ""


def script_called(call: Call) -> str:
    """Return the script that a call reads or runs, "" where it is none or one that has no rules on any system."""
    name, path = call.program, call.place.value
    if "/" in path and name not in _SHELLS:
        found = path if path.startswith("./") or _SCRIPT_NAME.fullmatch(name) else ""
    elif name in {".", "source", "run-parts"} or (
        name in _SHELLS and not any(_COMMAND.fullmatch(w.value) for w in call.words)
    ):
        found = next((word.value for word in call.words if word.value[:1] not in {"-", "+"}), "")
    else:
        found = ""
    return "" if _WITHOUT_RULES.fullmatch(found) else found


def only_makes_functions(call: Call) -> bool:
    """Tell whether a call reads the system's functions for init scripts, which change none of a script's variables."""
    return len(call.words) == 1 and call.problem is None and _FUNCTIONS.fullmatch(call.words[0].value) is not None


def _hides(name: str, behind: Sequence[ShellWord], words: Sequence[RawWord]) -> bool:
    """Tell whether a command that is none of ours calls one all the same: `sh -c`, `xargs`, `ip netns exec`, `$(...)`."""
    computed = [piece.text for word in words for piece in word.pieces if piece.kind is Kind.COMPUTED]
    if any(_CHANGING_MENTION.search(text) for text in computed):
        return True
    if name == "ip" and "exec" in {word.value for word in behind}:
        return any(mentions_firewall(word.value) for word in behind)
    values = {word.value for word in behind}
    if name == "trap" and values & {"EXIT", "0"} and any(_CHANGING_MENTION.search(value) for value in values):
        return True  # the script's last command
    if values & {"-A", "-I", "--append", "--insert"} and values & {"-j", "--jump"} and not _HARMLESS.fullmatch(name):
        return True  # a rule, whatever it is called with
    if mentions_firewall(name):  # "iptables -w" in one word: no shell finds such a program
        return True
    return not _HARMLESS.fullmatch(name) and any(mentions_firewall(word.value) for word in behind)


def asks(call: Call) -> bool:
    """Tell whether a firewall command only asks: `iptables -C` fails where there is no such rule.

    Its first command word says so. What stands behind that may look like one and be a name: `ipset add list 10.0.0.1`.
    """
    if call.program == "ipset":
        return _ipset_command(call) in {"TEST", "LIST", "HELP", "VERSION"}
    commands = (found for word in call.words if (found := _COMMAND_WORD.fullmatch(word.value)))
    return next((bool(found["asks"]) for found in commands), False)


def restores_sets(call: Call) -> bool:
    """Tell whether a call is `ipset restore`, which reads a file."""
    return call.program == "ipset" and _ipset_command(call) == "RESTORE"


def _ipset_command(call: Call) -> str | None:
    words = command_words([word.value for word in call.words])
    return command_terminal(words[0]) if words else None


class Idiom(Enum):
    """Two firewall commands in one list that mean one thing."""

    ADD_IF_ABSENT = "iptables -C RULE || iptables -A RULE, ipset list SET || ipset create SET"
    CREATE_OR_FLUSH = "iptables -N CHAIN || iptables -F CHAIN, ipset create SET hash:ip || ipset flush SET"


def idiom(first: Call | None, negated: bool, operator: str, second: Call) -> Idiom | None:
    """Return what the two commands mean together, if the second hangs on the first in a way that is known."""
    if first is None or first.program != second.program or first.problem or second.problem:
        return None
    if operator != ("&&" if negated else "||"):
        return None
    if first.program == "ipset":
        return _of_sets(first, negated, second)
    if _without_command(first.words, {"-C", "--check"}) == _without_command(second.words, _ADDS) != []:
        return Idiom.ADD_IF_ABSENT
    if not negated and _without_command(first.words, _NEW) == _without_command(second.words, _FLUSH) != []:
        return Idiom.CREATE_OR_FLUSH
    return None


def _of_sets(first: Call, negated: bool, second: Call) -> Idiom | None:
    names = [command_words([word.value for word in call.words])[1:2] for call in (first, second)]
    if names[0] != names[1]:
        return None
    commands = _ipset_command(first), _ipset_command(second)
    if commands == ("LIST", "CREATE"):
        return Idiom.ADD_IF_ABSENT
    return Idiom.CREATE_OR_FLUSH if commands == ("CREATE", "FLUSH") and not negated else None


_ADDS = frozenset({"-A", "--append", "-I", "--insert"})
_NEW = frozenset({"-N", "--new-chain", "--new"})
_FLUSH = frozenset({"-F", "--flush"})


def _without_command(words: Sequence[ShellWord], names: frozenset[str] | set[str]) -> list[str]:
    """Return the values with the command blanked, and without the number that may stand behind -I CHAIN."""
    values = [word.value for word in words]
    for index, value in enumerate(values):
        if value in names:
            end = index + 2
            number = value in {"-I", "--insert"} and end < len(values) and values[end].isdigit()
            return [*values[:index], "", *values[index + 1 : end], *values[end + number :]]
    return []


def is_always_true(call: Call) -> bool:
    """Tell whether a command can be taken to succeed: it only acts, or asks whether iptables is there at all."""
    if _ALWAYS_TRUE.fullmatch(call.program):
        return True
    if call.program in {"which", "type", "hash", "command"}:
        return any(firewall_program(word.value) for word in call.words)
    if call.program in {"[", "test"}:
        values = [word.value for word in call.words if word.value != "]"]
        return len(values) == 2 and values[0] in {"-x", "-f", "-e"} and firewall_program(values[1]) is not None
    return False
