"""The sixteen set types of ipset 7: their dimensions, the forms their elements may have, and their options.

From ipset(8) and from what ipset 7.17 takes on Linux 6.1 and 6.18; fixtures/ipset holds the answers it gave.
"""

from __future__ import annotations

from enum import Enum, Flag, auto
from typing import NamedTuple


class Form(Flag):
    """How an address may be written."""

    HOST = auto()
    FULL = auto()  # a host with the prefix length of a host
    PREFIX = auto()
    ZERO = auto()  # prefix length 0
    RANGE = auto()


PLAIN = Form.HOST
SINGLE = Form.HOST | Form.FULL
NETWORK = SINGLE | Form.PREFIX
ANY = NETWORK | Form.RANGE


class Kind(Enum):
    """What a dimension holds."""

    ADDRESS = "address"
    NETWORK = "network"
    PORT = "port"
    MAC = "MAC address"
    MARK = "mark"
    INTERFACE = "interface"
    SET = "set name"


class Dimension(NamedTuple):
    """One dimension; `ipv4` and `ipv6` are the forms that its addresses may have."""

    kind: Kind
    ipv4: Form = Form(0)
    ipv6: Form = Form(0)


class SetType(NamedTuple):
    """One set type. `options` are those of `create` besides the common ones, `flags` those of `add`."""

    name: str
    dimensions: tuple[Dimension, ...]
    options: frozenset[str]
    flags: frozenset[str] = frozenset()
    alias: str = ""

    @property
    def is_hash(self) -> bool:
        """Tell whether the type has families, apart from hash:mac, and a limit of elements."""
        return self.name.startswith("hash:")


# The kernel takes what ip dimensions may hold apart into single addresses, so a prefix or range is a loop there; for
# IPv6 the loop was never written. Networks are kept as they are; an IPv4 range of them is cut into prefixes.
_HOSTS = Dimension(Kind.ADDRESS, ANY, SINGLE)
_HOST = Dimension(Kind.ADDRESS, PLAIN, PLAIN)
_NETS = Dimension(Kind.NETWORK, ANY, NETWORK)
_NETS_AND_ALL = Dimension(Kind.NETWORK, ANY | Form.ZERO, NETWORK | Form.ZERO)
_PORT = Dimension(Kind.PORT)
_MAC = Dimension(Kind.MAC)

COMMON = frozenset({"timeout", "counters", "comment", "skbinfo"})
_HASH = COMMON | {"hashsize", "maxelem", "bucketsize", "initval", "forceadd"}
_INET = _HASH | {"family"}
_MASKED = _INET | {"netmask", "bitmask"}
_RANGE = COMMON | {"range"}
_NOMATCH = frozenset({"nomatch"})

_ALL = (
    SetType("bitmap:ip", (Dimension(Kind.ADDRESS, ANY),), _RANGE | {"netmask"}, alias="ipmap"),
    SetType("bitmap:ip,mac", (_HOST, _MAC), _RANGE, alias="macipmap"),
    SetType("bitmap:port", (_PORT,), _RANGE, alias="portmap"),
    SetType("hash:ip", (_HOSTS,), _MASKED, alias="iphash"),
    SetType("hash:mac", (_MAC,), _HASH),
    SetType("hash:ip,mac", (_HOST, _MAC), _INET, alias="ipmachash"),
    SetType("hash:ip,mark", (_HOSTS, Dimension(Kind.MARK)), _INET | {"markmask"}, alias="ipmarkhash"),
    SetType("hash:ip,port", (_HOSTS, _PORT), _MASKED, alias="ipporthash"),
    SetType("hash:ip,port,ip", (_HOSTS, _PORT, _HOST), _INET, alias="ipportiphash"),
    SetType("hash:ip,port,net", (_HOSTS, _PORT, _NETS), _INET, _NOMATCH, alias="ipportnethash"),
    SetType("hash:net", (_NETS,), _INET, _NOMATCH, alias="nethash"),
    SetType("hash:net,net", (_NETS, _NETS), _MASKED, _NOMATCH, alias="netnethash"),
    SetType("hash:net,port", (_NETS, _PORT), _INET, _NOMATCH, alias="netporthash"),
    SetType("hash:net,port,net", (_NETS_AND_ALL, _PORT, _NETS_AND_ALL), _INET, _NOMATCH, alias="netportnethash"),
    SetType(
        "hash:net,iface",
        (_NETS_AND_ALL, Dimension(Kind.INTERFACE)),
        _INET,
        _NOMATCH | {"wildcard"},
        alias="netifacehash",
    ),
    SetType("list:set", (Dimension(Kind.SET),), COMMON | {"size"}, frozenset({"before", "after"}), alias="setlist"),
)

SET_TYPES: dict[str, SetType] = {item.name: item for item in _ALL}
ALIASES: dict[str, str] = {item.alias: item.name for item in _ALL if item.alias}
