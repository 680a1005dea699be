"""ebtables' match options, one function for each kind of value; what each means is in ebtables(8) and ebt_*.c."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir import fields as f
from fwtrans.ir.bits import BitSet
from fwtrans.ir.effect import Log
from fwtrans.ir.fields import Family, Field
from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.match import AnyOf, FieldTest, PureTest, full_values, negated_if, number_range, opposite_of_all
from fwtrans.ir.stateful import Limit, LimitUnit, StatefulObject, StatefulTest
from fwtrans.lower.bridge_targets import TARGET_OPTIONS
from fwtrans.lower.extensions.matches import icmp, icmp6
from fwtrans.lower.extensions.matches.icmp import Kind, find_kind
from fwtrans.lower.values import (
    address_width,
    bad_value,
    network_set,
    read_address,
    read_decimal,
    read_interface,
    read_mac,
    read_network,
    read_number,
    read_number_range,
    read_port_range,
    read_protocol,
    read_source,
    read_word,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fwtrans.ir.rule import Step
    from fwtrans.parsers.iptables_save.syntax import OptionUse

ETHER_TYPES = {
    "IPV4": 0x0800, "X25": 0x0805, "ARP": 0x0806, "FR_ARP": 0x0808, "BPQ": 0x08FF, "DEC": 0x6000, "DNA_DL": 0x6001,
    "DNA_RC": 0x6002, "DNA_RT": 0x6003, "LAT": 0x6004, "DIAG": 0x6005, "CUST": 0x6006, "SCA": 0x6007, "TEB": 0x6558,
    "RAW_FR": 0x6559, "RARP": 0x8035, "AARP": 0x80F3, "ATALK": 0x809B, "802_1Q": 0x8100, "IPX": 0x8137,
    "NETBEUI": 0x8191, "IPV6": 0x86DD, "PPP": 0x880B, "ATMMPOA": 0x884C, "PPP_DISC": 0x8863, "PPP_SES": 0x8864,
    "ATMFATE": 0x8884, "EAPOL": 0x888E, "S-TAG": 0x88A8, "EAP_PREAUTH": 0x88C7, "LLDP": 0x88CC, "MACSEC": 0x88E5,
    "PBB": 0x88E7, "MVRP": 0x88F5, "PTP": 0x88F7, "FCOE": 0x8906, "FIP": 0x8914, "ROCE": 0x8915, "LOOP": 0x9000,
    "IP": 0x0800, "IP4": 0x0800, "ETHER-ARP": 0x0806, "8021Q": 0x8100, "1Q": 0x8100, "802.1Q": 0x8100, "DOT1Q": 0x8100,
    "IP6": 0x86DD, "MACINMAC": 0x88E7, "TRILL": 0x22F3, "L2-IS-IS": 0x22F4, "MPLS": 0x8847, "MPLS_MULTI": 0x8848,
    "LOWPAN": 0xA0ED,
}  # fmt: skip
_NEEDS: dict[str, tuple[str, frozenset[int]]] = {
    "--arp-": ("-p ARP", frozenset({0x0806, 0x8035})),
    "--ip-": ("-p IPv4", frozenset({0x0800})),
    "--ip6-": ("-p IPv6", frozenset({0x86DD})),
    "--vlan-": ("-p 802_1Q", frozenset({0x8100})),
}
_PORTS = frozenset({6, 17, 33, 132, 136})
_TRANSPORTS: dict[str, tuple[str, frozenset[int]]] = {
    "--ip-sport": ("--ip-proto tcp, udp, udplite, sctp or dccp", _PORTS),
    "--ip-dport": ("--ip-proto tcp, udp, udplite, sctp or dccp", _PORTS),
    "--ip6-sport": ("--ip6-proto tcp, udp, udplite, sctp or dccp", _PORTS),
    "--ip6-dport": ("--ip6-proto tcp, udp, udplite, sctp or dccp", _PORTS),
    "--ip-icmp-type": ("--ip-proto icmp", frozenset({1})),
    "--ip6-icmp-type": ("--ip6-proto ipv6-icmp", frozenset({58})),
}
_ADDRESSES = {
    "UNICAST": (0, 1 << 40), "MULTICAST": (1 << 40, 1 << 40), "BROADCAST": ((1 << 48) - 1, (1 << 48) - 1),
    "BGA": (0x0180C2000000, (1 << 48) - 1),
}  # fmt: skip
_LAST_LENGTH = 0x05FF
_ARP_OPERATIONS = {
    "Request": 1, "Reply": 2, "Request_Reverse": 3, "Reply_Reverse": 4, "DRARP_Request": 5, "DRARP_Reply": 6,
    "DRARP_Error": 7, "InARP_Request": 8, "ARP_NAK": 9,
}  # fmt: skip
_HEX_BYTE = re.compile(r"0[xX][0-9A-Fa-f]{1,8}|[0-7]")
_PACKET_TYPES = {"host": 0, "broadcast": 1, "multicast": 2, "otherhost": 3, "outgoing": 4, "loopback": 5}
_LEVELS = ("emerg", "alert", "crit", "err", "warn", "notice", "info", "debug")
_LEVEL_WORDS = {"emergency": 0, "emerg": 0, "panic": 0, "alert": 1, "critical": 2, "crit": 2, "error": 3, "err": 3, "warning": 4, "warn": 4, "notice": 5, "info": 6, "debug": 7}  # fmt: skip


def lower_bridge_matches(options: tuple[OptionUse, ...], identity: str) -> Iterator[Step]:
    """Yield the steps of all match options, then of the watchers (log, nflog), which come before the target."""
    limit: list[OptionUse] = []
    watchers: list[OptionUse] = []
    for use in options:
        if use.name in {"--limit", "--limit-burst"}:
            limit.append(use)
        elif use.name.startswith(("--log", "--nflog", "--ulog")) and not use.name.startswith("--logical"):
            watchers.append(use)
        elif use.name in _MATCHES:
            yield from _MATCHES[use.name](use)
        elif use.name not in TARGET_OPTIONS:
            raise Refused("FWT200", f"`{use.name}` has no exact nftables form here", option=use.name)
    _require_protocol(options)
    _require_transport(options)
    if limit:
        yield _limit(limit, identity)
    yield from _watchers(watchers)


def _require_protocol(options: tuple[OptionUse, ...]) -> None:
    """Refuse what ebtables refuses: an option of a protocol without its `-p`, or with `! -p`."""
    given = next((use for use in options if use.name == "-p" and not use.negated), None)
    types = {read_ether_type(given.values[0], "-p")} if given and given.values[0].upper() != "LENGTH" else set()
    for use in options:
        for beginning, (words, needed) in _NEEDS.items():
            if use.name.startswith(beginning) and not types & needed:
                raise Refused("FWT116", f"`{use.name}` needs `{words}`", option=use.name)


def _require_transport(options: tuple[OptionUse, ...]) -> None:
    """Refuse what the kernel refuses (ebt_ip.c, ebt_ip6.c): ports and messages of a protocol that the rule does not name."""
    named: dict[str, int] = {}
    for use in options:
        if use.name in {"--ip-proto", "--ip6-proto"} and not use.negated:
            family = Family.IP if use.name == "--ip-proto" else Family.IP6
            named[use.name.removesuffix("proto")] = read_protocol(use.values[0], use.name, family)
    for use in options:
        words, needed = _TRANSPORTS.get(use.name, ("", frozenset[int]()))
        if needed and named.get(use.name[: use.name.index("-", 2) + 1]) not in needed:
            raise Refused("FWT116", f"`{use.name}` needs `{words}`", option=use.name)


def _either(test: FieldTest, use: OptionUse) -> tuple[PureTest, ...]:
    return (negated_if(test, use.negated),)


# --- Ethernet ---


def read_ether_type(text: str, option: str, *, lowest: int = 0x0600) -> int:
    """Return an Ethernet type by name or hexadecimal number, as ebtables takes it; below `lowest` stand lengths."""
    known = ETHER_TYPES.get(text.upper())
    if known is not None:
        return known
    try:
        value = int(text, 16)
    except ValueError:
        raise bad_value(text, "an Ethernet protocol", option) from None
    if not lowest <= value <= 0xFFFF:
        raise bad_value(text, "an Ethernet protocol from 0x600 to 0xffff", option)
    return value


def _protocol(use: OptionUse) -> tuple[PureTest, ...]:
    text = use.values[0]
    if text.upper() == "LENGTH":
        return _either(number_range(f.ETHER_TYPE, 0, _LAST_LENGTH), use)
    value = read_ether_type(text, "-p")
    return _either(FieldTest(f.ETHER_TYPE, IntervalSet.single(16, value)), use)


def read_masked_mac(text: str, option: str) -> tuple[int, int]:
    """Return (address, mask) of a MAC address, a masked one, or one of ebtables' words."""
    known = _ADDRESSES.get(text.upper())
    if known is not None:
        return known
    address, found, mask = text.partition("/")
    ones = (1 << 48) - 1
    value = read_mac(address, option)
    return (value & read_mac(mask, option), read_mac(mask, option)) if found else (value, ones)


