"""Lines of all kinds for properties: right and wrong ones, in every spelling, with values that look like options."""

from __future__ import annotations

from hypothesis import strategies as st

from fwtrans.parsers.iptables_save.general import GENERAL
from fwtrans.parsers.iptables_save.words import quoted, save_string
from tests.parsers.iptables_save.option_table import MATCHES, MATCHES_OF, TARGETS

TRICKY = [
    "-j",
    "--dport",
    "!",
    "--",
    "-",
    "ACCEPT",
    "tcp",
    "10.0.0.1,10.0.0.2",
    "a b",
    'x"y',
    "\\",
    "",
    "1",
    "5,6",
    "[0:0]",
]
VALUES = st.one_of(
    st.sampled_from(["10.0.0.1", "22", "NEW,ESTABLISHED", "0x1/0xff", "eth0", "u", "x"]),
    st.sampled_from(TRICKY),
    st.text(st.characters(exclude_characters="\n\r\0", codec="utf-8"), max_size=6),
)
EXTENSIONS = {**MATCHES, **MATCHES_OF["ip"], **MATCHES_OF["ip6"]}
PROTOCOLS = ["tcp", "udp", "6", "17", "icmp", "icmpv6", "58", "all", "TCP", "esp"]


def _shortened(name: str, cut: int) -> str:
    return name if cut == 0 else name[: max(3, len(name) - cut)]


def _written(names: tuple[str, ...], arity: int) -> st.SearchStrategy[list[str]]:
    """Return ways to write an option: with its names shortened or not, `=`, glued, and the words it takes or one less."""
    spelling = st.builds(_shortened, st.sampled_from(names), st.sampled_from([0, 0, 0, 1, 4]))
    values = st.lists(VALUES, min_size=arity, max_size=arity)
    apart = st.builds(lambda name, words: [name, *words], spelling, values)
    forms = [apart, apart, apart]
    if arity:
        forms.append(st.builds(lambda name, words: [f"{name}={words[0]}", *words[1:]], spelling, values))
        forms.append(st.builds(lambda name, words: [name, "!", *words], spelling, values))
        forms.append(st.builds(lambda name, words: [name[:2] + words[0], *words[1:]], spelling, values))
    return st.one_of(forms)


def _negated(words: st.SearchStrategy[list[str]]) -> st.SearchStrategy[list[str]]:
    return st.builds(lambda sign, rest: sign + rest, st.sampled_from([[], [], [], ["!"], ["!", "!"]]), words)


def _extension(flag: str, name: str) -> st.SearchStrategy[list[str]]:
    """Return a use of a match or target with some of its options."""
    options = (EXTENSIONS if flag == "-m" else TARGETS)[name]
    if not options:
        return st.just([flag, name])
    one = st.one_of([_negated(_written((option.name, *option.aliases), option.arity)) for option in options])
    return st.lists(one, max_size=3).map(lambda uses: [flag, name, *(word for use in uses for word in use)])


GENERAL_OPTIONS = st.one_of(
    [
        _negated(_written((entry.name, *entry.longs), len(entry.takes)))
        for entry in GENERAL
        if entry.terminal in {"OPTION", "GOTO", "MODIFIER", "SET_COUNTERS"}
    ]
)
PARTS = st.one_of(
    GENERAL_OPTIONS,
    st.sampled_from(PROTOCOLS).map(lambda name: ["-p", name]),
    st.sampled_from(sorted(EXTENSIONS)).flatmap(lambda name: _extension("-m", name)),
    st.sampled_from(sorted(EXTENSIONS)).flatmap(lambda name: _extension("-m", name)),
    st.sampled_from(sorted(TARGETS)).flatmap(lambda name: _extension("-j", name)),
    st.sampled_from(["u", "nosuch", "-j", ""]).map(lambda name: ["-j", name]),
    st.lists(VALUES, max_size=1),
)
COMMANDS = st.one_of(
    st.sampled_from([["-A", "FORWARD"], ["-A", "FORWARD"], ["-A", "u"], ["-I", "INPUT"], ["-I", "INPUT", "1"]]),
    st.one_of(
        [_written((entry.name, *entry.longs), len(entry.takes)) for entry in GENERAL if entry.takes[:1] == ("CHAIN",)]
    ),
)


def _line(before: list[list[str]], command: list[str], parts: list[list[str]], counters: str, blank: str) -> str:
    words = [word for part in [*before, command, *parts] for word in part]
    return counters + blank.join(quoted(word) if number % 3 else _spelled(word) for number, word in enumerate(words))


def _spelled(word: str) -> str:
    """Quote some words that need no quotes."""
    return save_string(word) if len(word) % 2 else quoted(word)


LINES = st.builds(
    _line,
    st.one_of(st.just([]), st.just([]), st.lists(PARTS, max_size=1)),
    COMMANDS,
    st.lists(PARTS, max_size=5),
    st.sampled_from(["", "", "", "[0:0] ", "[12:3456]", "[x] "]),
    st.sampled_from([" ", " ", "  ", "\t"]),
)
"""A line of a file for iptables-restore, right or wrong."""
