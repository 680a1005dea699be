"""Extensions that are not part of Linux and iptables: xtables-addons and older patches.

Dumps of real hosts name them. Their options are known to their own modules alone, so such a rule cannot be read, but what
is in the way is another thing than a misspelt name: there is nothing in nftables for it.
"""

from __future__ import annotations

from fwtrans.parsers.iptables_save.words import BadLine

_ADDONS = "xtables-addons"
_PATCH = "a patch of the kernel"

_MATCHES: dict[str, tuple[str, str]] = {
    "account": (_PATCH, ""),
    "asn": (_ADDONS, "put the networks into an ipset and ask it with `-m set`"),
    "condition": (_ADDONS, ""),
    "dhcpmac": (_ADDONS, ""),
    "fuzzy": (_ADDONS, "`-m hashlimit` or `-m limit` can be translated"),
    "geoip": (_ADDONS, "put the networks of the countries into an ipset and ask it with `-m set`"),
    "gradm": (_ADDONS, ""),
    "iface": (_ADDONS, ""),
    "ipp2p": (_ADDONS, ""),
    "ipv4options": (_ADDONS, "`-m u32` can ask for IPv4 options"),
    "layer7": (_PATCH, ""),
    "length2": (_ADDONS, "`-m length` can be translated"),
    "lscan": (_ADDONS, ""),
    "ndpi": ("nDPI", ""),
    "pknock": (_ADDONS, "several `-m recent` lists can open a port after knocks"),
    "proto": (_ADDONS, ""),
    "psd": (_ADDONS, "`-m recent --hitcount` can be translated"),
    "quota2": (_ADDONS, "`-m quota` can be translated"),
}
_TARGETS: dict[str, tuple[str, str]] = {
    "ACCOUNT": (_ADDONS, "a counter for each address is a set with counters in nftables"),
    "CHAOS": (_ADDONS, ""),
    "DELUDE": (_ADDONS, ""),
    "DHCPMAC": (_ADDONS, ""),
    "DNETMAP": (_ADDONS, ""),
    "ECHO": (_ADDONS, ""),
    "FLOWOFFLOAD": ("OpenWrt", "nftables has flow tables: see nft(8), FLOWTABLES"),
    "FULLCONENAT": (_PATCH, ""),
    "IMQ": (_PATCH, ""),
    "IPMARK": (_ADDONS, ""),
    "LOGMARK": (_ADDONS, ""),
    "NDPI": ("nDPI", ""),
    "PROTO": (_ADDONS, ""),
    "RAWDNAT": (_ADDONS, ""),
    "RAWSNAT": (_ADDONS, ""),
    "ROUTE": (_PATCH, "set a mark and route by it"),
    "STEAL": (_ADDONS, "`-j DROP` does the same to the sender"),
    "SYSRQ": (_ADDONS, ""),
    "TARPIT": (_ADDONS, ""),
    "ULOG": ("kernels before 3.17", "`-j NFLOG` has taken its place"),
}


def unknown_to_linux(kind: str, name: str, word: int | None) -> BadLine | None:
    """Return the error of a match or target that is known to come from elsewhere, None for any other name."""
    found = (_MATCHES if kind == "match" else _TARGETS).get(name)
    if found is None:
        return None
    home, hint = found
    return BadLine(
        "FWT208", f"{kind} `{name}` comes from {home}, and nftables has nothing like it", word=word, hint=hint
    )
