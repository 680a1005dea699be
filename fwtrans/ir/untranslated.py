"""The mark of what could not be translated: an opaque test without a form, in the place of the match or target.

A rule that holds one is never printed. It stands for the original in the proof that a partial translation is safe: whether
the packet passes the test is anybody's guess, the same one wherever the identity is the same.
"""

from __future__ import annotations

from fwtrans.ir.match import OpaqueTest

_PREFIX = "untranslated "


def untranslated(identity: str) -> OpaqueTest:
    """Return the test that stands for what could not be translated."""
    return OpaqueTest(_PREFIX + identity)


def is_untranslated(step: object) -> bool:
    """Tell whether a step stands for what could not be translated."""
    return isinstance(step, OpaqueTest) and step.identity.startswith(_PREFIX)
