"""The figures that are quoted are those that were measured, and every bench has its place in `make bench`."""

from __future__ import annotations

import importlib
import json
import math
import sys
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from fwtrans.optimizer import calibration
from tests.places import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BENCH = REPOSITORY / "bench"
REPORT = REPOSITORY / "docs" / "benchmarks"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a way to import from bench/, which is no package."""
    monkeypatch.syspath_prepend(str(BENCH))
    known = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(BENCH)):
            del sys.modules[name]


def figures() -> Any:
    return json.loads((REPORT / "report.json").read_text(encoding="utf-8"))


def test_the_readme_quotes_the_report(bench: Any) -> None:
    assert bench("report").readme_block(figures()) in (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_the_report_and_its_charts_are_those_of_the_figures(bench: Any) -> None:
    wanted = bench("report").rendered(figures())
    assert {path.name for path in REPORT.iterdir()} == {*wanted, "report.json"}
    for name, text in wanted.items():
        assert (REPORT / name).read_text(encoding="utf-8") == text, f"{name}: run `make bench` again"


def test_every_bench_is_a_part_of_the_run(bench: Any) -> None:
    assert {part.script for part in bench("run").PARTS} == {path.name for path in BENCH.glob("bench_*.py")}


@pytest.fixture
def run(bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the program of all benches in a checkout of its own, without parts that take their time."""
    found = bench("run")
    out = tmp_path / "bench" / "out"
    out.mkdir(parents=True)
    (tmp_path / "README.md").write_text("before\n<!-- figures: begin --><!-- figures: end -->\nafter\n")
    places = {"HERE": tmp_path / "bench", "OUT": out, "NOTES": out / "run.json", "REPORT": tmp_path / "docs"}
    for name, place in places.items():
        monkeypatch.setattr(found, name, place)
    monkeypatch.setattr(found, "PARTS", (found.Part("a.py", "packets", 1), found.Part("b.py", "loading", 1)))
    return found


def measure(run: Any, monkeypatch: pytest.MonkeyPatch, words: list[str], ended: dict[str, Any]) -> int:
    def ends(part: Any, _seconds: float) -> Any:
        if part.script == "a.py":
            (run.OUT / "packets_nodes.json").write_text(json.dumps(figures()["packets_nodes"]))
        return ended[part.script]

    monkeypatch.setattr(run, "_run", ends)
    monkeypatch.setattr(sys, "argv", ["run.py", *words])
    status: int = run.main()
    return status


def test_one_command_writes_report_and_readme_of_what_was_measured(
    run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    good, bad = run.Ended(), run.Ended("exit status 1", failed=True)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "load.svg").write_text("of an earlier run")
    assert measure(run, monkeypatch, [], {"a.py": good, "b.py": bad}) == 1
    report = (tmp_path / "docs" / "report.md").read_text()
    assert "**Left out:** loading: exit status 1." in report
    assert measure(run, monkeypatch, ["b.py"], {"b.py": good}) == 0
    assert (tmp_path / "docs" / "report.md").read_text() == report, "one part alone has changed the report"
    assert measure(run, monkeypatch, ["b.py"], {"b.py": bad}) == 1
    assert measure(run, monkeypatch, ["--report"], {}) == 0
    assert "**Left out:** no part." in (tmp_path / "docs" / "report.md").read_text()
    written = json.loads((tmp_path / "docs" / "report.json").read_text())
    assert {path.name for path in (tmp_path / "docs").iterdir()} == {*run.report.rendered(written), "report.json"}
    readme = (tmp_path / "README.md").read_text()
    assert run.report.readme_block(written) in readme
    assert readme.startswith("before\n")
    assert readme.endswith("\nafter\n")


