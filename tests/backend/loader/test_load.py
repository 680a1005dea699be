"""What is sent for a change, what is kept, and what is done when others were there: on the kernel and on the fake."""

from __future__ import annotations

import socket
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fwtrans.backend.loader import transaction as tx
from fwtrans.backend.loader.fake import FakeNft
from fwtrans.backend.loader.image import TableName
from fwtrans.backend.loader.load import Loaded, assess, carry_out, load
from fwtrans.backend.loader.plan import make_plan
from fwtrans.backend.loader.real import LibNft
from fwtrans.backend.loader.transaction import Transaction
from tests.backend.loader.images import big, image
from tests.namespaces import namespace

if TYPE_CHECKING:
    from fwtrans.backend.loader.client import NftClient
    from fwtrans.backend.loader.image import Image, TableImage

TABLE = TableName("inet", "fwtrans")


def small(rules: str = "tcp dport 22 accept", elements: str = "22, 80", more: str = "", leaf: str = "accept") -> Image:
    return image(f"""\
table inet fwtrans {{
	set ports {{
		type inet_service
		elements = {{ {elements} }}
	}}
	chain input {{
		type filter hook input priority filter; policy accept;
		tcp dport @ports jump leaf
		{rules}
		drop
	}}
	chain leaf {{
		{leaf}
	}}
{more}}}
""")


def tables(client: NftClient) -> dict[str, object]:
    """Return what is loaded, in an order that does not depend on when it was made."""
    found: dict[str, object] = {}
    for name in client.tables():
        listing = client.listing(name)
        assert listing is not None
        objects = {(item.kind, item.name): (item.body, frozenset(item.elements)) for item in listing.objects}
        found[str(name)] = (objects, {chain.name: (chain.head, chain.rules) for chain in listing.chains})
    return found


def sent(answer: Loaded) -> list[object]:
    return [command for step in answer.sent for command in step.commands]


