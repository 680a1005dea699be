"""The human form is compared as whole text: what a user sees is the contract."""

from __future__ import annotations

import json

import pytest

from fwtrans.diagnostics import CODES, Diagnostic, Severity
from fwtrans.diagnostics.render import count_by_severity, harmless, render, render_all, to_json
from fwtrans.source import SourceFile, Span

RULE = '-A INPUT -p tcp -m string --algo bm --string "BitTorrent" -j DROP'


def at(line: str, start: int, end: int, *, number: int = 1, name: str = "dump") -> Span:
    """Return a span in a file whose only interesting line is `line`."""
    return Span(SourceFile(name, "\n" * (number - 1) + line + "\n"), number, start, end)


def shown(line: str, start: int, end: int, *, width: int = 100, label: str = "") -> list[str]:
    """Return the source line and the caret line as rendered."""
    diagnostic = Diagnostic(code="FWT102", message="m", span=at(line, start, end), label=label)
    return render(diagnostic, width=width).split("\n")[1:]


def test_the_whole_form_is_as_the_house_style_shows_it() -> None:
    diagnostic = Diagnostic(
        code="FWT200",
        message="match `string` has no exact nftables form",
        span=at(RULE, 16, 25, number=14, name="host7/iptables.v4"),
        label="rule 9 of chain INPUT, table filter",
        notes=("nft compares payload at fixed offsets only",),
        hints=("run `fwtrans explain FWT200`", "or leave the rule out"),
    )
    assert render(diagnostic) == (
        "host7/iptables.v4:14:17: error[FWT200]: match `string` has no exact nftables form\n"
        '  14 | -A INPUT -p tcp -m string --algo bm --string "BitTorrent" -j DROP\n'
        "     |                 ^^^^^^^^^ rule 9 of chain INPUT, table filter\n"
        "note: nft compares payload at fixed offsets only\n"
        "\n"
        "hint: run `fwtrans explain FWT200`\n"
        "hint: or leave the rule out"
    )


def test_without_a_place_the_program_is_named() -> None:
    assert render(Diagnostic(code="FWT115", message="no such file: `x`")) == "fwtrans: error[FWT115]: no such file: `x`"


def test_the_word_before_the_code_is_its_severity() -> None:
    assert render(Diagnostic(code="FWT203", message="m")) == "fwtrans: note[FWT203]: m"


def test_further_lines_of_a_note_are_indented() -> None:
    diagnostic = Diagnostic(code="FWT300", message="m", notes=("nft says\nError: syntax error",))
    assert render(diagnostic).split("\n")[1:] == ["note: nft says", "      Error: syntax error"]


def test_no_escape_sequence_reaches_the_terminal() -> None:
    hostile = "\x1b]0;owned\x07\x9b31m\x00\u202eevil\u2066\udc9b\r\n"
    diagnostic = Diagnostic(
        code="FWT102",
        message=f"word {hostile}",
        span=Span(SourceFile(f"name{hostile}", f"-A {hostile}"), 1, 3, 5),
        label=hostile,
        notes=(hostile,),
        hints=(hostile,),
    )
    text = render(diagnostic)
    assert all(character.isprintable() for character in text.replace("\n", ""))
    assert text.startswith(r"name\x1b]0;owned\x07\x9b31m\x00\u202eevil\u2066\x9b\r\n:1:4: error[FWT102]: word \x1b]0;")
    text.encode("utf-8")


def test_a_no_break_space_is_visible() -> None:
    assert harmless("--dport\xa022") == r"--dport\xa022"


@pytest.mark.parametrize("character", ["\u200b", "\ufeff", "\u2028", "\U000e0041"])
def test_invisible_letters_are_visible(character: str) -> None:
    assert harmless(character) == character.encode("unicode_escape").decode()


def test_carets_stand_under_the_word_behind_tabs_escapes_and_wide_letters() -> None:
    line = "\tpost-up \x1b 漢字 e\u0301 -dport 443"
    start = line.index("-dport")
    text, carets = shown(line, start, start + 6)
    assert text == r"   1 |     post-up \x1b 漢字 " + "e\u0301 -dport 443"
    # the two wide letters take a column more each than len() says, the combining mark one less
    assert carets.index("^") == text.index("-dport") + 2 - 1
    assert carets.count("^") == 6


def test_a_carriage_return_at_the_end_is_not_shown() -> None:
    assert shown("-A x -j Y\r", 8, 9) == ["   1 | -A x -j Y", "     |         ^"]


def test_an_empty_span_has_one_caret_and_may_stand_behind_the_end() -> None:
    assert shown("COMMIT", 6, 6) == ["   1 | COMMIT", "     |       ^"]
    assert shown("", 0, 0, label="here") == ["   1 |", "     | ^ here"]
    assert shown("ab", 7, 9) == ["   1 | ab", "     |   ^"]


