"""Every statement and expression of the model with the text it becomes and what nft 1.0.6 lists for it.

`listed` is given where nft says the same in other words; else it lists our text. A case stands at a place, a base chain
in which the kernel takes it. `json=False` marks what nft 1.0.6 cannot say in JSON.
"""

from __future__ import annotations

from typing import NamedTuple

from fwtrans.backend.nft import build as b
from fwtrans.backend.nft import model as nft
from fwtrans.backend.nft.build import (
    address,
    any_flag,
    assign,
    bit_and,
    bit_or,
    bit_xor,
    concat,
    ct,
    flags_or,
    ip,
    ip6,
    lookup,
    mark,
    match,
    match_exactly,
    match_not,
    meta,
    number,
    one_of,
    prefix,
    set_ref,
    tcp,
    th,
    udp,
)


class Place(NamedTuple):
    """A table and base chain; `needs_lab` where the kernel at hand may lack what Debian's has."""

    family: nft.Family
    base: nft.BaseHook
    needs_lab: bool = False


class Case(NamedTuple):
    """One rule, what it prints as, and what nft lists."""

    text: str
    statements: tuple[nft.Statement, ...]
    listed: str
    place: Place
    json: bool


class _Unplaced(NamedTuple):
    text: str
    statements: tuple[nft.Statement, ...]
    listed: str
    json: bool


def case(text: str, *statements: nft.Statement, listed: str = "", json: bool = True) -> _Unplaced:
    return _Unplaced(text, statements, listed or text, json)


def at(place: Place, *cases: _Unplaced) -> tuple[Case, ...]:
    return tuple(Case(item.text, item.statements, item.listed, place, item.json) for item in cases)


def _place(
    family: nft.Family,
    hook: nft.Hook,
    priority: int = 0,
    kind: nft.ChainType = nft.ChainType.FILTER,
    *,
    device: str = "",
    needs_lab: bool = False,
) -> Place:
    devices = (device,) if device else ()
    return Place(family, nft.BaseHook(type=kind, hook=hook, priority=priority, devices=devices), needs_lab)


INPUT = _place(nft.Family.INET, nft.Hook.INPUT)
PREROUTING = _place(nft.Family.INET, nft.Hook.PREROUTING, -300)
OUTPUT = _place(nft.Family.INET, nft.Hook.OUTPUT)
FORWARD = _place(nft.Family.INET, nft.Hook.FORWARD)
SOURCE_NAT = _place(nft.Family.INET, nft.Hook.POSTROUTING, 100, nft.ChainType.NAT)
DESTINATION_NAT = _place(nft.Family.INET, nft.Hook.PREROUTING, -100, nft.ChainType.NAT)
OUTPUT_NAT = _place(nft.Family.INET, nft.Hook.OUTPUT, -100, nft.ChainType.NAT)
IP_PREROUTING = _place(nft.Family.IP, nft.Hook.PREROUTING, -150)
IP6_PREROUTING = _place(nft.Family.IP6, nft.Hook.PREROUTING, -150)
IP_ROUTE = _place(nft.Family.IP, nft.Hook.OUTPUT, -150, nft.ChainType.ROUTE)
ARP_INPUT = _place(nft.Family.ARP, nft.Hook.INPUT)
INGRESS = _place(nft.Family.NETDEV, nft.Hook.INGRESS, device="lo")
BRIDGE = _place(nft.Family.BRIDGE, nft.Hook.PREROUTING, -300, needs_lab=True)
QUEUE = _place(nft.Family.INET, nft.Hook.FORWARD, 5, needs_lab=True)

LOCAL = nft.Symbol("local")
ONE = address("192.0.2.1")
TWO = address("192.0.2.2")
ONE_TO_NINE = nft.Range(ONE, address("192.0.2.9"))
SIX = address("2001:db8::1")
SIX_TO_NINE = nft.Range(SIX, address("2001:db8::9"))
NET = prefix("198.51.100.0/24")
ETH0 = nft.InterfaceName("eth0")
MAC = nft.MacAddress(0x001122334455)
SYN = nft.Symbol("syn")


def interval(low: int, high: int) -> nft.Range:
    return nft.Range(number(low), number(high))


def marks(low: int, high: int) -> nft.Range:
    return nft.Range(mark(low), mark(high))


def is_in(left: nft.Expression, *elements: nft.Expression) -> nft.Match:
    return match(left, one_of(*elements))


def shift(left: nft.Expression, operator: nft.BinaryOperator, bits: int) -> nft.Binary:
    return nft.Binary(operator, left, number(bits))