class LoadContract:
    @pytest.fixture
    def client(self) -> NftClient:
        raise NotImplementedError

    def test_the_first_load_is_one_transaction(self, client: NftClient) -> None:
        answer = load(client, small(), None)
        assert (answer.faults, answer.doubts, answer.foreign, len(answer.sent)) == ((), (), (), 1)
        assert client.generation() - 1 == 1
        assert answer.counts.rules_added == 4
        assert answer.counts.elements_added == 2

    def test_the_same_again_sends_nothing(self, client: NftClient) -> None:
        state = load(client, small(), None).state
        again = load(client, small(), state)
        assert again.sent == ()
        assert again.state == state

    def test_an_element_is_sent_alone(self, client: NftClient) -> None:
        state = load(client, small(), None).state
        answer = load(client, small(elements="22, 81, 82"), state)
        assert [step.holds_elements_only for step in answer.sent] == [True]
        assert sent(answer) == [
            tx.DeleteElements(TABLE, "ports", ("80",)),
            tx.AddElements(TABLE, "ports", ("81", "82")),
        ]
        assert load(client, small(elements="22, 81, 82"), answer.state).sent == ()

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("22, 80, 22", "22, 80"),
            ("22, 80", "22, 80, 22"),
            ("22, 80", "22, 22, 81"),
            ("1, 2, 3, 4, 5, 6", "1, 3, 4, 7, 6"),
            ("1, 2, 3", "3, 2, 1"),
            ("1, 2, 3", "0, 1, 2, 3"),
            ("1, 2, 3", "2"),
        ],
    )
    def test_elements_become_what_they_should_be(self, client: NftClient, before: str, after: str) -> None:
        state = load(client, small(elements=before), None).state
        answer = load(client, small(elements=after), state)
        assert answer.faults == ()
        assert tables(client) == loaded_alone(client, small(elements=after))

    def test_a_rule_is_sent_alone_where_others_count(self, client: NftClient) -> None:
        counting = "tcp dport 22 counter packets 0 bytes 0 accept"
        state = load(client, small(counting), None).state
        before = client.chain_handles(TABLE, "input")
        answer = load(client, small(f"{counting}\nudp dport 53 accept"), state)
        assert sent(answer) == [tx.AddRule(TABLE, "input", "udp dport 53 accept", before[2])]
        after = client.chain_handles(TABLE, "input")
        assert (*after[:2], after[3]) == before
        assert tables(client) == loaded_alone(client, small(f"{counting}\nudp dport 53 accept"))

    def test_a_short_chain_without_counts_is_filled_again(self, client: NftClient) -> None:
        state = load(client, small(), None).state
        answer = load(client, small("tcp dport 22 accept\nudp dport 53 accept"), state)
        assert {command.chain for command in sent(answer) if isinstance(command, tx.AddRule)} == {"input"}
        assert not any(isinstance(command, tx.AddRule) and command.before for command in sent(answer))
        assert tables(client) == loaded_alone(client, small("tcp dport 22 accept\nudp dport 53 accept"))

    def test_a_rule_whose_source_line_moved_stays(self, client: NftClient) -> None:
        state = load(client, small('tcp dport 22 accept comment "v4:7"'), None).state
        answer = load(client, small('tcp dport 22 accept comment "v4:8"'), state)
        assert answer.sent == ()

    def test_new_parts_are_ready_before_packets_are_sent_to_them(self, client: NftClient) -> None:
        state = load(client, small(), None).state
        new = small(
            "udp dport @more jump other",
            more="chain other {\naccept\n}\nset more {\ntype inet_service\nelements = { 53 }\n}\n",
        )
        answer = load(client, new, state)
        prepare, switch, *rest = answer.sent
        assert {type(command) for command in prepare.commands} == {
            tx.AddObject,
            tx.AddElements,
            tx.AddChain,
            tx.AddRule,
        }
        assert {type(command) for command in switch.commands} == {tx.FlushChain, tx.AddRule}
        assert rest == []
        back = load(client, small(), answer.state)
        switch, tidy = back.sent
        assert {type(command) for command in switch.commands} == {tx.FlushChain, tx.AddRule}
        assert {type(command) for command in tidy.commands} == {tx.FlushChain, tx.DeleteObject, tx.DeleteChain}
        assert tables(client) == loaded_alone(client, small())

    def test_what_goes_can_be_left_for_the_way_back(self, client: NftClient) -> None:
        more = small("udp dport 53 jump other", more="chain other {\naccept\n}\n")
        state = load(client, more, None).state
        before = tables(client)
        answer = load(client, small(), state, tidy=False)
        assert "other" in tables(client)["inet fwtrans"][1]  # type: ignore[index]
        back = load(client, more, answer.state)
        assert all(command.chain == "input" for command in back.sent[0].commands if isinstance(command, tx.AddRule))
        assert tables(client) == before
        done = load(client, small(), load(client, small(), back.state, tidy=False).state)
        assert tables(client) == loaded_alone(client, small())
        assert done.faults == ()

    def test_a_set_of_another_type_is_replaced(self, client: NftClient) -> None:
        def with_set(kind: str, element: str, rule: str) -> Image:
            more = f"set other {{\ntype {kind}\nelements = {{ {element} }}\n}}\n"
            return small(rule, more=more)

        first, second = (
            with_set("ipv4_addr", "192.0.2.1", "ip saddr @other accept"),
            with_set("inet_service", "53", "udp dport @other accept"),
        )
        state = load(client, first, None).state
        answer = load(client, second, state)
        assert answer.faults == ()
        assert tables(client) == loaded_alone(client, second)

    def test_a_base_chain_moves_to_another_priority(self, client: NftClient) -> None:
        state = load(client, small(), None).state
        moved = image(small_text().replace("priority filter", "priority filter + 10"))
        assert load(client, moved, state).faults == ()
        assert tables(client) == loaded_alone(client, moved)

    def test_a_table_that_is_not_wanted_any_more_goes(self, client: NftClient) -> None:
        both = (*small(), *image("table bridge fwtrans {\n\tchain forward {\n\t\tdrop\n\t}\n}\n"))
        state = load(client, both, None).state
        answer = load(client, small(), state)
        assert sent(answer) == [tx.DeleteTable(TableName("bridge", "fwtrans"))]
        assert client.tables() == (TABLE,)

    def test_a_table_that_went_since_it_was_looked_at_is_not_made_of_its_news_alone(self, client: NftClient) -> None:
        state = load(client, small(), None).state
        assert state is not None
        wanted = small(elements="22, 80, 81")
        found = assess(client, state, [TABLE])
        plan = make_plan(found.present, wanted)
        assert client.run(Transaction((tx.DeleteTable(TABLE),))) == ()
        (fault,) = carry_out(client, plan, found, tidy=True, state=state).faults
        assert fault.message == "table inet fwtrans was deleted since it was looked at"
        assert client.tables() == ()

    @pytest.mark.parametrize("known", [True, False])
    def test_what_others_do_between_look_and_load_is_noticed(self, client: NftClient, *, known: bool) -> None:
        state = load(client, small(elements="22, 80"), None).state if known else None
        if not known:
            load(client, small(elements="22, 80"), None)
        wanted = small(elements="22, 80, 81")
        found = assess(client, state, [TABLE])
        plan = make_plan(found.present, wanted)
        assert client.run(Transaction((tx.DeleteElements(TABLE, "ports", ("22",)),))) == ()
        before = tables(client)
        answer = carry_out(client, plan, found, tidy=True, state=state)
        if known:
            (fault,) = answer.faults
            assert fault.message.startswith("table inet fwtrans: set ports has other elements")
            assert tables(client) == before
        else:  # what is loaded anew as a whole is right whatever the elements were
            assert answer.faults == ()
            assert tables(client) == loaded_alone(client, wanted)

    def test_what_others_do_to_their_own_tables_keeps_nobody_from_loading(self, client: NftClient) -> None:
        state = load(client, small(elements="22, 80"), None).state
        wanted = small(elements="22, 80, 81")
        found = assess(client, state, [TABLE])
        assert client.run(Transaction((tx.AddTable(TableName("ip", "theirs")),))) == ()
        answer = carry_out(client, make_plan(found.present, wanted), found, tidy=True, state=state)
        assert answer.faults == ()
        assert answer.state is not None
        assert answer.state.generation == client.generation()

    def test_a_fault_leaves_what_was_there(self, client: NftClient) -> None:
        state = load(client, small(), None).state
        before = tables(client)
        answer = load(client, small("udp dport 53 jump nowhere"), state)
        assert [fault.command for fault in answer.faults] == [tx.AddRule(TABLE, "input", "udp dport 53 jump nowhere")]
        assert tables(client) == before
        assert answer.state is None

    def test_without_a_state_everything_is_loaded_anew_and_it_says_so(self, client: NftClient) -> None:
        load(client, small("udp dport 53 accept", elements="1, 2"), None)
        handle = client.handles(TABLE)
        answer = load(client, small(), None)
        assert answer.faults == ()
        assert answer.doubts == (
            "table inet fwtrans is loaded anew as a whole: it is not known what was loaded before",
        )
        assert tables(client) == loaded_alone(client, small())
        after = client.handles(TABLE)
        assert handle is not None
        assert after is not None
        assert (handle.table, handle.chains, handle.sets) == (after.table, after.chains, after.sets)

    def test_a_state_of_another_boot_is_no_state(self, client: NftClient) -> None:
        state = load(client, small(), None).state
        assert state is not None
        answer = load(client, small(), replace(state, host="another boot"))
        assert len(answer.doubts) == 1
        assert tables(client) == loaded_alone(client, small())

    def test_a_commit_of_others_elsewhere_costs_a_look_and_no_more(self, client: NftClient) -> None:
        state = load(client, small(), None).state
        assert client.run(Transaction((tx.AddTable(TableName("ip", "docker")),))) == ()
        answer = load(client, small(elements="22, 81"), state)
        assert (answer.doubts, answer.foreign) == ((), ())
        assert [step.holds_elements_only for step in answer.sent] == [True]

    @pytest.mark.parametrize(
        ("command", "said"),
        [
            (tx.AddRule(TABLE, "leaf", "drop"), "chain leaf: 1 rules added, 0 removed"),
            (tx.FlushChain(TABLE, "leaf"), "chain leaf: 0 rules added, 1 removed"),
            (tx.AddElements(TABLE, "ports", ("8080",)), "set ports has other elements (3 in the kernel, 2 when loaded)"),
            (tx.DeleteElements(TABLE, "ports", ("80",)), "set ports has other elements (1 in the kernel, 2 when loaded)"),
            (tx.DeleteTable(TABLE), "table inet fwtrans was deleted"),
        ],
        ids=["rule added", "chain flushed", "element added", "element deleted", "table deleted"],
    )  # fmt: skip
    def test_what_others_did_to_our_table_is_told_and_undone(
        self, client: NftClient, command: tx.Command, said: str
    ) -> None:
        state = load(client, small(), None).state
        assert client.run(Transaction((command,))) == ()
        answer = load(client, small(), state)
        assert answer.faults == ()
        assert len(answer.foreign) == 1
        assert said in answer.foreign[0]
        assert tables(client) == loaded_alone(client, small())
        assert load(client, small(), answer.state).sent == ()

    def test_a_table_that_was_deleted_and_made_again_is_not_taken_for_ours(self, client: NftClient) -> None:
        state = load(client, small(), None).state
        load(client, (), state)
        load(client, small(leaf="drop"), None)
        answer = load(client, small(), state)
        assert answer.foreign == ("table inet fwtrans: it was deleted and made again",)
        assert tables(client) == loaded_alone(client, small())

    def test_a_difference_that_does_not_load_is_loaded_as_a_whole(self, client: NftClient) -> None:
        state = load(client, small(), None).state
        assert state is not None
        assert client.run(Transaction((tx.DeleteElements(TABLE, "ports", ("80",)),))) == ()
        answer = load(client, small(elements="22"), replace(state, generation=client.generation()))
        assert answer.faults == ()
        assert "the difference did not load" in answer.doubts[0]
        assert tables(client) == loaded_alone(client, small(elements="22"))

    def test_a_long_chain_with_one_more_rule_in_front(self, client: NftClient) -> None:
        many = "\n".join(f"tcp dport {port} accept" for port in range(1000, 2000))
        state = load(client, small(many), None).state
        answer = load(client, small(f"udp dport 53 accept\n{many}"), state)
        assert len(sent(answer)) == 1

    def test_big_rulesets_become_each_other(self, client: NftClient) -> None:
        state = None
        for variant in ("a", "b", "a"):
            answer = load(client, big(variant), state)
            assert answer.faults == ()
            assert tables(client) == loaded_alone(client, big(variant))
            state = answer.state


