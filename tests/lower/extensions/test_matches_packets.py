"""The matches from mac to udp, and tcp, asked of the kernel: iptables and our nft count the same packets.

Each rule jumps to a chain of its own that counts; a rule that became several and matched twice would show there.
"""

from __future__ import annotations

import json
import random
import re
import socket
import struct
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.clock import away_from_midnight
from tests.lower.extensions import frames
from tests.lower.extensions.second_half import BUILT_IN, IPSETS, translate

pytestmark = pytest.mark.netns

SCRIPT = Path(__file__).with_name("match_replay.py")
HOST, PEER = "10.9.0.1", "10.9.0.2"
HOST6, PEER6 = "fd00:9::1", "fd00:9::2"
ANY = "0.0.0.0"  # noqa: S104 -- a source of packets, nothing is bound to it
OWN_MAC, PEER_MAC = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")


# --- packets ---


def ethernet(packet: bytes, *, source: bytes = PEER_MAC, destination: bytes = OWN_MAC) -> str:
    kind = frames.IPV4 if packet[0] >> 4 == 4 else frames.IPV6
    return (destination + source + struct.pack("!H", kind) + packet).hex()


def tcp(dport: int = 80, sport: int = 1025, *, flags: int = 2, options: bytes = b"", data: bytes = b"") -> bytes:
    padded = options + b"\0" * (-len(options) % 4)
    head = struct.pack("!HHIIBBHHH", sport, dport, 1, 0, (5 + len(padded) // 4) << 4, flags, 1024, 0, 0)
    return head + padded + data


def sctp(*chunks: bytes, dport: int = 5060) -> bytes:
    return struct.pack("!HHII", 1025, dport, 1, 0) + b"".join(chunks)


def chunk(kind: int, flags: int = 0, data: bytes = b"") -> bytes:
    return struct.pack("!BBH", kind, flags, 4 + len(data)) + data + b"\0" * (-len(data) % 4)


def v4(payload: bytes, protocol: int, **fields: Any) -> bytes:
    return frames.ipv4(payload, protocol=protocol, **{"source": PEER, "destination": HOST, **fields})


def v6(payload: bytes, protocol: int, **fields: Any) -> bytes:
    return frames.ipv6(payload, next_header=protocol, **{"source": PEER6, "destination": HOST6, **fields})


def udp(dport: int = 53, sport: int = 1025, data: bytes = b"data") -> bytes:
    return struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data


def with_options(packet: bytes, options: bytes) -> bytes:
    """Return an IPv4 packet with options in its header."""
    head = bytearray(packet[:20])
    head[0] += len(options) // 4
    head[2:4] = struct.pack("!H", len(packet) + len(options))
    head[10:12] = b"\0\0"
    whole = bytes(head) + options
    return whole[:10] + struct.pack("!H", frames.checksum(whole)) + whole[12:] + packet[20:]


MSS = b"\x02\x04\x05\xb4"
SMALL_MSS = b"\x02\x04\x01\xf4"
TIMESTAMP = b"\x08\x0a\0\0\0\1\0\0\0\2"

# No header is cut short here: iptables' tcp, udp and multiport drop such a packet on the spot ("hotdrop"), whatever the
# rule says, and nft has no match that does.
TRANSPORT = [
    *(v4(tcp(dport), 6) for dport in (20, 22, 80, 100, 101, 443, 0, 65535)),
    *(v4(tcp(9, sport), 6) for sport in (20, 22, 80, 101, 60, 53, 65535)),
    *(v4(tcp(80, flags=flags), 6) for flags in (0, 1, 2, 3, 4, 6, 16, 18, 20, 24, 63, 0xC2, 0x3F, 0xFF)),
    *(
        v4(tcp(options=options), 6)
        for options in (MSS, SMALL_MSS, MSS + TIMESTAMP, TIMESTAMP, b"\1\1\1\1", b"\xfd\4ab")
    ),
    *(v4(udp(dport), 17) for dport in (53, 54, 60, 7, 22, 80, 200, 0, 65535)),
    *(v4(udp(9, sport), 17) for sport in (53, 60, 61, 1024)),
    v4(udp(53), 136),
    v4(tcp(22), 33),
    v4(udp(), 47),
    v4(udp(80), 99),
    *(v4(frames.icmp(kind, code), 1) for kind, code in ((8, 0), (8, 1), (0, 0), (3, 3))),
    # fragments: whole first ones, and later ones whose data looks like ports
    *(v4(tcp(80) + b"x" * 20, 6, fragment=0x2000, identification=50 + number) for number in range(2)),
    *(v4(tcp(dport) + b"x" * 20, 6, fragment=0x0010, identification=60 + dport) for dport in (22, 80)),
    v4(udp(53) + b"x" * 16, 17, fragment=0x2005, identification=70),
    v4(udp(53), 17, fragment=0x0005, identification=71),
    v4(frames.icmp(8, 0), 1, fragment=0x0005, identification=72),
    with_options(v4(tcp(22), 6), b"\1" * 8),
    with_options(v4(udp(53), 17, fragment=0x0007, identification=73), b"\1" * 12),
]
CHUNKS = [
    v4(sctp(chunk(1)), 132),
    v4(sctp(chunk(0, 3), chunk(3)), 132),
    v4(sctp(chunk(0), chunk(0, 2)), 132),
    v4(sctp(chunk(6, 1)), 132),
    v4(sctp(chunk(6, 0)), 132),
    v4(sctp(chunk(14, 1), dport=5), 132),
    v4(sctp(chunk(64)), 132),
    v4(sctp(chunk(12), chunk(13), chunk(3)), 132),
    v4(sctp(chunk(1), chunk(0)), 132, fragment=0x0009, identification=80),
]
HEADERS = [
    *(v4(udp(), 17, tos=tos) for tos in (0, 2, 8, 0x10, 0x12, 0x28, 0x3F, 0xC0, 0xFF)),
    *(v4(udp(), 17, ttl=ttl) for ttl in (1, 2, 63, 64, 65, 255)),
    *(v4(udp(data=b"y" * size), 17) for size in (0, 1, 12, 40, 200)),
    *(v4(udp(), 17, source=source) for source in ("10.9.0.3", "10.9.0.77", "192.0.2.7", "192.168.1.1")),
]
SIX = [
    *(v6(udp(dport), 17, traffic_class=tos) for dport in (53, 54) for tos in (0, 8, 0x10, 0x28, 0xFF)),
    *(v6(tcp(dport), 6) for dport in (22, 80, 443)),
    *(v6(tcp(options=options), 6) for options in (MSS, SMALL_MSS, TIMESTAMP)),
    v6(frames.options_header(6) + tcp(22), 0),
    v6(frames.fragment_header(17, 0, more=True) + udp(53) + b"x" * 8, 44),
    v6(frames.fragment_header(17, 5, more=False, identification=9) + udp(53) + b"x" * 8, 44),
    *(v6(struct.pack("!BBBBHH", 59, 0, kind, 0, 0, 0), 135) for kind in (0, 3, 4, 5, 7, 8)),
    v6(frames.options_header(135) + struct.pack("!BBBBHH", 59, 0, 5, 0, 0, 0), 60),
    v6(udp(), 17, source=PEER6[:-1] + "3"),
]


def routing(kind: int, left: int, *addresses: str, word: bytes = b"\0\0\0\0") -> bytes:
    """Return a routing header with a datagram behind it; `word` is what follows the number of segments left."""
    listed = b"".join(socket.inet_pton(socket.AF_INET6, address) for address in addresses)
    return v6(struct.pack("!BBBB", 17, len(listed) // 8, kind, left) + word + listed + udp(), 43)


ROUTED = [
    routing(0, 0, "::1"),
    routing(0, 0, "::1", "::2"),
    routing(0, 1, "::1", "::2"),
    routing(0, 0, "::2", "::1", word=b"\0\0\0\1"),
    routing(0, 0, "::1", "::2", "::3", word=b"\0\1\0\0"),
    routing(253, 0),
    routing(4, 0, "fc00::1", word=b"\0\0\1\0"),
    routing(4, 1, "fc00::1", "fc00::2", word=b"\1\0\0\5"),
    routing(4, 0, "fd00::1", "fc00::2", "fc00::3", word=b"\2\0\5\0"),
    routing(4, 2, "2001:db8::1", "fc00::2", "fc00::3", word=b"\2\0\0\0"),
]


# --- rulesets ---


def dump_counting(rules: dict[str, list[tuple[str, str]]]) -> str:
    """Return a dump whose rules, (chain, match) by table, each jump to a chain that counts."""
    lines: list[str] = []
    for table, places in rules.items():
        lines.append(f"*{table}")
        lines.extend(f":{name} ACCEPT [0:0]" for name in BUILT_IN[table])
        lines.extend(f":c{number} - [0:0]" for number in range(len(places)))
        lines.extend(f"-A {chain} {match} -j c{number}" for number, (chain, match) in enumerate(places))
        lines.extend(f"-A c{number}" for number in range(len(places)))
        lines.append("COMMIT")
    return "\n".join([*lines, ""])


def counted_by_iptables(save: str) -> dict[tuple[str, str], int]:
    counts: dict[tuple[str, str], int] = {}
    table = ""
    for line in save.splitlines():
        if line.startswith("*"):
            table = line[1:]
        found = re.fullmatch(r"\[(\d+):\d+\] -A (c\d+)", line)
        if found:
            counts[table, found[2]] = int(found[1])
    return counts


def counted_by_nft(listing: dict[str, Any], family: str) -> dict[tuple[str, str], int]:
    counts: dict[tuple[str, str], int] = {}
    for item in listing["nftables"]:
        rule = item.get("rule")
        found = rule and rule["family"] == family and re.fullmatch(r"(?:(raw|mangle)-)?(c\d+)", rule["chain"])
        if not found:
            continue
        (counter,) = [part["counter"]["packets"] for part in rule["expr"] if "counter" in part]
        counts[found[1] or "filter", found[2]] = counter
    return counts


def compare(
    rules: dict[str, dict[str, list[tuple[str, str]]]], packets: list[str], **more: Any
) -> dict[str, dict[str, int]]:
    """Run both firewalls and compare them; return what each match counted, by family."""
    dumps = {family: dump_counting(tables) for family, tables in rules.items()}
    scripts = []
    for family, dump in dumps.items():
        translated = translate(dump, family, counters=True)
        assert not translated.codes, translated.found
        scripts.append(translated.script)
    order = {"iptables": dumps, "nft": "".join(scripts), "frames": packets, **more}
    done = subprocess.run(
        ["unshare", "-n", sys.executable, str(SCRIPT)],
        input=json.dumps(order), capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    counts: dict[str, dict[str, int]] = {}
    for family, tables in rules.items():
        expected = counted_by_iptables(answer["iptables"][family])
        found = counted_by_nft(answer["nft"], family)
        named = {
            (table, f"c{number}"): f"{table} {chain} {match}"
            for table, places in tables.items()
            for number, (chain, match) in enumerate(places)
        }
        differing = {text: (expected[key], found[key]) for key, text in named.items() if expected[key] != found[key]}
        assert differing == {}, f"{family}: (iptables, nft)"
        counts[family] = {text: expected[key] for key, text in named.items()}
    return counts


def assert_telling(counts: dict[str, int], never: tuple[str, ...] = ()) -> None:
    """Every match must have been true at least once, but for those that cannot be."""
    assert [text for text, count in counts.items() if not count and not text.endswith(never)] == []


def prerouting(*matches: str) -> list[tuple[str, str]]:
    return [("PREROUTING", match) for match in matches]


# --- the tests ---

TRANSPORT_MATCHES = (
    "-p udp -m udp --dport 53", "-p udp -m udp ! --dport 53", "-p udp -m udp ! --sport 53:60 ! --dport 7",
    "-p udp -m udp ! --sport 60:53", "-p udp -m udp",
    "-p tcp -m tcp --dport 22", "-p tcp -m tcp ! --dport 20:100", "-p tcp -m tcp --sport 22:", "-p tcp -m tcp",
    "-p tcp -m tcp --syn", "-p tcp -m tcp ! --syn", "-p tcp -m tcp --tcp-flags SYN,ACK,FIN,RST SYN",
    "-p tcp -m tcp ! --tcp-flags ALL NONE", "-p tcp -m tcp --tcp-flags ALL ALL", "-p tcp -m tcp ! --tcp-flags SYN FIN",
    "-p tcp -m tcp --tcp-flags SYN,RST SYN,RST", "-p tcp -m tcp --tcp-option 2", "-p tcp -m tcp ! --tcp-option 2",
    "-p tcp -m tcp --tcp-option 253", "-p tcp -m tcp ! --tcp-option 8 --tcp-flags SYN SYN",
    "-p tcp -m multiport --dports 22,80,443", "-p tcp -m multiport ! --dports 22,80,443",
    "-p tcp -m multiport --ports 22,80", "-p tcp -m multiport ! --ports 22,80", "-p tcp -m multiport --ports 20:100",
    "-p tcp -m multiport ! --ports 20:100", "-p udp -m multiport ! --sports 53,1024:65535",
    "-p udplite -m multiport --dports 53", "-p dccp -m multiport ! --ports 23",
    "-p tcp -m tcpmss --mss 500:1000", "-p tcp -m tcpmss ! --mss 500:1000", "-p tcp -m tcpmss --mss 1460",
)  # fmt: skip
U32_MATCHES = (
    '-m u32 --u32 "6&0xFF=17"', '-m u32 ! --u32 "6&0xFF=6,17"', '-m u32 --u32 "0&0xFFFF=0x1C:0x28"',
    '-m u32 --u32 "8>>24=64"', '-m u32 --u32 "12&0xffffff00=0x0a090000"', '-m u32 --u32 "4&0x1fff=0"',
    '-m u32 --u32 "4&0x1fff=1:0x1fff"', '-m u32 --u32 "40=0x78787878"', '-m u32 ! --u32 "40=0x78787878"',
    '-m u32 ! --u32 "44=1:0xffffffff"', '-m u32 --u32 "40=0x70000000:0x7fffffff"', '-m u32 --u32 "0>>22&0x3C@0&0xFFFF=53"',
    '-m u32 --u32 "0>>22&0x3C@0>>16=1000:1030"', '-m u32 --u32 "4&0x1FFF=0&&0>>22&0x3C@0&0xFFFF=22,53,80:100"',
    '-m u32 --u32 "4&0x3FFF=0&&6&0xFF=1&&0>>22&0x3C@0>>24=8"', '-m u32 --u32 "0<<8>>24=0x10"',
    '-p tcp -m u32 --u32 "4&0x1FFF=0&&0>>22&0x3C@12>>26&0x3C@0=0x47455420"',
    '-m u32 --u32 "6&0xFF=6&&4&0x1FFF=0&&0>>22&0x3C@12>>26&0x3C@4>>24=0x2f"',
)  # fmt: skip
HEADER_MATCHES = (
    "-m tos --tos 0x10", "-m tos ! --tos 0x10/0x3f", "-m tos --tos Minimize-Delay", "-m tos ! --tos Normal-Service",
    "-m tos --tos 255", "-m tos --tos 0/0x0f",
    "-m ttl --ttl-eq 64", "-m ttl ! --ttl-eq 64", "-m ttl --ttl-lt 64", "-m ttl --ttl-gt 64", "-m ttl --ttl-lt 2",
    "-m mac --mac-source 02:00:00:00:00:02", "-m mac ! --mac-source 02:00:00:00:00:02",
    "-m pkttype --pkt-type unicast", "-m pkttype ! --pkt-type unicast", "-m pkttype --pkt-type broadcast",
    "-m pkttype --pkt-type multicast", "-m mark --mark 0", "-m mark ! --mark 1/1", "-m mark ! --mark 5/3",
)  # fmt: skip
DATA = [v4(tcp(80, data=b"GET / HTTP"), 6), v4(tcp(80, options=MSS, data=b"GET / HTTP"), 6), v4(tcp(80, data=b"GE"), 6)]


def test_transport_and_headers_of_ipv4() -> None:
    packets = [ethernet(packet) for packet in [*TRANSPORT, *HEADERS, *DATA]]
    packets.append(ethernet(v4(udp(), 17), source=bytes.fromhex("020000000003")))
    packets.append(ethernet(v4(udp(), 17, destination="255.255.255.255"), destination=b"\xff" * 6))
    packets.append(ethernet(v4(udp(), 17, destination="224.0.0.1"), destination=bytes.fromhex("01005e000001")))
    matches = prerouting(*TRANSPORT_MATCHES, *U32_MATCHES, *HEADER_MATCHES)
    counts = compare({"ip": {"mangle": matches}}, packets)
    assert_telling(counts["ip"])


def test_the_same_with_connection_tracking() -> None:
    """Fragments are put together, and the translation leaves out what is about them."""
    packets = [ethernet(packet) for packet in [*TRANSPORT, *CHUNKS, *DATA]]
    matches = prerouting(
        *TRANSPORT_MATCHES, *U32_MATCHES, "-m conntrack --ctstate NEW", "-m conntrack --ctstate INVALID"
    )
    compare({"ip": {"mangle": matches}}, packets)


def test_chunks_of_sctp() -> None:
    matches = prerouting(
        "-p sctp -m sctp --dport 5060", "-p sctp -m sctp ! --dport 5060", "-p sctp -m sctp",
        "-p sctp -m sctp --chunk-types any INIT", "-p sctp -m sctp ! --chunk-types any INIT",
        "-p sctp -m sctp --chunk-types any DATA,SACK", "-p sctp -m sctp --chunk-types all DATA,SACK",
        "-p sctp -m sctp ! --chunk-types all DATA,SACK", "-p sctp -m sctp ! --chunk-types any DATA,SACK,INIT",
        "-p sctp -m sctp --chunk-types any ABORT:T", "-p sctp -m sctp --chunk-types any ABORT:t,SHUTDOWN_COMPLETE:T",
        "-p sctp -m sctp ! --chunk-types any ABORT:T", "-p sctp -m sctp --chunk-types any ALL",
        "-p sctp -m sctp --chunk-types all ECN_ECNE,ECN_CWR", "-p sctp -m sctp ! --chunk-types only NONE",
    )  # fmt: skip
    counts = compare({"ip": {"mangle": matches}}, [ethernet(packet) for packet in CHUNKS])
    assert_telling(counts["ip"])


def test_ipv6_and_its_headers() -> None:
    matches = prerouting(
        "-p udp -m udp --dport 53", "-p udp -m udp ! --dport 53", "-p tcp -m multiport ! --ports 22,80",
        "-p tcp -m tcpmss ! --mss 1460", "-p tcp -m tcp --tcp-option 8", "-m tos --tos 0x28", "-m tos ! --tos 0x08/0x3f",
        "-m tos --tos Minimize-Delay", '-m u32 --u32 "4&0xff00=0x1100"', '-m u32 ! --u32 "4&0xff00=0x1100"',
        "-p mh -m mh --mh-type 5", "-p mh -m mh ! --mh-type bu:be", "-p mh -m mh --mh-type :3", "-p mh -m mh",
        "-m rt --rt-type 0", "-m rt ! --rt-type 0", "-m rt --rt-segsleft 0", "-m rt ! --rt-segsleft 1:5",
        "-m rt --rt-len 24", "-m rt ! --rt-len 24", "-m rt ! --rt-len 25", "-m rt --rt-type 0 --rt-0-res",
        "-m rt --rt-type 0 --rt-0-addrs ::1,::2", "-m rt --rt-type 0 --rt-0-addrs ::1", "-m rt",
        "-m srh", "-m srh --srh-next-hdr 17 ! --srh-hdr-len-eq 4", "-m srh --srh-hdr-len-gt 3",
        "-m srh ! --srh-segs-left-gt 0", "-m srh --srh-last-entry-lt 2", "-m srh --srh-tag 5", "-m srh ! --srh-tag 5",
        "-m srh --srh-tag 0x500", "-m srh --srh-lsid fc00::/7", "-m srh ! --srh-lsid fc00::/16",
        "-m srh ! --srh-hdr-len-gt 8 --srh-hdr-len-lt 3",
    )  # fmt: skip
    counts = compare({"ip6": {"mangle": matches}}, [ethernet(packet) for packet in [*SIX, *ROUTED]])
    assert_telling(counts["ip6"])


def test_sets() -> None:
    matches = prerouting(
        "-m set --match-set addresses src", "-m set ! --match-set addresses src", "-m set --match-set addresses src,dst",
        "-m set --match-set networks src", "-m set ! --match-set networks src", "-m set --match-set networks dst",
        "-m set --match-set services src,dst", "-m set ! --match-set services src,dst",
        "-p udp -m set ! --match-set services src,dst", "-m set ! --match-set services dst,src",
        "-m set --match-set mixed src,dst", "-m set --match-set mixed src,src", "-m set ! --match-set mixed src,dst",
        "-p icmp -m set ! --match-set mixed src,src", "-m set --match-set ports dst", "-m set ! --match-set ports dst,src",
        "-m set --match-set byport src,src", "-m set ! --match-set byport src,src", "-m set --match-set three src,dst,dst",
        "-m set --match-set byport src,dst", "-m set --match-set services src", "-m set ! --match-set services src",
        "-m set --match-set counted src", "-m set --match-set addresses src ! --packets-eq 7",
    )  # fmt: skip
    packets = [ethernet(packet) for packet in [*TRANSPORT, *HEADERS]]
    counts = compare({"ip": {"mangle": matches}}, packets, ipsets=IPSETS)
    assert_telling(counts["ip"], ("byport src,dst", "-m set --match-set services src"))


def test_counting_matches() -> None:
    matches = prerouting(
        "-m statistic --mode nth --every 3 --packet 0", "-m statistic --mode nth --every 3 --packet 2",
        "-m statistic --mode nth ! --every 4 --packet 1", "-m statistic --mode nth --every 1 --packet 0",
        "-m statistic --mode nth --every 7 --packet 6", "-m statistic --mode random --probability 1",
        "-m quota --quota 200", "-m quota ! --quota 200", "-m quota --quota 320", "-m quota ! --quota 321",
        "-m quota --quota 31", "-m quota ! --quota 0", "-m quota --quota 4000000000",
    )  # fmt: skip
    packets = [ethernet(v4(udp(data=b""), 17, identification=number)) for number in range(25)]
    counts = compare({"ip": {"mangle": matches}}, packets)
    assert_telling(counts["ip"])


def hits(seconds: int) -> list[tuple[str, str]]:
    """Return rules that ask lists for several hits, in all the ways that are translated."""
    return prerouting(
        "-p udp --dport 1 -m recent --set --name a",
        f"-m recent --rcheck --name a --seconds {seconds} --hitcount 4",
        f"-m recent ! --rcheck --name a --seconds {seconds} --hitcount 2",
        f"-p udp --dport 2 -m recent --update --name a --seconds {seconds} --hitcount 2",
        "-m recent --rcheck --name a --hitcount 6",
        "-p udp --dport 3 -m recent --remove --name a",
        "-p udp --dport 1:2 -m recent --update --name b --hitcount 3 -m recent --set --name c",
        "-m recent --set --name b -m recent --rcheck --name c --hitcount 2",
        "-m statistic --mode nth --every 3 --packet 0 -m recent --set --name d --mask 255.255.255.0 --rdest -p udp --dport 1",
        "-m recent --rcheck --name d --mask 255.255.255.0 --rdest --hitcount 20",
    )  # fmt: skip


def test_hits_are_counted_as_recent_counts_them() -> None:
    # So many senders that none is forgotten and added again sixteen times: more of that than a set stands in a second.
    chosen = random.Random(11)  # noqa: S311 -- a repeatable choice
    packets = [
        ethernet(v4(udp(port), 17, source=f"10.9.0.{10 + source}", identification=number))
        for number, source, port in (
            (number, chosen.randrange(20), chosen.choices((1, 2, 3, 9), (5, 4, 1, 3))[0]) for number in range(300)
        )
    ]
    counts = compare({"ip": {"mangle": hits(600)}}, packets)
    assert_telling(counts["ip"])


def test_hits_are_forgotten_one_by_one() -> None:
    # Within the two seconds of a window entries come at 0, 0.8 and 1.6 seconds, so at each check some have left it.
    packets = []
    for number in range(10):
        packets += [
            ethernet(v4(udp(port), 17, source="10.9.0.10", identification=10 * number + port))
            for port in ((1, 9) if number < 6 else (9, 2))
        ]
        packets.append("wait 0.8")
    counts = compare({"ip": {"mangle": hits(2)[:6]}}, packets)
    assert_telling(counts["ip"], never=("--hitcount 4", "--remove --name a"))


def test_lists_of_recent_addresses() -> None:
    matches = prerouting(
        "-m recent ! --rcheck --name a", "-m recent --rcheck --name a --seconds 600",
        "-p udp --dport 1 -m recent --set --name a", "-p udp --dport 2 -m recent --update --name a --seconds 600",
        "-p udp --dport 3 -m recent --remove --name a", "-m recent ! --update --name a",
        "-p udp --dport 4 -m recent --set --name b --mask 255.255.255.0 --rdest",
        "-m recent --rcheck --name b --mask 255.255.255.0 --rsource",
        "-p udp --dport 5 -m recent --set", "-m recent --rcheck --rdest", "-m recent --rcheck --seconds 600 --reap",
    )[:-1]  # fmt: skip
    packets = [
        ethernet(v4(udp(port), 17, source=f"10.9.0.{10 + source}", identification=number))
        for number, (source, port) in enumerate(
            [
                (1, 9),
                (1, 1),
                (1, 9),
                (2, 9),
                (2, 3),
                (1, 2),
                (3, 2),
                (1, 3),
                (1, 9),
                (1, 3),
                (4, 4),
                (5, 9),
                (1, 1),
                (6, 5),
            ]
        )
    ]
    counts = compare({"ip": {"mangle": matches}}, packets)
    assert_telling(counts["ip"], ("--rcheck --rdest",))


@pytest.mark.parametrize("family", ["ip", "ip6"])
def test_the_way_back(family: str) -> None:
    options = ("", "--loose", "--accept-local", "--loose --accept-local", "--validmark")
    matches = prerouting(
        *(f"-m rpfilter {words}" for words in options), *(f"-m rpfilter {words} --invert" for words in options)
    )
    if family == "ip":
        sources = [
            "10.9.0.2", "10.9.0.255", "10.9.0.0", "10.9.0.1", "10.77.0.5", "10.77.0.1", "192.0.2.9", "203.0.113.4",
            ANY, "0.1.2.3", "127.0.0.7", "224.0.0.9", "255.255.255.255", "10.66.0.3",
        ]  # fmt: skip
        packets = [v4(udp(), 17, source=source) for source in sources]
        packets += [v4(udp(67, 68), 17, source=ANY, destination=to) for to in ("255.255.255.255", "224.0.0.1")]
    else:
        addresses = [
            PEER6,
            HOST6,
            "fe80::99",
            "2001:db8:1::1",
            "2001:db8:dead::1",
            "2001:db8:beef::1",
            "::",
            "fd00:77::1",
            "fd00:77::5",
        ]
        packets = [v6(udp(), 17, source=source) for source in addresses]
    setup = [
        "ip link add d0 type veth peer name d1", "ip link set d0 up", "ip link set d1 up", "ip addr add 10.77.0.1/24 dev d0",
        "ip -6 addr add fd00:77::1/64 dev d0 nodad", "ip route add blackhole 10.66.0.0/24",
    ]  # fmt: skip
    counts = compare({family: {"raw": matches}}, [ethernet(packet) for packet in packets], setup=setup)
    assert_telling(counts[family])


def test_owners_of_sockets() -> None:
    matches = [
        ("OUTPUT", f"-m owner {words}")
        for words in (
            "--uid-owner 0", "! --uid-owner 0", "--uid-owner 1000-2000", "! --uid-owner 1000-2000", "--gid-owner 7",
            "! --gid-owner 7", "! --gid-owner 7 ! --uid-owner 1000", "--uid-owner 1000 ! --gid-owner 7",
            "--socket-exists --uid-owner 0",
        )
    ]  # fmt: skip
    # what the host answers itself belongs to nobody: to a closed port, to a ping
    packets = [ethernet(v4(frames.tcp(PEER, HOST, 1025, 81), 6)), ethernet(v4(frames.icmp(8, 0), 1))]
    packets.append(ethernet(v6(frames.tcp(PEER6, HOST6, 1025, 81), 6)))
    sent = [
        [user, group, to] for user, group in ((0, 0), (0, 7), (1000, 7), (1000, 8), (2001, 9)) for to in (PEER, PEER6)
    ]
    # the kernel reports its IPv6 groups when it likes, between the two countings too; those packets are not meant
    matches6 = [(chain, f"! -p ipv6-icmp {text}") for chain, text in matches]
    counts = compare({"ip": {"filter": matches}, "ip6": {"filter": matches6}}, packets, sent_as=sent)
    assert_telling(counts["ip"])
    assert_telling(counts["ip6"])


def test_time() -> None:
    now = away_from_midnight()
    soon, before = now + timedelta(hours=2), now - timedelta(hours=2)
    clock = [f"{moment:%H:%M}" for moment in (before, soon)]
    day = f"{now:%a}"
    yesterday, tomorrow = (f"{now + timedelta(days=days):%a}" for days in (-1, 1))
    matches = prerouting(
        "-m time", f"-m time --timestart {clock[0]} --timestop {clock[1]}", f"-m time --timestart {clock[1]} --timestop {clock[0]}",
        f"-m time --weekdays {day}", f"-m time ! --weekdays {day}", f"-m time --weekdays {yesterday},{tomorrow}",
        f"-m time --monthdays {now.day}", f"-m time ! --monthdays {now.day}", f"-m time --monthdays {(now.day % 28) + 1}",
        f"-m time --datestart {now:%Y-%m-%d}", f"-m time --datestop {before:%Y-%m-%dT%H:%M:%S}",
        f"-m time --datestart {before:%Y-%m-%dT%H:%M:%S} --datestop {soon:%Y-%m-%dT%H:%M:%S}",
        f"-m time --timestart {soon:%H:%M} --timestop 00:00 --contiguous" if soon.day == now.day else "-m time --utc",
        *(
            f"-m time --timestart 23:59:59 --timestop 23:59:58 --weekdays {name} --contiguous"
            for name in (day, yesterday, tomorrow)
        ),
        f"-m time --timestart 23:59:59 --timestop 23:59:58 --monthdays {(now - timedelta(days=1)).day} --contiguous",
    )  # fmt: skip
    counts = compare({"ip": {"mangle": matches}}, [ethernet(v4(udp(), 17))] * 3)["ip"]
    assert counts["mangle PREROUTING -m time"] == counts[f"mangle PREROUTING -m time --weekdays {day}"] > 0
    assert counts[f"mangle PREROUTING -m time ! --weekdays {day}"] == 0


def test_sockets_and_realms() -> None:
    matches = prerouting("-m socket", "-m socket --nowildcard", "-p udp -m socket --transparent")
    inside = [("INPUT", "-m realm --realm 7"), ("INPUT", "-m realm ! --realm 7"), ("INPUT", "-m realm --realm 7/0xff")]
    packets = [ethernet(v4(udp(port), 17, source=source)) for port in (53, 4001) for source in (PEER, "10.9.0.50")]
    setup = ["ip route add 10.9.0.50/32 dev v1 realm 7"]
    counts = compare({"ip": {"mangle": matches, "filter": inside}}, packets, setup=setup, bind=[4001])["ip"]
    assert counts["mangle PREROUTING -m socket --nowildcard"] == 2
    assert counts["mangle PREROUTING -m socket"] == 0
