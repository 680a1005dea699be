"""What several rules, or several copies of one rule, have in common: buckets, tables, counts."""

from __future__ import annotations

import pytest

from tests.lower.extensions.match_cases import Translated, dump_of, rules_of, translate

HASHLIMIT = "-m hashlimit --hashlimit-upto 5/minute --hashlimit-mode srcip --hashlimit-name web"


def forward(*rules: str, family: str = "ip") -> Translated:
    return translate(dump_of("filter", "FORWARD", list(rules)), family)


def test_two_limit_rules_have_two_buckets() -> None:
    rule = "-m limit --limit 5/minute -j ACCEPT"
    found = rules_of(forward(rule, rule).script, "FORWARD").split(" // ")
    assert found == ["limit rate 5/minute burst 5 packets accept"] * 2


def test_copies_of_one_rule_charge_one_bucket_once() -> None:
    """The any-of comes behind the limit, so that a packet that fits neither branch is charged as well."""
    rule = "-m limit --limit 5/minute -m conntrack --ctstate NEW,DNAT -j ACCEPT"
    found = rules_of(forward(rule).script, "FORWARD").split(" // ")
    bucket, rules = found[0], found[1:]
    assert bucket.startswith("limit ")
    name = bucket.split()[1]
    assert all(f'limit name "{name}"' in text for text in rules)
    assert [text.endswith(" accept") for text in rules] == [True, True, *([False] * (len(rules) - 2))]
    assert len(rules) > 2


def test_rules_that_name_one_hashlimit_table_share_its_set() -> None:
    found = forward(f"{HASHLIMIT} -j ACCEPT", f"-p udp {HASHLIMIT} -j ACCEPT")
    assert found.codes == ()
    assert found.script.count("set hashlimit-ip-web {") == 1
    assert found.script.count("update @hashlimit-ip-web { ip saddr limit rate 5/minute") == 2


def test_the_first_rule_of_a_hashlimit_table_settles_its_parameters() -> None:
    other = HASHLIMIT.replace("5/minute", "9/hour").replace("srcip", "dstip")
    found = forward(f"{HASHLIMIT} -j ACCEPT", f"{other} -j ACCEPT")
    assert found.script.count("{ ip saddr limit rate 5/minute burst 5 packets }") == 2
    assert any("state different parameters" in text for text in found.assumptions)


def test_hashlimit_tables_of_both_families_are_two() -> None:
    assert "set hashlimit-ip6-web {" in forward(f"{HASHLIMIT} -j ACCEPT", family="ip6").script


def test_one_hashlimit_table_cannot_answer_both_ways() -> None:
    above = HASHLIMIT.replace("upto", "above")
    found = forward(f"{HASHLIMIT} -j ACCEPT", f"{above} -j DROP")
    assert found.codes == ("FWT200",)
    assert "web" in found.found[-1].message


def test_two_connlimit_rules_count_apart() -> None:
    rule = "-p tcp -m connlimit --connlimit-above 3 -j DROP"
    assert forward(rule, rule).script.count("\tset ") == 2


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("-m connlimit --connlimit-above 3", "conntrack zone"),
        (HASHLIMIT, "65536 entries"),
        ("-p tcp " + HASHLIMIT.replace("srcip", "srcip,dstport"), "fragments"),
        ("-m connbytes --connbytes 5 --connbytes-dir both --connbytes-mode bytes", "nf_conntrack_acct"),
        ("-m connlabel --label 5 --set", "can have labels"),
        ("-m helper --helper ftp", "expected"),
        ("-p tcp -m ecn --ecn-tcp-cwr", "fragments"),
        ("-m limit --limit 1/hour --limit-burst 50", "overflows"),
    ],
)
def test_what_a_translation_rests_on_is_said(rule: str, said: str) -> None:
    # said for each dump anew, not only where a meaning is worked out for the first time
    for _ in range(2):
        assert any(said in text for text in forward(f"{rule} -j ACCEPT").assumptions)


def test_ipv6_addrtype_says_what_it_rests_on() -> None:
    found = forward("-m addrtype --dst-type LOCAL -j ACCEPT", family="ip6")
    assert any("link-local" in text for text in found.assumptions)
    assert forward("-m addrtype --dst-type MULTICAST -j ACCEPT", family="ip6").assumptions == ()


def test_a_port_of_a_connection_beyond_16_bits_is_refused() -> None:
    """libxtables takes it modulo 65536, which no one means."""
    assert forward("-m conntrack --ctorigdstport 65536 -j ACCEPT").codes == ("FWT112",)


def test_a_user_chain_counts_as_the_built_in_chains_that_lead_to_it() -> None:
    user = "-m addrtype --limit-iface-out --dst-type LOCAL -j ACCEPT"
    dump = f":user - [0:0]\n-A {{chain}} -j user\n-A user {user}\nCOMMIT\n"
    dump = dump_of("filter", "FORWARD", []).replace("COMMIT\n", dump)
    assert translate(dump.format(chain="OUTPUT"), "ip").codes == ()
    assert translate(dump.format(chain="INPUT"), "ip").codes == ("FWT117",)
