"""Which extensions there are: name to file. A file is imported when a rule first names its extension."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

from fwtrans.ir.fields import Family
from fwtrans.lower.extensions.base import Match, Target

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fwtrans.parsers.iptables_save.options import Option

# iptables' name -> module in matches/. Two names may share a file where iptables has an alias.
MATCHES: dict[str, str] = {
    "addrtype": "addrtype",
    "ah": "ah",
    "bpf": "bpf",
    "cgroup": "cgroup",
    "cluster": "cluster",
    "comment": "comment",
    "connbytes": "connbytes",
    "connlabel": "connlabel",
    "connlimit": "connlimit",
    "connmark": "connmark",
    "conntrack": "conntrack",
    "cpu": "cpu",
    "dccp": "dccp",
    "devgroup": "devgroup",
    "dscp": "dscp",
    "dst": "dst",
    "ecn": "ecn",
    "esp": "esp",
    "eui64": "eui64",
    "frag": "frag",
    "hashlimit": "hashlimit",
    "hbh": "hbh",
    "helper": "helper",
    "hl": "hl",
    "icmp": "icmp",
    "icmp6": "icmp6",
    "icmpv6": "icmp6",
    "ipv6-icmp": "icmp6",
    "iprange": "iprange",
    "ipv6header": "ipv6header",
    "ipcomp": "ipcomp",
    "ipvs": "ipvs",
    "length": "length",
    "limit": "limit",
    "mac": "mac",
    "mark": "mark",
    "mh": "mh",
    "multiport": "multiport",
    "nfacct": "nfacct",
    "osf": "osf",
    "owner": "owner",
    "physdev": "physdev",
    "pkttype": "pkttype",
    "policy": "policy",
    "quota": "quota",
    "rateest": "rateest",
    "realm": "realm",
    "recent": "recent",
    "rpfilter": "rpfilter",
    "rt": "rt",
    "sctp": "sctp",
    "set": "set",
    "socket": "socket",
    "srh": "srh",
    "state": "state",
    "statistic": "statistic",
    "string": "string",
    "tcp": "tcp",
    "tcpmss": "tcpmss",
    "time": "time",
    "tos": "tos",
    "ttl": "ttl",
    "u32": "u32",
    "udp": "udp",
}

# iptables' name -> module in targets/.
TARGETS: dict[str, str] = {
    "AUDIT": "audit",
    "CHECKSUM": "checksum",
    "CLASSIFY": "classify",
    "CLUSTERIP": "clusterip",
    "CONNMARK": "connmark",
    "CONNSECMARK": "connsecmark",
    "CT": "ct",
    "DNAT": "dnat",
    "DNPT": "dnpt",
    "DSCP": "dscp",
    "ECN": "ecn",
    "HL": "hl",
    "HMARK": "hmark",
    "IDLETIMER": "idletimer",
    "LED": "led",
    "LOG": "log",
    "MARK": "mark",
    "MASQUERADE": "masquerade",
    "NETMAP": "netmap",
    "NFLOG": "nflog",
    "NFQUEUE": "nfqueue",
    "NOTRACK": "notrack",
    "RATEEST": "rateest",
    "REDIRECT": "redirect",
    "REJECT": "reject",
    "SECMARK": "secmark",
    "SET": "set",
    "SNAT": "snat",
    "SNPT": "snpt",
    "SYNPROXY": "synproxy",
    "TCPMSS": "tcpmss",
    "TCPOPTSTRIP": "tcpoptstrip",
    "TEE": "tee",
    "TOS": "tos",
    "TPROXY": "tproxy",
    "TRACE": "trace",
    "TTL": "ttl",
    "ULOG": "ulog",
}

_Kind = TypeVar("_Kind", Match, Target)

VERDICTS = ("ACCEPT", "DROP", "RETURN", "QUEUE")


@cache
def find_match(name: str, family: Family) -> Match | None:
    """Return the match extension of that name, if it exists in the family."""
    module = MATCHES.get(name)
    if module is None:
        return None
    loaded = import_module(f"fwtrans.lower.extensions.matches.{module}")
    return _of_family([loaded.EXTENSION, *getattr(loaded, "ALSO", ())], name, family)


@cache
def find_target(name: str, family: Family) -> Target | None:
    """Return the target extension of that name, if it exists in the family."""
    module = TARGETS.get(name)
    if module is None:
        return None
    loaded = import_module(f"fwtrans.lower.extensions.targets.{module}")
    return _of_family([loaded.EXTENSION, *getattr(loaded, "ALSO", ())], name, family)


def _of_family(candidates: Iterable[_Kind], name: str, family: Family) -> _Kind | None:
    for candidate in candidates:
        if candidate.name == name and family in candidate.families:
            return candidate
    return None


class ExtensionOptions:
    """The reader's view of the registry (its `OptionTable`)."""

    def match_options(self, name: str, family: str) -> tuple[Option, ...] | None:
        """Return the options that `-m name` brings."""
        found = find_match(name, Family(family))
        return found.options if found is not None else None

    def target_options(self, name: str, family: str) -> tuple[Option, ...] | None:
        """Return the options that `-j name` brings."""
        if name in VERDICTS:
            return ()
        found = find_target(name, Family(family))
        return found.options if found is not None else None
