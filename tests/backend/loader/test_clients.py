"""The kernel and the fake do the same: each of these tests runs on both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwtrans.backend.loader import transaction as tx
from fwtrans.backend.loader.fake import FakeNft
from fwtrans.backend.loader.image import ChainImage, Kind, ObjectImage, TableName, element_key
from fwtrans.backend.loader.real import faults_of
from fwtrans.backend.loader.transaction import Transaction

if TYPE_CHECKING:
    from fwtrans.backend.loader.client import NftClient
    from fwtrans.backend.loader.real import LibNft

TABLE = TableName("inet", "fwtrans")
BASE = ChainImage("input", ("type filter hook input priority filter; policy accept;",))
PORTS = ObjectImage(Kind.SET, "ports", ("type inet_service",))
WAYS = ObjectImage(Kind.MAP, "ways", ("type inet_service : verdict",))


class ClientContract:
    """What a client has to do, whatever is behind it."""

    @pytest.fixture
    def client(self) -> NftClient:
        raise NotImplementedError

    @pytest.fixture
    def loaded(self, client: NftClient) -> NftClient:
        commands = (
            tx.AddTable(TABLE),
            tx.AddObject(TABLE, PORTS),
            tx.AddElements(TABLE, "ports", ("22", "80")),
            tx.AddChain(TABLE, BASE),
            tx.AddChain(TABLE, ChainImage("guest")),
            tx.AddRule(TABLE, "input", "tcp dport @ports accept"),
            tx.AddRule(TABLE, "input", 'jump guest comment "v4:3"'),
            tx.AddRule(TABLE, "input", "drop"),
            tx.AddRule(TABLE, "guest", "udp dport 53 accept"),
        )
        assert client.run(Transaction(commands)) == ()
        return client

    def test_nothing_is_there_at_first(self, client: NftClient) -> None:
        assert client.tables() == ()
        assert client.listing(TABLE) is None
        assert client.outline(TABLE) is None
        assert client.handles(TABLE) is None
        assert client.base_chains() == ()

    def test_what_was_loaded_is_listed(self, loaded: NftClient) -> None:
        listing = loaded.listing(TABLE)
        assert listing is not None
        assert listing.name == TABLE
        assert [(item.name, item.body, item.elements) for item in listing.objects] == [
            ("ports", ("type inet_service",), ("22", "80"))
        ]
        assert {chain.name: chain.rules for chain in listing.chains} == {
            "input": ("tcp dport @ports accept", 'jump guest comment "v4:3"', "drop"),
            "guest": ("udp dport 53 accept",),
        }
        assert {chain.name: chain.head for chain in listing.chains} == {"input": BASE.head, "guest": ()}

    def test_an_outline_holds_no_rules_and_no_elements(self, loaded: NftClient) -> None:
        outline = loaded.outline(TABLE)
        assert outline is not None
        assert outline.size == 0
        assert {chain.name: chain.head for chain in outline.chains} == {"input": BASE.head, "guest": ()}
        assert [(item.kind, item.name, item.body) for item in outline.objects] == [
            (Kind.SET, "ports", ("type inet_service",))
        ]

    def test_base_chains_are_found(self, loaded: NftClient) -> None:
        (chain,) = loaded.base_chains()
        assert (chain.table, chain.name, chain.hook, chain.type, chain.policy) == (
            TABLE,
            "input",
            "input",
            "filter",
            "accept",
        )
        assert set(chain.chains) == {"input", "guest"}

    def test_a_commit_raises_the_generation_by_one(self, loaded: NftClient) -> None:
        before = loaded.generation()
        assert loaded.run(Transaction((tx.AddRule(TABLE, "guest", "drop"),))) == ()
        assert loaded.generation() == before + 1

    def test_a_check_changes_nothing(self, loaded: NftClient) -> None:
        before = loaded.generation(), loaded.listing(TABLE)
        assert loaded.check(Transaction((tx.FlushChain(TABLE, "input"),))) == ()
        assert (loaded.generation(), loaded.listing(TABLE)) == before

    def test_an_empty_transaction_is_no_commit(self, client: NftClient) -> None:
        before = client.generation()
        assert client.run(Transaction()) == ()
        assert client.generation() == before

    def test_a_fault_names_its_command_and_nothing_has_changed(self, loaded: NftClient) -> None:
        before = loaded.generation(), loaded.listing(TABLE)
        wrong = tx.AddRule(TABLE, "nowhere", "accept")
        faults = loaded.run(Transaction((tx.FlushChain(TABLE, "input"), wrong)))
        assert [fault.command for fault in faults] == [wrong]
        assert "No such file or directory" in faults[0].message
        assert (loaded.generation(), loaded.listing(TABLE)) == before

    def test_a_jump_to_nowhere_is_a_fault_in_a_check_too(self, loaded: NftClient) -> None:
        wrong = tx.AddRule(TABLE, "input", "jump nowhere")
        for answer in (loaded.check(Transaction((wrong,))), loaded.run(Transaction((wrong,)))):
            assert [fault.command for fault in answer] == [wrong]

    def test_a_rule_goes_in_front_of_a_handle(self, loaded: NftClient) -> None:
        handles = loaded.chain_handles(TABLE, "input")
        one, two = (tx.AddRule(TABLE, "input", f"udp dport {port} accept", handles[1]) for port in (1, 2))
        assert loaded.run(Transaction((one, two, tx.DeleteRule(TABLE, "input", handles[2])))) == ()
        listing = loaded.listing(TABLE)
        assert listing is not None
        rules = next(chain.rules for chain in listing.chains if chain.name == "input")
        assert rules == (
            "tcp dport @ports accept",
            "udp dport 1 accept",
            "udp dport 2 accept",
            'jump guest comment "v4:3"',
        )
        after = loaded.chain_handles(TABLE, "input")
        assert (after[0], after[3]) == handles[:2]
        held = loaded.handles(TABLE)
        assert held is not None
        assert held.rules["input"] == after
        assert set(held.chains) == {"input", "guest"}
        assert set(held.sets) == {"ports"}

    def test_a_rule_that_is_gone_cannot_be_deleted(self, loaded: NftClient) -> None:
        assert loaded.run(Transaction((tx.DeleteRule(TABLE, "input", 9999),)))

    def test_a_chain_is_emptied_and_filled_in_one(self, loaded: NftClient) -> None:
        before = loaded.handles(TABLE)
        assert loaded.run(Transaction((tx.FlushChain(TABLE, "input"), tx.AddRule(TABLE, "input", "accept")))) == ()
        after = loaded.handles(TABLE)
        assert before is not None
        assert after is not None
        assert (before.table, before.chains) == (after.table, after.chains)
        assert len(after.rules["input"]) == 1

    def test_what_is_in_use_cannot_be_deleted(self, loaded: NftClient) -> None:
        for command in (tx.DeleteChain(TABLE, "guest"), tx.DeleteObject(TABLE, Kind.SET, "ports")):
            assert "busy" in loaded.run(Transaction((command,)))[0].message
        gone = (
            tx.FlushChain(TABLE, "input"),
            tx.DeleteChain(TABLE, "guest"),
            tx.DeleteObject(TABLE, Kind.SET, "ports"),
        )
        assert loaded.run(Transaction(gone)) == ()
        listing = loaded.listing(TABLE)
        assert listing is not None
        assert [chain.name for chain in listing.chains] == ["input"]
        assert listing.objects == ()

    def test_elements_of_a_map_come_and_go(self, loaded: NftClient) -> None:
        made = (tx.AddObject(TABLE, WAYS), tx.AddElements(TABLE, "ways", ("22 : goto guest", "23 : drop")))
        assert loaded.run(Transaction(made)) == ()
        assert loaded.run(Transaction((tx.DeleteChain(TABLE, "guest"),)))
        before = loaded.element_sum(TABLE, "ways")
        changed = (tx.DeleteElements(TABLE, "ways", ("22",)), tx.AddElements(TABLE, "ways", ("22 : accept",)))
        assert loaded.run(Transaction(changed)) == ()
        after = loaded.element_sum(TABLE, "ways")
        assert (before[0], after[0]) == (2, 2)
        assert before != after
        assert loaded.run(Transaction((tx.FlushElements(TABLE, Kind.MAP, "ways"),))) == ()
        assert loaded.element_sum(TABLE, "ways") == (0, 0)
        assert loaded.run(Transaction((tx.DeleteElements(TABLE, "ways", ("22",)),)))

    @pytest.mark.parametrize(
        ("body", "there", "more"),
        [
            (("type inet_service",), ("22", "80"), ("443", "8080")),
            (("type inet_service", "flags interval"), ("22-25", "80"), ("26-30", "443")),
            (("type inet_service", "flags interval"), (), ("22-25", "65000-65535")),
            (
                ("type inet_proto . inet_service", "flags interval"),
                ("tcp . 22-25", "udp . 53"),
                ("tcp . 26-30", "udp . 67"),
            ),
            (("type inet_proto . inet_service",), ("tcp . 22",), ("tcp . 23", "udp . 53")),
            (("type inet_service", "flags timeout", "timeout 1h"), (), ("22",)),
        ],
    )
    def test_elements_are_the_same_however_they_are_sent(
        self, loaded: NftClient, body: tuple[str, ...], there: tuple[str, ...], more: tuple[str, ...]
    ) -> None:
        """Alone, or with the declaration of their set once more."""
        sums = []
        for name, declared in (("one", None), ("other", tx.Declaration(Kind.SET, body))):
            made = tx.AddObject(TABLE, ObjectImage(Kind.SET, name, body))
            first = (tx.AddElements(TABLE, name, there),) if there else ()
            assert loaded.run(Transaction((made, *first))) == ()
            added = Transaction((tx.AddElements(TABLE, name, more, declared),))
            before = loaded.handles(TABLE)
            assert loaded.run(added) == ()
            assert loaded.handles(TABLE) == before
            assert added.holds_elements_only
            sums.append(loaded.element_sum(TABLE, name)[0])
            listing = loaded.listing(TABLE)
            assert listing is not None
            held = next(item for item in listing.objects if item.name == name)
            assert {element_key(text) for text in held.elements} == {*there, *more}
        assert sums[0] == sums[1]

    def test_a_fault_in_elements_is_found_in_their_command(self, loaded: NftClient) -> None:
        good = tx.AddElements(TABLE, "ports", ("443",), tx.Declaration(PORTS.kind, PORTS.body))
        assert loaded.run(Transaction((tx.AddObject(TABLE, WAYS), tx.AddElements(TABLE, "ways", ("22 : drop",))))) == ()
        bad = tx.AddElements(TABLE, "ways", ("22 : accept",), tx.Declaration(WAYS.kind, WAYS.body))
        (fault,) = loaded.run(Transaction((good, bad)))
        assert fault.command == bad
        assert loaded.element_sum(TABLE, "ports")[0] == 2

    @pytest.mark.parametrize(
        ("kind", "body", "there", "gone", "more"),
        [
            (Kind.SET, ("type inet_service",), ("22", "80"), ("22",), ("443",)),
            (Kind.SET, ("type inet_service", "flags interval"), ("22-25", "80"), ("22-25",), ("23", "30-40")),
            (Kind.SET, ("type ifname . ether_addr",), ('"a" . bc:24:11:00:00:01',), (), ('"b" . bc:24:11:00:00:01',)),
            (
                Kind.SET,
                ("type ether_addr . ipv4_addr", "flags interval"),
                ("bc:24:11:00:00:01 . 10.0.0.0/8",),
                ("bc:24:11:00:00:01 . 10.0.0.0/8",),
                ("bc:24:11:00:00:01 . 10.0.0.0-10.0.0.2", "bc:24:11:00:00:02 . 10.0.0.1"),
            ),
            (Kind.MAP, ("type ifname : mark",), ('"a" : 0x00000001',), ('"a"',), ('"a" : 0x00000002',)),
            (
                Kind.MAP,
                ("type ifname . inet_proto . inet_service : verdict",),
                ('"a" . tcp . 22 : goto guest', '"a" . udp . 53 : accept'),
                ('"a" . tcp . 22',),
                ('"a" . tcp . 22 : jump guest', '"b" . icmp . 0 : return'),
            ),
        ],
    )
    def test_elements_come_and_go_in_one_transaction(
        self,
        loaded: NftClient,
        kind: Kind,
        body: tuple[str, ...],
        there: tuple[str, ...],
        gone: tuple[str, ...],
        more: tuple[str, ...],
    ) -> None:
        item = ObjectImage(kind, "it", body, there)
        assert loaded.run(Transaction(tuple(tx.filled(TABLE, item)))) == ()
        removed = (tx.DeleteElements(TABLE, "it", gone),) if gone else ()
        change = Transaction((*removed, tx.AddElements(TABLE, "it", more, tx.Declaration(kind, body))))
        before = loaded.generation()
        assert loaded.check(change) == ()
        assert elements_of(loaded, "it") == {*there}
        assert loaded.run(change) == ()
        assert loaded.generation() == before + 1
        assert elements_of(loaded, "it") == {text for text in there if element_key(text) not in gone} | {*more}

    @pytest.mark.parametrize(
        ("name", "gone", "more", "message"),
        [
            ("ports", ("443",), (), "No such file or directory"),
            ("ways", ("23",), (), "No such file or directory"),
            ("ways", (), ("22 : drop",), "File exists"),
            ("ways", (), ("23 : goto nowhere",), "No such file or directory"),
            ("nowhere", ("22",), (), "No such file or directory"),
        ],
    )
    def test_elements_that_cannot_be_are_told_and_nothing_has_changed(
        self, loaded: NftClient, name: str, gone: tuple[str, ...], more: tuple[str, ...], message: str
    ) -> None:
        ways = ObjectImage(WAYS.kind, "ways", WAYS.body, ("22 : goto guest",))
        assert loaded.run(Transaction(tuple(tx.filled(TABLE, ways)))) == ()
        wrong = tx.DeleteElements(TABLE, name, gone) if gone else tx.AddElements(TABLE, name, more)
        change = Transaction(
            (tx.AddElements(TABLE, "ports", ("8080",)), wrong, tx.DeleteElements(TABLE, "ports", ("80",)))
        )
        before = loaded.generation(), loaded.listing(TABLE)
        for faults in (loaded.check(change), loaded.run(change)):
            assert [fault.command for fault in faults] == [wrong]
            assert message in faults[0].message
        assert (loaded.generation(), loaded.listing(TABLE)) == before

    def test_the_order_of_elements_does_not_matter_to_their_sum(self, loaded: NftClient) -> None:
        before = loaded.element_sum(TABLE, "ports")
        for keys in (("22",), ("80",)):
            assert loaded.run(Transaction((tx.DeleteElements(TABLE, "ports", keys),))) == ()
        assert loaded.run(Transaction((tx.AddElements(TABLE, "ports", ("80", "22")),))) == ()
        assert loaded.element_sum(TABLE, "ports") == before

    def test_an_object_is_declared_once(self, loaded: NftClient) -> None:
        assert loaded.run(Transaction((tx.AddObject(TABLE, PORTS), tx.AddTable(TABLE)))) == ()
        assert loaded.element_sum(TABLE, "ports")[0] == 2

    def test_a_table_is_deleted(self, loaded: NftClient) -> None:
        assert loaded.run(Transaction((tx.DeleteTable(TABLE),))) == ()
        assert loaded.tables() == ()


def elements_of(client: NftClient, name: str) -> set[str]:
    listing = client.listing(TABLE)
    assert listing is not None
    return {text for item in listing.objects if item.name == name for text in item.elements}


class TestFake(ClientContract):
    @pytest.fixture
    def client(self) -> FakeNft:
        return FakeNft()


@pytest.mark.netns
class TestKernel(ClientContract):
    @pytest.fixture
    def client(self, kernel: LibNft) -> LibNft:
        return kernel


def test_a_comment_that_looks_like_an_error_is_none() -> None:
    transaction = Transaction((tx.AddRule(TABLE, "input", 'accept comment "x:1:1-2: Error: no"'), tx.AddTable(TABLE)))
    text = '/proc/self/fd/5:2:1-9: Error: syntax error\nadd rule inet fwtrans input accept comment "a:1:1-2: Error: no"\n^^^\n'
    (fault,) = faults_of(text, transaction)
    assert (fault.message, fault.command) == ("syntax error", transaction.commands[1])
