"""ebtables' target extensions: each does something and then gives the verdict that its `--X-target` names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Refused
from fwtrans.ir.effect import Assign
from fwtrans.ir.fields import ETHER_DADDR, ETHER_SADDR, MARK
from fwtrans.ir.verdict import Accept, Drop, Return, Verdict
from fwtrans.lower.values import read_mac, read_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.ir.rule import Step
    from fwtrans.parsers.iptables_save.syntax import OptionUse

_VERDICTS: dict[str, Verdict | None] = {"ACCEPT": Accept(), "DROP": Drop(), "RETURN": Return(), "CONTINUE": None}
_ONES = 0xFFFFFFFF
_TARGETS = {
    "--arpreply-mac": "arpreply", "--arpreply-target": "arpreply", "--to-dst": "dnat", "--dnat-target": "dnat",
    "--mark-set": "mark", "--mark-or": "mark", "--mark-and": "mark", "--mark-xor": "mark", "--mark-target": "mark",
    "--redirect-target": "redirect", "--to-src": "snat", "--snat-target": "snat", "--snat-arp": "snat",
}  # fmt: skip
TARGET_OPTIONS = frozenset(_TARGETS)


def lower_bridge_target(target: str, options: tuple[OptionUse, ...]) -> tuple[tuple[Step, ...], Verdict | None]:
    """Return what the target does and its verdict."""
    given = {use.name: use.values[0] if use.values else "" for use in options}
    if target == "mark":
        return (_mark(given),), _verdict(given, "--mark-target")
    if target == "dnat":
        return (_rewrite(given, "--to-dst"),), _verdict(given, "--dnat-target")
    if target == "snat":
        if "--snat-arp" in given:
            raise Refused("FWT200", "`--snat-arp` has no exact nftables form: it changes ARP packets of one kind only, without changing others", option="--snat-arp")  # fmt: skip
        return (_rewrite(given, "--to-src"),), _verdict(given, "--snat-target")
    if target == "redirect":
        raise Refused("FWT200", "`redirect` has no exact nftables form: a rule cannot use the bridge's own address", option=target)  # fmt: skip
    if target == "arpreply":
        raise Refused("FWT200", "`arpreply` has no nftables form: nftables cannot make ARP replies", option=target)
    raise Refused("FWT105", f"unknown target `{target}`", option=target)


def refuse_orphans(options: tuple[OptionUse, ...]) -> None:
    """Refuse a target's options in a rule without that target: ebtables-nft takes `--mark-set 1` for `-j mark`, legacy refuses it."""
    for use in options:
        target = _TARGETS.get(use.name)
        if target:
            raise Refused("FWT116", f"`{use.name}` needs `-j {target}`", option=use.name)


def _verdict(given: dict[str, str], option: str) -> Verdict | None:
    name = given.get(option, "ACCEPT")
    if name not in _VERDICTS:
        raise Refused("FWT112", f"`{name}` is not ACCEPT, DROP, CONTINUE or RETURN", option=option)
    return _VERDICTS[name]


_MARKS = ("--mark-set", "--mark-or", "--mark-and", "--mark-xor")


def refuse_several(given: dict[str, str], options: Sequence[str]) -> None:
    """Refuse a rule that says several of these, of which the program takes one only."""
    found = [option for option in options if option in given]
    if len(found) > 1:
        raise Refused("FWT112", f"`{found[1]}` cannot stand beside `{found[0]}`", option=found[1])


def _mark(given: dict[str, str]) -> Assign:
    refuse_several(given, _MARKS)
    for option in _MARKS:
        if option not in given:
            continue
        value = read_number(given[option], option)
        if option == "--mark-set":
            return Assign(MARK, 0, value)
        if option == "--mark-or":
            return Assign(MARK, _ONES & ~value, value)
        if option == "--mark-and":
            return Assign(MARK, value, 0)
        return Assign(MARK, _ONES, value)
    raise Refused("FWT116", "`mark` needs --mark-set, --mark-or, --mark-and or --mark-xor", option="mark")


def _rewrite(given: dict[str, str], option: str) -> Assign:
    if option not in given:
        raise Refused("FWT116", f"the target needs `{option}`", option=option)
    field = ETHER_DADDR if option == "--to-dst" else ETHER_SADDR
    return Assign(field, 0, read_mac(given[option], option))
