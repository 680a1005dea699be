"""The chains that pve-firewall makes whatever the configuration says: rejecting, ignoring noise, broken TCP flags."""

from __future__ import annotations

from typing import NamedTuple

ACCEPT_MARK = "0x80000000/0x80000000"
CLEARED_MARK = "0x00000000/0x80000000"
SET_ACCEPT_MARK = "PVEFW-SET-ACCEPT-MARK"
REJECT = "PVEFW-reject"


class StandardRule(NamedTuple):
    """A match and a target in iptables' words. `logs` marks the rule that an option can make log."""

    match: str
    target: str
    logs: bool = False


def _rules(*pairs: tuple[str, str]) -> tuple[StandardRule, ...]:
    return tuple(StandardRule(match, target) for match, target in pairs)


_MARK = _rules(("", f"-j MARK --set-mark {ACCEPT_MARK}"))
_LOGGED_DROP = (StandardRule("", "-j DROP", logs=True),)

_BAD_FLAGS = _rules(
    ("-p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG FIN,PSH,URG", "-g PVEFW-logflags"),
    ("-p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG NONE", "-g PVEFW-logflags"),
    ("-p tcp -m tcp --tcp-flags SYN,RST SYN,RST", "-g PVEFW-logflags"),
    ("-p tcp -m tcp --tcp-flags FIN,SYN FIN,SYN", "-g PVEFW-logflags"),
    ("-p tcp -m tcp --sport 0 --tcp-flags FIN,SYN,RST,ACK SYN", "-g PVEFW-logflags"),
)


def _noise(windows: str) -> tuple[StandardRule, ...]:
    """Return what stands before a policy so that noise is not logged; `windows` is what becomes of SMB."""
    return _rules(
        ("-m conntrack --ctstate INVALID", "-j DROP"),
        ("-p udp --match multiport --dports 135,445", windows),
        ("-p udp --dport 137:139", windows),
        ("-p udp --sport 137 --dport 1024:65535", windows),
        ("-p tcp --match multiport --dports 135,139,445", windows),
        ("-p udp --dport 1900", "-j DROP"),
        ("-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN", "-j DROP"),
        ("-p udp --sport 53", "-j DROP"),
    )


_BROADCAST = _rules(("", "-j PVEFW-DropBroadcast"))
_CRITICAL = _rules(
    ("-p icmp -m icmp --icmp-type fragmentation-needed", "-j ACCEPT"),
    ("-p icmp -m icmp --icmp-type time-exceeded", "-j ACCEPT"),
)
_CRITICAL6 = _rules(
    ("-p icmpv6 -m icmpv6 --icmpv6-type destination-unreachable", "-j ACCEPT"),
    ("-p icmpv6 -m icmpv6 --icmpv6-type time-exceeded", "-j ACCEPT"),
    ("-p icmpv6 -m icmpv6 --icmpv6-type packet-too-big", "-j ACCEPT"),
)
_WHOIS = _rules(("-p tcp --dport 43", f"-j {REJECT}"))

STANDARD_CHAINS: dict[int, dict[str, tuple[StandardRule, ...]]] = {
    4: {
        SET_ACCEPT_MARK: _MARK,
        "PVEFW-DropBroadcast": _rules(
            ("-m addrtype --dst-type BROADCAST", "-j DROP"),
            ("-m addrtype --dst-type MULTICAST", "-j DROP"),
            ("-m addrtype --dst-type ANYCAST", "-j DROP"),
            ("-d 224.0.0.0/4", "-j DROP"),
        ),
        REJECT: _rules(
            ("-m addrtype --dst-type BROADCAST", "-j DROP"),
            ("-s 224.0.0.0/4", "-j DROP"),
            ("-p icmp", "-j DROP"),
            ("-p tcp", "-j REJECT --reject-with tcp-reset"),
            ("-p udp", "-j REJECT --reject-with icmp-port-unreachable"),
            ("-p icmp", "-j REJECT --reject-with icmp-host-unreachable"),
            ("", "-j REJECT --reject-with icmp-host-prohibited"),
        ),
        "PVEFW-Drop": _BROADCAST + _CRITICAL + _noise("-j DROP"),
        "PVEFW-Reject": _BROADCAST + _CRITICAL + _noise(f"-j {REJECT}"),
        "PVEFW-tcpflags": _BAD_FLAGS,
        "PVEFW-smurfs": _rules(
            ("-s 0.0.0.0/32", "-j RETURN"),
            ("-m addrtype --src-type BROADCAST", "-g PVEFW-smurflog"),
            ("-s 224.0.0.0/4", "-g PVEFW-smurflog"),
        ),
        "PVEFW-smurflog": _LOGGED_DROP,
        "PVEFW-logflags": _LOGGED_DROP,
    },
    6: {
        SET_ACCEPT_MARK: _MARK,
        "PVEFW-DropBroadcast": _rules(("-d ff00::/8", "-j DROP")),
        REJECT: _rules(
            ("-p icmpv6", "-j DROP"),
            ("-p tcp", "-j REJECT --reject-with tcp-reset"),
            ("-p udp", "-j REJECT --reject-with icmp6-port-unreachable"),
            ("", "-j REJECT --reject-with icmp6-adm-prohibited"),
        ),
        "PVEFW-Drop": _WHOIS + _BROADCAST + _CRITICAL6 + _noise("-j DROP"),
        "PVEFW-Reject": _WHOIS + _BROADCAST + _CRITICAL6 + _noise(f"-j {REJECT}"),
        "PVEFW-tcpflags": _BAD_FLAGS,
        "PVEFW-logflags": _LOGGED_DROP,
    },
}
"""The rules of each standard chain, by IP version."""

LOG_LEVEL_OPTIONS = {"PVEFW-smurflog": "smurf_log_level", "PVEFW-logflags": "tcp_flags_log_level"}
"""The host's option that makes a standard chain log."""
