"""The options of [OPTIONS], by the kind of file: which values PVE takes, and what holds where it takes none.

read_option(FirewallKind.GUEST, "policy_in", "drop")    ->    "DROP"
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.parsers.pve.syntax import FirewallKind
from fwtrans.parsers.pve.values import LOG_LEVELS, Mistake, read_log_ratelimit

if TYPE_CHECKING:
    from collections.abc import Callable

HELPERS = ("amanda", "ftp", "irc", "netbios-ns", "pptp", "sane", "sip", "snmp", "tftp")
"""The conntrack helpers that PVE knows."""

# PVE::Firewall 6.0 reads /etc/ethertypes with a pattern that wants decimal digits and something behind them, so that
# IPv6 (86DD), LLDP (88CC) or X25 (nothing behind it) are unknown. The numbers work in place of the names.
_ETHER_TYPES = {
    "IPv4": "0800", "ARP": "0806", "FR_ARP": "0808", "TEB": "6558", "RAW_FR": "6559", "RARP": "8035", "802_1Q": "8100",
    "IPX": "8137", "NetBEUI": "8191", "SLOW": "8809", "MPLS": "8847", "MPLS_MULTI": "8848", "PPP_DISC": "8863",
    "PPP_SES": "8864", "ATMFATE": "8884", "FCOE": "8906", "FIP": "8914", "ROCE": "8915",
}  # fmt: skip
_KNOWN_ETHER_TYPES = frozenset(_ETHER_TYPES) | frozenset(_ETHER_TYPES.values())
_LARGEST_SHOWN = 40


class OptionKind(NamedTuple):
    """How an option's value is read, and what PVE does where the option is not there, in words."""

    read: Callable[[str], str | Mistake]
    default: str
    exact_case: bool = False


def read_option(kind: FirewallKind, key: str, value: str) -> str | Mistake | None:
    """Return what PVE keeps of a value, or what is wrong with it; None where the file has no such option."""
    option = find_option(kind, key)
    return None if option is None else option.read(value)


def find_option(kind: FirewallKind, key: str) -> OptionKind | None:
    """Return an option of a kind of file. Upper and lower case are the same to PVE, but for log_ratelimit."""
    option = OPTIONS[kind].get(key.lower())
    return None if option is None or (option.exact_case and key != key.lower()) else option


def kinds_with(key: str) -> tuple[FirewallKind, ...]:
    """Return the kinds of files that have an option."""
    return tuple(kind for kind in FirewallKind if find_option(kind, key) is not None)


def _flag(text: str) -> str | Mistake:
    return text if text in {"0", "1"} else Mistake(f"`{_short(text)}` is neither 1 nor 0")


def _number(text: str) -> str | Mistake:
    if text.isascii() and text.isdigit():
        return text.lstrip("0") or "0"
    return Mistake(f"`{_short(text)}` is no number")


def _level(text: str) -> str | Mistake:
    level = text.lower()
    return level if not level or level in LOG_LEVELS else _no_level(text)


def _given_level(text: str) -> str | Mistake:
    level = text.lower()
    return level if level in LOG_LEVELS else _no_level(text)


def _no_level(text: str) -> Mistake:
    return Mistake(f"`{_short(text)}` is no log level", f"the levels are {', '.join(LOG_LEVELS)}")


def _policy(text: str) -> str | Mistake:
    policy = text.upper()
    return policy if policy in {"ACCEPT", "DROP", "REJECT"} else Mistake(f"`{_short(text)}` is none of ACCEPT, DROP and REJECT")  # fmt: skip


def _forward_policy(text: str) -> str | Mistake:
    policy = text.upper()
    return policy if policy in {"ACCEPT", "DROP"} else Mistake(f"`{_short(text)}` is neither ACCEPT nor DROP")


def _queues(text: str) -> str | Mistake:
    found = re.fullmatch(r"[0-9]+(?::[0-9]+)?", text)
    return text if found else Mistake(f"`{_short(text)}` is no queue", "a number, or two with a colon between: 0:3")


def _ether_types(text: str) -> str | Mistake:
    if not text or re.search(r"[ \t\n\r\f\v]", text):
        return Mistake("names of protocols with commas between, and no blanks, are expected")
    for name in text.rstrip(",").split(","):
        if name not in _KNOWN_ETHER_TYPES:
            hint = f"it knows {', '.join(_ETHER_TYPES)}"
            if name.lower() in {"ipv6", "ip6"}:
                hint = "leave it out: IPv6 passes the filter of layer 2 anyway, as IPv4 does"
            return Mistake(f"`{_short(name)}` is no protocol that PVE knows", hint, part=name)
    return text


