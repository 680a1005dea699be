"""The prefix of a log line, as iptables keeps it."""

from __future__ import annotations

from fwtrans.lower.values import bad_value


def read_prefix(text: str, option: str, limit: int) -> str:
    """Return the prefix, cut after `limit` bytes as iptables cuts it (it says nothing). No letter is cut in two."""
    if not text:
        raise bad_value(text, "a prefix: it must have at least one letter", option)
    if "\n" in text:
        raise bad_value(text, "a prefix: iptables allows no newline in it", option)
    data = text.encode("utf-8", "surrogateescape")
    if len(data) <= limit:
        return text
    return data[:limit].decode("utf-8", "ignore")
