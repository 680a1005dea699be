"""Whole messages, and input that is no dump at all."""

from __future__ import annotations

import random

import pytest

from fwtrans.diagnostics import Diagnostic, DiagnosticSink
from fwtrans.diagnostics.render import render
from fwtrans.parsers.ipset_save.parse import MOST_ERRORS, parse_ipset_save
from fwtrans.source import SourceFile
from tests.growth import assert_grows_with
from tests.parsers.ipset_save.reading import NAMES, read, read_well
from tests.places import ERROR_PAGES


def message(text: str) -> str:
    """Return the one message that a text gives."""
    sink = DiagnosticSink()
    parse_ipset_save(SourceFile("sets", text), sink, NAMES)
    (found,) = sink.found
    return render(found)


def test_a_bad_address_is_pointed_at() -> None:
    assert message("create x hash:ip,port\nadd x 10.0.0.256,tcp:80\n") == (
        "sets:2:7: error[FWT122]: `10.0.0.256` is not an IPv4 address\n"
        "   2 | add x 10.0.0.256,tcp:80\n"
        "     |       ^^^^^^^^^^"
    )


def test_a_bad_port_is_pointed_at() -> None:
    assert message("create x hash:ip,port\nadd x 10.0.0.1,tcp:65536\n") == (
        "sets:2:20: error[FWT122]: `65536` is not a port: a number from 0 to 65535 or a name of /etc/services\n"
        "   2 | add x 10.0.0.1,tcp:65536\n"
        "     |                    ^^^^^"
    )


def test_a_host_name_is_said_to_be_one() -> None:
    assert message("create x hash:ip\nadd x www.example.org\n") == (
        "sets:2:7: error[FWT125]: `www.example.org` is a host name; ipset asks DNS for it at the moment of loading\n"
        "   2 | add x www.example.org\n"
        "     |       ^^^^^^^^^^^^^^^\n"
        "\n"
        "hint: write the IPv4 address, as `ipset save` does"
    )


def test_prefix_length_zero_gets_a_way_out() -> None:
    assert message("create x hash:net\nadd x 0.0.0.0/0\n") == (
        "sets:2:7: error[FWT123]: `0.0.0.0/0`: prefix length 0 cannot be stored in this set type\n"
        "   2 | add x 0.0.0.0/0\n"
        "     |       ^^^^^^^^^\n"
        "\n"
        "hint: write the two halves, 0.0.0.0/1 and 128.0.0.0/1 or ::/1 and 8000::/1"
    )


def test_the_way_out_of_prefix_length_zero_works() -> None:
    read_well("create x hash:net\nadd x 0.0.0.0/1\nadd x 128.0.0.0/1\n")
    read_well("create x hash:net family inet6\nadd x ::/1\nadd x 8000::/1\n")


def test_an_option_that_the_set_was_not_made_for() -> None:
    assert message("create x hash:ip\nadd x 10.0.0.1 timeout 5\n") == (
        "sets:2:16: error[FWT123]: `timeout`: the set was created without `timeout`\n"
        "   2 | add x 10.0.0.1 timeout 5\n"
        "     |                ^^^^^^^\n"
        "\n"
        "hint: ipset stops here; add `timeout 0` to the line that creates the set"
    )
    read_well("create x hash:ip timeout 0\nadd x 10.0.0.1 timeout 5\n")


def test_an_element_twice_names_the_first_line() -> None:
    assert message("create x hash:ip\nadd x 10.0.0.1\nadd x 10.0.0.1\n") == (
        "sets:3:7: error[FWT124]: `10.0.0.1` is in the set already, since line 2\n"
        "   3 | add x 10.0.0.1\n"
        "     |       ^^^^^^^^\n"
        "\n"
        "hint: ipset stops here unless it is run with -exist; put `-exist` behind the line, or take it out"
    )
    read_well("create x hash:ip\nadd x 10.0.0.1\nadd x 10.0.0.1 -exist\n")


def test_an_unknown_option_is_pointed_at() -> None:
    assert message("create x hash:ip hashsiez 64\n") == (
        "sets:1:18: error[FWT121]: `hashsiez` is no option here, for a set of this type\n"
        "   1 | create x hash:ip hashsiez 64\n"
        "     |                  ^^^^^^^^"
    )


