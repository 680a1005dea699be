"""Where things are, told from the place of this file: tests run in any checkout."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "fwtrans"
FIXTURES = REPOSITORY / "fixtures"
ERROR_PAGES = REPOSITORY / "docs" / "errors"
SHARED = REPOSITORY.parent / "shared"
"""The big corpora; they lie beside the repository, not in it. Tests reach them through the fixture `shared`."""
