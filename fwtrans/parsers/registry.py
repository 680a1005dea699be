r"""Which format a text has, told from its content. The file's name decides only where the content leaves it open.

Which family a dump is of is told by its header, then by the name, and only then by its rules.

recognise("*filter\n:INPUT DROP [0:0]\nCOMMIT\n", "rules.v6")    ->    Format.IP6TABLES_SAVE
"""

from __future__ import annotations

import re
from collections import Counter
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING

from fwtrans.parsers.iptables_save.sniff import family_of_name

if TYPE_CHECKING:
    from collections.abc import Iterator


class Format(Enum):
    """What a text is. A dump that does not say its family, and whose name does not, counts as IPTABLES_SAVE."""

    IPTABLES_SAVE = "iptables-save"
    IP6TABLES_SAVE = "ip6tables-save"
    IPTABLES_COMMANDS = "iptables commands"
    IPSET_SAVE = "ipset save"
    EBTABLES_SAVE = "ebtables-save"
    ARPTABLES_SAVE = "arptables-save"
    INTERFACES = "interfaces(5)"
    SHELL_SCRIPT = "shell script"
    NFT_TEXT = "nft"
    NFT_JSON = "nft JSON"
    PVE_FW = "Proxmox VE firewall"
    PVE_GUEST = "Proxmox VE guest"
    PVE_NODE = "Proxmox VE node facts"
    PVE_SDN = "Proxmox VE SDN sets"
    COROSYNC = "corosync.conf"
    UNKNOWN = "unknown"


_LONGEST_LOOK = 1 << 18
_MOST_LINES = 2000
_LONGEST_LINE = 400
_FIREWALL_PROGRAM = r"(?:sudo\s+)?(?:/\S*/)?ip6?tables(?:-legacy|-nft)?\s"

