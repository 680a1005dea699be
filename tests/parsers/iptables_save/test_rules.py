"""Lines to rules: what belongs to what. Each line was tried with iptables-restore 1.8.9 unless it says otherwise."""

from __future__ import annotations

import pytest

from fwtrans.parsers.iptables_save.syntax import ExtensionUse, OptionUse
from tests.parsers.iptables_save.reading import canonical, rule_of, rules_of

SAME = [
    # abbreviations, `=`, glued words, order
    ("-A FORWARD -p tcp --dp 22 -j u", "-A FORWARD -p tcp -m tcp --dport 22 -j u"),
    ("-A FORWARD -p tcp --destination-port=22", "-A FORWARD -p tcp -m tcp --dport 22"),
    ("--append FORWARD --proto tcp --so 10.0.0.1 --ju u", "-A FORWARD -s 10.0.0.1 -p tcp -j u"),
    ("-A FORWARD --goto=u", "-A FORWARD -g u"),
    ("-jACCEPT -AFORWARD -ptcp -s10.0.0.0/8", "-A FORWARD -s 10.0.0.0/8 -p tcp -j ACCEPT"),
    ("-A FORWARD -vvj ACCEPT", "-A FORWARD -j ACCEPT"),
    ("-A FORWARD -j DNAT --to 10.0.0.1:80", "-A FORWARD -j DNAT --to-destination 10.0.0.1:80"),
    (
        "-A FORWARD -o b -i a -d 2.2.2.2 ! -f -p udp -s 1.1.1.1",
        "-A FORWARD -s 1.1.1.1 -d 2.2.2.2 -i a -o b -p udp ! -f",
    ),
    # the protocol's match, loaded by -p alone, takes its place where its option stands
    ("-A FORWARD -p 6 --dport 22", "-A FORWARD -p 6 -m tcp --dport 22"),
    (
        "-A FORWARD -p tcp -m comment --comment x --dport 22",
        "-A FORWARD -p tcp -m comment --comment x -m tcp --dport 22",
    ),
    # an option goes to an extension that stands further back
    (
        "-A FORWARD -p tcp -m tcp --sport 1 -m comment --comment x --dport 22",
        "-A FORWARD -p tcp -m tcp --sport 1 --dport 22 -m comment --comment x",
    ),
    ("-A FORWARD -j LOG -m limit --limit 5/s --log-level 3", "-A FORWARD -m limit --limit 5/s -j LOG --log-level 3"),
    ("-A FORWARD -m tcp -m tcp --dport 1", "-A FORWARD -m tcp -m tcp --dport 1"),
    ("-A FORWARD -p tcp --sport 1 -m tcp --dport 2", "-A FORWARD -p tcp -m tcp --sport 1 -m tcp --dport 2"),
    # `!` where it stood before iptables 1.4.3
    ("-A FORWARD -s ! 10.0.0.0/8 -p ! tcp -i ! eth0", "-A FORWARD ! -s 10.0.0.0/8 ! -i eth0 ! -p tcp"),
    ("-A FORWARD -p tcp --dport ! 22", "-A FORWARD -p tcp -m tcp ! --dport 22"),
    ("-A FORWARD -p tcp --tcp-flags ! SYN,ACK SYN", "-A FORWARD -p tcp -m tcp ! --tcp-flags SYN,ACK SYN"),
    ("-A FORWARD -m set --match-set ! bad src", "-A FORWARD -m set ! --match-set bad src"),
    # values that look like something else
    ("-A FORWARD -m comment --comment -j -j ACCEPT", "-A FORWARD -m comment --comment -j -j ACCEPT"),
    ("-A FORWARD -i -eth -o ! -j ACCEPT", "-A FORWARD -i -eth -o ! -j ACCEPT"),
    ("-A FORWARD -j LOG --log-prefix --log-level", "-A FORWARD -j LOG --log-prefix --log-level"),
    ('-A FORWARD -m string --string "!" --algo bm', '-A FORWARD -m string --string "!" --algo bm'),
    ("-A FORWARD -m comment --comment -- -j u --", "-A FORWARD -m comment --comment -- -j u"),
    # counters
    ("[5:6]-A FORWARD -j u", "[5:6] -A FORWARD -j u"),
    ("-A FORWARD -c 5 6 -j u", "[5:6] -A FORWARD -j u"),
    ("-A FORWARD --set-counters 5,6 -j u", "[5:6] -A FORWARD -j u"),
    # every address a rule of its own, sources outermost
    ("-A FORWARD -d 2.2.2.2,3.3.3.3 -s 4.4.4.4", "-A FORWARD -s 4.4.4.4 -d 2.2.2.2\n-A FORWARD -s 4.4.4.4 -d 3.3.3.3"),
    # the line is for the other family
    ("-6 -A FORWARD -j ACCEPT", ""),
    ("-4 -A FORWARD -j ACCEPT", "-A FORWARD -j ACCEPT"),
]