def test_a_missing_word_is_named() -> None:
    assert message("create x\n") == ("sets:1:8: error[FWT120]: a set type is missing\n   1 | create x\n     |        ^")
    assert message("swap a\n").startswith("sets:1:6: error[FWT120]: the name of a set is missing")


def test_a_word_too_many_is_pointed_at() -> None:
    assert message("create a hash:ip\nflush a b\n") == (
        "sets:2:9: error[FWT120]: expected the end of the line\n   2 | flush a b\n     |         ^"
    )


def test_an_open_quote_is_pointed_at() -> None:
    assert message('create x hash:ip comment\nadd x 10.0.0.1 comment "open\n') == (
        "sets:2:24: error[FWT108]: the quote is not closed on its line\n"
        '   2 | add x 10.0.0.1 comment "open\n'
        "     |                        ^^^^^"
    )


def test_a_value_inside_of_quotes_is_pointed_at() -> None:
    long = "x" * 256
    assert "sets:2:24: error[FWT122]" in message(f'create x hash:ip comment\nadd x 10.0.0.1 comment "{long}"\n')


@pytest.mark.parametrize(
    "listing",
    ["Name: x\nType: hash:ip\nRevision: 5\nHeader: family inet\nMembers:\n10.0.0.1\n", "<ipsets>\n<ipset name='x'>\n"],
)
def test_output_of_list_is_recognised(listing: str) -> None:
    text = message(listing)
    assert "error[FWT126]" in text
    assert "hint: run `ipset save` and give its output" in text


def test_a_set_that_could_not_be_made_is_complained_of_once() -> None:
    assert read("create x hash:nonsense\n" + "add x 10.0.0.1\n" * 1000)[1] == ["FWT120"]


def test_all_mistakes_of_a_file_are_found_up_to_a_limit() -> None:
    assert read("create x hash:ip\nadd x 1.2.3.4.5\nadd x 300.1.1.1\nadd y 1.1.1.1\n")[1] == [
        "FWT122",
        "FWT122",
        "FWT124",
    ]
    assert len(read("what is this\n" * 100_000)[1]) == MOST_ERRORS


def test_what_was_found_before_does_not_count_towards_the_limit() -> None:
    sink = DiagnosticSink()
    for _ in range(2 * MOST_ERRORS):
        sink.add(Diagnostic(code="FWT206", message="a note about another file"))
    text = "create a hash:ip\ncreate b hash:ip family inet6\n"
    assert [item.name for item in parse_ipset_save(SourceFile("sets", text), sink, NAMES).sets] == ["a", "b"]


@pytest.mark.parametrize("seed", range(20))
def test_random_text_gives_errors_and_never_a_traceback(seed: int) -> None:
    source = random.Random(seed)  # noqa: S311 -- tests want the same numbers again
    letters = 'ad create x hash:ip,portnet "\\/-:.0123456789abcdef\x00\x1b\r\té\udc80٣\n'
    for _ in range(50):
        body = "".join(source.choices(letters, k=source.randint(0, 200)))
        read(body)
        read(f"create x hash:ip comment timeout 0\nadd x {body}\nadd x 10.0.0.1 {body}\ncreate y {body}\n")


@pytest.mark.parametrize("piece", ["٣", "10.0.0.٣", "¹", "10.0.0.1/²", "-1", "+5", "", " ", "\x00", "0x", "\udc80"])
def test_odd_digits_are_no_numbers(piece: str) -> None:
    for line in (f'add x "{piece}"', f'add x 10.0.0.1 timeout "{piece}"', f'create y hash:ip hashsize "{piece}"'):
        assert read(f"create x hash:ip timeout 0\n{line}\n")[1], line


def test_reading_elements_grows_with_their_number() -> None:
    small, large = with_elements(5_000), with_elements(50_000)
    assert_grows_with(10, lambda: read_well(small), lambda: read_well(large))


def with_elements(count: int) -> str:
    lines = [f"add x 10.{number >> 8}.{number & 255}.0/24\n" for number in range(count)]
    return "create x hash:net family inet hashsize 1024 maxelem 65536\n" + "".join(lines)


@pytest.mark.parametrize("number", range(120, 127))
def test_the_example_of_the_page_has_its_error(number: int) -> None:
    page = (ERROR_PAGES / f"FWT{number}.md").read_text(encoding="utf-8")
    example = page.split("```")[1].partition("\n")[2]
    assert read(example)[1].count(f"FWT{number}") >= 1
