"""Selectors (`ip saddr`, `ct original ip daddr`, `@th,16,16`) to what libnftables-json(5) calls them.

The names are those of nft 1.0.6 and 1.1; an unknown one is a fault with the name that was probably meant.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fwtrans.parsers.nft_text.faults import BadStatement, closest

if TYPE_CHECKING:
    from collections.abc import Callable

Json = Any


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PAYLOADS = {
    "ether": _words("saddr daddr type"),
    "vlan": _words("id dei cfi pcp type"),
    "arp": _words("htype ptype hlen plen operation"),
    "ip": _words("version hdrlength dscp ecn tos length id frag-off ttl protocol checksum saddr daddr"),
    "ip6": _words("version dscp ecn flowlabel length nexthdr hoplimit saddr daddr"),
    "icmp": _words("type code checksum id sequence gateway mtu"),
    "icmpv6": _words("type code checksum parameter-problem packet-too-big mtu id sequence max-delay taddr daddr"),
    "igmp": _words("type checksum mrt group"),
    "ah": _words("nexthdr hdrlength reserved spi sequence"),
    "esp": _words("spi sequence"),
    "comp": _words("nexthdr flags cpi"),
    "udp": _words("sport dport length checksum"),
    "udplite": _words("sport dport csumcov checksum"),
    "tcp": _words("sport dport sequence ackseq doff reserved flags window checksum urgptr"),
    "sctp": _words("sport dport vtag checksum"),
    "dccp": _words("sport dport type"),
    "th": _words("sport dport"),
}
META = _words(
    "length nfproto l4proto protocol priority mark iif iifname iiftype oif oifname oiftype skuid skgid nftrace"
    " rtclassid ibriport obriport ibrname obrname ibridgename obridgename ibrpvid ibrvproto ibrhwdr pkttype cpu"
    " iifgroup oifgroup cgroup random ipsec secpath iifkind oifkind sdif sdifname time day hour secmark broute"
    " physdevin physdevout physdevisbridged"  # no words of nft: the form of proofs
)
_META_NAMES = {"ibridgename": "ibrname", "obridgename": "obrname", "secpath": "ipsec"}
CONNTRACK = _words(
    "state direction status mark secmark expiration helper label l3proto saddr daddr protocol proto-src proto-dst"
    " bytes packets avgpkt zone id event count"
)
# `ct timeout set` and `ct expectation set` look like selectors to the lexer, and are not
_CT_OBJECTS = _words("timeout expectation")
_EXTENSION_HEADERS = {
    "frag": _words("nexthdr reserved frag-off reserved2 more-fragments id"),
    "hbh": _words("nexthdr hdrlength"),
    "dst": _words("nexthdr hdrlength"),
    "mh": _words("nexthdr hdrlength type reserved checksum"),
    "rt": _words("nexthdr hdrlength type seg-left"),
    "rt0": _words("addr"),
    "rt2": _words("addr"),
    "rt4": _words("last-entry flags tag sid seg-left"),
    "srh": _words("last-entry flags tag sid seg-left nexthdr hdrlength type"),
}
HEADERS = frozenset({*PAYLOADS, *_EXTENSION_HEADERS})
_ROUTES = _words("classid nexthop mtu ipsec")
_FIB_FLAGS = _words("saddr daddr mark iif oif")
_FIB_RESULTS = _words("type oif oifname check")
_TCP_OPTIONS = {
    "eol": 0, "nop": 1, "maxseg": 2, "window": 3, "sack-permitted": 4, "sack-perm": 4, "sack": 5, "sack0": 5,
    "sack1": 5, "sack2": 5, "sack3": 5, "timestamp": 8, "fastopen": 34, "mptcp": 30, "md5sig": 19, "echo": 6,
}  # fmt: skip
_TCP_OPTION_NAMES = {0: "eol", 1: "nop", 2: "maxseg", 3: "window", 4: "sack-perm", 5: "sack", 8: "timestamp",
                     19: "md5sig", 30: "mptcp", 34: "fastopen"}  # fmt: skip
_IP_OPTIONS = _words("lsrr ra rr ssrr")
_SOCKET = _words("transparent wildcard mark")
_WORD = re.compile(r"[^\s.,]+")
# An address of a routing header; nft lists those of type 0 as if they were of type 4, where they have the same place.
_ROUTING_ENTRY = re.compile(r"(?:rt0\s+addr|srh\s+sid)\[\d+\]", re.ASCII)


@lru_cache(maxsize=4096)
def selector(text: str) -> Json:
    """Return the JSON of a selector. It is shared: nobody may change it."""
    if text[0] == "@":
        base, offset, length = (item.strip() for item in text[1:].split(","))
        return {"payload": {"base": base, "offset": int(offset), "len": int(length)}}
    words = text.split()
    if words[0] in PAYLOADS and not (len(words) > 1 and words[1] in {"option", "chunk"}):
        return _payload(text, words)
    read = _READERS.get(words[0])
    if read is not None:
        return read(text, words)
    if _ROUTING_ENTRY.fullmatch(text):
        return {"exthdr": {"name": "srh", "field": f"sid[{text.partition('[')[2]}"}}
    if words[0] in _EXTENSION_HEADERS:
        _known(text, 1, _EXTENSION_HEADERS[words[0]], f"field of the {words[0]} header")
        return {"exthdr": {"name": words[0], "field": words[1]}}
    if len(words) == 1:
        return {"meta": {"key": _META_NAMES.get(words[0], words[0])}}
    raise BadStatement("FWT151", f"`{text}` is not a selector", 0, len(text))


def _known(text: str, index: int, known: frozenset[str], what: str) -> str:
    """Return the word of that number, or say which word was probably meant."""
    found = list(_WORD.finditer(text))
    word = found[index][0] if index < len(found) else ""
    if word not in known:
        start, end = (found[index].start(), found[index].end()) if word else (0, len(text))
        hint = closest(word, known) or f"nft knows {', '.join(sorted(known))}"
        raise BadStatement("FWT151", f"`{word}` is no {what}", start, end, hint=hint)
    return word


def _payload(text: str, words: list[str]) -> Json:
    if words[0] == "arp" and len(words) == 3:
        return {"payload": {"protocol": "arp", "field": f"{words[1]} {words[2]}"}}
    _known(text, 1, PAYLOADS[words[0]], f"field of the {words[0]} header")
    return {"payload": {"protocol": words[0], "field": words[1]}}


def _meta(text: str, words: list[str]) -> Json:
    _known(text, 1, META, "meta key")
    return {"meta": {"key": _META_NAMES.get(words[1], words[1])}}


def _conntrack(text: str, words: list[str]) -> Json:
    _known(text, len(words) - 1, CONNTRACK | _CT_OBJECTS, "ct key")
    rest = words[1:]
    content: dict[str, Json] = {}
    direction = rest.pop(0) if rest[0] in {"original", "reply"} else ""
    content["key"] = " ".join(rest)
    if direction:
        content["dir"] = direction
    return {"ct": content}


def _fib(text: str, _split: list[str]) -> Json:
    found = _WORD.findall(text)
    for index in range(1, len(found) - 1):
        _known(text, index, _FIB_FLAGS, "key of a fib look-up")
    result = _known(text, len(found) - 1, _FIB_RESULTS, "result of a fib look-up")
    return {"fib": {"result": result, "flags": found[1:-1]}}


def _socket(text: str, words: list[str]) -> Json:
    if words[1] == "cgroupv2":
        return {"socket": {"key": "cgroupv2", "level": int(words[3])}}
    return {"socket": {"key": _known(text, 1, _SOCKET, "socket key")}}


def _osf(_text: str, words: list[str]) -> Json:
    content = {"key": words[-1]}
    if words[1] == "ttl":
        content["ttl"] = words[2]
    return {"osf": content}


def _ipsec(text: str, words: list[str]) -> Json:
    if len(words) == 1:
        return {"meta": {"key": "ipsec"}}
    content: dict[str, Json] = {"dir": words[1]}
    rest = words[2:]
    content["spnum"] = int(rest[1]) if rest[0] == "spnum" else 0
    if rest[0] == "spnum":
        rest = rest[2:]
    if rest[0] in {"ip", "ip6"}:
        content["family"] = rest.pop(0)
    content["key"] = _known(text, len(words) - 1, _words("saddr daddr reqid spi"), "ipsec key")
    return {"ipsec": content}


def _route(text: str, words: list[str]) -> Json:
    if words[1] in _EXTENSION_HEADERS["rt"]:
        return {"exthdr": {"name": "rt", "field": words[1]}}
    content = {"key": _known(text, len(words) - 1, _ROUTES | _EXTENSION_HEADERS["rt"], "rt key")}
    if words[1] in {"ip", "ip6"}:
        content["family"] = words[1]
    return {"rt": content}


def _exthdr(text: str, _words_of_it: list[str]) -> Json:
    return {"exthdr": {"name": _known(text, 1, frozenset(_EXTENSION_HEADERS), "IPv6 extension header")}}


def tcp_option(text: str, words: list[str]) -> Json:
    """Return `tcp option X [field]`; numbers that have a name get it, as nft lists them."""
    name = words[2]
    if name.startswith("@"):
        kind, offset, length = (int(item) for item in "".join(words[2:])[1:].split(","))
        return {"tcp option": {"base": kind, "offset": offset, "len": length}}
    if name.isdigit():
        number = int(name)
        known = _TCP_OPTION_NAMES.get(number)
        if known is None:
            return {"tcp option": {"base": number, "offset": 0, "len": 8}}
        name = known
    else:
        _known(text, 2, frozenset(_TCP_OPTIONS), "TCP option")
    name = "sack-perm" if name == "sack-permitted" else name
    return {"tcp option": {"name": name, "field": words[3]} if len(words) > 3 else {"name": name}}


def _ip_option(text: str, words: list[str]) -> Json:
    name = _known(text, 2, _IP_OPTIONS, "IP option")
    return {"ip option": {"name": name, "field": words[3]} if len(words) > 3 else {"name": name}}


def _sctp_chunk(_text: str, words: list[str]) -> Json:
    return {"sctp chunk": {"name": words[2], "field": words[3]} if len(words) > 3 else {"name": words[2]}}


_READERS: dict[str, Callable[[str, list[str]], Json]] = {
    "meta": _meta,
    "ct": _conntrack,
    "fib": _fib,
    "socket": _socket,
    "osf": _osf,
    "ipsec": _ipsec,
    "rt": _route,
    "exthdr": _exthdr,
    "tcp": tcp_option,
    "ip": _ip_option,
    "sctp": _sctp_chunk,
}
