"""`-j LED`: lights an LED of the machine by a trigger in the kernel. It has no nftables form."""

from __future__ import annotations

from fwtrans.lower.extensions.base import BOTH, Outcome, Place, Target, Use, no_exact_form
from fwtrans.lower.values import bad_value, read_number
from fwtrans.parsers.iptables_save.options import Option

_NAME_BYTES = 16


def _lower(use: Use, _place: Place) -> Outcome:
    name = use.need("--led-trigger-id").values[0]
    if len(name.encode()) > _NAME_BYTES:
        raise bad_value(name, f"a trigger's name: at most {_NAME_BYTES} bytes", "--led-trigger-id")
    delay = use.value("--led-delay", "0")
    if not delay.lower().startswith("inf"):
        read_number(delay, "--led-delay")
    raise no_exact_form("LED", "nftables cannot fire the triggers of the kernel's LED subsystem")


EXTENSION = Target(
    name="LED",
    families=BOTH,
    options=(
        Option(name="--led-trigger-id"),
        Option(name="--led-delay"),
        Option(name="--led-always-blink", arity=0),
    ),
    lower=_lower,
)
