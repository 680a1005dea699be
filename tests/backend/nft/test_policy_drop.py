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
