"""The kernels that tests may ask: the running one, and the launcher that is set or stands beside the checkout."""

from __future__ import annotations

import os

from fwtrans.lab.kernels import SETTING, Kernel, candidates
from tests.places import SHARED


def environment() -> dict[str, str]:
    """Return the environment with a launcher of another kernel, where there is one."""
    launcher = SHARED / "lab" / "run-uml"
    return {**({SETTING: str(launcher)} if launcher.exists() else {}), **os.environ}


def kernels() -> tuple[Kernel, ...]:
    """Return the kernels, the fastest first."""
    return tuple(candidates(environment()))
