from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from lark import Token, Tree, UnexpectedToken

from fwtrans.parsers import grammar
from fwtrans.parsers.grammar import TOKENS, grammar_path, load_grammar
from tests.places import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("path", sorted((REPOSITORY / "grammars").glob("*.lark")), ids=lambda path: path.name)
def test_every_grammar_is_found_by_its_name(path: Path) -> None:
    assert grammar_path(path.stem).read_bytes() == path.read_bytes()


def test_a_grammar_inside_the_package_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.lark").write_text('start: "a"\n', encoding="utf-8")
    monkeypatch.setattr(grammar, "_FOLDERS", (tmp_path, REPOSITORY / "grammars"))
    assert grammar_path("mine") == tmp_path / "mine.lark"
    assert grammar_path("common") == REPOSITORY / "grammars" / "common.lark"


def test_a_missing_grammar_says_where_it_was_looked_for() -> None:
    with pytest.raises(FileNotFoundError, match=r"no_such\.lark is in none of .*_grammars"):
        grammar_path("no_such")


def test_a_grammar_is_loaded_once() -> None:
    first = load_grammar("iptables_save", start=("frame_line", "command_line"), lexer=TOKENS)
    assert load_grammar("iptables_save", start=("frame_line", "command_line"), lexer=TOKENS) is first


def test_a_text_grammar_has_its_own_lexer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny.lark").write_text("start: WORD+\nWORD: /[a-z]+/\n%ignore / +/\n", encoding="utf-8")
    monkeypatch.setattr(grammar, "_FOLDERS", (tmp_path,))
    assert [str(word) for word in load_grammar("tiny").parse("one two").children] == ["one", "two"]


def test_tokens_are_taken_as_they_are() -> None:
    parser = load_grammar("iptables_save", start=("frame_line", "command_line"), lexer=TOKENS)
    tokens = [Token("APPEND", "-A"), Token("CHAIN", "-j"), Token("JUMP", "-j"), Token("CHAIN", "-A")]
    tree = parser.parse(tokens, start="command_line")
    assert [part.data for part in tree.children if isinstance(part, Tree)] == ["append", "jump"]
    with pytest.raises(UnexpectedToken):
        parser.parse(tokens[:1], start="command_line")


def test_importing_the_readers_does_not_import_lark() -> None:
    code = (
        "import sys, fwtrans.parsers.grammar, fwtrans.parsers.iptables_save.dump,"
        " fwtrans.parsers.iptables_save.command_lines; sys.exit('lark' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0
