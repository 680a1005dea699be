"""Hypothesis strategies: rules of the model that nft 1.0.6 takes in an inet base chain at forward."""

from __future__ import annotations

from hypothesis import strategies as st

from fwtrans.backend.nft import build as b
from fwtrans.backend.nft import model as nft

_PROTOCOLS = ("tcp", "udp", "sctp")
_STATES = ("established", "related", "new", "invalid", "untracked")
_TCP_FLAGS = ("fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr")
_OPERATORS = (nft.Operator.IMPLICIT, nft.Operator.EQUAL, nft.Operator.NOT_EQUAL)
_ORDERS = (nft.Operator.LESS, nft.Operator.GREATER, nft.Operator.LESS_OR_EQUAL, nft.Operator.GREATER_OR_EQUAL)


def numbers(width: int) -> st.SearchStrategy[nft.Number]:
    """Numbers of a field that is so many bits wide."""
    return st.integers(0, (1 << width) - 1).map(nft.Number)


def marks() -> st.SearchStrategy[nft.Number]:
    """Marks as nft lists them."""
    return st.integers(0, (1 << 32) - 1).map(b.mark)


def addresses(width: int = 32) -> st.SearchStrategy[nft.Address]:
    """Addresses of 32 or 128 bits."""
    return st.integers(0, (1 << width) - 1).map(lambda bits: nft.Address(bits, width))


def prefixes(width: int = 32) -> st.SearchStrategy[nft.Prefix]:
    """Networks without host bits."""

    def network(bits: int, length: int) -> nft.Prefix:
        host = width - length
        return nft.Prefix(nft.Address(bits >> host << host, width), length)

    return st.builds(network, st.integers(0, (1 << width) - 1), st.integers(1, width))


@st.composite
def ranges(draw: st.DrawFn, values: st.SearchStrategy[nft.Number | nft.Address]) -> nft.Range:
    """Ranges, the low end first."""
    low, high = sorted((draw(values), draw(values)), key=lambda item: item.value)
    return nft.Range(low, high)


def interface_names() -> st.SearchStrategy[nft.InterfaceName]:
    """Names that the kernel gives to interfaces, and prefixes of them."""
    text = st.from_regex(r"[a-z][a-z0-9.-]{0,9}", fullmatch=True)
    return st.builds(nft.InterfaceName, text, st.booleans())


