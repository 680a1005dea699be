"""The page of what is supported: current, and complete against the manual pages on this machine."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from tests.golden import UPDATE_OPTION
from tests.places import REPOSITORY
from tests.reference.bridge_samples import EBTABLES_SAMPLES
from tests.reference.supported import names_of_page, page

PAGE = REPOSITORY / "docs" / "reference" / "supported.md"
# Options of ebtables(8) that handle rules, tables or the program itself and say nothing of packets.
_NOT_OF_RULES = {
    *("-t", "-A", "-D", "-C", "-I", "-P", "-F", "-Z", "-L", "-N", "-X", "-E", "-v", "-V", "-h", "-j", "-M", "-c"),
    *("--init-table", "--concurrent", "--atomic-commit"),
}
_NOT_IN_MANUAL = {"ipcomp", "srh"}
"""Matches that iptables 1.8.9 has and its manual page forgets."""


def manual(name: str) -> str:
    """Return a manual page as plain text; a machine without manual pages leaves the comparison out, aloud."""
    if shutil.which("man") is None:
        pytest.skip("no `man` here: the list of what is supported is not compared with the manual pages")
    done = subprocess.run(["man", "-P", "cat", name], capture_output=True, text=True, check=False)
    if done.returncode or len(done.stdout.splitlines()) < 100:
        pytest.skip(f"{name} is not installed: the list of what is supported is not compared with it")
    return re.sub(r".\x08|\x1b\[[0-9;]*m", "", done.stdout)


def test_the_page_is_current(request: pytest.FixtureRequest) -> None:
    wanted = page()
    if request.config.getoption(UPDATE_OPTION):
        PAGE.write_text(wanted, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == wanted, f"pytest {request.node.nodeid} {UPDATE_OPTION} writes it anew"


def test_every_extension_of_the_manual_page_is_there() -> None:
    text = manual("iptables-extensions")
    start, end = text.index("MATCH EXTENSIONS"), text.rindex("TARGET EXTENSIONS")
    found = {
        "match": set(re.findall(r"^   ([a-z0-9]\w*)(?: \(IPv[46]-specific\))?$", text[start:end], re.MULTILINE)),
        "target": set(re.findall(r"^   ([A-Z]\w*)(?: \(IPv[46]-specific\))?$", text[end:], re.MULTILINE)),
    }
    assert len(found["match"]) > 50
    assert len(found["target"]) > 30
    assert set(names_of_page("match")) == found["match"] | _NOT_IN_MANUAL
    assert set(names_of_page("target")) == found["target"]


def test_every_option_of_ebtables_is_there() -> None:
    text = manual("ebtables")
    named = set(re.findall(r"^       (?:\[!\] )?(--?[A-Za-z0-9][\w-]*)", text, re.MULTILINE)) - _NOT_OF_RULES
    assert len(named) > 70
    assert named == {name for name, _ in EBTABLES_SAMPLES}


def test_what_is_refused_has_a_reason() -> None:
    for row in PAGE.read_text(encoding="utf-8").splitlines():
        cells = re.split(r"(?<!\\)\|", row)
        if len(cells) == 6 and cells[3].strip() in {"refused", "partly", "assuming"}:
            assert len(cells[4].strip()) > 20, row
