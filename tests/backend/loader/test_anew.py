"""Chains that are made anew beside the old ones, so that packets are sent to them by elements alone."""

from __future__ import annotations

import pytest

from fwtrans.backend.loader.fake import FakeNft
from fwtrans.backend.loader.load import load
from tests.backend.loader.images import image
from tests.backend.loader.planning import planned

LOADED = """\
table inet fwtrans {
	map ways {
		type ifname : verdict
		elements = { "a" : goto class-1, "b" : goto class-1, "c" : goto class-2 }
	}
	set ports-1 {
		type ifname . inet_service
		elements = { "a" . 22 }
	}
	chain forward {
		type filter hook forward priority filter; policy accept;
		iifname vmap @ways
	}
	chain class-1 {
		iifname . tcp dport @ports-1 accept
		jump service-1
		drop
	}
	chain class-2 {
		udp dport 53 accept
	}
	chain service-1 {
		tcp dport 443 accept
	}
}
"""
MORE = LOADED.replace('"a" . 22', '"a" . 22, "a" . 23')


def test_a_rule_and_an_element_switch_by_elements() -> None:
    wanted = image(MORE.replace("jump service-1\n\t\tdrop", "jump service-1\n\t\ttcp dport 80 drop"))
    found, plan = planned(image(LOADED), wanted)
    assert [chain.name for chain in found[0].chains] == ["forward", "class-1-anew-1", "class-2", "service-1"]
    assert found[0].objects[0].elements == (
        '"a" : goto class-1-anew-1', '"b" : goto class-1-anew-1', '"c" : goto class-2',
    )  # fmt: skip
    assert plan.switch.holds_elements_only
    assert "class-1-anew-1" in plan.prepare.text
    assert "delete chain inet fwtrans class-1\n" in plan.tidy.text


def test_what_leads_to_it_is_made_anew_with_it() -> None:
    wanted = image(MORE.replace("tcp dport 443", "tcp dport 444"))
    found, plan = planned(image(LOADED), wanted)
    assert [chain.name for chain in found[0].chains] == ["forward", "class-1-anew-1", "class-2", "service-1-anew-1"]
    assert found[0].chains[1].rules[1] == "jump service-1-anew-1"
    assert plan.switch.holds_elements_only


def test_what_the_elements_of_a_set_count_stays_in_the_set() -> None:
    """So a chain that puts elements into one can be made anew."""
    limited = LOADED.replace(
        "udp dport 53", "update @ports-1 { iifname . udp dport limit rate over 9/second } udp dport 53"
    )
    wanted = limited.replace('"a" . 22', '"a" . 22, "a" . 23').replace("udp dport 53 accept", "udp dport 54 accept")
    found, plan = planned(image(limited), image(wanted))
    assert found[0].chains[2].name == "class-2-anew-1"
    assert plan.switch.holds_elements_only


def test_names_do_not_grow_and_stay_when_nothing_changes() -> None:
    client = FakeNft()
    loaded = image(LOADED)
    state = load(client, loaded, None).state
    seen = []
    for port in range(80, 84):
        text = (MORE if port % 2 else LOADED).replace("udp dport 53", f"udp dport {port}")
        for _ in range(2):
            loaded, plan = planned(loaded, image(text))
            answer = load(client, loaded, state)
            assert answer.faults == ()
            state = answer.state
        assert not plan.transactions, "the same once more"
        seen.append(loaded[0].chains[2].name)
    assert seen[0] == "class-2", "no element changes, so the rule alone is sent"
    assert seen[1:] == ["class-2-anew-1", "class-2-anew-2", "class-2-anew-1"]
    listing = client.listing(loaded[0].name)
    assert listing is not None
    assert set(listing.chains) == set(loaded[0].chains)
    assert listing.objects == loaded[0].objects


