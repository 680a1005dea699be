"""The date, for tests that ask the kernel for it and have to be done on the same day."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

_BEFORE = timedelta(minutes=2)


def away_from_midnight() -> datetime:
    """Return the time in UTC; just before midnight the test waits until it is over."""
    while (now := datetime.now(UTC)).date() != (now + _BEFORE).date():
        time.sleep(1)
    return now
