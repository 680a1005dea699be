"""The case tables of the matches from mac to udp (and tcp), with the ipsets that their rules name.

A case is written as in `match_cases.py`: `input ; nft ; OK` or `input ; ; FAIL CODE`, rules parted by `//`, sets and
objects first, `(nothing)` for a rule that can never match. Sets of the input are not repeated in the nft column.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fwtrans.backend.nft.lower import Printing, lower_ruleset
from fwtrans.backend.nft.text import print_ruleset
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.ir.fields import Family
from fwtrans.ir.ruleset import Ruleset
from fwtrans.lower.extensions.registry import ExtensionOptions
from fwtrans.lower.ipset import lower_ipsets
from fwtrans.lower.iptables import lower_dump
from fwtrans.parsers.ipset_save.parse import parse_ipset_save
from fwtrans.parsers.iptables_save.dump import parse_dump
from fwtrans.source import SourceFile
from tests.lower.extensions.match_cases import BUILT_IN, FIXTURES, Case, Translated, dump_of, rules_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwtrans.ir.sets import NamedSet

__all__ = ["BUILT_IN", "Case", "Translated", "dump_of", "rules_of"]

NAMES = (
    "mac", "mark", "mh", "multiport", "nfacct", "osf", "owner", "physdev", "pkttype", "policy", "quota", "rateest",
    "realm", "recent", "rpfilter", "rt", "sctp", "set", "socket", "srh", "statistic", "string", "tcp", "tcpmss", "time",
    "tos", "ttl", "u32", "udp",
)  # fmt: skip

IPSETS = """\
create addresses hash:ip family inet hashsize 1024 maxelem 65536
add addresses 10.9.0.2
add addresses 192.0.2.7
create addresses6 hash:ip family inet6 hashsize 1024 maxelem 65536
add addresses6 fd00:9::2
create networks hash:net family inet hashsize 1024 maxelem 65536
add networks 10.9.0.0/24
add networks 10.9.0.2 nomatch
create counted hash:ip family inet hashsize 1024 maxelem 65536 counters
add counted 10.9.0.2 packets 0 bytes 0
create services hash:ip,port family inet hashsize 1024 maxelem 65536
add services 10.9.0.2,tcp:80
add services 10.9.0.2,udp:53
create mixed hash:ip,port family inet hashsize 1024 maxelem 65536
add mixed 10.9.0.2,tcp:80
add mixed 10.9.0.2,icmp:echo-request
add mixed 10.9.0.2,47:0
create ports bitmap:port range 0-1023
add ports 53
add ports 80
create three hash:ip,port,net family inet hashsize 1024 maxelem 65536
add three 10.9.0.2,tcp:80,10.9.0.0/24
create byport hash:net,iface family inet hashsize 1024 maxelem 65536
add byport 10.9.0.0/24,v1
"""
# The kernel of the test machine may not have these types.
MORE_IPSETS = """\
create bymark hash:ip,mark family inet markmask 0xffffffff hashsize 1024 maxelem 65536
add bymark 10.9.0.2,0x5
create hardware hash:mac hashsize 1024 maxelem 65536
add hardware 02:00:00:00:00:02
"""


def read_cases(name: str) -> list[Case]:
    """Return the cases of one table."""
    cases: list[Case] = []
    for number, line in enumerate((FIXTURES / f"{name}.cases").read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        text, expected, outcome = line.rsplit(" ;", 2)
        word, _, code = outcome.strip().partition(" ")
        assert (word, bool(code)) in {("OK", False), ("FAIL", True)}, f"{name}:{number}: {outcome}"
        family = "ip6" if text.startswith("ip6:") else "ip"
        table, rule = _take(text.removeprefix("ip6:").strip(), "-t", "filter")
        chain, rule = _take(rule, "-A", "FORWARD")
        cases.append(Case(f"{name}:{number}", name, family, table, chain, rule, expected.strip(), code))
    return cases


def _take(rule: str, option: str, default: str) -> tuple[str, str]:
    found = re.match(rf"{option} (\S+) (.*)", rule)
    return (found.group(1), found.group(2)) if found else (default, rule)


def sets_for(case: Case) -> list[SourceFile]:
    """Return the sets that the case names, as a dump."""
    known = IPSETS + MORE_IPSETS
    named = {word for word in case.rule.split() if f"create {word} " in known}
    lines = [line for line in known.splitlines(keepends=True) if line.split()[1] in named]
    return [SourceFile("ipset-save", "".join(lines))] if lines else []


def sets_of(family: str) -> Mapping[str, NamedSet]:
    """Return the sets as rules of the family see them."""
    sink = DiagnosticSink()
    parsed = parse_ipset_save(SourceFile("ipset-save", IPSETS + MORE_IPSETS), sink)
    assert not sink.errors, sink.errors
    assert parsed is not None
    return lower_ipsets(parsed.sets, Family(family))


def translate(dump: str, family: str, *, counters: bool = False) -> Translated:
    """Send a dump through the whole pipeline; rules are numbered by their line in their comments if they are counted."""
    sink = DiagnosticSink()
    parsed = parse_dump(SourceFile("case", dump), family, ExtensionOptions(), sink)
    if parsed is None:
        return Translated("", tuple(sink.found), ())
    lowered = lower_dump(parsed, sets_of(family), sink)
    printing = Printing(counters=counters, origin_id=lambda origin: str(origin.line) if counters else "")
    printed = lower_ruleset(Ruleset((lowered.table,)), sink, printing)
    return Translated(print_ruleset(printed.ruleset).text, tuple(sink.found), lowered.assumptions)


def nft_of(case: Case) -> str:
    """Return what the table's nft column has to say."""
    found = translate(dump_of(case.table, case.chain, [case.rule]), case.family)
    chain = case.chain if case.table == "filter" else f"{case.table}-{case.chain}"
    rules = rules_of(found.script, chain)
    own = [part for part in rules.split(" // ") if not re.match(rf"set ({'|'.join(sets_of(case.family))}) ", part)]
    helpers = _helper_chains(found.script)
    return " // ".join([*own, *helpers])


def _helper_chains(script: str) -> list[str]:
    """Return the chains that are not the table's own."""
    found = re.findall(r"^\tchain (\S+) \{\n(.*?)^\t\}", script, re.MULTILINE | re.DOTALL)
    return [
        f"chain {name} {{ {'; '.join(map(str.strip, body.strip().splitlines()))} }}"
        for name, body in found
        if not body.lstrip().startswith("type ")
    ]
