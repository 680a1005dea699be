from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fwtrans.parsers.iptables_save.words import (
    LONGEST_LINE,
    LONGEST_WORD,
    MOST_WORDS,
    BadLine,
    has_other_blanks,
    quoted,
    refuse_what_overflows,
    save_string,
    split_line,
    word_columns,
)

# Each was tried with iptables-restore 1.8.9; test_against_iptables.py does it again.
SPLITS = [
    ("-A INPUT", ["-A", "INPUT"]),
    ("  -A \t INPUT \t", ["-A", "INPUT"]),
    ('--comment "a b"', ["--comment", "a b"]),
    ('--comment ""', ["--comment", ""]),
    ('a"b c"d', ["ab c", "d"]),
    ('"a"-j ACCEPT', ["a", "-j", "ACCEPT"]),
    ('"a""b"', ["a", "b"]),
    (r'"a\"b\\c\'d\e"', ["a\"b\\c'de"]),
    (r"a\ b", ["a\\", "b"]),
    (r'\"a"', ["\\a"]),
    ("'a b'", ["'a", "b'"]),
    ("a\x0bb\x0cc\xa0d\u2028e", ["a\x0bb\x0cc\xa0d\u2028e"]),
    ("a#b # c", ["a#b", "#", "c"]),
    ("[5:6] -A INPUT", ["[5:6]", "-A", "INPUT"]),
    ("[5:6]-A INPUT", ["[5:6]", "-A", "INPUT"]),
    ("[ 5:6 ] -A INPUT", ["[ 5:6 ]", "-A", "INPUT"]),
    ('[5:6]"a b" c', ["[5:6]", "a b", "c"]),
    ("-A [x] [y]z", ["-A", "[x]", "[y]z"]),
]


@pytest.mark.parametrize(("line", "words"), SPLITS)
def test_words_are_those_of_iptables_restore(line: str, words: list[str]) -> None:
    assert split_line(line)[0] == words


@pytest.mark.parametrize(("line", "words"), SPLITS)
def test_columns_are_those_of_the_words_as_written(line: str, words: list[str]) -> None:
    raws = split_line(line)[1] or words
    assert [line[start:end] for start, end in word_columns(line)] == raws


@pytest.mark.parametrize("line", ['-A "x', 'a"b', '"', 'a "b\\"', '"a" "b c', '[5:6] "x', '[5:6]"x'])
def test_an_open_quote_is_refused_at_its_word(line: str) -> None:
    with pytest.raises(BadLine) as caught:
        split_line(line)
    assert caught.value.code == "FWT108"
    word = caught.value.word
    assert word is not None
    start, end = word_columns(line)[word]
    assert end == len(line)
    assert '"' in line[start:end]


def test_counters_without_their_end_are_refused() -> None:
    with pytest.raises(BadLine, match=r"`\[5:6 -A INPUT` begins with a bracket"):
        split_line("[5:6 -A INPUT")


@given(st.text(st.characters(exclude_characters="\n\0", codec="utf-8")))
def test_no_line_makes_columns_fail_or_differ_from_the_words(line: str) -> None:
    columns = word_columns(line)
    assert all(start < end for start, end in columns)
    assert list(columns) == sorted(columns)
    try:
        words, raws = split_line(line)
    except BadLine:
        return
    assert [line[start:end] for start, end in columns] == (raws if raws is not None else words)


@given(st.lists(st.text(st.characters(exclude_characters="\n\0", codec="utf-8"))))
def test_quoted_words_are_read_back(words: list[str]) -> None:
    line = " " + " ".join(map(quoted, words))
    assert split_line(line, other_blanks=has_other_blanks(line))[0] == words


@given(st.text(st.characters(exclude_characters="\n\0", codec="utf-8")))
def test_a_saved_string_is_read_back(value: str) -> None:
    assert split_line(" " + save_string(value))[0] == [value]


def test_a_string_is_saved_as_iptables_does_it() -> None:
    assert save_string("PVESIG_a-1") == "PVESIG_a-1"
    assert save_string("a.b") == '"a.b"'
    assert save_string('it\'s "x\\y"') == r'''"it\'s \"x\\y\""'''
    assert save_string("") == '""'


def test_what_iptables_has_no_room_for_is_refused() -> None:
    refuse_what_overflows("x", ["x" * LONGEST_WORD])
    with pytest.raises(BadLine, match="word is longer"):
        refuse_what_overflows("x", ["x" * (LONGEST_WORD + 1)])
    with pytest.raises(BadLine, match="word is longer"):
        refuse_what_overflows("x", ["\u00e9" * 512])
    refuse_what_overflows("x " * (LONGEST_LINE // 2), [])
    with pytest.raises(BadLine, match="line is longer"):
        refuse_what_overflows("x" * (LONGEST_LINE + 1), [])
    with pytest.raises(BadLine, match="line has 252 words"):
        refuse_what_overflows("x", ["x"] * (MOST_WORDS + 1))
