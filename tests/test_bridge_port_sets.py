"""Rules on bridge ports that ask ipsets, as agents of clouds write them: the sets move to the bridge family as they are."""

from __future__ import annotations

import pytest

from fwtrans.cli.inputs import FileAccess
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.source import SourceFile
from fwtrans.translate import Settings, translate

SETS = """\
create peers hash:net family inet hashsize 1024 maxelem 65536
add peers 10.20.0.0/16
add peers 10.30.0.9
create peers-v4 hash:ip family inet hashsize 1024 maxelem 65536
add peers-v4 10.40.0.1
create later hash:net family inet hashsize 1024 maxelem 65536
"""

DUMP = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:guest-in - [0:0]
:guest-in-v4 - [0:0]
-A INPUT -m set --match-set later src -j DROP
-A FORWARD -m physdev --physdev-out tapa1 --physdev-is-bridged -j guest-in
-A guest-in -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN
-A guest-in -m set --match-set peers src -j RETURN
-A guest-in -m set --match-set later src -j RETURN
-A guest-in -p tcp -m tcp --dport 443 -j guest-in-v4
-A guest-in -j DROP
-A guest-in-v4 -m set --match-set peers-v4 src -j ACCEPT
COMMIT
"""


@pytest.mark.parametrize("optimize", [False, True])
def test_sets_that_others_fill_keep_their_kind_and_their_names_apart(*, optimize: bool) -> None:
    sink = DiagnosticSink()
    sources = (SourceFile("iptables-save", DUMP), SourceFile("ipset-save", SETS))
    found = translate(sources, Settings(optimize=optimize), sink, FileAccess()).output
    assert [item.code for item in sink.found if item.code != "FWT500"] == []
    assert "dynamic" not in found
    for elements in ("10.20.0.0/16, 10.30.0.9", "10.40.0.1"):
        assert f"elements = {{ {elements} }}" in found
    assert found.count("set later-v4 {") == 1  # empty, and yet asked in both families: whoever fills it must find it
    assert found.count("set later {") == 1