MATCHES = at(
    INPUT,
    # ports and protocols
    case("tcp dport 22", match(tcp("dport"), number(22))),
    case("tcp dport != 22", match_not(tcp("dport"), number(22))),
    case("tcp dport 1024-65535", match(tcp("dport"), interval(1024, 65535))),
    case("tcp dport 5", match(tcp("dport"), interval(5, 5))),
    case("tcp dport != { 22, 80-90 }", match_not(tcp("dport"), one_of(number(22), interval(80, 90)))),
    case("tcp dport < 1024", nft.Match(tcp("dport"), number(1024), nft.Operator.LESS)),
    case("tcp dport >= 1024", nft.Match(tcp("dport"), number(1024), nft.Operator.GREATER_OR_EQUAL)),
    case("tcp dport <= 9", nft.Match(tcp("dport"), number(9), nft.Operator.LESS_OR_EQUAL)),
    case("tcp dport > 9", nft.Match(tcp("dport"), number(9), nft.Operator.GREATER)),
    case("udp dport 53 udp length 100", match(udp("dport"), number(53)), match(udp("length"), number(100))),
    case("meta l4proto 6", match(meta("l4proto"), number(6)), listed="meta l4proto tcp"),
    case("meta l4proto 253", match(meta("l4proto"), number(253))),
    case("meta l4proto != { 6, 17 }", match_not(meta("l4proto"), one_of(number(6), number(17))),
         listed="meta l4proto != { tcp, udp }"),
    case("meta l4proto 6 th dport 22", match(meta("l4proto"), number(6)), match(th("dport"), number(22)),
         listed="tcp dport 22"),
    case("meta l4proto { tcp, udp } th dport 53", is_in(meta("l4proto"), *b.symbols("tcp", "udp")),
         match(th("dport"), number(53))),
    case("th dport 22", match(th("dport"), number(22))),
    case("sctp dport 22", match(nft.Payload("sctp", "dport"), number(22))),
    case("udplite dport 22", match(nft.Payload("udplite", "dport"), number(22))),
    case("dccp type { request, response }", is_in(nft.Payload("dccp", "type"), *b.symbols("request", "response"))),
    case("sctp chunk init exists", b.exists(nft.SctpChunk("init"))),
    case("sctp chunk data flags 1", match(nft.SctpChunk("data", "flags"), number(1))),
    case("tcp option maxseg size 1-1400", match(nft.TcpOption("maxseg", "size"), interval(1, 1400))),
    case("tcp option sack-perm exists", b.exists(nft.TcpOption("sack-perm"))),
    case("tcp option 254 missing", b.missing(nft.TcpOption(254))),
    case("tcp option @255,8,16 5", match(nft.RawTcpOption(255, 8, 16), number(5))),
    case("ah spi 1-10", match(nft.Payload("ah", "spi"), interval(1, 10))),
    case("esp spi 100", match(nft.Payload("esp", "spi"), number(100))),
    # flags: any of, exactly, masked
    case("tcp flags syn", match(tcp("flags"), SYN)),
    case("tcp flags == syn", match_exactly(tcp("flags"), SYN)),
    case("tcp flags != syn", match_not(tcp("flags"), SYN)),
    case("tcp flags fin,syn", match(tcp("flags"), any_flag("fin", "syn"))),
    case("tcp flags & (fin | syn | rst | ack) == syn",
         match_exactly(bit_and(tcp("flags"), flags_or("fin", "syn", "rst", "ack")), SYN),
         listed="tcp flags syn / fin,syn,rst,ack"),
    case("tcp flags & (syn | ack) != syn | ack",
         match_not(bit_and(tcp("flags"), flags_or("syn", "ack")), flags_or("syn", "ack")),
         listed="tcp flags != syn,ack / syn,ack"),
    case("tcp flags & syn == 0", match_exactly(bit_and(tcp("flags"), SYN), number(0)), listed="tcp flags ! syn"),
    case("tcp flags & (fin | syn) == 0", match_exactly(bit_and(tcp("flags"), flags_or("fin", "syn")), flags_or()),
         listed="tcp flags ! fin,syn"),
    case("tcp flags & 0x3f == 0x02", match_exactly(bit_and(tcp("flags"), nft.Number(0x3F, 2)), nft.Number(2, 2)),
         listed="tcp flags syn / fin,syn,rst,psh,ack,urg"),
    case("tcp flags { syn | ack, syn }", is_in(tcp("flags"), flags_or("syn", "ack"), SYN)),
    # addresses
    case("ip saddr 192.0.2.1", match(ip("saddr"), ONE)),
    case("ip saddr != 198.51.100.0/24", match_not(ip("saddr"), NET)),
    case("ip saddr 192.0.2.1-192.0.2.9", match(ip("saddr"), ONE_TO_NINE)),
    case("ip saddr 192.0.2.1", match(ip("saddr"), prefix("192.0.2.1/32"))),
    case("ip saddr 0.0.0.0/0", match(ip("saddr"), prefix("0.0.0.0/0"))),
    case("ip saddr { 192.0.2.1, 198.51.100.0/24 }", is_in(ip("saddr"), ONE, NET)),
    case("ip saddr & 255.0.255.0 == 192.0.2.0",
         match(bit_and(ip("saddr"), address("255.0.255.0")), address("192.0.2.0"))),
    case("ip saddr & 255.255.0.0 == 10.1.0.0",
         match(bit_and(ip("saddr"), address("255.255.0.0")), address("10.1.0.0")), listed="ip saddr 10.1.0.0/16"),
    case("ip6 saddr 2001:db8::1", match(ip6("saddr"), SIX)),
    case("ip6 daddr ::ffff:192.0.2.1", match(ip6("daddr"), address("::ffff:192.0.2.1"))),
    case("ip6 saddr { 2001:db8::1-2001:db8::9, 2001:db8:1::/48 }",
         is_in(ip6("saddr"), SIX_TO_NINE, prefix("2001:db8:1::/48"))),
    case("ip6 saddr & ffff::ffff == 2001::1",
         match(bit_and(ip6("saddr"), address("ffff::ffff")), address("2001::1"))),
    case("ether saddr 00:11:22:33:44:55", match(nft.Payload("ether", "saddr"), MAC)),
    case("ether saddr & ff:ff:ff:00:00:00 == 00:11:22:00:00:00",
         match(bit_and(nft.Payload("ether", "saddr"), nft.MacAddress(0xFFFFFF000000)), nft.MacAddress(0x001122000000))),
    case("vlan id 5", match(nft.Payload("vlan", "id"), number(5))),
    # the rest of the headers
    case("ip length 1-100", match(ip("length"), interval(1, 100))),
    case("ip ttl > 5", nft.Match(ip("ttl"), number(5), nft.Operator.GREATER)),
    case("ip dscp { 0x00, 0x20 }", is_in(ip("dscp"), nft.Number(0, 2), nft.Number(0x20, 2)),
         listed="ip dscp { cs0, cs4 }"),
    case("ip ecn 1", match(ip("ecn"), number(1)), listed="ip ecn ect1"),
    case("ip frag-off & 0x1fff != 0", match_not(bit_and(ip("frag-off"), nft.Number(0x1FFF, 4)), number(0)),
         listed="ip frag-off & 8191 != 0"),
    case("ip option ra exists", b.exists(nft.IpOption("ra"))),
    case("ip option lsrr ptr 4", match(nft.IpOption("lsrr", "ptr"), number(4))),
    case("exthdr frag exists", b.exists(nft.ExtensionHeader("frag"))),
    case("exthdr hbh missing", b.missing(nft.ExtensionHeader("hbh"))),
    case("frag more-fragments 1", match(nft.ExtensionHeader("frag", "more-fragments"), number(1))),
    case("rt type 0", match(nft.ExtensionHeader("rt", "type"), number(0))),
    case("mh type 5", match(nft.ExtensionHeader("mh", "type"), number(5)), listed="mh type binding-update"),
    case("icmp type 8", match(nft.Payload("icmp", "type"), number(8)), listed="icmp type echo-request"),
    case("icmp type 3 icmp code 1", match(nft.Payload("icmp", "type"), number(3)),
         match(nft.Payload("icmp", "code"), number(1)),
         listed="icmp type destination-unreachable icmp code host-unreachable"),
    case("icmpv6 type 135", match(nft.Payload("icmpv6", "type"), number(135)),
         listed="icmpv6 type nd-neighbor-solicit"),
    case("icmp type . icmp code { 3 . 1 }",
         is_in(concat(nft.Payload("icmp", "type"), nft.Payload("icmp", "code")), concat(number(3), number(1))),
         listed="icmp type . icmp code { destination-unreachable . host-unreachable }"),
    case("@nh,72,8 0x06", match(nft.RawPayload("nh", 72, 8), nft.Number(6, 2)), listed="@nh,72,8 0x6"),
    case("@th,160,32 >> 4 & 0xff == 0x05",
         match(bit_and(shift(nft.RawPayload("th", 160, 32), nft.BinaryOperator.RIGHT_SHIFT, 4), nft.Number(0xFF, 2)),
               nft.Number(5, 2)),
         listed="@th,160,32 >> 4 & 0xff == 0x5"),
    # interfaces and marks
    case('iifname "eth0"', match(meta("iifname"), ETH0)),
    case('iifname != "eth*"', match_not(meta("iifname"), nft.InterfaceName("eth", is_prefix=True))),
    case(r'iifname "eth\*"', match(meta("iifname"), nft.InterfaceName("eth*"))),
    case('oifname { "eth0", "vm*" }',
         is_in(meta("oifname"), ETH0, nft.InterfaceName("vm", is_prefix=True))),
    case('iifname "123456789012345"', match(meta("iifname"), nft.InterfaceName("123456789012345", is_prefix=True))),
    case('iif "lo"', match(meta("iif"), nft.InterfaceName("lo"))),
    case("iifgroup 3", match(meta("iifgroup"), number(3))),
    case("meta mark 0x00000010", match(meta("mark"), mark(16))),
    case("meta mark & 0x000000ff == 0x00000010", match(bit_and(meta("mark"), mark(255)), mark(16))),
    case("meta mark & 0x000000ff != 0x00000010", match_not(bit_and(meta("mark"), mark(255)), mark(16))),
    case("meta mark 0x00000001-0x00000005", match(meta("mark"), marks(1, 5))),
    case("meta mark & 0x000000ff { 0x00000001, 0x00000005-0x00000007 }",
         is_in(bit_and(meta("mark"), mark(255)), mark(1), marks(5, 7))),
    case("meta pkttype broadcast", match(meta("pkttype"), nft.Symbol("broadcast"))),
    case("meta protocol 0x88cc", match(meta("protocol"), nft.Number(0x88CC, 4))),
    case("meta nfproto ipv4", match(meta("nfproto"), nft.Symbol("ipv4"))),
    case("meta length 1-100", match(meta("length"), interval(1, 100))),
    case("meta cpu 1", match(meta("cpu"), number(1))),
    case("meta priority 0x00010002", match(meta("priority"), nft.Number(0x10002, 8)), listed="meta priority 1:2"),
    case("meta random & 0x7fffffff < 100",
         nft.Match(bit_and(meta("random"), nft.Number(0x7FFFFFFF, 8)), number(100), nft.Operator.LESS),
         listed="meta random & 2147483647 < 100"),
    case("meta ipsec exists", b.exists(meta("ipsec"))),
    # times are numbers: quoted ones are read in the time zone of whoever loads them
    case("meta hour 3600-7200", match(meta("hour"), interval(3600, 7200)), listed='meta hour "01:00"-"02:00"'),
    case("meta day { 0, 6 }", is_in(meta("day"), number(0), number(6)), listed='meta day { "Sunday", "Saturday" }'),
    case("meta time 1700000000-1800000000", match(meta("time"), interval(1700000000, 1800000000)),
         listed='meta time "2023-11-14 22:13:20"-"2027-01-15 08:00:00"'),
    # connection tracking
    case("ct state established,related", match(ct("state"), any_flag("established", "related"))),
    case("ct state { established, related }", is_in(ct("state"), *b.symbols("established", "related"))),
    case("ct state & (established | related) == 0",
         match_exactly(bit_and(ct("state"), flags_or("established", "related")), number(0)),
         listed="ct state ! established,related"),
    case("ct state invalid", match(ct("state"), nft.Symbol("invalid"))),
    case("ct status snat,dnat", match(ct("status"), any_flag("snat", "dnat"))),
    case("ct status & dnat == 0", match_exactly(bit_and(ct("status"), nft.Symbol("dnat")), number(0)),
         listed="ct status ! dnat"),
    case("ct mark & 0x000000f0 == 0x00000010", match(bit_and(ct("mark"), mark(0xF0)), mark(16))),
    case("ct direction original", match(ct("direction"), nft.Symbol("original"))),
    case("ct expiration 10-20", match(ct("expiration"), interval(10, 20)), listed="ct expiration 10s-20s"),
    case('ct helper "ftp"', match(ct("helper"), nft.QuotedString("ftp"))),
    case("ct zone 1", match(ct("zone"), number(1))),
    case("ct label 5", match(ct("label"), number(5))),
    case("ct original ip saddr 192.0.2.1", match(nft.Conntrack("saddr", nft.Direction.ORIGINAL, "ip"), ONE)),
    case("ct reply ip6 daddr { 2001:db8::1 }",
         is_in(nft.Conntrack("daddr", nft.Direction.REPLY, "ip6"), SIX), listed="ct reply ip6 daddr 2001:db8::1"),
    case("meta l4proto tcp ct original proto-src 80-90", match(meta("l4proto"), nft.Symbol("tcp")),
         match(ct("proto-src", nft.Direction.ORIGINAL), interval(80, 90))),
    case("ct original bytes > 100000",
         nft.Match(ct("bytes", nft.Direction.ORIGINAL), number(100000), nft.Operator.GREATER)),
    case("ct avgpkt 0-200", match(ct("avgpkt"), interval(0, 200))),
    # routing, sockets and what else the kernel knows
    case("fib daddr type local", match(nft.Fib(("daddr",), "type"), LOCAL)),
    case("fib daddr . iif type != { local, broadcast }",
         match_not(nft.Fib(("daddr", "iif"), "type"), one_of(*b.symbols("local", "broadcast")))),
    case("fib saddr . iif oif missing", b.missing(nft.Fib(("saddr", "iif"), "oif"))),
    case("fib saddr . mark . iif oif exists", b.exists(nft.Fib(("saddr", "mark", "iif"), "oif"))),
    case('fib saddr oifname "lo"', match(nft.Fib(("saddr",), "oifname"), nft.InterfaceName("lo"))),
    case("socket transparent 1", match(nft.Socket("transparent"), number(1))),
    case("socket wildcard 0", match(nft.Socket("wildcard"), number(0))),
    case("socket mark 0x00000001", match(nft.Socket("mark"), mark(1))),
    case("ipsec in spnum 0 reqid 5", match(nft.Ipsec("in", "reqid"), number(5)), listed="ipsec in reqid 5"),
    case("ipsec in spnum 1 ip saddr 192.0.2.1", match(nft.Ipsec("in", "saddr", "ip", 1), ONE)),
    case("rt classid 5", match(nft.Route("classid"), number(5))),
    case('osf name "Linux"', match(nft.Osf(), nft.QuotedString("Linux"))),
    case('osf ttl loose name "Linux"', match(nft.Osf("name", "loose"), nft.QuotedString("Linux"))),
    # computed
    case("numgen inc mod 4 offset 5 6", match(nft.NumberGenerator("inc", 4, 5), number(6))),
    case("numgen random mod 2147483648 < 1073741824",
         nft.Match(nft.NumberGenerator("random", 1 << 31), number(1 << 30), nft.Operator.LESS)),
    case("jhash ip saddr . tcp dport mod 16 seed 0xdeadbeef offset 5 6",
         match(nft.JenkinsHash(concat(ip("saddr"), tcp("dport")), 16, 0xDEADBEEF, 5), number(6))),
    case("symhash mod 4 offset 1 2", match(nft.SymmetricHash(4, 1), number(2))),
    # keys of several fields, sets, maps
    case("ip saddr . tcp dport { 192.0.2.1 . 22, 198.51.100.0/24 . 80-90 }",
         is_in(concat(ip("saddr"), tcp("dport")), concat(ONE, number(22)), concat(NET, interval(80, 90)))),
    case("ip saddr & 255.255.0.0 . meta mark & 0x000000ff { 10.1.0.0 . 0x00000005 }",
         is_in(concat(bit_and(ip("saddr"), address("255.255.0.0")), bit_and(meta("mark"), mark(255))),
               concat(address("10.1.0.0"), mark(5)))),
    case('iifname . ip saddr { "eth*" . 198.51.100.0/24 }',
         is_in(concat(meta("iifname"), ip("saddr")), concat(nft.InterfaceName("eth", is_prefix=True), NET))),
    case("ip saddr @addresses", match(ip("saddr"), set_ref("addresses"))),
    case("ip saddr != @addresses", match_not(ip("saddr"), set_ref("addresses"))),
    case("meta l4proto . th dport @services", match(concat(meta("l4proto"), th("dport")), set_ref("services"))),
)  # fmt: skip

