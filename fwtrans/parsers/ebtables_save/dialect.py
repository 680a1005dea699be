"""What the reader must know of ebtables and of arptables: options with their arity and spellings, built-in chains."""

from __future__ import annotations

from dataclasses import dataclass

from fwtrans.parsers.iptables_save.options import Option

_JUMPS = {"--jump"}
_GLUED = {"-p", "-i", "-o", "-s", "-d", "-j"}
"""The short options of ebtables, to which getopt lets a value be glued."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One program. `blank_negation` is where it prints the `!` itself: behind the option or in front."""

    program: str
    options: tuple[Option, ...]
    built_in: dict[str, tuple[str, ...]]
    user_policy: str

    def find(self, word: str) -> Option | None:
        """Return the option of that spelling; an unambiguous beginning of a long one will do (getopt_long)."""
        known = {name: option for option in self.options for name in (option.name, *option.aliases)}
        if word in known:
            return known[word]
        if not word.startswith("--"):
            return None
        candidates = {option.name: option for name, option in known.items() if name.startswith(word)}
        return next(iter(candidates.values())) if len(candidates) == 1 else None

    def unglued(self, word: str) -> list[str]:
        """Return option and value of `--mark-set=1`, or of `-ieth0` where the program takes that; empty for other words."""
        if self.program != "ebtables":
            return []
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            option = self.find(name) if equals else None
            takes = name in _JUMPS if option is None else bool(option.arity)
            return [name, value] if equals and takes else []
        return [word[:2], word[2:]] if len(word) > 2 and word[:2] in _GLUED else []


def _option(name: str, *aliases: str, arity: int = 1, negatable: bool = True) -> Option:
    return Option(name=name, aliases=aliases, arity=arity, negatable=negatable)


EBTABLES = Dialect(
    program="ebtables",
    built_in={
        "filter": ("INPUT", "FORWARD", "OUTPUT"),
        "nat": ("PREROUTING", "OUTPUT", "POSTROUTING"),
        "broute": ("BROUTING",),
    },
    user_policy="ACCEPT",
    options=(
        _option("-p", "--protocol", "--proto"),
        _option("-i", "--in-interface", "--in-if"),
        _option("-o", "--out-interface", "--out-if"),
        _option("--logical-in"),
        _option("--logical-out"),
        _option("-s", "--source", "--src"),
        _option("-d", "--destination", "--dst"),
        _option("--802_3-sap"),
        _option("--802_3-type"),
        _option("--among-dst"),
        _option("--among-src"),
        _option("--among-dst-file"),
        _option("--among-src-file"),
        _option("--arp-op", "--arp-opcode"),
        _option("--arp-htype"),
        _option("--arp-ptype"),
        _option("--arp-ip-src"),
        _option("--arp-ip-dst"),
        _option("--arp-mac-src"),
        _option("--arp-mac-dst"),
        _option("--arp-gratuitous", arity=0),
        _option("--ip-src", "--ip-source"),
        _option("--ip-dst", "--ip-destination"),
        _option("--ip-tos"),
        _option("--ip-proto", "--ip-protocol"),
        _option("--ip-sport", "--ip-source-port"),
        _option("--ip-dport", "--ip-destination-port"),
        _option("--ip-icmp-type"),
        _option("--ip-igmp-type"),
        _option("--ip6-src", "--ip6-source"),
        _option("--ip6-dst", "--ip6-destination"),
        _option("--ip6-tclass"),
        _option("--ip6-proto", "--ip6-protocol"),
        _option("--ip6-sport", "--ip6-source-port"),
        _option("--ip6-dport", "--ip6-destination-port"),
        _option("--ip6-icmp-type"),
        _option("--limit", negatable=False),
        _option("--limit-burst", negatable=False),
        _option("--mark"),
        _option("--pkttype-type"),
        *(
            _option(f"--stp-{what}")
            for what in (
                "type", "flags", "root-prio", "root-addr", "root-cost", "sender-prio", "sender-addr", "port",
                "msg-age", "max-age", "hello-time", "forward-delay",
            )
        ),
        _option("--string-algo"),
        _option("--string-from"),
        _option("--string-to"),
        _option("--string"),
        _option("--string-hex"),
        _option("--string-icase", arity=0),
        _option("--vlan-id"),
        _option("--vlan-prio"),
        _option("--vlan-encap"),
        _option("--log", arity=0, negatable=False),
        _option("--log-level", negatable=False),
        _option("--log-prefix", negatable=False),
        _option("--log-ip", arity=0, negatable=False),
        _option("--log-ip6", arity=0, negatable=False),
        _option("--log-arp", arity=0, negatable=False),
        _option("--nflog", arity=0, negatable=False),
        _option("--nflog-group", negatable=False),
        _option("--nflog-prefix", negatable=False),
        _option("--nflog-range", negatable=False),
        _option("--nflog-threshold", negatable=False),
        _option("--ulog", arity=0, negatable=False),
        _option("--ulog-prefix", negatable=False),
        _option("--ulog-nlgroup", negatable=False),
        _option("--ulog-cprange", negatable=False),
        _option("--ulog-qthreshold", negatable=False),
        _option("--arpreply-mac", negatable=False),
        _option("--arpreply-target", negatable=False),
        _option("--to-dst", "--to-destination", negatable=False),
        _option("--dnat-target", negatable=False),
        _option("--mark-set", "--set-mark", negatable=False),
        _option("--mark-or", "--or-mark", negatable=False),
        _option("--mark-and", "--and-mark", negatable=False),
        _option("--mark-xor", "--xor-mark", negatable=False),
        _option("--mark-target", negatable=False),
        _option("--redirect-target", negatable=False),
        _option("--to-src", "--to-source", negatable=False),
        _option("--snat-target", negatable=False),
        _option("--snat-arp", arity=0, negatable=False),
    ),
)  # fmt: skip

ARPTABLES = Dialect(
    program="arptables",
    built_in={"filter": ("INPUT", "OUTPUT", "FORWARD")},
    user_policy="-",
    options=(
        _option("-s", "--source-ip", "--src-ip"),
        _option("-d", "--destination-ip", "--dst-ip"),
        _option("--src-mac", "--source-mac"),
        _option("--dst-mac", "--destination-mac"),
        _option("-i", "--in-interface"),
        _option("-o", "--out-interface"),
        _option("--h-length", "-l"),
        _option("--opcode"),
        _option("--h-type"),
        _option("--proto-type"),
        _option("--mangle-ip-s", negatable=False),
        _option("--mangle-ip-d", negatable=False),
        _option("--mangle-mac-s", "--mangle-hw-s", negatable=False),
        _option("--mangle-mac-d", "--mangle-hw-d", negatable=False),
        _option("--mangle-target", negatable=False),
        _option("--set-class", negatable=False),
        _option("--set-mark", "--set-xmark", negatable=False),
        _option("--and-mark", negatable=False),
        _option("--or-mark", negatable=False),
        _option("--xor-mark", negatable=False),
    ),
)