def _helpers(text: str) -> str | Mistake:
    names = text.lower()
    for name in names.split(","):
        if name not in HELPERS:
            return Mistake(
                f"`{_short(name)}` is no conntrack helper that PVE knows", f"there are {', '.join(HELPERS)}", part=name
            )
    return names


def _log_ratelimit(text: str) -> str | Mistake:
    if not text or re.search(r"[ \t\n\r\f\v]", text):
        return Mistake("one word is expected: enable=1,rate=10/second,burst=20")
    found = read_log_ratelimit(text)
    if isinstance(found, Mistake):  # PVE reads it in the middle of compiling, and dies of it
        return found._replace(fatal=True)
    return text


def _short(text: str) -> str:
    return text if len(text) <= _LARGEST_SHOWN else text[:_LARGEST_SHOWN] + "..."


_NO_LOG = OptionKind(_level, "nothing is logged")
_POLICY_IN = OptionKind(_policy, "the policy stays DROP")
_POLICY_OUT = OptionKind(_policy, "the policy stays ACCEPT")

OPTIONS: dict[FirewallKind, dict[str, OptionKind]] = {
    FirewallKind.CLUSTER: {
        "enable": OptionKind(_number, "the firewall of the whole cluster stays off"),
        "ebtables": OptionKind(_flag, "the rules of layer 2 stay on"),
        "policy_in": _POLICY_IN,
        "policy_out": _POLICY_OUT,
        "policy_forward": OptionKind(_policy, "the policy stays ACCEPT"),
        "log_ratelimit": OptionKind(_log_ratelimit, "one line a second is logged", exact_case=True),
    },
    FirewallKind.HOST: {
        "enable": OptionKind(_flag, "the firewall of the host stays on"),
        "nosmurfs": OptionKind(_flag, "the filter of smurfs stays on"),
        "tcpflags": OptionKind(_flag, "the filter of TCP flags stays off"),
        "ndp": OptionKind(_flag, "neighbour discovery stays allowed"),
        "log_nf_conntrack": OptionKind(_flag, "connections are not logged"),
        "nf_conntrack_allow_invalid": OptionKind(_flag, "invalid packets stay dropped"),
        "protection_synflood": OptionKind(_flag, "the limit of SYN packets stays off"),
        "nftables": OptionKind(_flag, "the iptables backend stays in use"),
        "log_level_in": _NO_LOG,
        "log_level_out": _NO_LOG,
        "log_level_forward": _NO_LOG,
        "tcp_flags_log_level": _NO_LOG,
        "smurf_log_level": _NO_LOG,
        "nf_conntrack_helpers": OptionKind(_helpers, "no helper is in use"),
        "nf_conntrack_max": OptionKind(_number, "the kernel's limit stays 262144"),
        "nf_conntrack_tcp_timeout_established": OptionKind(_number, "the time stays 432000 seconds"),
        "nf_conntrack_tcp_timeout_syn_recv": OptionKind(_number, "the time stays 60 seconds"),
        "protection_synflood_rate": OptionKind(_number, "the limit stays 200 a second"),
        "protection_synflood_burst": OptionKind(_number, "the limit stays at bursts of 1000"),
        "protection_limit": OptionKind(_number, "nothing else changes"),
    },
    FirewallKind.GUEST: {
        "enable": OptionKind(_flag, "the firewall of this guest stays off"),
        "dhcp": OptionKind(_flag, "DHCP stays allowed"),
        "ndp": OptionKind(_flag, "neighbour discovery stays allowed"),
        "radv": OptionKind(_flag, "router advertisements of the guest stay dropped"),
        "macfilter": OptionKind(_flag, "the filter of MAC addresses stays on"),
        "ipfilter": OptionKind(_flag, "the filter of IP addresses stays off"),
        "ips": OptionKind(_flag, "packets are not handed to an intrusion prevention"),
        "log_level_in": _NO_LOG,
        "log_level_out": _NO_LOG,
        "policy_in": _POLICY_IN,
        "policy_out": _POLICY_OUT,
        "ips_queues": OptionKind(_queues, "queue 0 stays in use"),
        "layer2_protocols": OptionKind(_ether_types, "all protocols of layer 2 stay allowed"),
    },
    FirewallKind.VNET: {
        "enable": OptionKind(_number, "the firewall of this vnet stays off"),
        "policy_forward": OptionKind(_forward_policy, "the policy stays ACCEPT"),
        "log_level_forward": OptionKind(_given_level, "nothing is logged"),
    },
}
