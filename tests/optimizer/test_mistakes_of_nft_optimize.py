"""The three mistakes that `nft --optimize` itself makes with rules that share a key, and what we make of the same rules.

The tool that is installed is asked, so that a release without the mistakes is noticed; what it prints and what we print are
judged by the kernel, with the same packets.
"""

from __future__ import annotations

import re
import subprocess

import pytest

from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.laboratory import LabResult, LabSettings, compare_in_lab
from fwtrans.optimize import Settings
from fwtrans.optimizing import optimize_texts
from fwtrans.source import SourceFile
from tests.optimizer.texts import assert_loads, in_forward

pytestmark = pytest.mark.netns


def optimized_by_nft(text: str) -> subprocess.CompletedProcess[str]:
    """Load a ruleset with `nft -o` in a namespace of its own; return what is listed then, or what was said."""
    script = "nft -o -f - > /dev/null && nft -s list ruleset"
    words = ["unshare", "-n", "bash", "-c", script]
    return subprocess.run(words, input=text, text=True, capture_output=True, check=False)


def optimized_by_us(text: str) -> str:
    sink = DiagnosticSink()
    found = optimize_texts([SourceFile("ours.nft", text)], Settings(), sink, FileAccess()).output
    assert found, sink.errors
    assert_loads(found)
    return found


def in_lab(old: str, new: str) -> LabResult:
    sink = DiagnosticSink()
    files = ([SourceFile("old.nft", old)], [SourceFile("new.nft", new)])
    found = compare_in_lab(*files, LabSettings(budget=120, kernel="running"), sink, FileAccess())
    assert found is not None, sink.errors
    return found


@pytest.mark.parametrize(
    ("rules", "theirs"),
    [
        (("tcp flags syn drop", "tcp flags ack drop"), "tcp flags { syn, ack } drop"),
        (("tcp flags fin drop", "tcp flags rst drop", "tcp flags psh drop"), "tcp flags { fin, rst, psh } drop"),
    ],
)
def test_tests_of_bits_do_not_become_a_set_of_exact_values(rules: tuple[str, ...], theirs: str) -> None:
    text = in_forward(*rules, family="ip")
    done = optimized_by_nft(text)
    assert done.returncode == 0, done.stderr
    assert theirs in done.stdout, "nft --optimize does something else now"
    assert not in_lab(text, done.stdout).same
    assert in_lab(text, optimized_by_us(text)).same


def test_statuses_of_a_connection_do_not_become_a_set_of_exact_values() -> None:
    text = in_forward("ct status snat drop", "ct status seen-reply drop", family="ip")
    done = optimized_by_nft(text)
    assert re.search(r"ct status \{ (snat, seen-reply|seen-reply, snat) \} drop", done.stdout), done
    assert not re.search(r"ct status \{", optimized_by_us(text))
    assert in_lab(text, optimized_by_us(text)).same


@pytest.mark.parametrize(
    "rules",
    [
        ("ip saddr 10.0.0.0/8 accept", "ip saddr 10.1.0.0/16 drop", "ip saddr 10.2.0.0/16 accept"),
        ("tcp dport 22 accept", "tcp dport 20-30 drop"),
        ("ct state new ip daddr 192.0.2.0/24 drop", "ct state new ip daddr 192.0.2.7 accept"),
    ],
)
def test_overlapping_keys_do_not_become_what_the_kernel_refuses(rules: tuple[str, ...]) -> None:
    text = in_forward(*rules, family="ip")
    assert_loads(text)
    done = optimized_by_nft(text)
    ours = optimized_by_us(text)
    assert done.returncode != 0, "nft --optimize does something else now"
    assert re.search("conflicting intervals specified|File exists", done.stderr), done.stderr
    assert in_lab(text, ours).same


def test_comments_stay_with_their_rules() -> None:
    rules = [f'ip saddr 10.0.0.{n} counter accept comment "rule {n}"' for n in (3, 5, 7)]
    text = in_forward(*rules, family="ip", policy="drop")
    done = optimized_by_nft(text)
    assert done.returncode == 0, done.stderr
    assert "{ 10.0.0.3, 10.0.0.5, 10.0.0.7 }" in done.stdout
    assert "comment" not in done.stdout
    ours = optimized_by_us(text)
    assert all(f'comment "rule {n}"' in ours for n in (3, 5, 7))