# A line counts for the first format that it fits; the numbers say how sure one such line makes us.
_SIGNS: tuple[tuple[Format, int, re.Pattern[str]], ...] = (
    (Format.PVE_FW, 50, re.compile(r"\[(?:OPTIONS|RULES|ALIASES|(?:IPSET|GROUP)\s+\S+)\]", re.IGNORECASE)),
    (Format.PVE_GUEST, 50, re.compile(r"net\d+:\s*(?:\S*,)?(?:bridge|hwaddr|macaddr|model|name|virtio|e1000\S*|vmxnet3|rtl8139)=\S")),
    (Format.PVE_GUEST, 3, re.compile(r"(?:rootfs|scsi\d+|virtio\d+|sata\d+|ide\d+|efidisk0|boot|scsihw|ostype|onboot):\s\S")),
    (Format.COROSYNC, 50, re.compile(r"(?:totem|nodelist|quorum)\s*\{$")),
    (
        Format.NFT_TEXT,
        1000,  # what stands in the braces looks like anything
        re.compile(
            r"""table\s+(?:(?:ip|ip6|inet|arp|bridge|netdev)\s+)?\S+\s*\{
            |flush\s+ruleset|define\s+\w+\s*=|include\s+"
            |(?:add|create|delete|destroy|flush)\s+table\s+(?:ip|ip6|inet|arp|bridge|netdev)\s
            |(?:add|create|delete|destroy|insert|replace|flush)\s+
             (?:chain|rule|set|map|element|flowtable|counter|quota|limit|ct|secmark|synproxy)\s+
             (?:ip|ip6|inet|arp|bridge|netdev)\s""",
            re.VERBOSE,
        ),
    ),
    (
        Format.IPSET_SAVE,
        20,
        re.compile(
            r"""(?:(?:/\S*/)?ipset\s+)?(?:-exist\s+|-!\s+)?(?:create|-N|--create|n)\s+(?:-exist\s+|-!\s+)?(?:"[^"]+"|\S+)\s+
            (?:(?:bitmap|hash|list):\S|(?:ip|mac|port|net)\w*hash\b|iptree|ipmap\b|macipmap\b|portmap\b|setlist\b)
            |Name:\s\S+$|Type:\s(?:bitmap|hash|list):|<ipsets>""",
            re.VERBOSE,
        ),
    ),
    (Format.IPSET_SAVE, 2, re.compile(r"(?:(?:/\S*/)?ipset\s+)?(?:-exist\s+|-!\s+)?(?:add|del|-A|flush|destroy)\s+[^-\s]\S*(?:\s+[^-\s]|$)")),
    (Format.IPSET_SAVE, 1, re.compile(r"(?:/\S*/)?ipset\s")),
    (Format.INTERFACES, 500, re.compile(r"iface\s+\S+(?:\s+(?:inet6?|can|ipx|tunnel|inherits)\b|$)")),
    (Format.INTERFACES, 10, re.compile(r"(?:auto|allow-[\w-]+|no-auto-down|no-scripts|mapping)\s+\S")),
    (Format.INTERFACES, 3, re.compile(r"(?:source|source-directory)\s+/?\S+$")),
    (Format.INTERFACES, 3, re.compile(r"(?:pre-up|up|post-up|down|pre-down|post-down)\s+\S")),
    (Format.IPTABLES_COMMANDS, 5, re.compile(_FIREWALL_PROGRAM)),
    (Format.IPTABLES_COMMANDS, 5, re.compile(r"-P\s+\S+\s+(?:ACCEPT|DROP|QUEUE)|-N\s+\S+$|-[AI]\s+\S+\s+(?:\d+\s+)?[-!]")),
    (Format.IPTABLES_COMMANDS, 1, re.compile(r"-t\s+\w+\s+-|-[FXZDR]\b")),
    (
        Format.SHELL_SCRIPT,
        6,
        re.compile(
            r"""(?:export\s+)?[A-Za-z_]\w*=|\$\{?\w+\}?\s|(?:if|elif|while|until|for|case)\s|(?:then|else|fi|do|done|esac)\b
            |function\s|\w+\s*\(\)|(?:echo|modprobe|sysctl|sleep|\.|\[)\s|exit\b|set\s+[-+]|(?:/\S*/)?(?:ebtables|arptables)\s""",
            re.VERBOSE,
        ),
    ),
)  # fmt: skip

_CALL = re.compile(r"(?:sudo\s+)?(?:/\S*/)?(ip6tables|iptables|ipset|ebtables|arptables)(?:-legacy|-nft)?\s")
_TABLE = re.compile(r"\*\w+$")
_COUNTED_CHAIN = re.compile(r":\S.*\s\[\d+:\d+\]$")
_PLAIN_CHAIN = re.compile(r":(\S+)\s+(\S+)$")
_BUILT_IN = frozenset({"INPUT", "OUTPUT", "FORWARD", "PREROUTING", "POSTROUTING", "BROUTING"})
_IP_ONLY = re.compile(r"\s-m [a-z]|-p (?:!\s)?(?:tcp|udp|icmp|ipv6-icmp|all)\b|\s--(?:sport|dport|state|ctstate)\s")
_ARP_ONLY = re.compile(
    r"\s--(?:opcode|h-length|h-type|proto-type|source-mac|src-mac|destination-mac|mangle-\S+)\s|-j mangle\b"
    r"|\s-[sd] (?:!\s)?\d+\.\d+\.\d+\.\d+"  # ebtables takes a hardware address there
)
_BRIDGE_ONLY = re.compile(
    r"\s-p (?:!\s)?(?:IPv4|IPv6|ARP|802_1Q|LENGTH|0x)|\s--(?:logical-\S+|among-\S+|ip6?-\S+|arp-\S+|vlan-\S+|stp-\S+)\s|-j CONTINUE\b"
)  # fmt: skip
_IPV6_ONLY = re.compile(
    r"\s-[sd] (?:!\s)?[0-9a-fA-F]*:|-p (?:ipv6-icmp|icmpv6|ipv6-\w+)\b|\bicmp6-|--icmpv6-type|--hl-"
)
_IPV4_ONLY = re.compile(
    r"\s-[sd] (?:!\s)?\d+\.\d+\.\d+\.\d+|-p icmp\b|--icmp-type|\s-f\s|--ttl-|\bicmp-(?:port|host|net|admin)-"
)