ACTIONS = at(
    INPUT,
    case("accept", b.accept()),
    case("drop", b.drop()),
    case("continue", b.continue_()),
    case("return", b.return_()),
    case("jump other", b.jump("other")),
    case("goto other", b.goto("other")),
    case("ct state vmap { invalid : drop, established : accept, related : jump other }",
         nft.VerdictMap(ct("state"), nft.AnonymousMap((
             (nft.Symbol("invalid"), b.drop()), (nft.Symbol("established"), b.accept()),
             (nft.Symbol("related"), b.jump("other")))))),
    case("ip daddr vmap { 192.0.2.1-192.0.2.9 : goto other, * : continue }",
         nft.VerdictMap(ip("daddr"), nft.AnonymousMap(((ONE_TO_NINE, b.goto("other")),
                                                       (nft.AnyElement(), b.continue_()))))),
    case("iifname vmap @ports", nft.VerdictMap(meta("iifname"), set_ref("ports"))),
    case("counter", b.counter(), listed="counter packets 0 bytes 0"),
    case("counter packets 3 bytes 180", b.counter(3, 180)),
    case('counter name "web"', nft.ObjectStatement(nft.ObjectKind.COUNTER, "web")),
    case('quota name "volume"', nft.ObjectStatement(nft.ObjectKind.QUOTA, "volume")),
    case('limit name "bucket"', nft.ObjectStatement(nft.ObjectKind.LIMIT, "bucket")),
    case("limit name iifname map @buckets",
         nft.ObjectStatement(nft.ObjectKind.LIMIT, lookup(meta("iifname"), set_ref("buckets")))),
    case('ct helper set "ftp-standard"', nft.ObjectStatement(nft.ObjectKind.CT_HELPER, "ftp-standard")),
    case('ct timeout set "short"', nft.ObjectStatement(nft.ObjectKind.CT_TIMEOUT, "short"), json=False),
    case('ct expectation set "later"', nft.ObjectStatement(nft.ObjectKind.CT_EXPECTATION, "later"), json=False),
    case('tcp dport 80 synproxy name "shield"', match(tcp("dport"), number(80)),
         nft.ObjectStatement(nft.ObjectKind.SYNPROXY, "shield"), json=False),
    case("tcp dport 80 synproxy mss 1460 wscale 7 timestamp sack-perm", match(tcp("dport"), number(80)),
         nft.Synproxy(1460, 7, timestamp=True, sack_permitted=True)),
    case("tcp dport 80 synproxy", match(tcp("dport"), number(80)), nft.Synproxy()),
    case("limit rate 10/second burst 5 packets", nft.Limit(nft.Rate(10, nft.Period.SECOND)),
         listed="limit rate 10/second"),
    case("limit rate over 10/minute burst 7 packets", nft.Limit(nft.Rate(10, nft.Period.MINUTE, 7, over=True))),
    case("limit rate 1/week burst 1 packets", nft.Limit(nft.Rate(1, nft.Period.WEEK, 1))),
    case("limit rate 1 mbytes/second", nft.Limit(nft.Rate(1 << 20, nft.Period.SECOND, in_bytes=True))),
    case("limit rate over 1000 bytes/hour burst 64 kbytes",
         nft.Limit(nft.Rate(1000, nft.Period.HOUR, 1 << 16, over=True, in_bytes=True))),
    case("quota 25 mbytes", nft.Quota(25 << 20)),
    case("quota over 2 kbytes used 1025 bytes", nft.Quota(2048, over=True, used=1025)),
    case("ct count 20", nft.ConnectionCount(20)),
    case("ct count over 20", nft.ConnectionCount(20, over=True)),
    case("log", nft.Log()),
    case('log prefix "in: "', nft.Log("in: ")),
    case("log level debug", nft.Log(level="debug")),
    case("log level warn", nft.Log(level="warn"), listed="log"),
    case("log flags tcp sequence flags tcp options flags ip options flags skuid",
         nft.Log(flags=("tcp sequence", "tcp options", "ip options", "skuid")),
         listed="log flags tcp sequence,options flags ip options flags skuid"),
    case('log prefix "x" level info flags all', nft.Log("x", "info", ("all",))),
    case('log prefix "x" group 2 snaplen 80 queue-threshold 10',
         nft.Log("x", group=2, snap_length=80, queue_threshold=10)),
    case("log group 0", nft.Log(group=0)),
    case("reject", nft.Reject()),
    case("meta l4proto 6 reject with tcp reset", match(meta("l4proto"), number(6)),
         nft.Reject(nft.RejectKind.TCP_RESET), listed="meta l4proto tcp reject with tcp reset"),
    case("reject with icmp host-unreachable", nft.Reject(nft.RejectKind.ICMP, "host-unreachable")),
    case("reject with icmpv6 no-route", nft.Reject(nft.RejectKind.ICMPV6, "no-route")),
    case("reject with icmpx admin-prohibited", nft.Reject(nft.RejectKind.ICMPX, "admin-prohibited")),
    case("meta mark set 0x00000010", assign(meta("mark"), mark(16))),
    case("meta mark set meta mark & 0xffffff00 ^ 0x00000010",
         assign(meta("mark"), bit_xor(bit_and(meta("mark"), mark(0xFFFFFF00)), mark(16))),
         listed="meta mark set meta mark & 0xffffff10 | 0x00000010"),
    case("meta mark set (meta mark | 0x00000010) & 0x000000ff",
         assign(meta("mark"), bit_and(bit_or(meta("mark"), mark(16)), mark(255))),
         listed="meta mark set meta mark & 0x000000ff | 0x00000010"),
    case("meta mark set ct mark", assign(meta("mark"), ct("mark"))),
    case("meta mark set ct mark << 8",
         assign(meta("mark"), shift(ct("mark"), nft.BinaryOperator.LEFT_SHIFT, 8))),
    case("ct mark set meta mark & 0x000000ff", assign(ct("mark"), bit_and(meta("mark"), mark(255)))),
    case("ct mark set iifname map @vmid", assign(ct("mark"), lookup(meta("iifname"), set_ref("vmid")))),
    case('meta mark set iifname map { "eth0" : 0x00000001, "eth1" : 0x00000002 }',
         assign(meta("mark"), lookup(meta("iifname"), nft.AnonymousMap((
             (ETH0, mark(1)), (nft.InterfaceName("eth1"), mark(2))))))),
    case("meta priority set 0x00010002", assign(meta("priority"), nft.Number(0x10002, 8)),
         listed="meta priority set 1:2"),
    case("meta nftrace set 1", assign(meta("nftrace"), number(1))),
    case("ip dscp set 0x20", assign(ip("dscp"), nft.Number(0x20, 2)), listed="ip dscp set cs4"),
    case("ip ttl set 64", assign(ip("ttl"), number(64))),
    case("ip6 hoplimit set 64", assign(ip6("hoplimit"), number(64))),
    case("tcp option maxseg size set 1400", assign(nft.TcpOption("maxseg", "size"), number(1400))),
    case("@nh,64,8 set 0x40", assign(nft.RawPayload("nh", 64, 8), nft.Number(0x40, 2))),
    case("reset tcp option sack-perm", nft.ResetTcpOption("sack-perm")),
    case("reset tcp option 99", nft.ResetTcpOption(99)),
    case("update @seen { ip saddr timeout 1m limit rate 3/minute burst 5 packets }",
         nft.SetUpdate(nft.UpdateKind.UPDATE, "seen", ip("saddr"), 60_000,
                       (nft.Limit(nft.Rate(3, nft.Period.MINUTE)),)),
         listed="update @seen { ip saddr timeout 1m limit rate 3/minute }"),
    case("add @seen { ip saddr }", nft.SetUpdate(nft.UpdateKind.ADD, "seen", ip("saddr"))),
    case("delete @seen { ip saddr }", nft.SetUpdate(nft.UpdateKind.DELETE, "seen", ip("saddr"))),
    case("add @counted { ip saddr ct count over 10 } drop",
         nft.SetUpdate(nft.UpdateKind.ADD, "counted", ip("saddr"), statements=(nft.ConnectionCount(10, over=True),)),
         b.drop()),
    case("update @clients { ip saddr timeout 10s : meta mark }",
         nft.MapUpdate(nft.UpdateKind.UPDATE, "clients", ip("saddr"), meta("mark"), 10_000), json=False),
)  # fmt: skip

