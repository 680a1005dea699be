"""`-m bpf`: a BPF program judges the packet. Refused: nftables runs no BPF program."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use, no_exact_form
from fwtrans.lower.values import bad_value
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step

_MOST_INSTRUCTIONS = 64
_INSTRUCTION = re.compile(r"\s*\d+\s+\d+\s+\d+\s+\d+")


def _check_bytecode(text: str) -> None:
    """Refuse what is no `COUNT,CODE JT JF K,...` of that count."""
    head, _, rest = text.partition(",")
    instructions = [part for part in rest.split(",") if part]
    well_formed = head.strip().isdigit() and all(_INSTRUCTION.match(part) for part in instructions)
    if not well_formed or not 0 < int(head) <= _MOST_INSTRUCTIONS or len(instructions) != int(head):
        raise bad_value(text, "a BPF program: the number of instructions, then each as four numbers", "--bytecode")


def _lower(use: Use, _place: Place) -> tuple[Step, ...]:
    if use.has("--bytecode"):
        _check_bytecode(use.value("--bytecode"))
    elif not use.has("--object-pinned"):
        raise Refused("FWT116", "`bpf` needs `--bytecode` or `--object-pinned`", option="bpf")
    raise no_exact_form("bpf", "nftables runs no BPF program", option="bpf")


EXTENSION = Match(
    name="bpf",
    families=BOTH,
    options=(Option(name="--bytecode"), Option(name="--object-pinned")),
    lower=_lower,
)