TWO = """\
table inet fwtrans {
	map ways {
		type ifname : verdict
		elements = { "a" : goto class-A, "b" : goto class-B }
	}
	set ports {
		type inet_service
		elements = { NUMBER }
	}
	chain forward {
		type filter hook forward priority filter; policy accept;
		iifname vmap @ways
	}
	chain class-A {
		udp dport NUMBER accept
	}
	chain class-B {
		tcp dport NUMBER drop
	}
}
"""


def test_chains_whose_names_differ_in_the_last_number_alone_stay_two() -> None:
    """Both got one new name: a chain with the rules of both, to which the packets of both were sent."""
    names = (("1", "2"), ("1", "2"), ("2", "1"), ("2", "1"), ("1", "3"), ("3", "1"), ("3", "2"), ("3", "2"))
    loaded = image(TWO.replace("-A", "-1").replace("-B", "-2").replace("NUMBER", "1"))
    for number, (one, other) in enumerate(names, 2):
        wanted = TWO.replace("-A", f"-{one}").replace("-B", f"-{other}").replace("NUMBER", str(number))
        loaded, _ = planned(loaded, image(wanted))
        rules = {chain.name: chain.rules for chain in loaded[0].chains}
        ways = dict(element.split(" : goto ") for element in loaded[0].objects[0].elements)
        assert len(rules) == len(loaded[0].chains)
        assert rules[ways['"a"']] == (f"udp dport {number} accept",)
        assert rules[ways['"b"']] == (f"tcp dport {number} drop",)
    both = TWO.replace("-A", "-1").replace("-B", "-1-anew-1")
    found, _ = planned(image(both.replace("NUMBER", "1")), image(both.replace("NUMBER", "2")))
    assert [chain.name for chain in found[0].chains] == ["forward", "class-1-anew-2", "class-1-anew-3"]


@pytest.mark.parametrize(
    ("loaded", "given"),
    [
        pytest.param(LOADED.replace("iifname vmap @ways", "iifname vmap @ways\n\t\tjump class-2"), (), id="base chain"),
        pytest.param(LOADED.replace("udp dport 53", "counter udp dport 53"), (), id="a counter"),
        pytest.param(LOADED.replace("udp dport 53", "limit rate 5/second udp dport 53"), (), id="a limit"),
        pytest.param(LOADED.replace('"c" :', '"c" counter :'), (), id="a counted element"),
        pytest.param(LOADED.replace(": verdict", ": verdict\n\t\tcounter"), (), id="elements that count unsaid"),
        pytest.param(LOADED.replace('"c" :', '"c" timeout 1h :'), (), id="an element with a time"),
        pytest.param(LOADED.replace(": verdict", ": verdict\n\t\ttimeout 1h"), (), id="elements with a time unsaid"),
        pytest.param(LOADED.replace(": verdict", ": verdict\n\t\tflags dynamic"), (), id="elements that stay"),
        pytest.param(LOADED, ("class-2",), id="people's name"),
        pytest.param(LOADED.replace("class-2", "mail"), (), id="a name without a number"),
        pytest.param(
            LOADED.replace('"c" :', "".join(f'"t{number}" : goto class-2, ' for number in range(400)) + '"c" :'),
            (), id="many elements",
        ),
        pytest.param(
            LOADED.replace("udp dport 53 accept", "udp dport 53 accept" + "\n\t\tudp dport 99 accept" * 400),
            (), id="many rules",
        ),
        pytest.param(LOADED.replace("class-2", f"class-2{'x' * 115}"), (), id="a name that has no room"),
    ],
)  # fmt: skip
def test_where_it_is_declined_the_chain_is_changed(loaded: str, given: tuple[str, ...]) -> None:
    wanted = loaded.replace('"a" . 22', '"a" . 22, "a" . 23').replace("udp dport 53", "udp dport 54")
    found, plan = planned(image(loaded), image(wanted), given)
    assert found == image(wanted)
    assert not plan.prepare
    assert not plan.switch.holds_elements_only
