from __future__ import annotations

import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fwtrans.parsers.iptables_save.shell_words import logical_line, refuse_what_a_shell_computes, shell_words
from fwtrans.parsers.iptables_save.words import BadLine
from fwtrans.source import SourceFile

# Each was tried with dash.
SPLITS = [
    ("iptables -A INPUT", ["iptables", "-A", "INPUT"]),
    ("a 'b c' \"d e\" f\\ g", ["a", "b c", "d e", "f g"]),
    ("a'b'\"c\"\\d", ["abcd"]),
    ("''  \"\"", ["", ""]),
    ("'a\"b' \"c'd\"", ['a"b', "c'd"]),
    ("'a\\b'", ["a\\b"]),
    (r'"a\"b\\c\$d\`e\nf"', ['a"b\\c$d`e\\nf']),
    ("a#b #c d", ["a#b"]),
    ("a;b && c", ["a", ";", "b", "&&", "c"]),
    ("$ a$", ["$", "a$"]),
    ("! [0:0] {a} *", ["!", "[0:0]", "{a}", "*"]),
    ("a\\\n  b\\\nc", ["a", "bc"]),
    ('"a\\\nb"', ["ab"]),
]


@pytest.mark.parametrize(("text", "words"), SPLITS)
def test_words_are_those_of_a_shell(text: str, words: list[str]) -> None:
    found = tuple(shell_words(text, 1))
    refuse_what_a_shell_computes(found)
    assert [word.text for word in found] == words


@pytest.mark.parametrize(
    "text", ["$A", "a$A", "${A}", "$(a)", "`a`", '"$A"', '"`a`"', "a | b", "a || b", "a &", "a > b", "(a)", "a\nb"]
)
def test_what_a_shell_would_compute_is_refused(text: str) -> None:
    with pytest.raises(BadLine, match="means something to the shell"):
        refuse_what_a_shell_computes(tuple(shell_words(text, 1)))


@pytest.mark.parametrize("text", ["'a", '"a', 'a "b c', "a\\"])
def test_an_open_quote_is_refused(text: str) -> None:
    with pytest.raises(BadLine) as caught:
        refuse_what_a_shell_computes(tuple(shell_words(text, 1)))
    assert caught.value.code == "FWT108"


def test_a_separator_is_no_quoted_one() -> None:
    assert [word.separator for word in shell_words("a ; ';' \\; &&", 1)] == [False, True, False, False, True]


def test_words_know_their_place_over_continued_lines() -> None:
    source = SourceFile("script", "first\na 'b c' \\\n  \"d\" e\\\\\nlast\n")
    text, behind = logical_line(source, 2)
    assert behind == 4
    words = list(shell_words(text, 2))
    assert [(word.text, word.line, source.line(word.line)[word.start : word.end]) for word in words] == [
        ("a", 2, "a"),
        ("b c", 2, "'b c'"),
        ("d", 3, '"d"'),
        ("e\\", 3, "e\\\\"),
    ]


@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=0)))
def test_quoted_words_are_read_back(words: list[str]) -> None:
    found = tuple(shell_words(shlex.join(words), 1))
    refuse_what_a_shell_computes(found)
    assert [word.text for word in found] == words


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8")))
def test_no_text_makes_it_fail(text: str) -> None:
    for word in shell_words(text, 1):
        assert word.start <= word.end


@pytest.mark.parametrize(("text", "words"), [case for case in SPLITS if ";" not in case[0] and case[0][0] != "!"])
def test_the_shell_itself_agrees(text: str, words: list[str]) -> None:
    done = subprocess.run(["sh", "-fc", f"printf '%s\\0' {text}"], capture_output=True, check=True, text=True)
    assert done.stdout.split("\0")[:-1] == words