EARLY = at(
    PREROUTING,
    case("notrack", nft.Notrack()),
    case("ct zone set 5", assign(ct("zone"), number(5))),
    case("ct original zone set 5", assign(ct("zone", nft.Direction.ORIGINAL), number(5))),
    case("ct event set new,destroy", assign(ct("event"), any_flag("new", "destroy"))),
    case("meta l4proto tcp tproxy ip to 127.0.0.1:3129", match(meta("l4proto"), nft.Symbol("tcp")),
         nft.Tproxy(address("127.0.0.1"), number(3129), "ip")),
    case("meta l4proto tcp tproxy ip6 to [::1]:3129", match(meta("l4proto"), nft.Symbol("tcp")),
         nft.Tproxy(address("::1"), number(3129), "ip6")),
    case("meta l4proto tcp tproxy to :3129", match(meta("l4proto"), nft.Symbol("tcp")),
         nft.Tproxy(port=number(3129))),
    case("meta l4proto tcp tproxy ip to 127.0.0.1", match(meta("l4proto"), nft.Symbol("tcp")),
         nft.Tproxy(address("127.0.0.1"), family="ip")),
)  # fmt: skip

LATE = (
    *at(
        FORWARD,
        case("tcp option maxseg size set rt mtu", assign(nft.TcpOption("maxseg", "size"), nft.Route("mtu"))),
        case("rt ip nexthop 192.0.2.1", match(nft.Route("nexthop", "ip"), ONE)),
    ),
    *at(
        OUTPUT,
        case("ipsec out spnum 0 spi 10", match(nft.Ipsec("out", "spi"), number(10)), listed="ipsec out spi 10"),
        case("meta skuid 1000-2000", match(meta("skuid"), interval(1000, 2000))),
        case("meta cgroup 1", match(meta("cgroup"), number(1))),
    ),
    *at(IP_ROUTE, case("meta mark set 0x00000001", assign(meta("mark"), mark(1)))),
)

