"""Ways to translate the rules of fixtures/lab/host wrongly: each a change to its nft text, at a place that a seed chooses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random


class Wrong(NamedTuple):
    """A kind of mistake: what it is, which text it is made in, and what is made of it."""

    name: str
    pattern: str
    change: Callable[[re.Match[str]], str]


def _as(text: str) -> Callable[[re.Match[str]], str]:
    return lambda _found: text


def _line_gone(_found: re.Match[str]) -> str:
    return ""


KINDS = (
    Wrong("a network is one bit smaller", r"(?<=saddr )(\d+\.\d+\.\d+\.\d+)/16", lambda found: f"{found[1]}/17"),
    Wrong("a network is one bit larger", r"(?<=daddr )10\.2\.0\.0/16", _as("10.2.0.0/15")),
    Wrong("a port is the next one", r"(?<=tcp dport )(22|23|25)\b", lambda found: str(int(found[1]) + 1)),
    Wrong("a range of ports ends too early", r"8000-8010", _as("8000-8009")),
    Wrong("a port of a set is missing", r"\{ 25, 465 \}", _as("{ 25 }")),
    Wrong("a negation is lost", r"(?<=saddr )!= (?=10\.)", _as("")),
    Wrong("tcp for udp", r"\budp(?= dport 53\b)", _as("tcp")),
    Wrong("another interface comes in", r'(?<=iifname )"eth([12])"', lambda found: f'"eth{3 - int(found[1])}"'),
    Wrong("another interface goes out", r'(?<=oifname )"eth0"', _as('"eth1"')),
    Wrong("established is forgotten", r"ct state established,related accept", _as("ct state related accept")),
    Wrong("related is forgotten", r"ct state established,related accept", _as("ct state established accept")),
    Wrong("invalid is not dropped", r"\t\tct state invalid drop.*\n", _line_gone),
    Wrong("a reset becomes a drop", r"reject with tcp reset", _as("drop")),
    Wrong("another ICMP code", r"(?<=reject with icmp )admin-prohibited", _as("port-unreachable")),
    Wrong("the policy is lost", r"\t\tdrop comment \"v[46]:\d+ policy\"\n", _line_gone),
    Wrong("a rule is missing", r"\t\t[^\n]*\b(?:accept|drop)\b comment \"v[46]:\d+\"\n", _line_gone),
    Wrong("return becomes accept", r"\breturn\b", _as("accept")),
    Wrong("another mark", r"meta mark set (?:0x0*4\b|4\b)", _as("meta mark set 5")),
    Wrong("another connection mark", r"(?<=\| )0x0*22\b", _as("0x23")),
    Wrong("another address for a destination", r"10\.1\.0\.80:443", _as("10.1.0.81:443")),
    Wrong("another source address", r"(?<=snat to )192\.0\.2\.1", _as("192.0.2.2")),
    Wrong("another DSCP", r"(?<=ip dscp set )\S+", _as("45")),
    Wrong("another TTL", r"(?<=ip ttl set )61", _as("62")),
    Wrong("another segment size", r"(?<=maxseg size set )1400", _as("1300")),
    Wrong("a log is missing", r'log prefix "dns: " group 3', _as("counter")),
    Wrong("another log prefix", r'"dns: "', _as('"dns:"')),
    Wrong("another length", r"(?<=ip length )100-200", _as("100-199")),
    Wrong("another flag", r"== fin\b", _as("== rst")),
    Wrong("another ICMP type", r"(?<=icmp type )echo-request", _as("echo-reply")),
    Wrong("another redirected port", r"(?<=redirect to :)1123", _as("1124")),
    Wrong("tracked all the same", r"\bnotrack\b", _as("counter")),
)


def made_wrong(kind: Wrong, script: str, source: Random) -> str:
    """Return the script with one mistake of the kind."""
    found = list(re.finditer(kind.pattern, script))
    assert found, f"{kind.name}: nothing to change in\n{script}"
    place = source.choice(found)
    return script[: place.start()] + kind.change(place) + script[place.end() :]
