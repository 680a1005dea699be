"""Elements that are sent without libnftables are what libnftables would have sent, and what is not sure goes to it."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fwtrans.backend.loader import transaction as tx
from fwtrans.backend.loader.datatypes import DATATYPES, Unsure
from fwtrans.backend.loader.elements import MOST, commands_of, interval_of, messages_of, shape_of
from fwtrans.backend.loader.image import HOLDERS, ChainImage, Kind, ObjectImage, TableName, element_key
from fwtrans.backend.loader.netlink import Netlink, Refusal
from fwtrans.backend.loader.transaction import Command, Transaction
from tests.backend.loader.test_whole_nodes import translated

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence
    from pathlib import Path

    from fwtrans.backend.loader.elements import Message
    from fwtrans.backend.loader.real import LibNft

BY_NAME = {datatype.name: datatype for datatype in DATATYPES.values()}
ONE, OTHER = TableName("inet", "one"), TableName("inet", "other")
GUEST = ChainImage("guest-1")


# --- texts and bytes ---


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("inet_service", "22", "0016"),
        ("inet_proto", "ipv6-icmp", "3a"),
        ("inet_proto", "112", "70"),
        ("ipv4_addr", "10.0.0.1", "0a000001"),
        ("ipv6_addr", "fe80::1", "fe800000000000000000000000000001"),
        ("ether_addr", "bc:24:11:00:ff:01", "bc241100ff01"),
        ("ether_type", "ip6", "86dd"),
        ("ifname", '"tap100i0"', b"tap100i0".ljust(16, b"\0").hex()),
    ],
)
def test_values_lie_as_the_kernel_has_them(name: str, text: str, value: str) -> None:
    assert BY_NAME[name].encode(text).hex() == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("inet_service", "022"),  # nft reads it as octal
        ("inet_service", "ssh"),
        ("inet_service", "65536"),
        ("inet_service", "-1"),
        ("inet_service", ""),
        ("inet_service", '22 comment "x"'),
        ("inet_service", "22 timeout 1h"),
        ("inet_service", "\u0662"),
        ("inet_proto", "256"),
        ("inet_proto", "vrrp"),  # the name that the host's /etc/protocols gives it
        ("ipv4_addr", "10.0.0"),
        ("ipv4_addr", "010.0.0.1"),
        ("ipv4_addr", "example.org"),
        ("ipv4_addr", "10.0.0.0/8"),
        ("ipv6_addr", "fe80::1%eth0"),
        ("ipv6_addr", ":::"),
        ("ether_addr", "bc:24:11"),
        ("ifname", "eth0"),
        ("ifname", '"tap*"'),
        ("ifname", '"sixteen-letters-"'),
        ("ifname", '"a" . "b"'),
        ("ct_state", "established,related"),
        ("mark", "0x100000000"),
    ],
)
def test_what_is_written_otherwise_is_not_guessed(name: str, text: str) -> None:
    with pytest.raises(Unsure):
        BY_NAME[name].encode(text)


@pytest.mark.parametrize(
    ("name", "text", "bounds"),
    [
        ("ipv4_addr", "10.0.0.0/8", ("0a000000", "0affffff")),
        ("ipv4_addr", "10.0.0.1", ("0a000001", "0a000001")),
        ("ipv4_addr", "0.0.0.0/0", ("00000000", "ffffffff")),
        ("ipv6_addr", "fe80::/127", ("fe80" + "0" * 28, "fe80" + "0" * 27 + "1")),
        ("inet_service", "22-25", ("0016", "0019")),
        ("icmpv6_type", "nd-router-solicit", ("85", "85")),
        ("ifname", '"a-b"', (b"a-b".ljust(16, b"\0").hex(),) * 2),
    ],
)
def test_intervals_have_two_ends(name: str, text: str, bounds: tuple[str, str]) -> None:
    assert tuple(side.hex() for side in interval_of(BY_NAME[name], text)) == bounds


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ipv4_addr", "10.0.0.1/8"),
        ("ipv4_addr", "10.0.0.0/33"),
        ("ipv4_addr", "10.0.0.0/08"),
        ("ipv4_addr", "10.0.0.2-10.0.0.1"),
        ("inet_service", "25-22"),
        ("mark", "1-5"),  # nft turns the host's byte order around for these
        ("ifname", '"a"-"b"'),
    ],
)
def test_intervals_that_are_none_are_not_guessed(name: str, text: str) -> None:
    with pytest.raises(Unsure):
        interval_of(BY_NAME[name], text)


def test_a_key_of_more_fields_than_the_kernels_number_can_tell_is_not_guessed() -> None:
    """Six times inet_proto: of the first nothing is left in 32 bits."""
    told_by_kernel = {4: bytes.fromhex("0c30c30c"), 5: (24).to_bytes(4, "big")}
    with pytest.raises(Unsure):
        shape_of(told_by_kernel)
    assert len(shape_of(told_by_kernel | {5: (20).to_bytes(4, "big")}).key) == 5


def test_what_is_not_elements_or_too_much_is_left_to_libnftables() -> None:
    many = tuple(map(str, range(MOST + 1)))
    for commands in (
        (tx.AddElements(ONE, "s", many),),
        (tx.AddElements(ONE, "s", ("22",)), tx.FlushChain(ONE, "c")),
        (tx.AddElements(ONE, "s", ()),),
        (tx.DeleteElements(ONE, "s", ()),),  # without elements the kernel would empty the set
    ):
        with pytest.raises(Unsure):
            commands_of(Transaction(commands))
    few: tuple[Command, ...] = (tx.AddElements(ONE, "s", many[:MOST]), tx.FlushElements(ONE, Kind.SET, "s"))
    assert commands_of(Transaction(few)) == few


# --- against libnftables ---


def texts_of(name: str) -> st.SearchStrategy[str]:
    """Return single values of a type, as nft lists them."""
    number = st.integers(0, (1 << 8 * BY_NAME[name].length) - 1) if BY_NAME[name].length <= 4 else st.nothing()
    octet = st.integers(0, 255)
    return {
        "nf_proto": st.sampled_from(["ipv4", "ipv6"]),
        "ipv4_addr": st.tuples(octet, octet, octet, octet).map(lambda parts: ".".join(map(str, parts))),
        "ipv6_addr": st.ip_addresses(v=6).map(str).filter(lambda text: "." not in text),
        "ether_addr": st.tuples(*[octet] * 6).map(lambda parts: ":".join(f"{part:02x}" for part in parts)),
        "ether_type": st.sampled_from(["ip", "ip6", "arp"]),
        "inet_proto": st.sampled_from(["tcp", "udp", "icmp", "ipv6-icmp", "sctp", "esp", "112", "200"]),
        "inet_service": number.map(str),
        "icmp_type": st.sampled_from(["echo-request", "time-exceeded", "77"]),
        "mark": number.map(lambda value: f"0x{value:08x}"),
        "ct_state": st.sampled_from(["new", "established", "related", "invalid", "untracked"]),
        "icmpv6_type": st.sampled_from(["echo-request", "nd-neighbor-advert", "mld-listener-query", "99"]),
        "pkt_type": st.sampled_from(["host", "broadcast", "multicast", "other"]),
        "ifname": st.sampled_from(['"tap100i0"', '"veth1i1"', '"a.b-c"', '"fwln4711i0"', '"fifteen-letters"']),
    }[name]


@st.composite
def parts_of(draw: st.DrawFn, name: str, *, ranges: bool) -> str:
    """Return a value, or a range of them where it may be one."""
    text = draw(texts_of(name))
    if not ranges or name not in {"ipv4_addr", "ipv6_addr", "inet_service"} or draw(st.booleans()):
        return text
    if name == "inet_service":
        low, high = sorted((int(text), draw(st.integers(0, 65535))))
        return f"{low}-{high}" if low < high else text
    bits = 32 if name == "ipv4_addr" else 128
    return f"0.0.0.0/{draw(st.integers(1, 8))}" if bits == 32 else f"fe80::/{draw(st.integers(9, 127))}"


class Change(NamedTuple):
    """A set or map, what is in it, and what goes and comes."""

    item: ObjectImage
    gone: tuple[str, ...]
    added: tuple[str, ...]


@st.composite
def changes(draw: st.DrawFn) -> Change:
    """Return any set or map of types that we know."""
    key = draw(st.lists(st.sampled_from(sorted(BY_NAME)), min_size=1, max_size=5))
    orders = [BY_NAME[name].is_big or name == "ifname" for name in key]
    ranges = len(key) > 1 and all(orders) and draw(st.booleans())
    value = draw(st.sampled_from(["", "verdict", "mark", "ipv4_addr", "inet_service", "ipv4_addr . inet_service"]))
    # ranges that overlap are an error; that both sides say the same of them is another test
    keys = draw(
        st.lists(
            st.tuples(*(parts_of(name, ranges=ranges and draw(st.booleans())) for name in key)).map(" . ".join),
            min_size=2,
            max_size=12,
            unique=True,
        )
    )
    verdicts = st.sampled_from(["accept", "drop", "return", "continue", "jump guest-1", "goto guest-1"])
    values = (
        verdicts
        if value == "verdict"
        else st.tuples(*map(texts_of, value.split(" . ") if value else ())).map(" . ".join)
    )
    elements = tuple(f"{text} : {draw(values)}" if value else text for text in keys)
    cut, gone = len(elements) // 2, draw(st.integers(0, len(elements) // 2))
    body = (f"type {' . '.join(key)}" + (f" : {value}" if value else ""), *(["flags interval"] if ranges else []))
    kind = Kind.MAP if value else Kind.SET
    return Change(ObjectImage(kind, "it", body, elements[:cut]), tuple(keys[:gone]), elements[cut:])


def made(table: TableName, items: Sequence[ObjectImage], chains: Sequence[ChainImage]) -> Transaction:
    """Return how a table of sets alone is made."""
    return Transaction(
        (
            tx.AddTable(table),
            *(tx.AddChain(table, chain) for chain in chains),
            *(
                command
                for item in items
                for command in tx.filled(table, item)
                if item.elements or isinstance(command, tx.AddObject)
            ),
        )
    )


def told(client: LibNft, table: TableName) -> object:
    """Return what nft lists of the sets of a table, and what the kernel has in them."""
    listing = client.listing(table)
    assert listing is not None
    return [
        (item.kind, item.name, item.body, sorted(item.elements), client.element_sum(table, item.name))
        for item in sorted(listing.objects, key=lambda item: item.name)
        if item.kind in HOLDERS
    ]


class Counting:
    """A socket that counts the bytes of what it receives, and hands them on."""

    def __init__(self, own: socket.socket) -> None:
        self.own = own
        self.received: list[tuple[int, int]] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self.own, name)

    def recv(self, most: int, flags: int = 0) -> bytes:
        data = self.own.recv(most, flags)
        self.received.append((len(data), most))
        return data


@pytest.mark.netns
def test_a_big_set_is_read_in_parts_of_which_none_is_cut_off(kernel: LibNft, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = tuple(f'"tap{number}i0" . 2001:db8::{number:x}' for number in range(3000))
    item = ObjectImage(Kind.SET, "many", ("type ifname . ipv6_addr",), keys)
    kernel.run(Transaction((tx.AddTable(ONE), tx.DeleteTable(ONE))))
    assert kernel.run(made(ONE, [item], [])) == ()
    with Netlink() as link, monkeypatch.context() as patch:
        counting = Counting(link.socket)
        patch.setattr(link, "socket", counting)
        assert link.elements(ONE, "many")[0] == len(keys)
    assert sum(size for size, _ in counting.received) > 100_000
    assert all(size < most <= 1 << 16 for size, most in counting.received)


@pytest.mark.netns
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(change=changes())
def test_any_set_becomes_what_libnftables_makes_of_it(kernel: LibNft, change: Change) -> None:
    """Also where both refuse it: ranges that overlap, keys that are there with another value."""
    for table in (ONE, OTHER):
        kernel.run(Transaction((tx.AddTable(table), tx.DeleteTable(table))))
    refused = [kernel.by_libnftables(made(table, [change.item], [GUEST]), dry=False) for table in (ONE, OTHER)]
    if all(refused):
        return
    assert refused == [(), ()]
    item = change.item
    keys_added = tuple(map(element_key, change.added))
    put_back = tuple(text for text in item.elements if element_key(text) in change.gone)
    for gone, added, declared in (
        (change.gone, change.added, None),
        (keys_added, put_back, tx.Declaration(item.kind, item.body)),
    ):
        one, other = (
            Transaction(
                (
                    *([tx.DeleteElements(table, item.name, gone)] if gone else []),
                    *([tx.AddElements(table, item.name, added, declared)] if added else []),
                )
            )
            for table in (ONE, OTHER)
        )
        assert_same(kernel, one, other)


def assert_same(kernel: LibNft, one: Transaction, other: Transaction) -> tuple[str, ...]:
    """Send the first transaction as it is and the other by libnftables; return what is wrong with them."""
    before = told(kernel, ONE)
    checked = kernel.by_netlink(one, dry=True)
    assert told(kernel, ONE) == before
    ours = kernel.by_netlink(one, dry=False)
    theirs = kernel.by_libnftables(other, dry=False)
    assert ours is not None
    assert checked == ours
    assert [(fault.message, index_of(fault.command, one)) for fault in ours] == [
        (fault.message, index_of(fault.command, other)) for fault in theirs
    ]
    after = told(kernel, ONE)
    assert after == told(kernel, OTHER)
    assert not ours or after == before
    return tuple(fault.message for fault in ours)


def index_of(command: Command | None, transaction: Transaction) -> int:
    assert command is not None
    return next(index for index, found in enumerate(transaction.commands) if found is command)


# --- what is wrong, and what is not sure ---

PORTS = ObjectImage(Kind.SET, "ports", ("type inet_service",), ("22", "80"))
WAYS = ObjectImage(Kind.MAP, "ways", ("type ifname . inet_service : verdict",), ('"a" . 22 : goto guest-1',))
FEW = ObjectImage(Kind.SET, "few", ("type inet_service", "size 2"), ("1", "2"))
BOXES = ObjectImage(Kind.SET, "boxes", ("type ipv4_addr . inet_service", "flags interval"), ("10.0.0.0/8 . 22",))


@pytest.fixture
def both(kernel: LibNft) -> LibNft:
    for table in (ONE, OTHER):
        assert kernel.by_libnftables(made(table, [PORTS, WAYS, FEW, BOXES], [GUEST]), dry=False) == ()
    return kernel


@pytest.mark.netns
@pytest.mark.parametrize(
    ("name", "gone", "added", "message"),
    [
        ("ports", ("443",), (), "No such file or directory"),
        ("ports", ("22", "22"), (), "No such file or directory"),
        ("ports", (), ("22", "443", "443"), ""),
        ("ways", ('"a" . 23',), (), "No such file or directory"),
        ("ways", (), ('"a" . 22 : drop',), "File exists"),
        ("ways", (), ('"a" . 22 : goto guest-1',), ""),
        ("ways", (), ('"b" . 22 : goto guest-2',), "No such file or directory"),
        ("ways", ('"a" . 22',), ('"a" . 22 : drop',), ""),
        ("few", (), ("3",), "Too many open files in system"),
        ("few", ("1",), ("3",), ""),
        ("boxes", ("10.0.0.0/8 . 22",), ("10.0.0.0/8 . 20-30",), ""),
        ("boxes", ("10.0.0.0/8 . 23",), (), "No such file or directory"),
    ],
)
def test_the_kernels_words_are_those_that_libnftables_has(
    both: LibNft, name: str, gone: tuple[str, ...], added: tuple[str, ...], message: str
) -> None:
    """In the middle of others that are right: nothing of these is done."""
    one, other = (
        Transaction(
            (
                tx.AddElements(table, "ports", ("8080",)),
                *([tx.DeleteElements(table, name, gone)] if gone else []),
                *([tx.AddElements(table, name, added)] if added else []),
                tx.DeleteElements(table, "ports", ("80",)),
            )
        )
        for table in (ONE, OTHER)
    )
    found = assert_same(both, one, other)
    assert found == ((f"Could not process rule: {message}",) if message else ())


@pytest.mark.netns
def test_all_that_is_wrong_is_told(both: LibNft) -> None:
    one, other = (
        Transaction((tx.DeleteElements(table, "ports", ("1",)), tx.AddElements(table, "ways", ('"b" . 1 : jump no',))))
        for table in (ONE, OTHER)
    )
    assert len(assert_same(both, one, other)) == 2


@pytest.mark.netns
def test_a_set_is_emptied_and_filled(both: LibNft) -> None:
    one, other = (
        Transaction((tx.FlushElements(table, Kind.MAP, "ways"), tx.AddElements(table, "ways", ('"a" . 22 : drop',))))
        for table in (ONE, OTHER)
    )
    assert assert_same(both, one, other) == ()


@pytest.mark.netns
def test_a_loop_is_refused(both: LibNft) -> None:
    rule = "iifname . tcp dport vmap @ways"
    for table in (ONE, OTHER):
        base = ChainImage("base", ("type filter hook input priority filter; policy accept;",))
        rules = [tx.AddRule(table, "base", rule), tx.AddRule(table, "guest-1", rule)]
        empty = tx.FlushElements(table, Kind.MAP, "ways")
        assert both.by_libnftables(Transaction((empty, tx.AddChain(table, base), *rules)), dry=False) == ()
    one, other = (Transaction((tx.AddElements(table, "ways", ('"a" . 1 : jump guest-1',)),)) for table in (ONE, OTHER))
    assert assert_same(both, one, other) == ("Could not process rule: Too many links",)


@pytest.mark.netns
@pytest.mark.parametrize(
    ("kind", "body", "elements"),
    [
        (Kind.SET, ("type inet_service", "flags interval"), ("22-25",)),
        (Kind.SET, ("type inet_service", "flags timeout"), ("22 timeout 1h",)),
        (Kind.SET, ("type inet_service", "flags timeout", "timeout 1h"), ("22",)),
        (Kind.SET, ("type inet_service", "flags dynamic"), ("22",)),
        (Kind.SET, ("type inet_service", "counter"), ("22",)),
        (Kind.SET, ("type inet_service",), ('22 comment "ssh"',)),
        (Kind.SET, ("type ifname . mark", "flags interval"), ('"a" . 0x00000001',)),
        (Kind.SET, ("type ifname . inet_service", "flags interval"), ('"tap*" . 22',)),
        (Kind.SET, ("typeof ct zone",), ("22",)),
        (Kind.SET, ("typeof ip saddr . ct mark",), ("10.0.0.1 . 0x00000001",)),
        (Kind.SET, ("type devgroup",), ("1",)),
        (Kind.MAP, ("type inet_service : counter",), ('22 : "seen"',)),
        (Kind.MAP, ("type inet_service : interval ipv4_addr",), ("22 : 10.0.0.1-10.0.0.2",)),
    ],
)
def test_what_is_not_sure_goes_to_libnftables_as_a_whole(
    both: LibNft, kind: Kind, body: tuple[str, ...], elements: tuple[str, ...]
) -> None:
    item = ObjectImage(kind, "odd", body, elements)
    counter = tx.AddObject(ONE, ObjectImage(Kind.COUNTER, "seen", ()))
    assert both.by_libnftables(Transaction((counter, tx.AddObject(ONE, item))), dry=False) == ()
    before = told(both, ONE)
    mixed = Transaction((tx.AddElements(ONE, "ports", ("443",)), tx.AddElements(ONE, "odd", elements)))
    assert both.by_netlink(mixed, dry=False) is None
    assert told(both, ONE) == before
    assert both.run(mixed) == ()
    assert both.element_sum(ONE, "ports")[0] == 3
    assert both.element_sum(ONE, "odd")[0] >= 1


@pytest.mark.netns
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (Kind.SET, ("type inet_service", "flags interval")),
        (Kind.SET, ("type mark",)),
        (Kind.SET, ("typeof tcp dport",)),
        (Kind.MAP, ("type inet_service : verdict",)),
    ],
)
def test_a_set_that_is_another_one_than_was_declared_is_left_to_libnftables(
    both: LibNft, kind: Kind, body: tuple[str, ...]
) -> None:
    declared = tx.Declaration(kind, body)
    assert both.by_netlink(Transaction((tx.AddElements(ONE, "ports", ("443",), declared),)), dry=False) is None


@pytest.mark.netns
def test_a_set_that_is_not_there_is_left_to_libnftables(both: LibNft) -> None:
    for command in (tx.AddElements(ONE, "nowhere", ("1",)), tx.AddElements(TableName("ip", "no"), "ports", ("1",))):
        assert both.by_netlink(Transaction((command,)), dry=False) is None
        assert "No such file or directory" in both.run(Transaction((command,)))[0].message


@pytest.mark.netns
def test_sets_are_looked_at_again_after_anybodys_commit(both: LibNft) -> None:
    """What was known of a set for a check may be wrong for the run after it."""
    change = Transaction((tx.AddElements(ONE, "ports", ("443",)),))
    assert both.by_netlink(change, dry=True) == ()
    other = ObjectImage(Kind.SET, "ports", ("type mark",))
    replaced = (tx.DeleteObject(ONE, Kind.SET, "ports"), tx.AddObject(ONE, other))
    assert both.by_libnftables(Transaction(replaced), dry=False) == ()
    assert both.by_netlink(change, dry=False) == ()
    listing = both.listing(ONE)
    assert listing is not None
    assert [item.elements for item in listing.objects if item.name == "ports"] == [("0x000001bb",)]


@pytest.mark.netns
@pytest.mark.parametrize("others_commit", [False, True])
def test_what_was_read_for_a_check_is_not_asked_again(
    both: LibNft, monkeypatch: pytest.MonkeyPatch, others_commit: bool
) -> None:
    change = Transaction((tx.AddElements(ONE, "ports", ("443",)),))
    assert both.by_netlink(change, dry=True) == ()
    if others_commit:
        more = Transaction((tx.AddElements(OTHER, "ports", ("444",)),))
        assert both.by_libnftables(more, dry=False) == ()
    asked: list[object] = []
    read = Netlink.set_attributes

    def noted(self: Netlink, places: Sequence[tuple[TableName, str]]) -> list[dict[int, bytes] | None]:
        asked.extend(places)
        return read(self, places)

    monkeypatch.setattr(Netlink, "set_attributes", noted)
    assert both.by_netlink(change, dry=False) == ()
    assert asked == ([(ONE, "ports")] if others_commit else [])
    assert both.element_sum(ONE, "ports")[0] == 3


@pytest.mark.netns
def test_a_set_that_was_made_anew_after_a_change_is_read_anew(both: LibNft) -> None:
    """Also where that change changed nothing, and the kernel did not count it."""
    there = Transaction((tx.AddElements(ONE, "ports", ("22",)),))
    before = both.generation()
    assert both.by_netlink(there, dry=False) == ()
    assert both.generation() == before
    other = ObjectImage(Kind.SET, "ports", ("type mark",))
    replaced = (tx.DeleteObject(ONE, Kind.SET, "ports"), tx.AddObject(ONE, other))
    assert both.by_libnftables(Transaction(replaced), dry=False) == ()
    assert both.by_netlink(there, dry=False) == ()
    listing = both.listing(ONE)
    assert listing is not None
    assert [item.elements for item in listing.objects if item.name == "ports"] == [("0x00000016",)]


class Meddled(Netlink):
    """A socket in front of which somebody else commits, so often, when a transaction is about to be sent."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times
        self.tried = 0

    def transact(self, messages: Sequence[Message], generation: int, *, dry: bool) -> tuple[Refusal, ...] | None:
        self.tried += 1
        if self.tried <= self.times:
            with Netlink() as others:
                shape = shape_of(others.set_attributes([(OTHER, "ports")])[0])
                more = tx.AddElements(OTHER, "ports", (str(1000 + self.tried),))
                theirs = messages_of((more,), {(OTHER, "ports"): shape})
                assert others.transact(theirs, others.generation(), dry=False) == ()
        return super().transact(messages, generation, dry=dry)


