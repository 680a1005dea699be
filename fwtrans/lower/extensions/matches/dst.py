"""`-m dst`: the IPv6 destination options header. See `hbh.py`."""

from __future__ import annotations

from fwtrans.lower.extensions.matches.hbh import options_header

EXTENSION = options_header("dst")