TCP_AND_UDP = match(meta("l4proto"), one_of(*b.symbols("tcp", "udp")))
_WEB = match(tcp("dport"), number(80))

NAT = (
    *at(
        SOURCE_NAT,
        case("snat ip to 192.0.2.1", nft.Nat(nft.NatKind.SNAT, ONE, family="ip")),
        case("meta l4proto { tcp, udp } snat ip to 192.0.2.1-192.0.2.9:1024-2048 random,persistent", TCP_AND_UDP,
             nft.Nat(nft.NatKind.SNAT, ONE_TO_NINE, interval(1024, 2048), "ip",
                     (nft.NatFlag.RANDOM, nft.NatFlag.PERSISTENT))),
        case("snat ip to 192.0.2.1 fully-random",
             nft.Nat(nft.NatKind.SNAT, ONE, family="ip", flags=(nft.NatFlag.FULLY_RANDOM,))),
        case("snat ip6 to 2001:db8::1-2001:db8::9", nft.Nat(nft.NatKind.SNAT, SIX_TO_NINE, family="ip6")),
        case("meta l4proto { tcp, udp } snat ip6 to [2001:db8::1]-[2001:db8::9]:80", TCP_AND_UDP,
             nft.Nat(nft.NatKind.SNAT, SIX_TO_NINE, number(80), "ip6")),
        case("meta l4proto { tcp, udp } snat ip6 to [2001:db8::1]:80", TCP_AND_UDP,
             nft.Nat(nft.NatKind.SNAT, nft.Range(SIX, SIX), number(80), "ip6")),
        case("snat ip prefix to 198.51.100.0/24", nft.Nat(nft.NatKind.SNAT, NET, family="ip", is_prefix=True)),
        case("snat ip prefix to ip saddr map { 10.0.0.0/24 : 198.51.100.0/24 }",
             nft.Nat(nft.NatKind.SNAT, lookup(ip("saddr"), nft.AnonymousMap(((prefix("10.0.0.0/24"), NET),))),
                     family="ip", is_prefix=True)),
        case("snat ip to ip saddr map { 192.0.2.1 : 192.0.2.2 }",
             nft.Nat(nft.NatKind.SNAT, lookup(ip("saddr"), nft.AnonymousMap(((ONE, TWO),))), family="ip")),
        case("masquerade", nft.Nat(nft.NatKind.MASQUERADE)),
        case("meta l4proto { tcp, udp } masquerade to :1024-65535 random", TCP_AND_UDP,
             nft.Nat(nft.NatKind.MASQUERADE, port=interval(1024, 65535), flags=(nft.NatFlag.RANDOM,))),
    ),
    *at(
        DESTINATION_NAT,
        case("dnat ip to 192.0.2.1", nft.Nat(nft.NatKind.DNAT, ONE, family="ip")),
        case("tcp dport 80 dnat ip to 192.0.2.1:8080", _WEB, nft.Nat(nft.NatKind.DNAT, ONE, number(8080), "ip")),
        case("tcp dport 80 dnat ip6 to [2001:db8::1]:8080", _WEB,
             nft.Nat(nft.NatKind.DNAT, SIX, number(8080), "ip6")),
        case("tcp dport 80 dnat to :8080", _WEB, nft.Nat(nft.NatKind.DNAT, port=number(8080))),
        case("dnat ip prefix to 198.51.100.0/24", nft.Nat(nft.NatKind.DNAT, NET, family="ip", is_prefix=True)),
        case("dnat ip6 prefix to ip6 daddr map { 2001:db8::/64 : 2001:db8:1::/64 }",
             nft.Nat(nft.NatKind.DNAT,
                     lookup(ip6("daddr"), nft.AnonymousMap(((prefix("2001:db8::/64"), prefix("2001:db8:1::/64")),))),
                     family="ip6", is_prefix=True)),
        case("dnat ip prefix to ip daddr map @netmap",
             nft.Nat(nft.NatKind.DNAT, lookup(ip("daddr"), set_ref("netmap")), family="ip", is_prefix=True),
             json=False),
        case("meta l4proto tcp dnat ip to tcp dport map @servers", match(meta("l4proto"), nft.Symbol("tcp")),
             nft.Nat(nft.NatKind.DNAT, lookup(tcp("dport"), set_ref("servers")), family="ip"), json=False,
             listed="dnat ip to tcp dport map @servers"),
        case("tcp dport 80 dnat ip to numgen random mod 2 map { 0 : 192.0.2.1, 1 : 192.0.2.2 }", _WEB,
             nft.Nat(nft.NatKind.DNAT,
                     lookup(nft.NumberGenerator("random", 2), nft.AnonymousMap(((number(0), ONE), (number(1), TWO)))),
                     family="ip")),
        case("redirect", nft.Nat(nft.NatKind.REDIRECT)),
        case("meta l4proto { tcp, udp } redirect to :3128-3130", TCP_AND_UDP,
             nft.Nat(nft.NatKind.REDIRECT, port=interval(3128, 3130))),
    ),
    *at(OUTPUT_NAT, case("redirect", nft.Nat(nft.NatKind.REDIRECT))),
)  # fmt: skip

