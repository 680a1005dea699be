"""The account of a translation: every input rule once, in every form, and what is said of it true of the output."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import jsonschema
import pytest
from markdown_it import MarkdownIt

from fwtrans.diagnostics import DiagnosticSink
from fwtrans.report.migration import Became, Migration, migration
from fwtrans.report.migration_forms import migration_json, migration_markdown, migration_text
from fwtrans.report.migration_tables import migration_tables
from fwtrans.source import SourceFile
from fwtrans.translate import Settings, translate
from tests.golden import GOLDEN
from tests.hosts import translated
from tests.places import FIXTURES, REPOSITORY, SHARED

if TYPE_CHECKING:
    from pathlib import Path

    from fwtrans.report.migration import Row

SETTINGS = Settings(optimize=True, verify=False)
SCHEMA = json.loads((REPOSITORY / "docs/reference/schemas/migration.schema.json").read_text())
INPUTS = sorted(
    [
        *(path.parent for path in SHARED.glob("*corpus/*/iptables-save")),
        *(path for path in SHARED.glob("pve-corpus/*/input") if path.is_dir()),
        *GOLDEN.glob("*/*/input"),
        *(FIXTURES / "corpus" / "nft-hand-written").glob("*.nft"),
        FIXTURES / "lab" / "host",
    ]
)
# Hosts of thousands of rules, of the same kinds as those of the smaller ones beside them.
BIG = {"pve-corpus/s50", "pve-corpus/s200", "pve-corpus/s200/input", "proxmox-firewall-corpus/500"}


def named(place: Path) -> str:
    return "/".join(place.parts[-3:] if place.name == "input" else place.parts[-2:])


class NoFiles:
    def read(self, path: str) -> None:
        raise AssertionError(path)

    def matching(self, pattern: str) -> None:
        raise AssertionError(pattern)


def account(*texts: str, partial: bool = False) -> Migration:
    sources = [SourceFile(f"file{number}", text) for number, text in enumerate(texts, start=1)]
    sink = DiagnosticSink()
    return migration(translate(sources, Settings(optimize=True, partial=partial), sink, NoFiles()), sink.found)


def dump(*rules: str, heads: tuple[str, ...] = (":FORWARD DROP [0:0]",)) -> str:
    return "\n".join(["*filter", *heads, *rules, "COMMIT", ""])


def only(found: Migration, text: str) -> Row:
    rows = [row for row in found.rows if row.origin.text == text]
    assert len(rows) == 1
    return rows[0]


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(place, marks=(pytest.mark.lab_long,) if named(place) in BIG else (), id=named(place))
        for place in INPUTS
    ],
)
def test_every_input_rule_appears_once(place: Path) -> None:
    result, diagnostics = translated(place, SETTINGS)
    found = migration(result, diagnostics)
    rows = Counter((row.origin.source.name, row.origin.line) for row in found.rows)
    assert rows
    assert set(rows.values()) == {1}
    assert sum(found.counts.values()) == len(found.rows)
    # counted another way: every line of a dump that is a rule
    for path in place.glob("ip*tables-save"):
        lines = [number for number, line in enumerate(path.read_text().split("\n"), 1) if line.startswith(("-A", "[")) and " " in line]  # fmt: skip
        assert sorted(line for name, line in rows if name == str(path)) == lines
    value = json.loads(migration_json(found))
    value["rules"] = value["rules"][:1000]  # thousands of rows of a few kinds: the validator is slow
    jsonschema.validate(value, SCHEMA)
    printed = result.output.split("\n")
    for row in found.rows:
        assert bool(row.places) == (row.became in {Became.EXACT, Became.SEVERAL, Became.MERGED}), row
        assert row.how or row.became in {Became.EXACT, Became.SEVERAL}, row
        for placed in row.places:
            assert all("{" not in printed[line - 1] or "comment" in printed[line - 1] for line in placed.lines)
            assert all(f" {name} {{" in result.output for name in placed.objects), placed


def test_a_rule_of_its_own_is_exact_and_its_line_is_the_rule() -> None:
    text = "-A FORWARD -s 192.0.2.1/32 -p gre -j ACCEPT"
    row = only(account(dump(text)), text)
    assert row.became is Became.EXACT
    assert [(place.table, place.chain, place.others) for place in row.places] == [("ip fwtrans", "FORWARD", 0)]


def test_rules_that_become_one_rule_name_the_set_they_share() -> None:
    rules = [f"-A FORWARD -s 192.0.2.{number}/32 -j ACCEPT" for number in range(2, 40, 2)]
    found = account(dump(*rules))
    for text in rules:
        row = only(found, text)
        assert row.became is Became.MERGED
        assert row.places[0].others == len(rules) - 1


def test_a_shadowed_rule_names_the_rule_above_it() -> None:
    rules = ("-A FORWARD -s 192.0.2.0/24 -j ACCEPT", "-A FORWARD -s 192.0.2.7/32 -j DROP")
    row = only(account(dump(*rules)), rules[1])
    assert row.became is Became.FOLDED
    assert row.because == ("file1:3",)
    assert row.how.startswith("shadowed")


def test_a_rule_without_an_effect_is_not_called_merged() -> None:
    rules = ('-A FORWARD -m comment --comment "for people"', "-A FORWARD -p gre -j ACCEPT")
    assert only(account(dump(*rules)), rules[0]).became in {Became.NO_EFFECT, Became.FOLDED}


def test_what_is_not_translated_says_why() -> None:
    rules = ("-A FORWARD -m string --string x --algo bm -j DROP", "-A FORWARD -p gre -j ACCEPT")
    found = account(dump(*rules))
    row = only(found, rules[0])
    assert (row.became, row.code[:4]) == (Became.REFUSED, "FWT2")
    assert row.how
    assert not found.translated
    partly = account(dump(*rules), partial=True)
    assert partly.translated
    assert only(partly, rules[0]).became is Became.REFUSED


def test_costs_are_of_the_input_and_of_the_output() -> None:
    rules = [f"-A FORWARD -p tcp -m tcp --dport {port} -j ACCEPT" for port in range(1000, 3000, 3)]
    found = account(dump(*rules))
    path = next(item for item in found.paths if item.name == "ip through the host")
    assert path.before == len(rules)
    assert path.after < 5
    assert found.size_before is not None
    assert found.size_before.rules == len(rules)


def test_text_and_markdown_keep_hostile_text_in_its_place() -> None:
    text = '-A FORWARD -p tcp -m comment --comment "| <b>`x` |\x1b[31m" -j ACCEPT'
    found = account(dump(text, "-A FORWARD -s 192.0.2.7/32 -p tcp -j DROP"))
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(migration_markdown(found))
    cells = [token for token in tokens if token.type == "td_open"]
    rows = [token for token in tokens if token.type == "tr_open"]
    assert len([token for token in tokens if token.type == "th_open"]) + len(cells) == sum(
        columns * count for columns, count in ((2, 3), (3, 6), (3, 2), (4, 3))
    )
    assert len(rows) == 3 + 6 + 2 + 3
    inside = [child.content for token in tokens for child in token.children or () if child.type == "html_inline"]
    assert set(inside) <= {"<br>"}
    assert "\x1b" not in migration_text(found) + migration_markdown(found)


def test_tables_fit_the_terminal_and_keep_hostile_text_in_its_place() -> None:
    text = '-A FORWARD -s 192.0.2.7/32 -m comment --comment "[bold red]x[/bold red] [/] \x1b[31m" -j DROP'
    found = account(dump("-A FORWARD -s 192.0.2.0/24 -j ACCEPT", text))
    narrow, wide = (migration_tables(found, width=width, color=False) for width in (70, 240))
    assert max(map(len, narrow.split("\n"))) == 70
    assert "\x1b" not in narrow + wide
    for told in ("2 rules read", "[bold red]x[/bold red] [/]", "steps of the dearest packet", "shadowed", "(file1:3)"):
        assert told in wide
    assert "\x1b[" in migration_tables(found, width=70, color=True)
    assert "and 1 more" in migration_tables(found, width=70, color=False, most=0)
