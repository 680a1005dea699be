"""MARK and CONNMARK: what the assignment does to marks, computed here as the kernel's C does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fwtrans.diagnostics import Refused
from fwtrans.ir.effect import Assign
from fwtrans.ir.fields import CT_MARK, MARK
from tests.lower.extensions.target_uses import lower_target

if TYPE_CHECKING:
    from collections.abc import Callable

ONES = 0xFFFFFFFF
SAMPLES = (0, 1, 0x12, 0x16, 0xFF, 0xDEADBEEF, 0x80000001, ONES)


def carried_out(step: Assign, mark: int, ctmark: int) -> int:
    """field = ((field & keep) ^ source) ^ constant, as the IR says it."""
    values = {MARK: mark, CT_MARK: ctmark}
    source = 0
    if step.source is not None:
        source = values[step.source.field] & step.source.mask
        source = source << step.source.shift & ONES if step.source.shift >= 0 else source >> -step.source.shift
    return (values[step.field] & step.keep) ^ source ^ step.constant


def only_assignment(line: str) -> Assign:
    (step,) = lower_target(line).outcome.steps
    assert isinstance(step, Assign)
    return step


MARKS: dict[str, Callable[[int], int]] = {
    "--set-xmark 0x16/0x12": lambda old: (old & ~0x12) ^ 0x16,
    "--set-xmark 0x1": lambda _old: 1,
    "--set-mark 0x16/0x12": lambda old: (old & ~0x16) ^ 0x16,
    "--set-mark 0x16/0": lambda old: old | 0x16,
    "--and-mark 0xff": lambda old: old & 0xFF,
    "--or-mark 0x80000000": lambda old: old | 0x80000000,
    "--xor-mark 5": lambda old: old ^ 5,
    "--xor-mark 010": lambda old: old ^ 8,
}


@pytest.mark.parametrize("target", ["MARK", "CONNMARK"])
@pytest.mark.parametrize("options", MARKS)
def test_setters_change_the_bits_that_the_kernel_changes(target: str, options: str) -> None:
    step = only_assignment(f"-t mangle -A PREROUTING -j {target} {options}")
    assert step.field is (MARK if target == "MARK" else CT_MARK)
    for old in SAMPLES:
        assert carried_out(step, old, old) == MARKS[options](old) & ONES


COPIES: dict[str, Callable[[int, int], int]] = {
    "--save-mark": lambda mark, _ct: mark,
    "--save-mark --mask 0xff": lambda mark, ct: (ct & ~0xFF) ^ (mark & 0xFF),
    "--save-mark --nfmask 0xf0 --ctmask 0x0f": lambda mark, ct: (ct & ~0x0F) ^ (mark & 0xF0),
    "--save-mark --left-shift-mark 8 --nfmask 0xff --ctmask 0xff00": lambda mark, ct: (
        (ct & ~0xFF00) ^ ((mark & 0xFF) << 8)
    ),
    "--save-mark --right-shift-mark 31": lambda mark, _ct: mark >> 31,
    "--restore-mark": lambda _mark, ct: ct,
    "--restore-mark --mask 0xff00": lambda mark, ct: (mark & ~0xFF00) ^ (ct & 0xFF00),
    "--restore-mark --nfmask 0 --ctmask 0xffffffff": lambda mark, ct: mark ^ ct,
    "--restore-mark --right-shift-mark 4 --ctmask 0xf0 --nfmask 0xf": lambda mark, ct: (
        (mark & ~0xF) ^ ((ct & 0xF0) >> 4)
    ),
    "--set-mark 0xf0 --left-shift-mark 28": lambda _mark, _ct: 0xF0 << 28,
    "--set-xmark 0x3/0xff --right-shift-mark 1": lambda _mark, ct: ((ct & ~0xFF) ^ 3) >> 1,
    "--set-xmark 0x3 --ctmask 0xf": lambda _mark, ct: (ct & ~0xF) ^ 3,
}


@pytest.mark.parametrize("options", COPIES)
def test_connmark_copies_and_shifts_as_the_kernel_does(options: str) -> None:
    step = only_assignment(f"-t mangle -A PREROUTING -j CONNMARK {options}")
    assert step.field is (MARK if "restore" in options else CT_MARK)
    for mark in SAMPLES:
        for ctmark in SAMPLES:
            assert carried_out(step, mark, ctmark) == COPIES[options](mark, ctmark) & ONES


@pytest.mark.parametrize(
    ("line", "code", "option"),
    [
        ("-j MARK", "FWT116", "MARK"),
        ("-j MARK --set-mark 1 --or-mark 2", "FWT117", "--or-mark"),
        ("-j MARK --set-mark x", "FWT112", "--set-mark"),
        ("-j MARK --set-mark 1/", "FWT112", "--set-mark"),
        ("-j MARK --set-mark 0x100000000", "FWT112", "--set-mark"),
        ("-j MARK --set-mark -1", "FWT112", "--set-mark"),
        ("-j CONNMARK", "FWT116", "CONNMARK"),
        ("-j CONNMARK --mask 1", "FWT116", "CONNMARK"),
        ("-j CONNMARK --save-mark --restore-mark", "FWT117", "--restore-mark"),
        ("-j CONNMARK --save-mark --mask 1 --nfmask 1", "FWT117", "--nfmask"),
        ("-j CONNMARK --save-mark --left-shift-mark 32", "FWT112", "--left-shift-mark"),
    ],
)
def test_malformed_marks_are_refused_at_the_option(line: str, code: str, option: str) -> None:
    with pytest.raises(Refused) as found:
        lower_target(line)
    assert (found.value.code, found.value.option) == (code, option)