@pytest.mark.netns
@pytest.mark.parametrize("times", [0, 1, 3, 100])
def test_the_kernel_refuses_what_was_made_for_another_generation(
    both: LibNft, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    change = tx.AddElements(ONE, "ports", ("443",))
    before = both.generation()
    with Meddled(times) as meddled, monkeypatch.context() as patch:
        patch.setattr(both, "_netlink", meddled)
        faults = both.by_netlink(Transaction((change,)), dry=False)
    assert both.element_sum(ONE, "ports")[0] == (2 if times == 100 else 3)
    assert both.generation() == before + min(times, meddled.tried) + (times != 100)
    expected = f"Could not process rule: {os.strerror(errno.ERESTART)}"
    assert faults is not None
    assert [(fault.message, fault.command) for fault in faults] == ([(expected, change)] if times == 100 else [])


@pytest.mark.netns
def test_who_may_not_change_rules_is_told_so(both: LibNft) -> None:
    change = Transaction((tx.AddElements(ONE, "ports", ("443",)),))
    os.seteuid(65534)
    try:
        faults = both.run(change), both.by_libnftables(change, dry=False)
    finally:
        os.seteuid(0)
    assert faults[0] == faults[1]
    assert "Operation not permitted" in faults[0][0].message
    assert both.element_sum(ONE, "ports")[0] == 2


@pytest.mark.netns
def test_rights_that_go_before_it_is_sent_are_told_too(both: LibNft, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel then refuses the batch as such: no message of it."""
    change = tx.AddElements(ONE, "ports", ("443",))

    def without_rights(messages: Sequence[Message], generation: int, *, dry: bool) -> tuple[Refusal, ...] | None:
        os.seteuid(65534)
        try:
            return Netlink.transact(link, messages, generation, dry=dry)
        finally:
            os.seteuid(0)

    with Netlink() as link, monkeypatch.context() as patch:
        patch.setattr(link, "transact", without_rights)
        patch.setattr(both, "_netlink", link)
        faults = both.by_netlink(Transaction((change,)), dry=False)
    expected = f"Could not process rule: {os.strerror(errno.EPERM)}"
    assert faults is not None
    assert [(fault.message, fault.command) for fault in faults] == [(expected, change)]
    assert both.element_sum(ONE, "ports")[0] == 2


# --- whole nodes ---


def change_of(table: TableName, item: ObjectImage) -> tuple[ObjectImage, Transaction]:
    """Return a set without its last elements, and what takes its first out and puts the last in."""
    count = max(min(len(item.elements) // 3, MOST // 2), 1)
    there = item.elements[:-count] or item.elements
    more = item.elements[-count:] if len(item.elements) > 1 else ()
    declared = tx.Declaration(item.kind, item.body)
    gone = tx.DeleteElements(table, item.name, tuple(map(element_key, there[:count])))
    added = (tx.AddElements(table, item.name, more, declared),) if more else ()
    return ObjectImage(item.kind, item.name, item.body, there), Transaction((gone, *added))


@pytest.mark.netns
@pytest.mark.parametrize(
    "node", ["s10", pytest.param("s50", marks=pytest.mark.lab_long), pytest.param("s200", marks=pytest.mark.lab_long)]
)
def test_all_sets_of_a_node_change_alike(kernel: LibNft, shared: Path, node: str) -> None:
    """Sent as it is in one table and by libnftables in another; all of them but plain intervals are surely understood."""
    for image in translated(shared / "pve-corpus" / node / "input"):
        items = [item for item in image.objects if item.kind in HOLDERS and not item.is_dynamic and item.elements]
        chains = [ChainImage(chain.name) for chain in image.chains if not chain.is_base]
        for table in (ONE, OTHER):
            gone = Transaction((tx.AddTable(table), tx.DeleteTable(table)))
            assert kernel.by_libnftables(gone, dry=False) == ()
            there = [change_of(table, item)[0] for item in items]
            assert kernel.by_libnftables(made(table, there, chains), dry=False) == ()
        for item in items:
            one, other = (change_of(table, item)[1] for table in (ONE, OTHER))
            if tx.Declaration(item.kind, item.body).is_of_plain_intervals:
                assert kernel.by_netlink(one, dry=False) is None
                assert kernel.run(one) == ()
            else:
                assert kernel.by_netlink(one, dry=True) == (), item
                assert kernel.by_netlink(one, dry=False) == (), item
            assert kernel.by_libnftables(other, dry=False) == ()
        assert told(kernel, ONE) == told(kernel, OTHER)
