"""The kernel for tests that need bridge conntrack: the running one, or the launcher that is set, or the one beside the checkout."""

from __future__ import annotations

import pytest

from fwtrans.lab.kernels import SETTING, Kernel, NoKernel, choose
from tests.lab.kernels_at_hand import environment


@pytest.fixture(scope="session")
def bridge_kernel() -> Kernel:
    try:
        return choose(environment=environment())
    except NoKernel as error:
        pytest.skip(f"needs a kernel with bridge conntrack, set {SETTING} to a launcher of one ({error})")
