"""ipset calls of scripts: every call is a run of its own, and a script may reckon with a failure."""

from __future__ import annotations

from fwtrans.diagnostics import DiagnosticSink
from fwtrans.diagnostics.render import render
from fwtrans.parsers.ipset_save.parse import parse_ipset_commands
from fwtrans.parsers.shell_script import read_script
from fwtrans.source import SourceFile
from tests.parsers.ipset_save.reading import NAMES


def read(script: str) -> tuple[dict[str, list[str]], list[str]]:
    """Return the elements that a script leaves, by set, and the messages."""
    sink = DiagnosticSink()
    commands = read_script(SourceFile("script", script), sink)
    dump = parse_ipset_commands([command for command in commands if command.program == "ipset"], sink, NAMES)
    left = {
        item.name: [",".join(part.text for part in element.parts) for element in item.elements] for item in dump.sets
    }
    return left, [render(item) for item in sink.found]


def test_commands_of_a_script_are_carried_out() -> None:
    assert read(
        "SET=office\nipset create $SET hash:ip comment\nipset add $SET 10.0.0.1 comment 'a b'\nipset list\n"
    ) == (
        {"office": ["10.0.0.1"]},
        [],
    )


def test_exist_holds_for_its_own_call_alone() -> None:
    script = "ipset create x hash:ip\nipset -exist add x 10.0.0.1\nipset -! add x 10.0.0.1\nipset add x 10.0.0.1\n"
    left, messages = read(script)
    assert left == {"x": ["10.0.0.1"]}
    assert [text.split("`10.")[0] for text in messages] == ["script:4:13: error[FWT124]: "]


def test_what_may_fail_may_fail() -> None:
    script = "ipset destroy x 2>/dev/null\nipset flush y || true\nipset create x hash:ip\nipset add z 1.1.1.1 || true\n"
    assert read(script) == ({"x": []}, [])


def test_a_mistake_is_not_forgiven_with_a_failure() -> None:
    assert "error[FWT122]" in read("ipset create x hash:ip\nipset add x 10.0.0.300 2>/dev/null\n")[1][0]


def test_a_set_made_unless_it_is_there() -> None:
    script = "ipset create x hash:ip\nipset list x || ipset create x hash:ip\nipset add x 10.0.0.1\n"
    assert read(script) == ({"x": ["10.0.0.1"]}, [])


def test_a_fault_in_a_continued_line_has_its_place() -> None:
    _, messages = read("ipset create x \\\n  hash:ip hashsize \\\n  many\n")
    assert messages[0].startswith("script:3:3: error[FWT122]: `many` is not a number")


def test_elements_know_their_file_and_line() -> None:
    sink = DiagnosticSink()
    source = SourceFile("script", "\nipset create x hash:ip\nipset add x 10.0.0.1\n")
    (found,) = parse_ipset_commands(read_script(source, sink), sink).sets
    assert (found.elements[0].source, found.elements[0].line) == (source, 3)
