"""Real nodes' bridge tables through the passes for guests: proved equal, and small; and the kernel takes what is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwtrans.backend.nft.lower import Printing, lower_ruleset
from fwtrans.backend.nft.text import print_ruleset
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.ir.fields import Family
from fwtrans.ir.host import Host
from fwtrans.ir.ruleset import Ruleset
from fwtrans.ir.verify import verify
from fwtrans.optimizer.bridged.translation import bridged_translation
from fwtrans.optimizer.established_first import established_first
from fwtrans.optimizer.policy_classes import share_policies
from fwtrans.optimizer.port_dispatch import dispatch_ports
from fwtrans.optimizer.port_key import port_keys
from fwtrans.semantics.equivalence import compare
from tests.optimizer.corpus import NODES, pve_ruleset
from tests.optimizer.guests import dealt, only_table, read, ruleset_text
from tests.parsers.nft_text.nft_namespace import launcher, listed

if TYPE_CHECKING:
    from pathlib import Path

    from fwtrans.ir.ruleset import Table


def optimised(table: Table) -> Table:
    return port_keys(established_first(dispatch_ports(share_policies(table))))


def printed(table: Table) -> str:
    sink = DiagnosticSink()
    text = print_ruleset(lower_ruleset(Ruleset((table,)), sink, Printing()).ruleset).text
    assert not sink.errors, sink.errors
    return text


@pytest.mark.parametrize("name", NODES)
def test_a_real_node_is_judged_as_before(name: str, shared: Path) -> None:
    tables = bridged_translation(pve_ruleset(shared, name), Host()).ruleset.tables
    (before,) = (table for table in tables if table.family is Family.BRIDGE)
    after = optimised(before)
    assert verify(Ruleset((after,))) == ()
    proof = compare(Ruleset((before,)), Ruleset((after,)))
    assert proof.equal, (proof.differences[:1], proof.undecided)
    assert optimised(after) == after


def test_what_is_printed_is_read_back_equal() -> None:
    before = only_table(ruleset_text(dealt(36)))
    assert compare(Ruleset((before,)), read(printed(optimised(before)))).equal


LIMITS = """
table bridge fw {
    chain t1-OUT { ct mark set 1; tcp flags syn limit rate over 5/second drop; ip6 saddr fd00:1::/64 accept; drop; }
    chain t2-OUT { ct mark set 2; tcp flags syn limit rate over 5/second drop; ip6 saddr fd00:2::/64 accept; drop; }
    chain prerouting {
        type filter hook prerouting priority -150; policy accept;
        iifname vmap { "t1" : goto t1-OUT, "t2" : goto t2-OUT }
    }
}
"""


def test_the_kernel_takes_it_and_lists_the_same(tmp_path: Path) -> None:
    lab = launcher()
    if lab is None:
        pytest.skip("no lab kernel: neither ../shared/lab/run-uml nor FWTRANS_LAB_UML")
    before = [only_table(ruleset_text(dealt(30))), only_table(LIMITS)]
    found = listed([printed(optimised(table)) for table in before], tmp_path, lab)
    for table, answer in zip(before, found, strict=True):
        assert answer.status == 0, answer.errors
        assert compare(Ruleset((table,)), read(answer.text)).equal