def small_text() -> str:
    return """\
table inet fwtrans {
	chain input {
		type filter hook input priority filter; policy accept;
		drop
	}
}
"""


def loaded_alone(client: NftClient, wanted: Image) -> dict[str, object]:
    """Return what an image looks like that was loaded where nothing was."""
    if isinstance(client, FakeNft):
        other: NftClient = FakeNft()
        assert load(other, wanted, None).faults == ()
        return tables(other)
    with namespace():
        inner = LibNft()
        assert load(inner, wanted, None).faults == ()
        found = tables(inner)
        inner.close()
    return found


class TestFake(LoadContract):
    @pytest.fixture
    def client(self) -> FakeNft:
        return FakeNft()


@pytest.mark.netns
class TestKernel(LoadContract):
    @pytest.fixture
    def client(self, kernel: LibNft) -> LibNft:
        return kernel


# --- what only the kernel has ---

KEEPING = """\
table inet fwtrans {
	limit slow {
		rate 10/minute burst 5 packets
	}
	quota much {
		over 10 mbytes
	}
	counter seen {
		packets 0 bytes 0
	}
	set dynamic-ones {
		type ipv4_addr
		size 1000
		flags timeout,dynamic
		timeout 1h
	}
	chain input {
		type filter hook input priority filter; policy accept;
		udp dport 9 counter packets 0 bytes 0 accept
		udp dport 9 counter name "seen" quota name "much" limit name "slow"
		%s
		drop
	}
}
"""


