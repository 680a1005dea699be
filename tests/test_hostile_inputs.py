"""Inputs that nobody meant well: each is a clear error or a right translation, never a traceback, never an injection.

Everything goes through the command line, in this process. What is printed is loaded into a namespace, and what the
kernel then lists must have the tables, chains and verdicts of the input and nothing else.
"""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from fwtrans.cli.app import build
from fwtrans.cli.exitcodes import ExitCode
from fwtrans.diagnostics import CODES
from tests.places import FIXTURES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

APP = build()
ORDINARY = {ExitCode.DONE, ExitCode.UNREADABLE, ExitCode.UNTRANSLATABLE}
GATEWAY = FIXTURES / "golden" / "hosts" / "10-nat-gateway" / "input"
HEAD = b"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"


class Answer(NamedTuple):
    code: int
    ruleset: str
    diagnostics: list[dict[str, object]]

    @property
    def errors(self) -> list[str]:
        return [str(item["code"]) for item in self.diagnostics if item["severity"] == "error"]


def ask(folder: Path, *options: str, **files: bytes) -> Answer:
    """Translate files (`iptables_save=b"..."`). Whatever they hold, the answer has to be one of ours."""
    paths = []
    for name, data in files.items():
        path = folder / name.replace("_", "-")
        path.write_bytes(data)
        paths.append(str(path))
    done = CliRunner().invoke(APP, ["translate", *paths, "--json", "--no-optimize", *options])
    assert done.exit_code in ORDINARY, f"exit {done.exit_code}: {done.output[-2000:]}"
    envelope = json.loads(done.stdout)
    found = Answer(done.exit_code, envelope["result"]["ruleset"] or "", envelope["diagnostics"])
    assert bool(found.errors) == (done.exit_code != ExitCode.DONE)
    assert bool(found.ruleset) == (done.exit_code == ExitCode.DONE)
    assert all(str(item["code"]) in CODES for item in found.diagnostics)
    return found


def dump(*lines: bytes) -> bytes:
    return HEAD + b"".join(line + b"\n" for line in lines) + b"COMMIT\n"