def test_without_packets_no_report_is_replaced(run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    readme = (tmp_path / "README.md").read_text()
    monkeypatch.setattr(run, "PARTS", run.PARTS[1:])
    assert measure(run, monkeypatch, [], {"b.py": run.Ended()}) == 0
    assert not (tmp_path / "docs").exists()
    assert (tmp_path / "README.md").read_text() == readme


def test_a_part_that_nobody_knows_is_a_mistake(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match=r"no part is called c\.py"):
        measure(run, monkeypatch, ["c.py"], {})


def test_the_readme_tells_date_kernel_and_sizes_and_every_promise_that_is_missed(bench: Any) -> None:
    found = figures()
    block = bench("report").readme_block(found)
    assert found["facts"]["date"][:10] in block
    assert all(row["kernel"] in block for row in found["packets_nodes"])
    assert "500 guests" in block
    missed = [line for line in bench("report").rendered(found)["report.md"].splitlines() if line.endswith("| **no** |")]
    quoted = [line for line in missed if not line.startswith(("| translate:", "| verify:"))]
    assert block.count("**no**") >= len(quoted)


def test_a_missed_promise_is_told(bench: Any) -> None:
    row = {"guests": 500, "packet": "outside to the last guest", "state": "new", "ns": 0.0}
    owns = {"iptables-legacy": 500.0, "ours, optimised": 100.0, "iptables-nft": 2500.0}
    some = {
        "facts": {**figures()["facts"]},
        "packets_nodes": [{**row, "side": side, "own": own, "kernel": "1"} for side, own in owns.items()],
    }
    text = bench("report").rendered(some)["report.md"]
    assert "new: at most 1/10 of iptables-legacy | 1/5.0 (100 of 500 ns) | **no** |" in text
    assert "new: at most 1/25 of iptables-nft | 1/25.0 (100 of 2,500 ns) | yes |" in text


def test_the_exponent_of_growth_is_the_power(bench: Any) -> None:
    linear = [(size, 5 + 0.1 * size) for size in (10, 100, 1000, 10_000)]
    assert 0.7 < float(bench("report").exponent(linear)) < 1.1
    square = [(size, 0.001 * size**2) for size in (10, 100, 1000, 10_000)]
    assert 1.8 < float(bench("report").exponent(square)) < 2.5


def test_a_chart_has_every_point_inside_and_every_name(bench: Any) -> None:
    charts = bench("charts")
    text = charts.line_chart(
        "a < b", "guests", "ns", {"one & two": [(10, 3), (500, 4000)], "three": [(10, 0.5), (500, 4100)]}
    )
    found = ET.fromstring(text)  # noqa: S314 -- what was made the line before
    points = [(float(circle.attrib["cx"]), float(circle.attrib["cy"])) for circle in found.iter(f"{SVG}circle")]
    assert len(points) == 4
    assert all(charts.LEFT <= x <= charts.WIDTH - charts.RIGHT for x, _ in points)
    assert all(charts.TOP <= y <= charts.HEIGHT - charts.BOTTOM for _, y in points)
    said = [element.text for element in found.iter(f"{SVG}text")]
    assert {"a < b", "one & two", "three", "guests", "ns"} <= set(said)


def test_the_table_of_costs_is_that_of_the_bench(bench: Any) -> None:
    names = [step.name for step in bench("bench_steps").steps()]
    assert list(calibration.MEASURED) == ["a base chain without rules", "conntrack", *names]
    assert all(math.isfinite(value) and value > 0 for value in calibration.MEASURED.values())


def test_what_passes_decide_by_has_the_right_order() -> None:
    assert calibration.RULE_OF_A_RUN < calibration.HASH
    assert calibration.HASH < calibration.PIPAPO_BASE
    assert max(calibration.TESTS.values()) < calibration.HASH


def test_a_node_of_the_bench_is_that_of_the_corpus(bench: Any) -> None:
    corpus = REPOSITORY.parent / "shared" / "proxmox-firewall-corpus"
    if not corpus.is_dir():
        pytest.skip("the corpora are not beside the checkout")
    for place in corpus.iterdir():
        inputs = place / "input"
        there = {str(path.relative_to(inputs)): path.read_text() for path in inputs.rglob("*") if path.is_file()}
        assert bench("nodes").configuration(int(place.name)) == there