@pytest.mark.netns
def test_counters_and_dynamic_elements_survive_a_change(kernel: LibNft) -> None:
    assert kernel.tables() == ()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    state = load(kernel, image(KEEPING % "add @dynamic-ones { ip saddr } accept"), None).state
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for port in (9, 9, 10):
            sender.sendto(b"x", ("127.0.0.1", port))
    answer = load(kernel, image(KEEPING % "add @dynamic-ones { ip saddr } accept\n\t\ttcp dport 25 accept"), state)
    assert [type(command) for command in sent(answer)] == [tx.AddRule]
    listing = kernel.listing(TABLE)
    assert listing is not None
    (chain,) = listing.chains
    assert chain.rules[0].startswith("udp dport 9 counter packets 2 bytes")
    (dynamic,) = [item for item in listing.objects if item.is_dynamic]
    assert len(dynamic.elements) == 1
    assert dynamic.elements[0].startswith("127.0.0.1")


@pytest.mark.netns
def test_all_kinds_of_objects_load_and_change(kernel: LibNft) -> None:
    def ruleset(rate: int, layer: str) -> Image:
        return image(f"""\
table inet fwtrans {{
	comment "made by fwtrans"
	limit slow {{
		rate {rate}/minute burst 5 packets
	}}
	ct helper files {{
		type "ftp" protocol tcp
		l3proto {layer}
	}}
	ct timeout short {{
		protocol udp
		l3proto ip
		policy = {{ unreplied : 5, replied : 7 }}
	}}
	ct expectation later {{
		protocol udp
		dport 5060
		timeout 1h
		size 12
		l3proto ip
	}}
	synproxy proxy {{
		mss 1460
		wscale 7
		timestamp sack-perm
	}}
	map rates {{
		type ipv4_addr : limit
		elements = {{ 192.0.2.1 : "slow" }}
	}}
	chain input {{
		comment "packets for this host"
		type filter hook input priority filter; policy accept;
		limit name ip saddr map @rates drop
		tcp dport 21 ct helper set "files"
		udp dport 5060 ct timeout set "short" ct expectation set "later"
		tcp dport 80 synproxy name "proxy"
		log prefix "jump @nowhere {{ " group 1
		meta mark set 0x00000001
	}}
}}
""")

    state = load(kernel, ruleset(10, "ip"), None)
    assert state.faults == ()
    assert load(kernel, ruleset(10, "ip"), state.state).sent == ()
    for base in (state.state, None):
        changed = load(kernel, ruleset(20, "ip6"), base)
        assert changed.faults == ()
        assert tables(kernel) == loaded_alone(kernel, ruleset(20, "ip6"))
        assert load(kernel, ruleset(10, "ip"), changed.state).faults == ()