def listed(ruleset: str) -> list[dict[str, Any]]:
    """Load into a namespace and return what the kernel has, as JSON objects."""
    done = subprocess.run(
        ["unshare", "-n", "sh", "-ec", "ip link set lo up; nft -f -; nft -j list ruleset"],
        input=ruleset.encode(errors="surrogateescape"), capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode(errors="replace") + ruleset[:3000]
    found: list[dict[str, Any]] = json.loads(done.stdout.decode(errors="surrogateescape"))["nftables"]
    return found


def verdicts(objects: list[dict[str, Any]]) -> list[str]:
    """Return the verdicts of all rules, in order."""
    kinds = ("accept", "drop", "jump", "goto", "return", "reject")
    rules = [item["rule"]["expr"] for item in objects if "rule" in item]
    return [kind for rule in rules if isinstance(rule, list) for part in rule for kind in kinds if kind in part]


# --- what is no dump at all ---


def test_an_empty_file(tmp_path: Path) -> None:
    for data in (b"", b"\n", b" \t\r\n \n"):
        assert ask(tmp_path, rules=data).errors == ["FWT101"]


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes(seed: int, tmp_path: Path) -> None:
    source = random.Random(seed)  # noqa: S311 -- the same bytes in every run
    assert ask(tmp_path, rules=source.randbytes(source.choice((1, 10, 1000, 100_000)))).code == ExitCode.UNREADABLE


@pytest.mark.parametrize("name", ["iptables_save", "ipset_save", "ebtables_save", "arptables_save", "interfaces"])
@pytest.mark.parametrize("seed", range(5))
def test_random_bytes_under_a_known_name(name: str, seed: int, tmp_path: Path) -> None:
    assert ask(tmp_path, **{name: random.Random(seed).randbytes(3000)}).code == ExitCode.UNREADABLE  # noqa: S311


@pytest.mark.parametrize(
    "data",
    [
        b"\0",
        HEAD + b"-A INPUT -s 1.2.3.4\0 -j DROP\nCOMMIT\n",
        dump(b"-A INPUT -j DROP").decode().encode("utf-16"),
        dump(b"-A INPUT -j DROP").decode().encode("utf-32-le"),
        b"\x7fELF" + bytes(200),
        b"\x1f\x8b\x08" + bytes(range(256)),
    ],
)
def test_binary_content(data: bytes, tmp_path: Path) -> None:
    assert ask(tmp_path, rules=data).code == ExitCode.UNREADABLE


# --- a real dump, damaged ---


def gateway() -> dict[str, bytes]:
    return {path.name.replace("-", "_"): path.read_bytes() for path in sorted(GATEWAY.iterdir())}


def test_a_dump_cut_anywhere_is_never_half_a_firewall(tmp_path: Path) -> None:
    """Cut off before a COMMIT, the rules of that table have never been loaded by anybody; nothing may be printed."""
    files = gateway()
    whole = files["iptables_save"]
    for end in range(1, len(whole), 50):
        cut = whole[:end]
        answer = ask(tmp_path, **{**files, "iptables_save": cut})
        open_table = cut.rfind(b"\n*") > cut.rfind(b"\nCOMMIT")
        if open_table:
            assert answer.code != ExitCode.DONE, f"cut at byte {end}"


def test_line_ends_and_byte_order_mark_change_nothing(tmp_path: Path) -> None:
    files = gateway()
    plain = ask(tmp_path, **files)
    assert plain.code == ExitCode.DONE
    changes: tuple[Callable[[bytes], bytes], ...] = (
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.replace(b"\n", b"  \t\n"),
        lambda data: data.rstrip(b"\n"),
        lambda data: data + b"\n\n# the end\n",
    )
    for change in changes:
        assert ask(tmp_path, **{name: change(data) for name, data in files.items()}).ruleset == plain.ruleset


# --- text where names and strings stand ---

STRINGS = (
    b"$(reboot)",
    b"`reboot`",
    b"$HOME",
    b"; drop",
    b"} table ip evil { chain x { } }",
    b"# no comment",
    b"it's",
    b"caf\xe9",  # Latin-1
    b"\xed\xa0\x80",  # a lone surrogate as UTF-8
    "äöü → 日本".encode(),
    b"\\\\",
    rb"say \"no\"",
    rb"\n\t\x41",
    b"*",
    b"{",
    b"@set",
    b"\x1b[31mred",
)


def injected(ruleset: str) -> list[dict[str, Any]]:
    """Return what was loaded; fail where there is more than our own table."""
    objects = listed(ruleset)
    assert {item["table"]["name"] for item in objects if "table" in item} == {"fwtrans"}
    return objects


@pytest.mark.netns
@pytest.mark.parametrize("text", STRINGS)
def test_text_in_a_comment(text: bytes, tmp_path: Path) -> None:
    answer = ask(tmp_path, rules=dump(b'-A INPUT -s 192.0.2.1 -m comment --comment "' + text + b'" -j DROP'))
    if answer.code == ExitCode.DONE:
        assert verdicts(injected(answer.ruleset)) == ["drop"]


@pytest.mark.netns
@pytest.mark.parametrize("text", STRINGS)
def test_text_in_a_log_prefix(text: bytes, tmp_path: Path) -> None:
    """A prefix is what people search the log for: it comes through as iptables has it (29 bytes), or is refused."""
    answer = ask(tmp_path, rules=dump(b'-A INPUT -j LOG --log-prefix "' + text + b'"', b"-A INPUT -j DROP"))
    if answer.code != ExitCode.DONE:
        return
    objects = injected(answer.ruleset)
    assert verdicts(objects) == ["drop"]
    logs = [
        part["log"] for item in objects if "rule" in item for part in item["rule"]["expr"] if "log" in part
    ]  # fmt: skip
    wanted = re.sub(rb"\\(.)", rb"\1", text)[:29].decode(errors="surrogateescape")
    assert [log["prefix"] for log in logs] == [wanted]


@pytest.mark.netns
@pytest.mark.parametrize("length", [0, 1, 29, 30, 64, 127, 128, 200])
def test_log_prefixes_of_any_length(length: int, tmp_path: Path) -> None:
    """LOG keeps 29 characters and drops the rest without a word; an empty prefix is refused."""
    answer = ask(tmp_path, rules=dump(b'-A INPUT -j LOG --log-prefix "' + b"x" * length + b'"'))
    if not length:
        assert answer.errors == ["FWT112"]
        return
    (rule,) = [item["rule"] for item in injected(answer.ruleset) if "rule" in item]
    assert [part["log"]["prefix"] for part in rule["expr"] if "log" in part] == ["x" * min(length, 29)]


@pytest.mark.netns
@pytest.mark.parametrize(
    "name",
    ['"', "*", ";", "eth0;", 'a"b', "{", "$(reboot)", "lo\\", "eth*0", "eth 0", "é", "x" * 15, "x" * 16, "+", "a+"],
)
def test_interface_names(name: str, tmp_path: Path) -> None:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"').encode()
    answer = ask(tmp_path, rules=dump(b'-A INPUT -i "' + escaped + b'" -j DROP'))
    if '"' in name:
        assert answer.errors == ["FWT501"], "no string of nft can hold it"
        return
    if len(name) > 15:
        assert answer.errors == ["FWT112"]
        return
    (rule,) = [item["rule"] for item in injected(answer.ruleset) if "rule" in item]
    tests = [part["match"] for part in rule["expr"] if "match" in part]
    wanted = name[:-1] + "*" if name.endswith("+") else name.replace("*", r"\*") if name.endswith("*") else name
    assert [test["right"] for test in tests] == ([] if name == "+" else [wanted])


CHAINS = (
    *("$(reboot)", "{", "}", ";", "#x", "dynamic", "reject", "fwd", "table", "chain", "äöü", "a.b/c-d_e", "x'y", "@x"),
    *("0", "123", "a" * 28, "INPUT-", "filter", "mangle-PREROUTING", "unnamed", "reboot", "*", "--x"[2:] + "%"),
)


@pytest.mark.netns
def test_chain_names(tmp_path: Path) -> None:
    """All at once, so that new names meet each other and old ones; each chain drops a port of its own."""
    names = [name.encode() for name in CHAINS]
    heads = b"".join(b":" + name + b" - [0:0]\n" for name in names)
    jumps = b"".join(b"-A INPUT -j " + name + b"\n" for name in names)
    drops = b"".join(b"-A %s -p tcp --dport %d -j DROP\n" % (name, 1 + number) for number, name in enumerate(names))
    answer = ask(tmp_path, rules=HEAD + heads + jumps + drops + b"COMMIT\n")
    assert answer.errors == []
    objects = injected(answer.ruleset)
    rules = [item["rule"] for item in objects if "rule" in item]
    jumped = [
        part["jump"]["target"] for rule in rules if rule["chain"] == "INPUT" for part in rule["expr"] if "jump" in part
    ]  # fmt: skip
    ports = {
        rule["chain"]: [
            part["match"]["right"] for part in rule["expr"] if "match" in part and part["match"]["right"] != 0
        ]
        for rule in rules
        if rule["chain"] != "INPUT"
    }
    assert [ports[chain][-1] for chain in jumped] == list(range(1, 1 + len(names)))


@pytest.mark.parametrize("name", [b"a" * 29, b"a" * 300, b"", b"a b", b'x"y', b"ACCEPT"])
def test_names_that_iptables_refuses(name: bytes, tmp_path: Path) -> None:
    answer = ask(tmp_path, rules=HEAD + b":" + name + b" - [0:0]\n-A INPUT -j " + name + b"\nCOMMIT\n")
    assert answer.code == ExitCode.UNREADABLE


SET_NAMES = ("a$(x)", "{", ";x", "elements", "dynamic", "last", "ll", "é", "a" * 31, "x'y", "0", "@x")


@pytest.mark.netns
def test_set_names_and_comments(tmp_path: Path) -> None:
    sets = b"".join(
        b'create %s hash:ip comment\nadd %s 192.0.2.%d comment "%s"\n'
        % (name.encode(), name.encode(), 1 + number, text)
        for number, (name, text) in enumerate(zip(SET_NAMES, STRINGS, strict=False))
    )
    rules = dump(*(b"-A INPUT -m set --match-set %s src -j DROP" % name.encode() for name in SET_NAMES))
    answer = ask(tmp_path, iptables_save=rules, ipset_save=sets)
    if answer.code == ExitCode.DONE:
        objects = injected(answer.ruleset)
        assert verdicts(objects) == ["drop"] * len(SET_NAMES)
        assert sum("set" in item for item in objects) == len(SET_NAMES)
    else:
        refused = " ".join(str(item["message"]) for item in answer.diagnostics if item["severity"] == "error")
        pytest.fail(f"each of these names and comments is legal for ipset: {refused}")


# --- jumps ---


def lines_of(answer: Answer, code: str) -> list[object]:
    places = (item["location"] for item in answer.diagnostics if item["code"] == code)
    return [place["line"] for place in places if isinstance(place, dict)]


@pytest.mark.netns
@pytest.mark.parametrize("depth", [15, 16, 40, 3000])
def test_deep_jumps(depth: int, tmp_path: Path) -> None:
    heads = b"".join(b":c%d - [0:0]\n" % number for number in range(depth))
    jumps = b"-A INPUT -j c0\n" + b"".join(b"-A c%d -j c%d\n" % (number, number + 1) for number in range(depth - 1))
    answer = ask(tmp_path, rules=HEAD + heads + jumps + b"COMMIT\n")
    assert answer.errors == ([] if depth <= 15 else ["FWT503"])
    # the sixteenth jump from the base chain on is c14's
    assert lines_of(answer, "FWT503") == ([] if depth <= 15 else [(HEAD + heads).count(b"\n") + 16])
    if not answer.errors:
        injected(answer.ruleset)


@pytest.mark.parametrize("length", [1, 2, 3000])
def test_loops_of_jumps(length: int, tmp_path: Path) -> None:
    heads = b"".join(b":c%d - [0:0]\n" % number for number in range(length))
    jumps = b"".join(b"-A c%d -j c%d\n" % (number, (number + 1) % length) for number in range(length))
    answer = ask(tmp_path, rules=HEAD + heads + b"-A INPUT -j c0\n" + jumps + b"COMMIT\n")
    assert answer.errors in (["FWT205"], ["FWT205", "FWT503"])
    assert lines_of(answer, "FWT205") == [(HEAD + heads + jumps).count(b"\n") + 1]


# --- too much of something ---


def ending(seconds: int, folder: Path, data: bytes) -> Answer:
    """Translate, and fail where it does not come to an end: nothing is measured, the limit is for what would hang."""

    def hangs(_signal: int, _frame: object) -> None:
        pytest.fail(f"no end after {seconds} s")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(seconds)
    try:
        return ask(folder, "--no-verify", rules=data)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


MEGABYTE = 1 << 20


@pytest.mark.parametrize(
    "line",
    [
        b'-A INPUT -m comment --comment "' + b"x" * MEGABYTE + b'" -j DROP',
        b"-A INPUT " + b"! " * (MEGABYTE // 2),
        b"-A INPUT " + b"-m tcp " * (MEGABYTE // 7),
        b"-A INPUT -s " + b",".join(b"10.%d.%d.1" % (number >> 8, number & 255) for number in range(60_000)),
        b"-A INPUT -p tcp -m multiport --dports " + b"1," * (MEGABYTE // 2),
        b"-A INPUT -i " + b"x" * MEGABYTE,
        b"-A INPUT -j " + b"x" * MEGABYTE,
        b"x" * MEGABYTE,
        b'-A INPUT "' + b"\\" * MEGABYTE,
        b"-A INPUT --" + b"x" * MEGABYTE,
        b"-A INPUT -m " + b"x" * MEGABYTE,
    ],
    ids=[
        "comment",
        "signs",
        "matches",
        "sources",
        "ports",
        "interface",
        "target",
        "word",
        "backslashes",
        "option",
        "match",
    ],
)
def test_a_line_of_a_megabyte(line: bytes, tmp_path: Path) -> None:
    ending(600, tmp_path, dump(line))


def many_chains(count: int) -> bytes:
    heads = b"".join(b":c%d - [0:0]\n" % number for number in range(count))
    rules = b"".join(b"-A INPUT -j c%d\n-A c%d -s 10.0.0.1 -j DROP\n" % (number, number) for number in range(count))
    return HEAD + heads + rules + b"COMMIT\n"


def test_ten_thousand_chains(tmp_path: Path) -> None:
    assert ending(600, tmp_path, many_chains(10_000)).ruleset.count("\tchain ") == 10_003


@pytest.mark.lab_long
def test_a_hundred_thousand_chains(tmp_path: Path) -> None:
    assert ending(3000, tmp_path, many_chains(100_000)).ruleset.count("\tchain ") == 100_003


def long_dump(size: int) -> bytes:
    texts = [b'-m comment --comment "rule %d %s" ' % (number, b"." * 150) for number in range(50)]
    lines, length, number = [], 0, 0
    while length < size:
        line = b"-A INPUT -s 10.%d.%d.%d/32 -p tcp -m tcp --dport %d %s-j ACCEPT" % (
            number >> 16 & 255, number >> 8 & 255, number & 255, number % 65535, texts[number % 50],
        )  # fmt: skip
        lines.append(line)
        length += len(line)
        number += 1
    return dump(*lines)


def test_a_dump_of_five_megabytes(tmp_path: Path) -> None:
    assert ending(600, tmp_path, long_dump(5 * MEGABYTE)).errors == []


@pytest.mark.lab_long
def test_a_dump_of_a_hundred_megabytes(tmp_path: Path) -> None:
    assert ending(3000, tmp_path, long_dump(100 * MEGABYTE)).errors == []


# --- what there is not ---


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"-A INPUT -m nothere -j DROP", "FWT104"),
        (b"-A INPUT -j NOTHERE", "FWT109"),
        (b"-A INPUT -p tcp --nothere 5 -j DROP", "FWT103"),
        (b"-A INPUT -j REJECT --nothere", "FWT103"),
        (b"-A NOTHERE -j DROP", "FWT109"),
        (b"-A INPUT -j DROP -j ACCEPT", "FWT111"),
        (b"-Q INPUT -j DROP", "FWT103"),
    ],
)
def test_what_is_not_known_is_named(line: bytes, code: str, tmp_path: Path) -> None:
    answer = ask(tmp_path, rules=dump(line))
    assert answer.errors == [code], answer.diagnostics


# --- anything at all ---

WORDS = (
    *(
        b"-A",
        b"-I",
        b"-D",
        b"-N",
        b"-P",
        b"-j",
        b"-g",
        b"-m",
        b"-p",
        b"-s",
        b"-d",
        b"-i",
        b"!",
        b"*nat",
        b"COMMIT",
        b"-X",
    ),
    *(b"tcp", b"udp", b"icmp", b"all", b"0", b"-1", b"65536", b"0x10", b"1.2.3.4/0", b"::/0", b"1.2.3.4/255.0.255.0"),
    *(
        b'"',
        b"\\",
        b"'",
        b"[5:6]",
        b":",
        b":x - [0:0]",
        b"\n",
        b"\r",
        b"\t",
        b"#",
        b"--dport",
        b"--comment",
        b"-t",
        b"raw",
    ),
    *(
        b"conntrack",
        b"--ctstate",
        b"NEW",
        b"multiport",
        b"limit",
        b"--limit",
        b"3/min",
        b"LOG",
        b"--log-prefix",
        b"DNAT",
    ),
    *(b"--to-destination", b"1.2.3.4:5-6", b"MARK", b"--set-xmark", b"0x1/0x2", b"REJECT", b"--reject-with", b"RETURN"),
    *(b"recent", b"--set", b"hashlimit", b"set", b"--match-set", b"u32", b"--u32", b"0&0xF=5", b"time", b"--weekdays"),
)


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Return the text with a few words or bytes changed, doubled, moved or left out."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from((0, 1, 3, 10, 100))))
        kind = draw(st.integers(0, 4))
        if kind == 0:
            data = data[:start] + data[end:]
        elif kind == 1:
            data = data[:start] + draw(st.binary(max_size=5)) + data[end:]
        elif kind == 2:
            data = data[:start] + b" " + draw(st.sampled_from(WORDS)) + b" " + data[end:]
        elif kind == 3:
            data = data[:end] + data[start:end] + data[end:]
        else:
            lines = data.split(b"\n")
            first, second = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
            lines[first], lines[second] = lines[second], lines[first]
            data = b"\n".join(lines)
    return data


def rules_of_all_cases() -> bytes:
    """Return one dump that holds the inputs of the extension tables: every option once.

    Not all kernels have queues and security marks in nf_tables; the case tables try those.
    """
    lines = []
    for path in sorted((FIXTURES / "extensions").glob("*.cases")):
        for line in path.read_text(encoding="utf-8").splitlines():
            text = line.rsplit(" ;", 2)[0].strip()
            if text.startswith("-") and line.endswith("OK") and not re.search("^-t|QUEUE|SECMARK", text):
                lines.append((text if text.startswith("-A") else f"-A FORWARD {text}").encode())
    return dump(*lines)


@pytest.mark.netns
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_a_damaged_gateway(data: st.DataObject, tmp_path: Path) -> None:
    files = gateway()
    name = data.draw(st.sampled_from(sorted(files)))
    answer = ask(tmp_path, **{**files, name: data.draw(damaged(files[name]))})
    if answer.code == ExitCode.DONE:
        injected(answer.ruleset)


@pytest.mark.netns
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(data=st.data())
def test_damaged_rules_of_every_extension(data: st.DataObject, tmp_path: Path) -> None:
    lines = rules_of_all_cases().split(b"\n")[4:-2]
    chosen = data.draw(st.lists(st.sampled_from(lines), min_size=1, max_size=3))
    text = data.draw(damaged(b"\n".join(chosen)))
    answer = ask(tmp_path, rules=HEAD + text + b"\nCOMMIT\n")
    if answer.code == ExitCode.DONE:
        injected(answer.ruleset)