_MAC_PLACES = {
    f.ETHER_DADDR: ("ll", 0),
    f.ETHER_SADDR: ("ll", 48),
    f.ARP_SADDR_ETHER: ("nh", 64),
    f.ARP_DADDR_ETHER: ("nh", 144),
}
"""Where hardware addresses stand in a frame's header, and in ARP for Ethernet and IPv4, in bits."""


def mac_tests(field: Field, use: OptionUse) -> tuple[PureTest, ...]:
    """Return the tests of an address, negated where that is asked; a mask with holes is asked of the raw bits of the header."""
    address, mask = read_masked_mac(use.values[0], use.name)
    host = ((1 << 48) - 1) & ~mask
    if host & (host + 1) == 0:
        return _either(FieldTest(field, IntervalSet(48, ((address, address | host),))), use)
    # raw bits say nothing of what they are part of
    there = () if field.spelling[1] == "ether" else (FieldTest(field, full_values(field)),)
    base, offset = _MAC_PLACES[field]
    return (*there, *_either(FieldTest(f.raw_payload(base, offset, 48), BitSet.cube(48, mask, address)), use))


def _mac(field: Field) -> Callable[[OptionUse], tuple[PureTest, ...]]:
    return lambda use: mac_tests(field, use)


def _interface(field: Field) -> Callable[[OptionUse], tuple[PureTest, ...]]:
    return lambda use: _either(FieldTest(field, read_interface(use.values[0], use.name)), use)