@pytest.mark.netns
def test_a_change_is_quick_whatever_the_number_of_guests(kernel: LibNft) -> None:
    """The issue's numbers for the transaction: 10 ms for an element, 20 ms for a rule. CPU time, the best of five counts."""
    (before,) = big("a", guests=400)
    one_more = "203.0.113.7 . udp . 53 : goto guest1"
    with_element = (_with(before, "ways", one_more),)
    with_rule = (replace(before, chains=tuple(replace(chain, rules=("drop", *chain.rules)) if chain.name == "guest7" else chain for chain in before.chains)),)  # fmt: skip
    state = load(kernel, (before,), None).state
    assert before.size > 10_000
    for name, wanted in (("element", with_element), ("rule", with_rule)):
        plan = make_plan(assess(kernel, state, ()).present, wanted)
        assert not plan.prepare
        assert not plan.tidy
        assert plan.switch.holds_elements_only is (name == "element")
        assert len(plan.switch.commands) == (1 if name == "element" else 16), "a guest's chain is filled again"
        assert kernel.run(plan.switch) == ()
        state = load(kernel, (before,), None).state


def _with(table: TableImage, name: str, element: str) -> TableImage:
    objects = tuple(
        replace(item, elements=(*item.elements, element)) if item.name == name else item for item in table.objects
    )
    return replace(table, objects=objects)
