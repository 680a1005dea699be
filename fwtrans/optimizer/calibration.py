"""What steps cost in a kernel, in nanoseconds, as measured; the constants that the cost model decides by come from here.

`python bench/bench_steps.py --write` measures anew on another machine and writes the table. Only ratios matter: exact keys in
a hash are worth about four rules at any size, a map for two rules is a loss, concatenated intervals grow with the set, and
every base chain at a hook costs as much as two rules even when it has none.
"""

from __future__ import annotations

from math import log2
from statistics import fmean

from fwtrans.ir import fields as known

# The table begins.
KERNEL = "6.12.107, User Mode Linux"
DATE = "2026-11-21"
MEASURED = {
    "a base chain without rules": 41.4,
    "conntrack": 318.4,
    "test MARK": 8.4,
    "test CT_MARK": 7.3,
    "test CT_STATE": 6.1,
    "test L4PROTO": 11.7,
    "test IIFNAME": 16.0,
    "test OIFNAME": 17.2,
    "test IBRNAME": 21.8,
    "test OBRNAME": 22.5,
    "test DPORT": 18.8,
    "test SPORT": 19.7,
    "test ETHER_TYPE": 13.3,
    "test ETHER_SADDR": 13.5,
    "test ETHER_DADDR": 14.3,
    "test IP_SADDR": 15.1,
    "test IP_DADDR": 15.3,
    "a prefix that does not hold": 20.2,
    "a range of ports that does not hold": 26.8,
    "second test fails, addresses": 20.8,
    "second test fails, address and port": 32.1,
    "an anonymous set of 8 ports, missed": 26.1,
    "a rule that holds, without a verdict": 22.7,
    "a counter": 11.9,
    "jump to a chain without rules": 12.8,
    "hash, one key, 100 elements": 51.8,
    "hash, one key, 10000 elements": 43.6,
    "hash, one key, 65000 elements": 48.4,
    "hash, one key, 10000 elements, missed": 40.5,
    "hash, three keys, 10000 elements": 61.8,
    "hash by interface and ether type, 1000 elements": 65.4,
    "hash by state, ether type, interface, 1000 elements": 79.0,
    "verdict map, three keys, 10000 elements": 66.8,
    "verdict map that jumps to a chain without rules, 10000 elements": 68.4,
    "hash with masked keys, 400 elements, missed": 58.6,
    "intervals, one field, 10 elements": 41.4,
    "intervals, one field, 100 elements": 63.4,
    "intervals, one field, 10000 elements": 90.3,
    "concatenated intervals, three fields, 100 elements": 134.8,
    "concatenated intervals, three fields, 1000 elements": 267.6,
    "concatenated intervals, three fields, 10000 elements": 2288.8,
    "concatenated intervals, four fields with a name, 1000 elements": 473.1,
}
# The table ends.

TESTS = {
    field: round(MEASURED[f"test {name}"])
    for name, field in (
        ("MARK", known.MARK),
        ("CT_MARK", known.CT_MARK),
        ("CT_STATE", known.CT_STATE),
        ("L4PROTO", known.L4PROTO),
        ("IIFNAME", known.IIFNAME),
        ("OIFNAME", known.OIFNAME),
        ("IBRNAME", known.IBRNAME),
        ("OBRNAME", known.OBRNAME),
        ("DPORT", known.DPORT),
        ("SPORT", known.SPORT),
        ("ETHER_TYPE", known.ETHER_TYPE),
        ("ETHER_SADDR", known.ETHER_SADDR),
        ("ETHER_DADDR", known.ETHER_DADDR),
        ("IP_SADDR", known.IP_SADDR),
        ("IP_DADDR", known.IP_DADDR),
    )
}
"""What a rule takes whose first test is of this field and does not hold."""

JUMP = round(MEASURED["jump to a chain without rules"])
RULE_OF_A_RUN = round(
    fmean(
        (
            MEASURED["test IP_SADDR"],
            MEASURED["second test fails, addresses"],
        )
    )
)
"""What a rule takes that turns a packet away at its first or its second test."""
HASH = round(
    fmean(
        (
            MEASURED["hash, three keys, 10000 elements"],
            MEASURED["hash by state, ether type, interface, 1000 elements"],
            MEASURED["verdict map, three keys, 10000 elements"],
        )
    )
)
"""What a look-up of an exact key of several fields takes."""
ONE_KEY_HASH = round(fmean((MEASURED["hash, one key, 100 elements"], MEASURED["hash, one key, 10000 elements"])))
"""What a look-up of an exact key of one field takes."""
MASKED_HASH = round(MEASURED["hash with masked keys, 400 elements, missed"])

_FEW, _MANY = 10, 10_000
_SLOPE = (MEASURED[f"intervals, one field, {_MANY} elements"] - MEASURED[f"intervals, one field, {_FEW} elements"]) / (
    log2(_MANY) - log2(_FEW)
)
INTERVAL_FACTOR = round(_SLOPE, 1)
"""What each doubling of the number of intervals adds: they are in a tree."""
INTERVAL_BASE = round(MEASURED[f"intervals, one field, {_FEW} elements"] - _SLOPE * log2(_FEW))

_SMALL, _BIG = 100, 10_000
_THREE_FIELDS = "concatenated intervals, three fields, {} elements"
PIPAPO_FACTOR = round(
    (MEASURED[_THREE_FIELDS.format(_BIG)] - MEASURED[_THREE_FIELDS.format(_SMALL)]) / (_BIG - _SMALL), 3
)
"""What each element of a set of concatenated intervals adds."""
PIPAPO_BASE = round(MEASURED[_THREE_FIELDS.format(_SMALL)] - PIPAPO_FACTOR * _SMALL)
"""What three fields take before any element."""