def _among(field: Field, ip: Field, arp: Field) -> Callable[[OptionUse], tuple[PureTest, ...]]:
    def lower(use: OptionUse) -> tuple[PureTest, ...]:
        plain: list[tuple[int, int]] = []
        branches: list[tuple[PureTest, ...]] = []
        for entry in use.values[0].split(","):
            if not entry:
                continue
            mac, found, address = entry.partition("=")
            value = read_mac(mac, use.name)
            if not found:
                plain.append((value, value))
                continue
            number = read_address(address, use.name, Family.IP)
            here = FieldTest(field, IntervalSet.single(48, value))
            branches.extend((here, FieldTest(where, IntervalSet.single(32, number))) for where in (ip, arp))
        if plain:
            branches.append((FieldTest(field, IntervalSet.of(48, plain)),))
        test = AnyOf(tuple(branches))
        if not use.negated:
            return test.branches[0] if len(branches) == 1 else (test,)
        return (AnyOf(opposite_of_all((test,))),)

    return lower


# --- IP, IPv6, ARP ---


def _address(field: Field, family: Family) -> Callable[[OptionUse], tuple[PureTest, ...]]:
    def lower(use: OptionUse) -> tuple[PureTest, ...]:
        reader = read_source if family is Family.IP else read_network
        address, mask = reader(use.values[0], use.name, family)
        return _either(FieldTest(field, network_set(address, mask, address_width(family))), use)

    return lower


def _transport(family: Family) -> Callable[[OptionUse], tuple[PureTest, ...]]:
    return lambda use: _either(
        FieldTest(f.L4PROTO, IntervalSet.single(8, read_protocol(use.values[0], use.name, family))), use
    )


def _port(field: Field) -> Callable[[OptionUse], tuple[PureTest, ...]]:
    return lambda use: _either(number_range(field, *read_port_range(use.values[0], use.name)), use)


def _byte(field: Field, shift: int = 0) -> Callable[[OptionUse], tuple[PureTest, ...]]:
    """Compare one byte that lies `shift` bits from the end of a raw field: a bridge table sees headers of any protocol."""

    def lower(use: OptionUse) -> tuple[PureTest, ...]:
        text = use.values[0]
        if not _HEX_BYTE.fullmatch(text):  # without 0x, ebtables-legacy takes 10 for 0x10 and ebtables-nft for ten
            raise bad_value(text, "a hexadecimal byte such as 0x10", use.name)
        value = int(text, 16)
        return _either(FieldTest(field, BitSet.cube(field.width, 0xFF << shift, (value & 0xFF) << shift)), use)

    return lower


