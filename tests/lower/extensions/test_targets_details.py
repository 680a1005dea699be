"""What the case tables cannot say: where a user chain is reached from, what a translation assumes, sets that rules change,
and the numbers that nft hands to the kernel for rejects, NAT, logs and queues."""

from __future__ import annotations

import subprocess
from functools import cache

import pytest

from fwtrans.diagnostics import Refused
from fwtrans.ir.bits import BitSet
from fwtrans.ir.effect import Assign, BitsOf, Log, Nat, NatKind, SetOperation, SetUpdate
from fwtrans.ir.fields import (
    DPORT,
    IP_DADDR,
    IP_SADDR,
    L4PROTO,
    RT_MTU,
    TCP_FLAGS,
)
from fwtrans.ir.match import FieldTest, KeyPart
from fwtrans.ir.sets import Element, NamedSet
from tests.lower.extensions.printing import printed
from tests.lower.extensions.target_uses import lower_target

# --- where the chain is reached from ---


@pytest.mark.parametrize(
    ("hooks", "kind"),
    [
        ({"PREROUTING"}, NatKind.DNAT),
        ({"PREROUTING", "OUTPUT"}, NatKind.DNAT),
        ({"POSTROUTING", "INPUT"}, NatKind.SNAT),
        (set(), NatKind.DNAT),
    ],
)
def test_netmap_follows_the_built_in_chain(hooks: set[str], kind: NatKind) -> None:
    found = lower_target("-t nat -A mapped -j NETMAP --to 10.0.0.0/24", hooks=frozenset(hooks)).outcome
    assert found.steps == (Nat(kind, (0x0A000000, 0x0A0000FF), prefix=True),)


def test_netmap_in_a_chain_of_both_kinds_is_refused() -> None:
    with pytest.raises(Refused) as found:
        lower_target("-t nat -A mapped -j NETMAP --to 10.0.0.0/24", hooks=frozenset({"PREROUTING", "POSTROUTING"}))
    assert found.value.code == "FWT200"


def test_a_user_chain_counts_as_every_chain_that_leads_to_it() -> None:
    line = "-t nat -A out -j SNAT --to-source 192.0.2.1"
    lower_target(line, hooks=frozenset({"POSTROUTING"}))
    lower_target(line, hooks=frozenset())
    with pytest.raises(Refused) as found:
        lower_target(line, hooks=frozenset({"POSTROUTING", "OUTPUT"}))
    assert found.value.code == "FWT117"
    assert "OUTPUT" in found.value.message


# --- what is assumed is said ---


def test_tcpmss_says_what_it_rests_on() -> None:
    assumed = lower_target("-p tcp -j TCPMSS --clamp-mss-to-pmtu").assumed
    assert any("announces a segment size" in text for text in assumed)
    assert any("route" in text for text in assumed)


def test_the_later_of_two_segment_sizes_wins() -> None:
    (clamped,) = lower_target("-p tcp -j TCPMSS --set-mss 1000 --clamp-mss-to-pmtu").outcome.steps
    assert isinstance(clamped, Assign)
    assert clamped.source == BitsOf(RT_MTU, 0xFFFF)
    (fixed,) = lower_target("-p tcp -j TCPMSS --clamp-mss-to-pmtu --set-mss 1000").outcome.steps
    assert isinstance(fixed, Assign)
    assert (fixed.source, fixed.constant) == (None, 1000)


def test_a_prefix_that_only_iptables_nft_keeps_is_noted() -> None:
    assert lower_target(f"-j NFLOG --nflog-prefix {'x' * 64}").assumed
    assert not lower_target(f"-j NFLOG --nflog-prefix {'x' * 63}").assumed


def test_no_letter_of_a_log_prefix_is_cut_in_two() -> None:
    (step,) = lower_target(f"-j LOG --log-prefix {'x' * 28}ä").outcome.steps
    assert step == Log("x" * 28)


def test_a_newline_in_a_prefix_is_refused_as_by_iptables() -> None:
    for line in ("-j LOG --log-prefix 'a\nb'", "-j NFLOG --nflog-prefix 'a\nb'"):
        with pytest.raises(Refused) as found:
            lower_target(line)
        assert found.value.code == "FWT112"


# --- what only some packets reach ---


def test_synproxy_takes_pure_syns_and_pure_acks_only() -> None:
    (test,) = lower_target("-p tcp -j SYNPROXY").outcome.steps
    assert isinstance(test, FieldTest)
    assert test.field is TCP_FLAGS
    assert isinstance(test.values, BitSet)
    fin, syn, rst, psh, ack, ece = 1, 2, 4, 8, 16, 64
    assert all(flags in test.values for flags in (syn, ack, ack | psh, syn | ece))
    assert not any(flags in test.values for flags in (0, syn | ack, ack | fin, ack | rst, syn | fin, psh))


# --- sets ---

PEOPLE = NamedSet("people", (IP_SADDR,), (Element(((0x0A000000, 0x0A000003),)),), takes_packets=True)
SERVICES = NamedSet("services", (IP_SADDR, L4PROTO, DPORT), takes_packets=True, timeout=60)


def test_a_set_that_rules_change_holds_single_values() -> None:
    found = lower_target("-j SET --add-set people dst", sets={"people": PEOPLE})
    assert found.outcome.steps == (SetUpdate("people", (KeyPart(IP_DADDR),), SetOperation.ADD),)
    (declared,) = found.shared.values()
    assert isinstance(declared, NamedSet)
    assert declared.dynamic
    assert declared.size == 65536
    assert [element.key for element in declared.elements] == [
        ((number, number),) for number in range(0x0A000000, 0x0A000004)
    ]
    assert any("people" in text for text in found.assumed)


