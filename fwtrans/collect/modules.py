"""Is a part of the kernel there already? Asking it something would load it, and then reading had changed the host."""

from __future__ import annotations

import os
from pathlib import Path


def is_loaded(module: str, root: Path = Path("/")) -> bool:
    """Tell whether a module is loaded or built in; a kernel without modules has all that it will ever have."""
    listed = root / "proc/modules"
    if not listed.exists() or (root / "sys/module" / module).is_dir():
        return True
    with listed.open(encoding="ascii", errors="replace") as lines:
        if any(line.split(" ", 1)[0] == module for line in lines):
            return True
    built_in = root / "lib/modules" / os.uname().release / "modules.builtin"
    try:
        return f"/{module}.ko" in built_in.read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
