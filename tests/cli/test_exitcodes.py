from __future__ import annotations

import pytest

from fwtrans.cli.exitcodes import ExitCode, exit_code_of
from fwtrans.diagnostics import Diagnostic


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([], ExitCode.DONE),
        (["FWT203", "FWT500"], ExitCode.DONE),
        (["FWT112"], ExitCode.UNREADABLE),
        (["FWT200", "FWT203"], ExitCode.UNTRANSLATABLE),
        (["FWT501"], ExitCode.UNTRANSLATABLE),
        (["FWT200", "FWT112"], ExitCode.UNREADABLE),
        (["FWT112", "FWT300", "FWT200"], ExitCode.INTERNAL),
    ],
)
def test_the_heaviest_error_decides(codes: list[str], expected: ExitCode) -> None:
    assert exit_code_of(Diagnostic(code=code, message="m") for code in codes) is expected
