"""The macros of pve-firewall 6 (Proxmox VE 8 and 9): names for protocols and ports, as its documentation lists them.

A rule `IN SSH(ACCEPT)` becomes one rule for each part of the macro. Four macros differ by family; `NeighborDiscovery`
and `DHCPv6` are IPv6 only. A macro's name is read in any case.
"""

from __future__ import annotations

from typing import NamedTuple


class MacroPart(NamedTuple):
    """One rule of a macro. Of ICMP the type stands where others have the destination port, as PVE keeps it."""

    protocol: str
    destination_port: str = ""
    source_port: str = ""


def _tcp(*ports: str) -> tuple[MacroPart, ...]:
    return tuple(MacroPart("tcp", port) for port in ports)


def _udp(*ports: str) -> tuple[MacroPart, ...]:
    return tuple(MacroPart("udp", port) for port in ports)


def _protocol(number: str) -> tuple[MacroPart, ...]:
    return (MacroPart(number),)


_IKE = (MacroPart("udp", "500", "500"),)
_ECHO = (MacroPart("icmp", "echo-request"),)
_ECHO6 = (MacroPart("icmpv6", "echo-request"),)
_TRACE = _udp("33434:33524")

_BOTH: dict[str, tuple[MacroPart, ...]] = {
    "Amanda": _udp("10080") + _tcp("10080"),
    "Auth": _tcp("113"),
    "BGP": _tcp("179"),
    "BitTorrent": _tcp("6881:6889") + _udp("6881"),
    "BitTorrent32": _tcp("6881:6999") + _udp("6881"),
    "CVS": _tcp("2401"),
    "Ceph": _tcp("6789", "3300", "6800:7300"),
    "Citrix": _tcp("1494") + _udp("1604") + _tcp("2598"),
    "DAAP": _tcp("3689") + _udp("3689"),
    "DCC": _tcp("6277"),
    "DHCPfwd": (MacroPart("udp", "67:68", "67:68"),),
    "DNS": _udp("53") + _tcp("53"),
    "Distcc": _tcp("3632"),
    "FTP": _tcp("21"),
    "Finger": _tcp("79"),
    "GNUnet": _tcp("2086") + _udp("2086") + _tcp("1080") + _udp("1080"),
    "GRE": _protocol("47"),
    "Git": _tcp("9418"),
    "HKP": _tcp("11371"),
    "HTTP": _tcp("80"),
    "HTTPS": _tcp("443"),
    "ICPV2": _udp("3130"),
    "ICQ": _tcp("5190"),
    "IMAP": _tcp("143"),
    "IMAPS": _tcp("993"),
    "IPIP": _protocol("94"),
    "IPsec": _IKE + _protocol("50"),
    "IPsecah": _IKE + _protocol("51"),
    "IPsecnat": _udp("500", "4500") + _protocol("50"),
    "IRC": _tcp("6667"),
    "Jetdirect": _tcp("9100"),
    "L2TP": _udp("1701"),
    "LDAP": _tcp("389"),
    "LDAPS": _tcp("636"),
    "MDNS": _udp("5353"),
    "MSNP": _tcp("1863"),
    "MSSQL": _tcp("1433"),
    "Mail": _tcp("25", "465", "587"),
    "Munin": _tcp("4949"),
    "MySQL": _tcp("3306"),
    "NNTP": _tcp("119"),
    "NNTPS": _tcp("563"),
    "NTP": _udp("123"),
    "OSPF": _protocol("89"),
    "OpenVPN": _udp("1194"),
    "PCA": _udp("5632") + _tcp("5631"),
    "PMG": _tcp("8006"),
    "POP3": _tcp("110"),
    "POP3S": _tcp("995"),
    "PPtP": _protocol("47") + _tcp("1723"),
    "Ping": _ECHO,
    "PostgreSQL": _tcp("5432"),
    "Printer": _tcp("515"),
    "RDP": _tcp("3389"),
    "RIP": _udp("520"),
    "RNDC": _tcp("953"),
    "Razor": _tcp("2703"),
    "Rdate": _tcp("37"),
    "Rsync": _tcp("873"),
    "SANE": _tcp("6566"),
    "SMB": (*_udp("135,445", "137:139"), MacroPart("udp", "1024:65535", "137"), *_tcp("135,139,445")),
    "SMBswat": _tcp("901"),
    "SMTP": _tcp("25"),
    "SMTPS": _tcp("465"),
    "SNMP": _udp("161:162") + _tcp("161"),
    "SPAMD": _tcp("783"),
    "SPICEproxy": _tcp("3128"),
    "SSH": _tcp("22"),
    "SVN": _tcp("3690"),
    "SixXS": _tcp("3874") + _udp("3740") + _protocol("41") + _udp("5072,8374"),
    "Squid": _tcp("3128"),
    "Submission": _tcp("587"),
    "Syslog": _udp("514") + _tcp("514"),
    "TFTP": _udp("69"),
    "Telnet": _tcp("23"),
    "Telnets": _tcp("992"),
    "Time": _tcp("37"),
    "Trcrt": _TRACE + _ECHO,
    "VNC": _tcp("5900:5999"),
    "VNCL": _tcp("5500"),
    "Web": _tcp("80", "443"),
    "Webcache": _tcp("8080"),
    "Webmin": _tcp("10000"),
    "Whois": _tcp("43"),
}

_SIXTH: dict[str, tuple[MacroPart, ...]] = {
    "DHCPv6": (MacroPart("udp", "546:547", "546:547"),),
    "NeighborDiscovery": tuple(
        MacroPart("icmpv6", kind)
        for kind in (
            "router-solicitation",
            "router-advertisement",
            "neighbor-solicitation",
            "neighbor-advertisement",
        )
    ),
    "Ping": _ECHO6,
    "Trcrt": _TRACE + _ECHO6,
}

_NAMES = {name.lower(): name for name in (*_BOTH, *_SIXTH)}
MACRO_NAMES = tuple(sorted(_NAMES.values()))


def macro_name(written: str) -> str | None:
    """Return a macro's own spelling, None where there is no such macro."""
    return _NAMES.get(written.lower())


def macro_parts(name: str, version: int | None) -> tuple[MacroPart, ...]:
    """Return a macro's rules for an IP version, none where it is for the other one alone.

    Without a version (a rule for both, while it is checked) those of IPv4 count, where there are any.
    """
    if version == 6 and name in _SIXTH:
        return _SIXTH[name]
    if name in _BOTH:
        return _BOTH[name]
    return () if version == 4 else _SIXTH[name]
