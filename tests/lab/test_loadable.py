"""Rules that a kernel has no match or target for are found by loading them, and left out."""

from __future__ import annotations

import pytest

from fwtrans.lab.kernels import candidates
from fwtrans.lab.loadable import loadable

pytestmark = pytest.mark.netns

DUMP = """\
*filter
:INPUT ACCEPT [0:0]
:mine - [0:0]
-A INPUT -p tcp -m tcp --dport 22 -j mine
-A INPUT -p tcp -m tcp --dport 23 -m nosuchmatch --value 1 -j ACCEPT
-A INPUT -m comment --comment "a -j NOSUCH in a comment" -j ACCEPT
-A mine -p udp -m udp --dport 53 -j NOSUCHTARGET --value 1
-A mine -p udp -m udp --dport 53 -g mine
COMMIT
"""


def test_what_the_kernel_has_not_is_left_out_and_said() -> None:
    found = loadable({"iptables-save": DUMP, "ipset-save": "create a hash:net\n"}, next(candidates({})))
    assert [(name, number) for name, number, _ in found.left_out] == [("iptables-save", 5), ("iptables-save", 7)]
    lines = DUMP.splitlines(keepends=True)
    assert found.texts["iptables-save"] == "".join(lines[:4] + lines[5:6] + lines[7:])
    assert found.texts["ipset-save"] == "create a hash:net\n"
