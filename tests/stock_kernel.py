"""Debian's own kernel, the oldest that fwtrans promises to work with: run under QEMU's emulation, and slow."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fwtrans.lab.kernels import Kernel


def stock_kernel(shared: Path) -> Kernel:
    """Return the newest of Debian's kernels that is installed; skip the test where there is none."""
    if shutil.which("qemu-system-x86_64") is None or not list(Path("/boot").glob("vmlinuz-*")):
        pytest.skip("needs qemu-system-x86_64 and a kernel in /boot (Debian: qemu-system-x86, linux-image-amd64)")
    launcher = shared / "lab" / "run-qemu"
    return Kernel(f"Debian's kernel ({launcher})", (str(launcher), "-m", "2000"), ("-t",))
