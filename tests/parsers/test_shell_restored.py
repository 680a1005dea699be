"""Rules that a script hands to iptables-restore in its own text: what is loaded is what the shell would have handed over."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.parsers.shell_script import read_script
from fwtrans.source import SourceFile
from fwtrans.translate import Settings, translate
from fwtrans.verify import verify_sides
from tests.parsers.test_shell_script import firewall, read

if TYPE_CHECKING:
    from pathlib import Path

BODY = """\
# rules of $LAN
*filter
:INPUT DROP [0:0]
:OUTPUT - [0:0]
:in - [0:0]
[3:4] -A INPUT -i $LAN -j in
-A in -p tcp --dport 22 -m comment --comment "a b" -j ACCEPT
COMMIT
*nat
-A POSTROUTING -o ${LAN} -j MASQUERADE
COMMIT
"""
QUOTED = BODY.replace("$LAN", "eth1").replace("${LAN}", "eth1")
SAID = "".join(f"echo '{line}'\n" for line in QUOTED.splitlines())
DOCUMENTS = {
    "document": f"LAN=eth1\niptables-restore <<EOF\n{BODY}EOF\n",
    "messages away": f"LAN=eth1\niptables-restore 2>/dev/null -c <<EOF\n{BODY}EOF\n",
    "quoted": f"iptables-restore <<'EOF'\n{QUOTED}EOF\n",
    "tabs": f"iptables-restore <<-EOF\n\t{QUOTED.replace(chr(10), chr(10) + chr(9))}EOF\n",
    "cat": f"cat <<'EOF' | iptables-restore\n{QUOTED}EOF\n",
    "said": f"(\n{SAID}) | iptables-restore\n",
    "in a function": f"load() {{\n(\n{SAID}) | iptables-restore; RESULT=$?\n}}\nload\n",
    "variable": f"RULES='{QUOTED}'\necho \"$RULES\" | iptables-restore\n",
    "kept": f"iptables -N in\niptables -A in -j DROP\niptables -A INPUT -j DROP\niptables-restore -n <<'EOF'\n{QUOTED}EOF\n",
    "flushed": f"iptables -N x\niptables -A INPUT -j x\niptables-restore <<'EOF'\n{QUOTED}EOF\niptables -A INPUT -p icmp -j ACCEPT\n",
}


@pytest.mark.netns
@pytest.mark.parametrize("script", DOCUMENTS.values(), ids=DOCUMENTS)
def test_the_host_has_the_same_rules(script: str, tmp_path: Path) -> None:
    assert shutil.which("iptables-restore"), "the machine of these tests has iptables"
    sink = DiagnosticSink()
    made = translate([SourceFile("s.sh", f"#!/bin/sh\n{script}")], Settings(optimize=False), sink, FileAccess())
    assert not sink.errors
    (tmp_path / "s.sh").write_text(script)
    told = ["unshare", "-n", "sh", "-c", f"sh {tmp_path}/s.sh && iptables-save"]
    saved = subprocess.run(told, check=True, capture_output=True, text=True).stdout
    assert "--dport 22" in saved
    compared = verify_sides([SourceFile("saved", saved)], [SourceFile("o.nft", made.output)], sink, FileAccess())
    assert compared is not None
    assert compared.comparison.equal


def test_a_string_of_bash_is_one_too() -> None:
    script = f"#!/bin/bash\nRULES='{QUOTED}'\niptables-restore <<< \"$RULES\"\n"
    assert "iptables -A INPUT -i eth1 -j in" in firewall(script)


@pytest.mark.parametrize(
    "script",
    [
        "iptables-restore <<EOF\n*filter\n-A INPUT -s $(hostname -I) -j DROP\nCOMMIT\nEOF\n",
        "iptables-restore <<EOF\n*filter\n-A INPUT -s $WHO -j DROP\nCOMMIT\nEOF\n",
        "iptables-restore <<EOF\n*filter\n-A INPUT -s `cat x` -j DROP\nCOMMIT\nEOF\n",
        "iptables-restore <<EOF\n*filter\n-A INPUT -j DROP\nEOF\n",
        "iptables-restore <<EOF\nsome text\nEOF\n",
        "iptables-restore <<A <<B\n*filter\nCOMMIT\nA\n*nat\nCOMMIT\nB\n",
        "iptables-restore <<EOF\n*nat\n-A INPUT -t filter -j DROP\nCOMMIT\nEOF\n",
        "iptables-restore -T nat <<EOF\n*nat\nCOMMIT\nEOF\n",
        "grep -v x <<EOF | iptables-restore\n*nat\nCOMMIT\nEOF\n",
        "cat x | cat <<EOF | iptables-restore\n*nat\nCOMMIT\nEOF\n",
        "(echo '*nat'; test -f x && echo '-A INPUT -j DROP'; echo COMMIT) | iptables-restore\n",
        "(echo '*nat'; cat rules; echo COMMIT) | iptables-restore\n",
        "(echo '*nat'; for i in 1 2; do echo '-A INPUT -j DROP'; done; echo COMMIT) | iptables-restore\n",
        "(echo -e '*nat\\nCOMMIT') | iptables-restore\n",
        'echo "$RULES" | iptables-restore\n',
    ],
)
def test_what_only_a_shell_could_tell_is_refused(script: str) -> None:
    assert "FWT134" in read(script).codes


def test_it_has_to_have_its_turn() -> None:
    document = "<<EOF\n*filter\n-A INPUT -j DROP\nCOMMIT\nEOF\n"
    assert "FWT135" in read(f"test -f x && iptables-restore {document}").codes
    assert "FWT135" in read(f"if test -f x; then\niptables-restore {document}fi\n").codes
    assert read(f"[ a = b ] && iptables-restore {document}").codes == ["FWT137"]


def test_a_fault_is_told_at_its_line() -> None:
    sink = DiagnosticSink()
    text = "#!/bin/sh\niptables-restore <<EOF\n*filter\n[0:0] -A INPUT -p tcp --dport 99999 -j DROP\nCOMMIT\nEOF\n"
    translate([SourceFile("s.sh", text)], Settings(), sink, FileAccess())
    (error,) = sink.errors
    assert error.span is not None
    assert (error.span.line, text.splitlines()[3][error.span.start : error.span.end]) == (4, "--dport")


_DROP = "*filter\n-A INPUT -j DROP\nCOMMIT\nEOF\n"


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (f"cat <<EOF > old; iptables-restore <<EOF\n{_DROP}{_DROP}", "FWT134"),
        (f"cat <<EOF > old; \\\niptables-restore <<EOF\n{_DROP}{_DROP}", "FWT134"),
        (f"cat() {{ sed s/DROP/ACCEPT/; }}\ncat <<EOF | iptables-restore\n{_DROP}", "FWT134"),
        (f"alias cat='tac'\ncat <<EOF | iptables-restore\n{_DROP}", "FWT134"),
        ("iptables-restore <<EOF\n*filter\n-tnat -A POSTROUTING -j MASQUERADE\nCOMMIT\nEOF\n", "FWT134"),
        ("iptables-restore <<EOF\n*filter\n--tab=nat -A POSTROUTING -j MASQUERADE\nCOMMIT\nEOF\n", "FWT134"),
        ("seq() { echo 7; }\nfor i in $(seq 1 2); do iptables -A INPUT -p tcp --dport $i -j DROP; done\n", "FWT135"),
        ("P=22\necho x | P=80\niptables -A INPUT -p tcp --dport $P -j DROP\n", "FWT133"),
        ("P=22\nP=80 &\niptables -A INPUT -p tcp --dport $P -j DROP\n", "FWT133"),
        ("set -- 22\necho x | set -- 80\niptables -A INPUT -p tcp --dport $1 -j DROP\n", "FWT132"),
    ],
)
def test_what_a_shell_would_do_otherwise_is_refused(script: str, code: str) -> None:
    """Another document's lines, a function or an alias in a program's place, a table's name, a shell of its own."""
    sink = DiagnosticSink()
    read_script(SourceFile("fw.sh", script), sink)
    assert [item.code for item in sink.errors] == [code]