_NAMES = {
    "iptables-save": Format.IPTABLES_SAVE,
    "ip6tables-save": Format.IP6TABLES_SAVE,
    "ipset-save": Format.IPSET_SAVE,
    "ebtables-save": Format.EBTABLES_SAVE,
    "arptables-save": Format.ARPTABLES_SAVE,
    "interfaces": Format.INTERFACES,
    "vms.json": Format.PVE_NODE,
    "sdn.json": Format.PVE_SDN,
    "corosync.conf": Format.COROSYNC,
}
_ENDINGS = {".fw": Format.PVE_FW, ".nft": Format.NFT_TEXT, ".json": Format.NFT_JSON, ".sh": Format.SHELL_SCRIPT}
_GUEST_NAME = re.compile(r"(?:^|/)(?:qemu-server|lxc)/\d+\.conf$")
_BY_FAMILY: dict[str | None, Format] = {"ip": Format.IPTABLES_SAVE, "ip6": Format.IP6TABLES_SAVE}


def recognise(text: str, name_hint: str = "") -> Format:
    """Return the format of a text; `name_hint` is its file's name or path, which may say nothing."""
    beginning = text[:_LONGEST_LOOK].removeprefix("\ufeff")
    hint = _named(name_hint)
    if not beginning.strip():
        return hint if hint in _NAMES.values() else Format.UNKNOWN
    if _is_binary(beginning):
        return Format.UNKNOWN
    if beginning.lstrip()[0] in "{[":
        first = beginning.lstrip()
        if re.match(r'[{\[]\s*["{]', first):
            return _of_json(first)
    first_line = beginning.split("\n", 1)[0]
    if first_line.startswith("#!"):
        return _of_program(first_line, hint, beginning)
    return _of_lines(beginning, hint)


def _of_json(text: str) -> Format:
    if '"nftables"' in text[:4096]:
        return Format.NFT_JSON
    if '"nodename"' in text and ('"qemu"' in text or '"lxc"' in text or '"host_ip"' in text):
        return Format.PVE_NODE
    return Format.PVE_SDN if re.match(r'\{\s*"ipset(?:_comments)?"\s*:', text) else Format.UNKNOWN


def _named(name: str) -> Format:
    path = name.replace("\\", "/")
    base = path.rpartition("/")[2]
    if base in _NAMES:
        return _NAMES[base]
    if _GUEST_NAME.search(path):
        return Format.PVE_GUEST
    for ending, found in _ENDINGS.items():
        if base.endswith(ending):
            return found
    return _BY_FAMILY.get(family_of_name(name), Format.UNKNOWN)


def _is_binary(text: str) -> bool:
    """Tell whether the text has a NUL, or more control characters and undecodable bytes than any dump."""
    if "\0" in text:
        return True
    odd = sum(
        1
        for letter in text[:4096]
        if (letter < " " and letter not in "\t\n\r\f\v\x1b") or "\udc80" <= letter <= "\udcff"
    )
    return odd * 10 > min(len(text), 4096)


def _of_program(line: str, hint: Format, text: str) -> Format:
    """Return the format that the #! line names."""
    if re.search(r"\bnft\b", line):
        return Format.NFT_TEXT
    if re.search(r"\b(?:sh|bash|dash|ash|ksh|zsh)\b", line):
        return Format.SHELL_SCRIPT
    if re.search(r"\bip6?tables-restore\b|\bipset\b|\bebtables-restore\b", line):
        return _of_lines(text, hint)
    return Format.UNKNOWN


