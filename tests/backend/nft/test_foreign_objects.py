"""Objects without a model come back as they were read, from text to text, and nothing hostile comes through."""

from __future__ import annotations

import json

import pytest

from fwtrans.backend.nft.foreign_objects import foreign_block
from fwtrans.backend.nft.objects import ForeignObject
from fwtrans.diagnostics import DiagnosticSink, Refused
from fwtrans.parsers.nft_text.parse import parse_nft_text
from fwtrans.source import SourceFile

_PLACE = ("family", "table", "name", "line")

OBJECTS = {
    "flow": "flowtable f {\nhook ingress priority 5\ndevices = { eth0, eth1 }\nflags offload\ncounter\n}",
    "dynamic": "map f {\ntype ipv4_addr : inet_service\nflags dynamic,timeout\nsize 9\ntimeout 1h30m\ngc-interval 10s\n}",
    "filled": 'map f {\ntype ipv4_addr . inet_service : mark\nelements = { 10.0.0.1 . 80 timeout 1h expires 59m comment "x" : 5 }\n}',
    "ranges": "map f {\ntype inet_service : interval ipv4_addr . inet_service\nelements = { 80 : 10.0.0.1-10.0.0.4 . 80-85 }\n}",
    "verdicts": "map f {\ntype ipv4_addr : verdict\nflags timeout\nelements = { 10.0.0.1 : drop, 10.0.0.2 : accept }\n}",
    "typeof": "map f {\ntypeof ip daddr . tcp dport : ip daddr . tcp dport\n}",
    "objects": 'map f {\ntype inet_service : counter\nelements = { 80 : "http" }\n}',
    "set": "set f {\ntype ipv4_addr\npolicy memory\ncounter\nauto-merge\nelements = { 10.0.0.1 counter packets 3 bytes 9 }\n}",
    "counter": 'counter f {\ncomment "x"\npackets 3 bytes 9\n}',
    "quota": "quota f {\nover 25 bytes\n}",
    "limit": "limit f {\nrate over 10/second burst 7 packets\n}",
    "bytes": "limit f {\nrate 1 mbytes/second burst 5 kbytes\n}",
    "helper": 'ct helper f {\ntype "ftp" protocol tcp\nl3proto ip\n}',
    "timeout": "ct timeout f {\nprotocol tcp\nl3proto ip\npolicy = { established : 123, close : 12 }\n}",
    "expectation": "ct expectation f {\nprotocol udp\ndport 9876\ntimeout 2m\nsize 8\nl3proto ip\n}",
    "synproxy": "synproxy f {\nmss 1460\nwscale 7\ntimestamp sack-perm\n}",
    "secmark": 'secmark f {\n"system_u:object_r:ssh_t:s0"\n}',
}  # fmt: skip


def read(text: str) -> ForeignObject:
    source, sink = SourceFile("x.nft", f"table ip t {{\n{text}\n}}\n"), DiagnosticSink()
    items = parse_nft_text(source, sink)
    assert not sink.found, [item.message for item in sink.found]
    ((kind, content),) = items[-1]["add"].items()
    kept = {key: value for key, value in content.items() if key not in _PLACE}
    if "flags" in kept:
        kept["flags"].sort()
    return ForeignObject(kind, "f", json.dumps(kept, sort_keys=True))


@pytest.mark.parametrize("name", OBJECTS)
def test_words_are_read_as_what_they_were_made_of(name: str) -> None:
    found = read(OBJECTS[name])
    head, body = foreign_block(found)
    assert read("\n".join([f"{head} {{", *body, "}"])) == found


HOSTILE = [
    ("chain", "{}"),
    ("map", '{"type": "ipv4_addr } accept", "map": "mark"}'),
    ("map", '{"type": "ipv4_addr", "map": "verdict", "elem": [["10.0.0.1", {"jump": {"target": "x; accept"}}]]}'),
    ("map", '{"type": "ipv4_addr", "map": "mark", "flags": ["dynamic; accept"]}'),
    ("map", '{"type": "ipv4_addr", "map": "counter", "elem": [["10.0.0.1", "x\\" } accept"]]}'),
    ("set", '{"type": "ipv4_addr", "size": "5; accept"}'),
    ("set", '{"type": "ipv4_addr", "elem": [{"elem": {"val": "10.0.0.1", "more": 1}}]}'),
    ("set", '{"type": "ipv4_addr", "unknown": 1}'),
    ("flowtable", '{"hook": "ingress", "prio": 0, "dev": ["eth0\\" }"]}'),
    ("ct timeout", '{"protocol": "tcp", "policy": {"close : 1 }": 2}}'),
    ("secmark", '{"context": "x\\"; accept"}'),
    ("limit", '{"rate": 1, "per": "second accept"}'),
]


@pytest.mark.parametrize(("kind", "content"), HOSTILE)
def test_what_is_in_no_known_form_is_refused(kind: str, content: str) -> None:
    with pytest.raises(Refused) as caught:
        foreign_block(ForeignObject(kind, "f", content))
    assert caught.value.code in {"FWT200", "FWT501"}
