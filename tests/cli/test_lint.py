"""`fwtrans lint`: each known mistake is found where it is made and nowhere else; three forms."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from fwtrans.cli.app import build
from tests.places import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

INPUT = "chain c {{ type filter hook input priority 0; policy accept;\n{} }}"
EARLY = "chain c {{ type filter hook prerouting priority {}; policy accept;\n{} }}"
BRIDGE = "table bridge t {{ chain c {{ type filter hook forward priority 1; policy accept;\n{}\n}} }}"
PVE = """*filter
:INPUT ACCEPT [0:0]
:GROUP-ops-IN - [0:0]
:PVEFW-HOST-IN - [0:0]
:PVEFW-SET-ACCEPT-MARK - [0:0]
-A INPUT -j PVEFW-HOST-IN
-A GROUP-ops-IN -j MARK --set-xmark 0x0/0x80000000
-A GROUP-ops-IN -p tcp -m tcp --dport 22 -g PVEFW-SET-ACCEPT-MARK
-A PVEFW-HOST-IN{} -j GROUP-ops-IN
-A PVEFW-HOST-IN -m mark --mark 0x80000000/0x80000000 -j RETURN
-A PVEFW-HOST-IN -j DROP
-A PVEFW-SET-ACCEPT-MARK -j MARK --set-xmark 0x80000000/0x80000000
COMMIT
"""


def inet(text: str) -> str:
    return f"table inet t {{ {text} }}\n"


def linted(place: Path, text: str, *arguments: str) -> tuple[int, str]:
    place.mkdir(exist_ok=True)
    file = place / "rules"
    file.write_text(text)
    found = CliRunner().invoke(build(), ["lint", str(file), *arguments])
    return found.exit_code, found.stdout


def kinds(place: Path, text: str) -> list[str]:
    value = json.loads(linted(place, text, "--format", "json")[1])
    found = [item["kind"] for item in value["mistakes"]]
    return [*found, *("rule left as a comment" for _ in value["left_out"])]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (inet(EARLY.format(0, 'oifname "eth0" drop')), "interface that is never there"),
        (inet(INPUT.format("tcp flags { syn, ack } accept")), "flags compared as exact values"),
        (inet(EARLY.format(-300, "ct state invalid drop")), "state asked before it is known"),
        (BRIDGE.format("ct state invalid drop"), "ARP counts as invalid"),
        (
            inet(INPUT.format('tcp dport { 80, 443 } accept comment "-m multiport ! --dports 80,443 -j ACCEPT"')),
            "lost negation",
        ),
        (
            inet(INPUT.format("# -t filter -A INPUT -m recent --name x -j DROP\ntcp dport 22 drop")),
            "rule left as a comment",
        ),
        (PVE.format(" -i vmbr0"), "mark leak"),
        (BRIDGE.format("meta protocol ip drop").replace("priority 1", "priority 0"), "priority that fails open"),
        (
            (
                "table bridge t { chain a { ct state invalid drop\n}\n"
                "chain c { type filter hook forward priority 1\nether type vmap { ip : accept, arp : jump a }\n} }"
            ),
            "ARP counts as invalid",
        ),
    ],
    ids=lambda text: text if len(text) < 40 else "",
)
def test_a_mistake_is_found(tmp_path: Path, text: str, kind: str) -> None:
    assert kinds(tmp_path, text) == [kind]
    assert linted(tmp_path, text)[0] == 1


@pytest.mark.parametrize(
    "text",
    [
        inet(EARLY.format(0, 'iifname "eth0" drop')),
        inet(EARLY.format(0, 'oifname != "eth0" drop')),
        inet(INPUT.format("tcp flags & (syn | ack) == syn | ack accept")),
        inet(INPUT.format("tcp flags syn,ack accept")),
        inet(EARLY.format(-150, "ct state invalid drop")),
        BRIDGE.format("meta protocol arp accept\nct state invalid drop"),
        BRIDGE.format("meta protocol ip ct state invalid drop"),
        BRIDGE.format("meta protocol != arp ct state invalid drop"),
        inet(INPUT.format('tcp dport != { 80, 443 } accept comment "-m multiport ! --dports 80,443 -j ACCEPT"')),
        inet(INPUT.format("# allow ssh -A lot\ntcp dport 22 drop")),
        PVE.format(""),
        BRIDGE.format("meta protocol ip accept").replace("priority 1", "priority 0"),
        "table bridge t { chain a { ct state invalid drop\n}\nchain c { type filter hook forward priority 1\nether type ip jump a\n} }",
        (
            "table bridge t { chain a { ct state invalid drop\n}\n"
            "chain c { type filter hook forward priority 1\nether type vmap { ip : jump a, ip6 : jump a }\n} }"
        ),
    ],
)
def test_what_is_right_is_no_mistake(tmp_path: Path, text: str) -> None:
    assert kinds(tmp_path, text) == []


@pytest.mark.parametrize(
    ("name", "arguments"), [("lint", ("--format", "json")), ("sarif", ("--format", "sarif")), ("lint", ("--json",))]
)
def test_forms_are_as_their_schemas_say(tmp_path: Path, name: str, arguments: tuple[str, ...]) -> None:
    text = (
        inet(INPUT.format("tcp dport 22 accept\ntcp dport 22 drop\nct state new accept"))
        + BRIDGE.format("ct state invalid drop").replace("priority 1", "priority 0")
        + "\n# -A INPUT -m recent --name x -j DROP\n"
    )
    value = json.loads(linted(tmp_path, text, *arguments)[1])
    schema = json.loads((REPOSITORY / "docs/reference/schemas" / f"{name}.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator(schema).validate(value["result"] if "--json" in arguments else value)


def test_the_mistakes_come_first(tmp_path: Path) -> None:
    status, text = linted(tmp_path, BRIDGE.format("ct state invalid drop"))
    assert text.startswith("ARP counts as invalid: 1\n  rule 1 of c [")
    assert status == 1


def test_nothing_found_is_0(tmp_path: Path) -> None:
    assert linted(tmp_path, inet(INPUT.format("tcp dport 22 drop")))[0] == 0


def test_what_cannot_be_read_is_3(tmp_path: Path) -> None:
    assert linted(tmp_path, "table ip t { nonsense }")[0] == 3