OTHER_FAMILIES = (
    *at(
        IP_PREROUTING,
        case("dup to 192.0.2.1", nft.Duplicate(ONE)),
        case('dup to 192.0.2.1 device "lo"', nft.Duplicate(ONE, nft.InterfaceName("lo"))),
        case("ip protocol 51", match(ip("protocol"), number(51)), listed="ip protocol ah"),
    ),
    *at(
        IP6_PREROUTING,
        case('dup to 2001:db8::1 device "lo"', nft.Duplicate(SIX, nft.InterfaceName("lo"))),
        case("ip6 nexthdr 6", match(ip6("nexthdr"), number(6)), listed="ip6 nexthdr tcp"),
    ),
    *at(
        ARP_INPUT,
        case("arp operation reply", match(nft.Payload("arp", "operation"), nft.Symbol("reply"))),
        case("arp saddr ip 192.0.2.1", match(nft.Payload("arp", "saddr ip"), ONE)),
        case("arp daddr ether 00:11:22:33:44:55 drop", match(nft.Payload("arp", "daddr ether"), MAC), b.drop()),
    ),
    *at(
        INGRESS,
        case("ip saddr 192.0.2.1 drop", match(ip("saddr"), ONE), b.drop()),
        case('fwd to "lo"', nft.Forward(nft.InterfaceName("lo"))),
        case('fwd ip to 192.0.2.1 device "lo"', nft.Forward(nft.InterfaceName("lo"), ONE, "ip")),
        case('dup to "lo"', nft.Duplicate(device=nft.InterfaceName("lo"))),
    ),
)