def _icmp(kind: Field, code: Field, names: dict[str, Kind]) -> Callable[[OptionUse], tuple[PureTest, ...]]:
    """Compare type and code. Unlike iptables, ebtables takes ranges of types, and its `any` is type 255 like a number."""

    def lower(use: OptionUse) -> tuple[PureTest, ...]:
        text = use.values[0]
        named = find_kind(text, use.name, names)
        if named is not None:
            types, codes = (named.type, named.type), (named.first, named.last)
        else:
            first, found, second = text.partition("/")
            types = read_number_range(first, use.name, high=255)
            codes = read_number_range(second, use.name, high=255) if found else (0, 255)
        tests: list[FieldTest] = [number_range(kind, *types)]
        if codes != (0, 255):
            tests.append(number_range(code, *codes))
        if not use.negated:
            return tuple(tests)
        return (AnyOf(tuple((negated_if(test, True),) for test in tests)),)

    return lower


def _arp_number(field: Field, words: dict[str, int]) -> Callable[[OptionUse], tuple[PureTest, ...]]:
    def lower(use: OptionUse) -> tuple[PureTest, ...]:
        text = use.values[0]
        known = {word.lower(): value for word, value in words.items()}.get(text.lower())
        value = read_decimal(text, use.name, high=0xFFFF) if known is None else known
        return _either(FieldTest(field, IntervalSet.single(16, value)), use)

    return lower


# --- the rest ---


def _mark(use: OptionUse) -> tuple[PureTest, ...]:
    value, found, mask = use.values[0].partition("/")
    if found and not value:
        # `/mask`: any of these bits (EBT_MARK_OR)
        return _either(FieldTest(f.MARK, BitSet.any_bit(32, read_number(mask, "--mark"))), use)
    bits = read_number(mask, "--mark") if found else 0xFFFFFFFF
    return _either(FieldTest(f.MARK, BitSet.cube(32, bits, read_number(value, "--mark"))), use)


def _packet_type(use: OptionUse) -> tuple[PureTest, ...]:
    value = read_word(use.values[0].lower(), use.name, _PACKET_TYPES, "a packet type")
    return _either(FieldTest(f.PACKET_TYPE, IntervalSet.single(3, value)), use)


def _vlan(field: Field, high: int) -> Callable[[OptionUse], tuple[PureTest, ...]]:
    def lower(use: OptionUse) -> tuple[PureTest, ...]:
        value = read_decimal(use.values[0], use.name, high=high)
        return _either(FieldTest(field, IntervalSet.single(field.width, value)), use)

    return lower


def _vlan_encapsulated(use: OptionUse) -> tuple[PureTest, ...]:
    value = read_ether_type(use.values[0], use.name)
    return _either(FieldTest(f.VLAN_TYPE, IntervalSet.single(16, value)), use)


def _refused(reason: str) -> Callable[[OptionUse], tuple[PureTest, ...]]:
    def lower(use: OptionUse) -> tuple[PureTest, ...]:
        raise Refused("FWT200", f"`{use.name}` has no exact nftables form: {reason}", option=use.name)

    return lower


_STRING = "nftables cannot search in a packet's bytes"
_BPDU = "the fields of a spanning tree message have no words in nftables"

