"""A small table of options for tests of the reader: what Proxmox VE prints, and whatever has a form of its own.

The registry of fwtrans/lower says what the options mean; the reader must be right whatever the table holds.
"""

from __future__ import annotations

from fwtrans.parsers.iptables_save.options import Option


def _options(*texts: str) -> tuple[Option, ...]:
    """Make options of `!--dport=--destination-port:1`: negatable or not, name, aliases, arity (1 if it is left out)."""
    made = []
    for text in texts:
        spelling, _, arity = text.partition(":")
        names = spelling.lstrip("!+").split("=")
        made.append(
            Option(
                name=names[0],
                aliases=tuple(names[1:]),
                arity=int(arity or 1),
                negatable=text.startswith("!"),
                repeatable=text.startswith("+"),
            )
        )
    return tuple(made)


_PORTS = ("!--sport=--source-port", "!--dport=--destination-port")

MATCHES: dict[str, tuple[Option, ...]] = {
    "addrtype": _options("!--src-type", "!--dst-type", "--limit-iface-in:0", "--limit-iface-out:0"),
    "comment": _options("--comment"),
    "connmark": _options("!--mark"),
    "conntrack": _options("!--ctstate", "!--ctproto", "!--ctorigsrc", "!--ctstatus", "--ctdir"),
    "dccp": _options(*_PORTS, "!--dccp-types", "!--dccp-option"),
    "hashlimit": _options(
        "--hashlimit-upto",
        "--hashlimit-above",
        "--hashlimit-burst",
        "--hashlimit-mode",
        "--hashlimit-name",
        "--hashlimit-htable-size",
        "--hashlimit-htable-expire",
        "--hashlimit-srcmask",
        "--hashlimit-dstmask",
    ),
    "iprange": _options("!--src-range", "!--dst-range"),
    "limit": _options("--limit", "--limit-burst"),
    "mac": _options("!--mac-source"),
    "mark": _options("!--mark"),
    "multiport": _options("!--sports=--source-ports", "!--dports=--destination-ports", "!--ports"),
    "physdev": _options("!--physdev-in", "!--physdev-out", "!--physdev-is-bridged:0"),
    "policy": _options("--dir", "--pol", "--strict:0", "+--proto", "+--mode", "+--next:0"),
    "recent": _options("!--set:0", "!--rcheck:0", "!--update:0", "!--remove:0", "--seconds", "--hitcount", "--name"),
    "sctp": _options(*_PORTS, "!--chunk-types:2"),
    "set": _options("!--match-set:2", "--return-nomatch:0"),
    "state": _options("!--state"),
    "string": _options("!--string", "!--hex-string", "--algo", "--from", "--to"),
    "tcp": _options(*_PORTS, "!--tcp-flags:2", "!--syn:0", "!--tcp-option"),
    "udp": _options(*_PORTS),
}

MATCHES_OF: dict[str, dict[str, tuple[Option, ...]]] = {
    "ip": {"icmp": _options("!--icmp-type"), "ah": _options("!--ahspi"), "ttl": _options("!--ttl-eq", "--ttl-gt")},
    "ip6": {
        "icmp6": _options("!--icmpv6-type"),
        "frag": _options("!--fragid", "--fragmore:0"),
        "mh": _options("!--mh-type"),
    },
}

TARGETS: dict[str, tuple[Option, ...]] = {
    "ACCEPT": (),
    "DROP": (),
    "RETURN": (),
    "QUEUE": (),
    "CONNMARK": _options(
        "--set-xmark", "--set-mark", "--save-mark:0", "--restore-mark:0", "--nfmask", "--ctmask", "--mask"
    ),
    "CT": _options("--notrack:0", "--helper", "--zone", "--zone-orig", "--zone-reply"),
    "DNAT": _options("--to-destination", "--random:0", "--persistent:0"),
    "LOG": _options("--log-prefix", "--log-level", "--log-uid:0"),
    "MARK": _options("--set-xmark", "--set-mark", "--and-mark", "--or-mark", "--xor-mark"),
    "MASQUERADE": _options("--to-ports", "--random:0"),
    "NFLOG": _options("--nflog-group", "--nflog-prefix", "--nflog-size", "--nflog-threshold"),
    "NFQUEUE": _options("--queue-num", "--queue-balance", "--queue-bypass:0", "--queue-cpu-fanout:0"),
    "REDIRECT": _options("--to-ports", "--random:0"),
    "REJECT": _options("--reject-with"),
    "SET": _options("--add-set:2", "--del-set:2", "--timeout", "--exist:0"),
    "SNAT": _options("--to-source", "--random:0", "--persistent:0"),
    "TCPMSS": _options("--set-mss", "--clamp-mss-to-pmtu:0"),
}


class SmallTable:
    """The options above, as the reader asks for them."""

    def match_options(self, name: str, family: str) -> tuple[Option, ...] | None:
        found = MATCHES_OF.get(family, {}).get(name)
        return MATCHES.get(name) if found is None else found

    def target_options(self, name: str, _family: str) -> tuple[Option, ...] | None:
        return TARGETS.get(name)


OPTIONS = SmallTable()