@pytest.mark.parametrize(("line", "expected"), SAME)
def test_a_line_is_read_as(line: str, expected: str) -> None:
    assert "\n".join(canonical(line).split("\n")[1:] if expected else []) == expected


SAME_IP6 = [
    ("-A FORWARD -p icmpv6 --icmpv6-type 1", "-A FORWARD -p icmpv6 -m icmp6 --icmpv6-type 1"),
    ("-A FORWARD -p 58 --icmpv6-type 1", "-A FORWARD -p 58 -m icmp6 --icmpv6-type 1"),
    ("-A FORWARD -p ipv6-icmp -m ipv6-icmp --icmpv6-type 1", "-A FORWARD -p ipv6-icmp -m icmp6 --icmpv6-type 1"),
    ("-A FORWARD -m icmpv6 --icmpv6-type 1", "-A FORWARD -m icmp6 --icmpv6-type 1"),
    ("-A FORWARD -p mh --mh-type 1", "-A FORWARD -p mh -m mh --mh-type 1"),
]


@pytest.mark.parametrize(("line", "expected"), SAME_IP6)
def test_a_line_of_ip6_is_read_as(line: str, expected: str) -> None:
    assert canonical(line, "ip6").split("\n")[1] == expected


def test_nodes_say_what_was_written() -> None:
    rule = rule_of('-A FORWARD ! -s 10.0.0.0/8 -p tcp --dport 22 -m comment --comment "a \\"b\\"" -g u')
    assert rule.options == (OptionUse("-s", ("10.0.0.0/8",), True, 3), OptionUse("-p", ("tcp",), False, 5))
    assert rule.matches == (
        ExtensionUse("tcp", (OptionUse("--dport", ("22",), False, 7),), 7, implied=True),
        ExtensionUse("comment", (OptionUse("--comment", ('a "b"',), False, 11, (r'"a \"b\""',)),), 10),
    )
    assert rule.target == ExtensionUse("u", (), 14)
    assert rule.goto
    assert rule.calls
    assert rule.line == 3
    assert rule.counters is None


def test_words_are_numbered_as_in_the_source() -> None:
    rule = rule_of("[0:0] -vA FORWARD -ptcp --dport=22 -s ! 10.0.0.1 -jLOG --log-prefix=x")
    assert [(option.name, option.word) for option in rule.options] == [("-p", 3), ("-s", 5)]
    assert rule.matches[0].options[0].word == 4
    assert rule.target == ExtensionUse("LOG", (OptionUse("--log-prefix", ("x",), False, 9),), 8)


def test_an_extension_wins_over_a_chain_of_its_name() -> None:
    by_jump, by_goto = rules_of(":LOG -", "-A FORWARD -j LOG --log-prefix x", "-A FORWARD -g LOG")
    assert (by_jump.calls, by_jump.goto) == (False, False)
    assert (by_goto.calls, by_goto.goto) == (True, True)


@pytest.mark.parametrize("name", ["accept", "-j", "--foo", "!x", "$(reboot)", "a#b", "[0:0]", "*", "x'y"])
def test_a_chain_may_have_any_name(name: str) -> None:
    (rule,) = rules_of(f":{name} - [0:0]", f"-A FORWARD -j {name}", f"-A {name} -j u")
    assert rule.target is not None
    assert rule.target.name == name


def test_a_quote_in_a_name_is_escaped_in_rules() -> None:
    (rule,) = rules_of(':x"y - [0:0]', r'-A FORWARD -j "x\"y"', r'-A "x\"y" -j u')
    assert rule.target is not None
    assert rule.target.name == 'x"y'


def test_equal_matches_are_one_object() -> None:
    first, second = rules_of(
        "-A FORWARD -s 1.1.1.1 -p tcp --dport 22 -j u", "-A FORWARD -s 2.2.2.2 -p tcp --dport 22 -j u"
    )
    assert first.matches[0] is second.matches[0]
    assert first.target is second.target
    assert first.options[1] is second.options[1]
