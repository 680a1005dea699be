"""A base chain whose policy drops is printed with a drop at its end, and nothing passes by it."""

from __future__ import annotations

import pytest

from tests.optimizer.texts import assert_equal, printed, read_nft

LEADS = "meta l4proto vmap { tcp : goto own, udp : return }"
RULESET = """\
table ip t {{
	chain own {{
		tcp dport 22 accept
	}}
	chain forward {{
		type filter hook forward priority filter; policy drop;
		{rules}
	}}
}}
"""


@pytest.mark.parametrize(
    "rules",
    [
        "",
        LEADS,
        f"{LEADS}\n\t\tip saddr 10.0.0.1 accept",
        # what the last rule decides does not meet what came back before it
        f"{LEADS}\n\t\taccept",
        f"{LEADS}\n\t\tdrop",
        f"ip saddr 10.0.0.1 accept\n\t\t{LEADS}\n\t\taccept",
        "tcp dport 22 goto own\n\t\taccept",
        "udp dport 53 return\n\t\taccept",
    ],
)
def test_what_comes_back_is_dropped(rules: str) -> None:
    before = read_nft(RULESET.format(rules=rules))
    text = printed(before)
    assert "policy accept" in text
    assert_equal(before, read_nft(text))


ENDING = """\
table ip t {
	chain own {
		tcp dport 22 accept
		ct mark set 7 goto answer
	}
	chain answer {
		ip saddr 10.0.0.1 reject
		accept
	}
	chain forward {
		type filter hook forward priority filter; policy drop;
		tcp dport 1-99 goto own
		meta l4proto vmap { tcp : goto own, udp : goto answer }
		ip saddr 10.0.0.2 accept
	}
}
"""


def test_a_chain_that_nobody_comes_back_from_is_gone_to_as_it_is() -> None:
    before = read_nft(ENDING)
    text = printed(before)
    assert text.count("chain ") == 3
    assert_equal(before, read_nft(text))
