from __future__ import annotations

import subprocess
import sys

from tests.places import REPOSITORY

COUNTED = """
import sys
from pathlib import Path
from lark.lexer import BasicLexer
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.parsers.nft_text.parse import parse_nft_text
from fwtrans.parsers.nft_text.shapes import load_reader
from fwtrans.source import SourceFile

made = []
build = BasicLexer._build_scanner
BasicLexer._build_scanner = lambda self: (made.append(self), build(self))[1]
load_reader()
before = len(made)
text = Path("fixtures/golden/proxmox/10-small-node/expected.nft").read_text()
sink = DiagnosticSink()
assert parse_nft_text(SourceFile("x", text), sink) and not sink.found
print(before, len(made) - before)
"""


def test_a_loaded_reader_has_nothing_left_to_make_for_what_fwtrans_prints() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", COUNTED], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    before, later = map(int, shown.split())
    assert before > 30
    assert later <= 2
