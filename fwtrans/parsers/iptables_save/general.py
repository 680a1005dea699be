"""The commands and options that iptables has without any extension, as its parser (1.8.9, xshared.c) takes them.

A word behind a command may be missing: the position of -I, the chain of -F. iptables takes the next word for it unless
that begins with `-` or `!`.
"""

from __future__ import annotations

from typing import NamedTuple


class General(NamedTuple):
    """One command or general option. `terminal` is the grammar's name, `takes` what its words are called there.

    The `optional` words are there or not, the second only if the first is. `name` is the canonical spelling.
    """

    terminal: str
    name: str
    longs: tuple[str, ...]
    takes: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    negatable: bool = False


GENERAL: tuple[General, ...] = (
    General("APPEND", "-A", ("--append",), ("CHAIN",)),
    General("CHECK", "-C", ("--check",), ("CHAIN",)),
    General("DELETE", "-D", ("--delete",), ("CHAIN",), ("NUMBER",)),
    General("RENAME_CHAIN", "-E", ("--rename-chain",), ("CHAIN",), ("VALUE",)),
    General("FLUSH", "-F", ("--flush",), (), ("CHAIN",)),
    General("INSERT", "-I", ("--insert",), ("CHAIN",), ("NUMBER",)),
    General("LIST", "-L", ("--list",), (), ("CHAIN", "NUMBER")),
    General("MODIFIER", "-M", ("--modprobe",), ("VALUE",)),
    General("NEW_CHAIN", "-N", ("--new-chain",), ("CHAIN",)),
    General("SET_POLICY", "-P", ("--policy",), ("CHAIN",), ("POLICY",)),
    General("REPLACE", "-R", ("--replace",), ("CHAIN",), ("NUMBER",)),
    General("LIST", "-S", ("--list-rules",), (), ("CHAIN", "NUMBER")),
    General("MODIFIER", "-W", ("--wait-interval",), (), ("VALUE",)),
    General("DELETE_CHAIN", "-X", ("--delete-chain",), (), ("CHAIN",)),
    General("ZERO", "-Z", ("--zero",), (), ("CHAIN", "NUMBER")),
    General("SET_COUNTERS", "-c", ("--set-counters",), ("NUMBER",), ("NUMBER",)),
    General("OPTION", "-d", ("--destination", "--dst"), ("VALUE",), negatable=True),
    General("OPTION", "-f", ("--fragments",), negatable=True),
    General("GOTO", "-g", ("--goto",), ("CHAIN",)),
    General("OPTION", "-i", ("--in-interface",), ("VALUE",), negatable=True),
    General("JUMP", "-j", ("--jump",), ("EXTENSION",)),
    General("MATCH", "-m", ("--match",), ("EXTENSION",)),
    General("MODIFIER", "-n", ("--numeric",)),
    General("OPTION", "-o", ("--out-interface",), ("VALUE",), negatable=True),
    General("OPTION", "-p", ("--protocol",), ("VALUE",), negatable=True),
    General("OPTION", "-s", ("--source", "--src"), ("VALUE",), negatable=True),
    General("TABLE_OPTION", "-t", ("--table",), ("TABLE",)),
    General("MODIFIER", "-v", ("--verbose",)),
    General("MODIFIER", "-w", ("--wait",), (), ("VALUE",)),
    General("MODIFIER", "-x", ("--exact",)),
    General("MODIFIER", "--line-numbers", ("--line-numbers",)),
    General("MODIFIER", "-4", ("--ipv4",)),
    General("MODIFIER", "-6", ("--ipv6",)),
)

BY_SHORT: dict[str, General] = {entry.name: entry for entry in GENERAL if len(entry.name) == 2}
BY_LONG: dict[str, General] = {long: entry for entry in GENERAL for long in entry.longs}

COMMANDS = frozenset(
    {"APPEND", "CHECK", "DELETE", "RENAME_CHAIN", "FLUSH", "INSERT", "LIST", "NEW_CHAIN", "SET_POLICY", "REPLACE"}
    | {"DELETE_CHAIN", "ZERO"}
)
LISTING = frozenset({"-n", "-x", "--line-numbers"})
"""Options of -L; iptables refuses them beside other commands."""

NOT_IN_A_FILE = frozenset({"-t", "-w", "-W"})
"""iptables-restore has its own; on a line of its file it refuses them."""

WHOLE_WORD = frozenset({"-i", "-o"})
"""Glued to one of these (`-ieth0`, `--in-interface=eth0`), iptables 1.8.9 takes the whole word for the name."""

BUILT_IN: dict[str, tuple[str, ...]] = {
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "raw": ("PREROUTING", "OUTPUT"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
}
"""The tables of both families, and the chains that each has from the beginning."""

LONGEST_NAME = 28
"""Characters of the name of a chain or an extension (XT_EXTENSION_MAXNAMELEN - 1)."""

# Numbers whose name in /etc/protocols is also that of a match: `-p 6 --dport 22` loads tcp. 135 is `mobility-header`
# there, so that `-p 135` loads nothing, while `-p mh` does.
PROTOCOL_MATCHES: dict[int, str] = {
    1: "icmp",
    6: "tcp",
    17: "udp",
    33: "dccp",
    50: "esp",
    51: "ah",
    58: "ipv6-icmp",
    108: "ipcomp",
    132: "sctp",
}

ICMP6_NAMES = frozenset({"icmpv6", "ipv6-icmp", "icmp6"})
"""One match under three names; iptables-save prints the last."""
