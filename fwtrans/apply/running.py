"""The firewall that runs now: its dumps under the names that `collect` gives them, and whether it is what was translated."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.backend.loader.old_rules import FAMILIES, OldRules, tables_of, without_counters
from fwtrans.source import SourceFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SETS = "ipset-save"


class Running(NamedTuple):
    """The dumps that count, by the names that `collect` gives them, and programs both of whose variants hold rules."""

    dumps: dict[str, OldRules]
    sets: str
    both: tuple[str, ...]


def running_firewall(old: Iterable[OldRules], sets: str) -> Running:
    """Return one dump a program: that of the variant that has rules."""
    owners = {rules.owner: rules for rules in old}
    dumps, both = {}, []
    for family in FAMILIES:
        found = [owners[name] for name in (f"{family.program}-legacy", f"{family.program}-nft") if name in owners]
        with_rules = [rules for rules in found if rules.has_rules]
        if len(with_rules) > 1:
            both.append(family.program)
        if found:
            dumps[f"{family.program}-save"] = (with_rules or found)[0]
    return Running(dumps, sets, tuple(both))


def sources_of(running: Running) -> tuple[SourceFile, ...]:
    """Return the dumps that hold rules, as inputs."""
    found = [SourceFile(f"running {name}", rules.dump) for name, rules in running.dumps.items() if rules.has_rules]
    if found and running.sets:
        found.append(SourceFile(f"running {_SETS}", running.sets))
    return tuple(found)


def differs_from(running: Running, sources: Sequence[SourceFile]) -> tuple[str, ...]:
    """Return what of the dumps that were translated is not what runs now, one line for each of them."""
    given = {PurePath(source.name).name: source for source in sources}
    found = []
    for name, source in given.items():
        if name == _SETS:
            if _set_lines(source.text) != _set_lines(running.sets):
                found.append(f"the sets of ipset are not those of {source.name}")
            continue
        if name not in {f"{family.program}-save" for family in FAMILIES}:
            continue
        now = running.dumps.get(name)
        there = now.dump if now is not None else ""
        if _tables(source.text) != _tables(there):
            found.append(f"{source.name}: {_first(without_counters(source.text), without_counters(there))}")
    return tuple(found)


def taken_out(families: Iterable[str], sources: Sequence[SourceFile]) -> tuple[str, ...]:
    """Return the programs whose rules the new ruleset stands for: those translated, or those of its families."""
    if sources:
        given = {PurePath(source.name).name for source in sources}
        named = tuple(family.program for family in FAMILIES if f"{family.program}-save" in given)
        if named:
            return named
        return ("iptables", "ip6tables", "ebtables")  # a Proxmox VE configuration makes all three
    wanted = set(families)
    return tuple(family.program for family in FAMILIES if family.nft in wanted)


def _tables(dump: str) -> dict[str, tuple[str, ...]]:
    """Return the lines of each table that does anything; iptables-nft leaves empty tables out, legacy does not."""
    return {
        name: lines
        for name, lines in tables_of(dump).items()
        if OldRules("", "\n".join(lines), ()).has_rules
    }  # fmt: skip


def _first(before: tuple[str, ...], after: tuple[str, ...]) -> str:
    gone = [line for line in before if line not in set(after)]
    new = [line for line in after if line not in set(before)]
    if gone:
        return f"`{gone[0]}` is not there any more" + (f", and {len(gone) - 1} lines more" if len(gone) > 1 else "")
    if new:
        return f"`{new[0]}` is new" + (f", and {len(new) - 1} lines more" if len(new) > 1 else "")
    return "the order of lines is another"


def _set_lines(text: str) -> list[str]:
    kept = []
    for line in text.splitlines():
        words = line.split()
        for name in ("timeout", "packets", "bytes"):
            if words[:1] == ["add"] and name in words[2:]:
                at = words.index(name)
                del words[at : at + 2]
        if words and not line.startswith("#"):
            kept.append(" ".join(words))
    return sorted(kept)
