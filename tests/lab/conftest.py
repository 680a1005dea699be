"""The kernel for tests that need bridge conntrack: the running one, or the launcher that is set, or the one beside the checkout."""

from __future__ import annotations

import os

import pytest

from fwtrans.lab.kernels import SETTING, Kernel, NoKernel, choose
from tests.places import SHARED


@pytest.fixture(scope="session")
def bridge_kernel() -> Kernel:
    environment = dict(os.environ)
    launcher = SHARED / "lab" / "run-uml"
    if SETTING not in environment and launcher.exists():
        environment[SETTING] = str(launcher)
    try:
        return choose(environment=environment)
    except NoKernel as error:
        pytest.skip(f"needs a kernel with bridge conntrack, set {SETTING} to a launcher of one ({error})")