def test_a_line_behind_the_last_is_empty() -> None:
    diagnostic = Diagnostic(code="FWT107", message="m", span=Span(SourceFile("dump", "*filter"), 9, 0, 0))
    assert render(diagnostic) == "dump:9:1: error[FWT107]: m\n   9 |\n     | ^"


def test_line_numbers_of_any_size_keep_the_bars_aligned() -> None:
    diagnostic = Diagnostic(code="FWT102", message="m", span=at("x y", 2, 3, number=123456))
    assert render(diagnostic).split("\n")[1:] == ["123456 | x y", "       |   ^"]


@pytest.mark.parametrize("start", [0, 5, 150, 2000, 3990])
def test_a_long_line_is_cut_around_the_word(start: int) -> None:
    line = "".join(f"{number:05}" for number in range(800))
    text, carets = shown(line, start, start + 10, width=80)
    assert len(text) <= 80
    assert carets.count("^") == 10
    assert text[carets.index("^") : carets.rindex("^") + 1] == line[start : start + 10]
    assert text.startswith("   1 | ...") == (start > 40)
    assert text.endswith("...") == (start < 3950)
    assert len(text) >= 74, "the room is used"


def test_a_line_that_fits_is_not_cut() -> None:
    line = "x" * 93
    assert shown(line, 50, 52)[0] == f"   1 | {line}"
    assert len(shown(line + "x", 50, 52)[0]) <= 100


def test_a_word_longer_than_the_room_is_cut_too() -> None:
    text, carets = shown("-A " + "x" * 5_000_000 + " -j DROP", 3, 5_000_003, width=80, label="too long")
    assert len(text) == 80
    assert carets.endswith("^ too long")
    assert text.index("x") == carets.index("^")


def test_a_line_of_escapes_alone_stays_short() -> None:
    text, carets = shown("\U000e0041" * 1000, 400, 600, width=80)
    assert len(text) <= 80
    assert text[carets.index("^") :].startswith(r"\U000e0041\U000e0041")


def test_a_line_of_combining_marks_alone_stays_short() -> None:
    text, _ = shown("\u0301" * 100_000, 50_000, 50_001, width=80)
    assert len(text) < 500


def test_a_long_message_is_cut() -> None:
    assert len(render(Diagnostic(code="FWT102", message="x" * 100_000))) < 700


def test_errors_come_first_and_the_rest_is_counted() -> None:
    notes = [Diagnostic(code="FWT203", message=f"note {number}") for number in range(4)]
    errors = [Diagnostic(code="FWT102", message=f"error {number}") for number in range(2)]
    assert render_all([*notes, *errors], cap=3) == (
        "fwtrans: error[FWT102]: error 0\n\n"
        "fwtrans: error[FWT102]: error 1\n\n"
        "fwtrans: note[FWT203]: note 0\n\n"
        "and 3 more (3 notes)"
    )


def test_nothing_is_rendered_of_nothing() -> None:
    assert render_all([]) == ""
    assert count_by_severity(()) == "nothing"


def test_severities_are_counted_in_words() -> None:
    found = [Diagnostic(code=code, message="m") for code in ("FWT102", "FWT203", "FWT102")]
    assert count_by_severity(found) == "2 errors, 1 note"


def test_color_is_only_there_on_request() -> None:
    diagnostic = Diagnostic(code="FWT102", message="m", span=at("x", 0, 1), label="l")
    assert "\x1b" not in render(diagnostic)
    assert render(diagnostic, color=True) == (
        "dump:1:1: \x1b[1;31merror[FWT102]\x1b[0m: m\n   1 | x\n     | \x1b[1;31m^ l\x1b[0m"
    )


def test_the_json_form_says_the_same() -> None:
    diagnostic = Diagnostic(
        code="FWT103", message="`\x1b`?", span=at(RULE, 16, 25, number=3), label="l", notes=("n",), hints=("h",)
    )
    assert to_json(diagnostic) == {
        "code": "FWT103",
        "severity": "error",
        "title": CODES["FWT103"].title,
        "message": "`\x1b`?",
        "location": {"file": "dump", "line": 3, "column": 17, "end_column": 26},
        "label": "l",
        "notes": ["n"],
        "hints": ["h"],
    }
    assert "\x1b" not in json.dumps(to_json(diagnostic))


def test_the_json_form_without_a_place_has_no_location() -> None:
    assert to_json(Diagnostic(code="FWT203", message="m"))["location"] is None


def test_every_code_can_be_rendered() -> None:
    for code, entry in CODES.items():
        assert f"{entry.severity.value}[{code}]: m" in render(Diagnostic(code=code, message="m"))
        assert entry.severity in Severity