def texts(limit: int) -> st.SearchStrategy[str]:
    """Strings that can stand between nft's quotation marks, log prefixes included."""
    letters = st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters='"$')
    return st.text(letters, min_size=1, max_size=limit // 4)


def _compared(
    left: nft.Expression, values: st.SearchStrategy[nft.Number | nft.Address]
) -> st.SearchStrategy[nft.Match]:
    return st.one_of(
        st.builds(nft.Match, st.just(left), values, st.sampled_from((*_OPERATORS, *_ORDERS))),
        st.builds(nft.Match, st.just(left), ranges(values), st.sampled_from(_OPERATORS)),
        st.builds(
            nft.Match,
            st.just(left),
            st.lists(values, min_size=1, max_size=4, unique=True).map(lambda items: nft.AnonymousSet(tuple(items))),
            st.sampled_from(_OPERATORS),
        ),
    )


def port_matches(protocol: str) -> st.SearchStrategy[nft.Match]:
    """Tests of a port; nft adds the test of the protocol."""
    field = st.sampled_from(("sport", "dport"))
    return field.flatmap(lambda name: _compared(nft.Payload(protocol, name), numbers(16)))


def address_matches(family: str) -> st.SearchStrategy[nft.Match]:
    """Tests of one address, a network or some of them."""
    width = 32 if family == "ip" else 128
    left = st.sampled_from(("saddr", "daddr")).map(lambda field: nft.Payload(family, field))
    whole = left.flatmap(lambda selector: _compared(selector, addresses(width)))
    return st.one_of(whole, st.builds(nft.Match, left, prefixes(width), st.sampled_from(_OPERATORS)))


def mark_matches() -> st.SearchStrategy[nft.Match]:
    """Tests of a mark, whole or masked."""
    keys: tuple[nft.Selector, ...] = (nft.Meta("mark"), nft.Conntrack("mark"))
    key = st.sampled_from(keys)
    masked = st.builds(b.bit_and, key, st.integers(1, (1 << 32) - 2).map(b.mark))
    return st.one_of(
        key.flatmap(lambda selector: _compared(selector, marks())),
        st.builds(nft.Match, masked, marks(), st.sampled_from((nft.Operator.EQUAL, nft.Operator.NOT_EQUAL))),
    )


def tcp_flag_matches() -> st.SearchStrategy[nft.Match]:
    """Tests of TCP flags: any of, exactly, masked."""
    some = st.lists(st.sampled_from(_TCP_FLAGS), min_size=1, unique=True)
    flags = nft.Payload("tcp", "flags")
    return st.one_of(
        some.map(lambda names: b.match(flags, b.any_flag(*names))),
        some.map(lambda names: b.match_exactly(flags, b.flags_or(*names))),
        st.tuples(some, st.lists(st.sampled_from(_TCP_FLAGS), unique=True)).map(
            lambda pair: b.match_exactly(b.bit_and(flags, b.flags_or(*pair[0])), b.flags_or(*pair[1]))
        ),
    )


def state_matches() -> st.SearchStrategy[nft.Match]:
    """Tests of the connection's state."""
    states = st.lists(st.sampled_from(_STATES), min_size=1, unique=True)
    return st.one_of(
        states.map(lambda names: b.match(b.ct("state"), b.any_flag(*names))),
        states.map(lambda names: b.match_not(b.ct("state"), b.one_of(*b.symbols(*names)))),
    )


def interface_matches() -> st.SearchStrategy[nft.Match]:
    """Tests of an interface's name."""
    key = st.sampled_from((nft.Meta("iifname"), nft.Meta("oifname")))
    return st.builds(nft.Match, key, interface_names(), st.sampled_from(_OPERATORS))


def matches(family: str, protocol: str) -> st.SearchStrategy[nft.Match]:
    """Any test that goes with these protocols; nft refuses a rule that tests for two of a layer."""
    of_protocol = [port_matches(protocol), *([tcp_flag_matches()] if protocol == "tcp" else [])]
    return st.one_of(
        *of_protocol, address_matches(family), mark_matches(), state_matches(), interface_matches()
    )  # fmt: skip


def rates() -> st.SearchStrategy[nft.Rate]:
    """Rates in packets and in bytes; the kernel has no room for many bytes a week."""
    count, period = st.integers(1, 10_000), st.sampled_from(nft.Period)
    return st.one_of(
        st.builds(nft.Rate, count, period, st.none() | st.integers(1, 1000), st.booleans()),
        st.builds(
            nft.Rate,
            count.map(lambda amount: amount * 512),
            st.sampled_from((nft.Period.SECOND, nft.Period.MINUTE)),
            st.none() | st.integers(1, 1 << 20),
            st.booleans(),
            st.just(value=True),
        ),
    )


def actions() -> st.SearchStrategy[nft.Statement]:
    """Steps that are neither tests nor verdicts."""
    return st.one_of(
        st.builds(b.counter, st.integers(0, 1 << 40), st.integers(0, 1 << 40)),
        rates().map(nft.Limit),
        st.builds(nft.Log, texts(127)),
        st.builds(nft.Log, group=st.integers(0, 65535), snap_length=st.none() | st.integers(1, 65535)),
        st.builds(b.assign, st.sampled_from((nft.Meta("mark"), nft.Conntrack("mark"))), marks()),
        st.builds(nft.ConnectionCount, st.integers(1, 10_000), st.booleans()),
    )


def verdicts() -> st.SearchStrategy[nft.Statement]:
    """Ends of a rule; `other` is a chain of the table."""
    plain = st.sampled_from((b.accept(), b.drop(), b.return_(), b.continue_(), b.jump("other"), b.goto("other")))
    return st.one_of(plain, st.just(nft.Reject(nft.RejectKind.ICMPX, "port-unreachable")))


@st.composite
def rules(draw: st.DrawFn) -> nft.Rule:
    """Tests, steps and then a verdict or none."""
    family, protocol = draw(st.sampled_from(("ip", "ip6"))), draw(st.sampled_from(_PROTOCOLS))
    tests: list[nft.Statement] = [*draw(st.lists(matches(family, protocol), max_size=3))]
    steps = [*tests, *draw(st.lists(actions(), max_size=2)), *draw(st.lists(verdicts(), max_size=1))]
    return nft.Rule(tuple(steps) or (b.counter(),), draw(st.just("") | texts(128)))


def rulesets() -> st.SearchStrategy[nft.Ruleset]:
    """One inet table with a base chain at forward."""
    base = nft.BaseHook(type=nft.ChainType.FILTER, hook=nft.Hook.FORWARD, priority=0)

    def table(drawn: list[nft.Rule]) -> nft.Ruleset:
        chains = (nft.Chain(name="other"), nft.Chain(name="forward", base=base, rules=tuple(drawn)))
        return nft.Ruleset((nft.Table(family=nft.Family.INET, name="t", chains=chains),))

    return st.lists(rules(), min_size=1, max_size=12).map(table)