def _lines(text: str) -> Iterator[str]:
    """Yield the lines that say something, without blanks around, cut where they are long."""
    for line in text.split("\n"):
        stripped = line[:_LONGEST_LINE].strip()
        if stripped and not stripped.startswith("#"):
            yield stripped


def _of_lines(text: str, hint: Format) -> Format:
    lines = list(islice(_lines(text), _MOST_LINES))
    generated = re.search(r"^# Generated by (\w+tables)(?:-legacy|-nft)?-save\b", text, re.MULTILINE)
    if generated:
        return {
            "ip6tables": Format.IP6TABLES_SAVE,
            "ebtables": Format.EBTABLES_SAVE,
            "arptables": Format.ARPTABLES_SAVE,
        }.get(generated[1], Format.IPTABLES_SAVE)
    if any(_TABLE.match(line) for line in lines) and any(line[0] in ":-[C" for line in lines):
        return _of_dump(lines, hint)
    votes: Counter[Format] = Counter()
    for line in lines:
        for form, weight, pattern in _SIGNS:
            if pattern.match(line):
                votes[form] += weight
                break
    return _most(votes, lines, hint)


def _most(votes: Counter[Format], lines: list[str], hint: Format) -> Format:
    """Return the format with the most votes. What only a shell can read in order is a script."""
    if not votes:
        return Format.UNKNOWN if hint in {Format.NFT_JSON, Format.IP6TABLES_SAVE} else hint
    best = max(votes.values())
    leaders = [form for form, count in votes.items() if count == best]
    found = hint if hint in leaders else leaders[0]
    if found in {Format.NFT_TEXT, Format.PVE_FW, Format.PVE_GUEST, Format.COROSYNC, Format.INTERFACES}:
        return found
    calls = {program[1] for line in lines if (program := _CALL.match(line))}
    if len(calls) > 1 or (votes[Format.SHELL_SCRIPT] and (calls or votes[Format.IPTABLES_COMMANDS])):
        return Format.SHELL_SCRIPT
    return found


def _of_dump(lines: list[str], hint: Format) -> Format:
    """Tell the four dumps with `*table` lines apart.

    Chains of ebtables and arptables have no counters, and their dumps no COMMIT; a user chain of ebtables has a policy.
    A dump of iptables that lacks both by mistake is told by its rules, so that the mistake is what is said of it.
    """
    counted = any(_COUNTED_CHAIN.match(line) for line in lines)
    plain = [found for line in lines if (found := _PLAIN_CHAIN.match(line))]
    if counted or "COMMIT" in lines or not plain or any(_IP_ONLY.search(line) for line in lines):
        return _family(lines, hint)
    if any(_ARP_ONLY.search(line) for line in lines):
        return Format.ARPTABLES_SAVE
    user_policy = any(found[1] not in _BUILT_IN and found[2] != "-" for found in plain)
    tables = {line for line in lines if line.startswith("*")}
    if user_policy or tables & {"*nat", "*broute"} or any(_BRIDGE_ONLY.search(line) for line in lines):
        return Format.EBTABLES_SAVE
    if hint in {Format.EBTABLES_SAVE, Format.ARPTABLES_SAVE, Format.IPTABLES_SAVE, Format.IP6TABLES_SAVE}:
        return hint
    return Format.EBTABLES_SAVE if any(found[1] == "FORWARD" for found in plain) else Format.ARPTABLES_SAVE


def _family(lines: list[str], hint: Format) -> Format:
    """Return the family that the name tells: `-p icmp` in rules.v6 is IPv6, however useless, and no dump of IPv4."""
    if hint in _BY_FAMILY.values():
        return hint
    sixth = sum(1 for line in lines if _IPV6_ONLY.search(line))
    fourth = sum(1 for line in lines if _IPV4_ONLY.search(line))
    if sixth != fourth:
        return Format.IP6TABLES_SAVE if sixth > fourth else Format.IPTABLES_SAVE
    return Format.IPTABLES_SAVE