_THREE = nft.NumberGenerator("inc", 3)

LAB = (
    *at(
        QUEUE,
        case("queue to 0", nft.Queue(number(0))),
        case("queue flags bypass,fanout to 1-3", nft.Queue(interval(1, 3), bypass=True, fanout=True)),
        case("queue flags bypass to numgen inc mod 3", nft.Queue(_THREE, bypass=True)),
        case('queue to oifname map { "eth0" : 0, "eth2" : 2 }',
             nft.Queue(lookup(meta("oifname"), nft.AnonymousMap(((ETH0, number(0)),
                                                                 (nft.InterfaceName("eth2"), number(2))))))),
    ),
    *at(
        BRIDGE,
        case("ct state established,related accept", match(ct("state"), any_flag("established", "related")),
             b.accept()),
        case('meta ibrname "br0"', match(meta("ibrname"), nft.InterfaceName("br0"))),
        case("ether type 0x0806 arp operation 1", match(nft.Payload("ether", "type"), nft.Number(0x0806, 4)),
             match(nft.Payload("arp", "operation"), number(1)), listed="arp operation request"),
        case("reject with icmpx port-unreachable", nft.Reject(nft.RejectKind.ICMPX, "port-unreachable"),
             listed="reject"),
        case("meta pkttype host ct mark set iifname map @vmid", match(meta("pkttype"), nft.Symbol("host")),
             assign(ct("mark"), lookup(meta("iifname"), set_ref("vmid")))),
        case("limit name iifname map @buckets",
             nft.ObjectStatement(nft.ObjectKind.LIMIT, lookup(meta("iifname"), set_ref("buckets")))),
        case("vlan id 5 ether saddr 00:11:22:33:44:55", match(nft.Payload("vlan", "id"), number(5)),
             match(nft.Payload("ether", "saddr"), MAC), listed="ether saddr 00:11:22:33:44:55 vlan id 5"),
    ),
)  # fmt: skip

CASES: tuple[Case, ...] = (*MATCHES, *ACTIONS, *EARLY, *LATE, *NAT, *OTHER_FAMILIES, *LAB)