_MATCHES: dict[str, Callable[[OptionUse], tuple[PureTest, ...]]] = {
    "-p": _protocol,
    "-s": _mac(f.ETHER_SADDR),
    "-d": _mac(f.ETHER_DADDR),
    "-i": _interface(f.IIFNAME),
    "-o": _interface(f.OIFNAME),
    "--logical-in": _interface(f.IBRNAME),
    "--logical-out": _interface(f.OBRNAME),
    "--802_3-sap": _refused("nftables has no words for LLC headers"),
    "--802_3-type": _refused("nftables has no words for LLC headers"),
    "--among-src": _among(f.ETHER_SADDR, f.IP_SADDR, f.ARP_SADDR_IP),
    "--among-dst": _among(f.ETHER_DADDR, f.IP_DADDR, f.ARP_DADDR_IP),
    "--among-src-file": _refused("the file is not part of the input"),
    "--among-dst-file": _refused("the file is not part of the input"),
    "--arp-op": _arp_number(f.ARP_OPERATION, _ARP_OPERATIONS),
    "--arp-htype": _arp_number(f.ARP_HTYPE, {"Ethernet": 1}),
    "--arp-ptype": lambda use: _either(
        FieldTest(f.ARP_PTYPE, IntervalSet.single(16, read_ether_type(use.values[0], use.name, lowest=0))), use
    ),
    "--arp-ip-src": _address(f.ARP_SADDR_IP, Family.IP),
    "--arp-ip-dst": _address(f.ARP_DADDR_IP, Family.IP),
    "--arp-mac-src": _mac(f.ARP_SADDR_ETHER),
    "--arp-mac-dst": _mac(f.ARP_DADDR_ETHER),
    "--arp-gratuitous": _refused("nftables cannot compare two fields of a packet with each other"),
    "--ip-src": _address(f.IP_SADDR, Family.IP),
    "--ip-dst": _address(f.IP_DADDR, Family.IP),
    "--ip-tos": _byte(f.raw_payload("nh", 8, 8)),
    "--ip-proto": _transport(Family.IP),
    "--ip-sport": _port(f.SPORT),
    "--ip-dport": _port(f.DPORT),
    "--ip-icmp-type": _icmp(f.ICMP_TYPE, f.ICMP_CODE, icmp.NAMES),
    "--ip-igmp-type": _refused("nftables' igmp words cover types by name only, ebtables' cover ranges of types and codes"),
    "--ip6-src": _address(f.IP6_SADDR, Family.IP6),
    "--ip6-dst": _address(f.IP6_DADDR, Family.IP6),
    "--ip6-tclass": _byte(f.raw_payload("nh", 0, 16), 4),
    "--ip6-proto": _transport(Family.IP6),
    "--ip6-sport": _port(f.SPORT),
    "--ip6-dport": _port(f.DPORT),
    "--ip6-icmp-type": _icmp(f.ICMP6_TYPE, f.ICMP6_CODE, icmp6.NAMES),
    "--mark": _mark,
    "--pkttype-type": _packet_type,
    "--vlan-id": _vlan(f.VLAN_ID, 4095),
    "--vlan-prio": _vlan(f.VLAN_PRIORITY, 7),
    "--vlan-encap": _vlan_encapsulated,
    **{f"--string{what}": _refused(_STRING) for what in ("", "-algo", "-from", "-to", "-hex", "-icase")},
    **{
        f"--stp-{what}": _refused(_BPDU)
        for what in (
            "type", "flags", "root-prio", "root-addr", "root-cost", "sender-prio", "sender-addr", "port", "msg-age",
            "max-age", "hello-time", "forward-delay",
        )
    },
}  # fmt: skip


_UNITS = {"sec": LimitUnit.SECOND, "min": LimitUnit.MINUTE, "hour": LimitUnit.HOUR, "day": LimitUnit.DAY}


def _limit(options: list[OptionUse], identity: str) -> StatefulTest:
    text, burst = "3/hour", 5
    for use in options:
        if use.name == "--limit":
            text = use.values[0]
        else:
            burst = read_number(use.values[0], use.name, low=1, high=10000)
    rate, found, unit = text.partition("/")
    name = next((word for word in _UNITS if unit and (word.startswith(unit) or unit.startswith(word))), "sec")
    if found and not unit:
        raise bad_value(text, "a rate", "--limit")
    kind = Limit(read_decimal(rate, "--limit", low=1), _UNITS[name], burst)
    return StatefulTest(StatefulObject(f"limit/{identity}", kind))


def _watchers(options: list[OptionUse]) -> Iterator[Log]:
    given = {use.name: use.values[0] if use.values else "" for use in options}
    if any(name.startswith("--ulog") for name in given):
        raise Refused("FWT200", "`--ulog` has no exact nftables form: the kernel has dropped ULOG", option="--ulog")
    if any(name.startswith("--log") for name in given):
        level = given.get("--log-level", "notice")
        number = _LEVEL_WORDS[level] if level in _LEVEL_WORDS else read_number(level, "--log-level", high=7)
        # ebtables writes the Ethernet header always; nftables with the flag `ether`, and IP headers by itself.
        yield Log(given.get("--log-prefix", ""), _LEVELS[number], ("ether",))
    if any(name.startswith("--nflog") for name in given):
        size = given.get("--nflog-range")
        yield Log(
            given.get("--nflog-prefix", ""),
            group=read_number(given.get("--nflog-group", "1"), "--nflog-group", high=0xFFFF),
            snaplen=read_number(size, "--nflog-range") if size is not None else None,
            queue_threshold=read_number(given.get("--nflog-threshold", "0"), "--nflog-threshold", high=0xFFFF),
        )