def test_adding_comes_before_deleting_whatever_the_order() -> None:
    line = "-p tcp -j SET --del-set services src,dst --add-set services dst,dst --exist --timeout 5"
    added, deleted = lower_target(line, sets={"services": SERVICES}).outcome.steps
    assert isinstance(added, SetUpdate)
    assert isinstance(deleted, SetUpdate)
    assert (added.operation, added.timeout) == (SetOperation.UPDATE, 5)
    assert deleted.operation is SetOperation.DELETE
    assert [part.field for part in added.key] == [IP_DADDR, L4PROTO, DPORT]


def test_a_set_with_more_elements_than_it_may_hold_is_refused() -> None:
    crowd = NamedSet("people", (IP_SADDR,), (Element(((0, 0xFFFFFF),)),), takes_packets=True)
    with pytest.raises(Refused) as found:
        lower_target("-j SET --add-set people src", sets={"people": crowd})
    assert found.value.code == "FWT112"


# --- what the kernel is handed ---

REJECTS = {
    "-j REJECT": (0, 3),
    "-j REJECT --reject-with icmp-net-unreachable": (0, 0),
    "-j REJECT --reject-with icmp-host-unreachable": (0, 1),
    "-j REJECT --reject-with icmp-proto-unreachable": (0, 2),
    "-j REJECT --reject-with icmp-net-prohibited": (0, 9),
    "-j REJECT --reject-with icmp-host-prohibited": (0, 10),
    "-j REJECT --reject-with icmp-admin-prohibited": (0, 13),
    "-p tcp -j REJECT --reject-with tcp-reset": (1, 0),
    "ip6:-j REJECT": (0, 4),
    "ip6:-j REJECT --reject-with icmp6-no-route": (0, 0),
    "ip6:-j REJECT --reject-with icmp6-adm-prohibited": (0, 1),
    "ip6:-j REJECT --reject-with icmp6-addr-unreachable": (0, 3),
    "ip6:-j REJECT --reject-with icmp6-policy-fail": (0, 5),
    "ip6:-j REJECT --reject-with icmp6-reject-route": (0, 6),
}
# The kernel's flags: 2 ports given, 4 random, 8 persistent, 16 fully random, 64 prefix.
NATS = {
    "-t nat -A PREROUTING -j DNAT --to-destination 10.0.0.1": "nat dnat ip addr_min reg 1 ]",
    "-t nat -A PREROUTING -p tcp -j DNAT --to-destination :80 --random": "proto_min reg 1 flags 0x6 ]",
    "-t nat -A PREROUTING -j DNAT --to-destination 10.0.0.1-10.0.0.9 --persistent": "addr_min reg 1 addr_max reg 2 flags 0x8 ]",
    "-t nat -A POSTROUTING -p udp -j SNAT --to-source 10.0.0.1:5-9 --random-fully": "proto_max reg 3 flags 0x12 ]",
    "-t nat -A POSTROUTING -j MASQUERADE --random --random-fully": "masq flags 0x14 ]",
    "-t nat -A POSTROUTING -j MASQUERADE": "masq ]",
    "-t nat -A PREROUTING -p tcp -j REDIRECT --to-ports 3128": "redir proto_min reg 1 flags 0x2 ]",
    "-t nat -A PREROUTING -j NETMAP --to 10.1.0.0/16": "nat dnat ip addr_min reg 1 addr_max reg 2 flags 0x40 ]",
    "ip6:-t nat -A POSTROUTING -j NETMAP --to 2001:db8::/63": "nat snat ip6 addr_min reg 1 addr_max reg 2 flags 0x40 ]",
}
OTHERS = {
    "-j LOG": "[ log ]",
    "-j LOG --log-level debug --log-uid --log-tcp-sequence": "[ log level 7 tcpseq uid ]",
    "-j LOG --log-tcp-options --log-ip-options --log-macdecode": "[ log tcpopt ipopt macdecode ]",
    "-j NFLOG": "[ log group 0 snaplen 0 qthreshold 0 ]",
    "-j NFLOG --nflog-group 5 --nflog-size 80 --nflog-threshold 20": "[ log group 5 snaplen 80 qthreshold 20 ]",
    "-j AUDIT --type drop": "[ log level 8 ]",
    "-t mangle -A POSTROUTING -j CLASSIFY --set-class 1:2": "[ immediate reg 1 0x00010002 ]",
    "-t raw -A PREROUTING -j CT --ctevents new,destroy,mark": "[ immediate reg 1 0x00000085 ]",
    "-t raw -A PREROUTING -j CT --zone-reply 5": "[ ct set zone with reg 1 , dir reply ]",
    "-t mangle -A FORWARD -p tcp -j TCPOPTSTRIP --strip-options md5": "[ exthdr reset tcpopt 19 ]",
}


@cache
def bytecode(text: str) -> str:
    done = subprocess.run(
        ["unshare", "-n", "nft", "--debug=netlink", "-f", "-"],
        input=printed(text, {}).text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.netns
@pytest.mark.parametrize("text", REJECTS)
def test_the_sender_is_told_the_same(text: str) -> None:
    kind, code = REJECTS[text]
    assert f"[ reject type {kind} code {code} ]" in bytecode(text)


@pytest.mark.netns
@pytest.mark.parametrize("text", [*NATS, *OTHERS])
def test_the_kernel_is_handed_the_same_numbers(text: str) -> None:
    assert {**NATS, **OTHERS}[text] in bytecode(text)
