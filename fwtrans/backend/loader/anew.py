"""Chains that elements lead to are made anew where they change, so that the switch holds nothing but elements.

    loaded                           wanted                           wanted, anew
    "a" : goto class-7               "a" : goto class-7               "a" : goto class-7-anew-1
    chain class-7 { a rule }         chain class-7 { another rule }   chain class-7-anew-1 { another rule }

Elements alone go to the kernel as they are. With a rule among them the switch needs libnftables, which first reads all
elements of all sets once more, because the steps before it have made a new generation of the ruleset (1.0.6: 100 ms for
200 guests of 200 kinds). The new chain is complete before an element leads to it, and the old one is there until none does.

Declined: where a rule of a base chain leads to such a chain, where rules or elements hold a count, a bucket or a time that
would be lost, where elements stay as the kernel has them, where people gave the name, and where very much would have to be sent.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.backend.loader.image import HOLDERS, ChainImage, Kind, ObjectImage, TableImage
from fwtrans.backend.loader.references import changing, is_made, names_in
from fwtrans.backend.loader.rule_diff import holds_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet

_MOST_RULES = 300
_MOST_ELEMENTS = 300
"""About as many as libnftables and the kernel take in the time that is saved."""
_LONGEST_NAME = 127
_TIMED = re.compile(r"\b(?:timeout|expires)\b")
_SUFFIX = re.compile(r"-anew-\d+$")


def made_anew(loaded: TableImage, wanted: TableImage, given: frozenset[str]) -> TableImage:
    """Return the wanted table with other names for the chains that change, or as it is."""
    before = {chain.name: chain for chain in loaded.chains}
    changed = [chain for chain in wanted.chains if chain.name in before and _differ(before[chain.name], chain)]
    if not changed or not _elements_change(loaded, wanted) or _leaves_elements(loaded, wanted):
        return wanted
    anew = _with_those_that_lead_to(changed, wanted)
    if sum(len(chain.rules) for chain in anew.values()) > _MOST_RULES:
        return wanted
    if not all(_may_be_made_anew(chain, before.get(chain.name), given) for chain in anew.values()):
        return wanted
    names = _names(anew, before.keys() | {chain.name for chain in wanted.chains})
    elements = _elements_to(anew, wanted)
    if any(len(name) > _LONGEST_NAME for name in names.values()) or not _may_be_sent(elements, wanted):
        return wanted
    return _renamed(wanted, anew, names, elements)


def _differ(old: ChainImage, new: ChainImage) -> bool:
    return old.said != new.said


def _elements_change(loaded: TableImage, wanted: TableImage) -> bool:
    before = {item.name: item for item in loaded.objects if item.kind in HOLDERS}
    return any(
        item.elements != before[item.name].elements
        for item in wanted.objects
        if item.name in before and not item.is_dynamic
    )


def _leaves_elements(loaded: TableImage, wanted: TableImage) -> bool:
    """Tell whether a map's elements stay as the kernel has them, wherever they lead."""
    return any(
        item.is_dynamic and item.kind is Kind.MAP and any(line.endswith(" : verdict") for line in item.body)
        for item in (*loaded.objects, *wanted.objects)
    )


def _with_those_that_lead_to(changed: list[ChainImage], table: TableImage) -> Mapping[str, ChainImage]:
    """Return the chains that change, and those whose rules lead to one of them: these have to name another chain then."""
    found = {chain.name: chain for chain in changed}
    todo = list(found)
    while todo:
        name = todo.pop()
        for chain in table.chains:
            if name in chain.said and chain.name not in found and name in names_in(chain.said):
                found[chain.name] = chain
                todo.append(chain.name)
    return found


def _may_be_made_anew(chain: ChainImage, old: ChainImage | None, given: frozenset[str]) -> bool:
    if chain.is_base or chain.name in given or not is_made(chain.name):
        return False
    return old is None or not any(map(holds_state, old.rules))


def _names(chains: Iterable[str], taken: AbstractSet[str]) -> Mapping[str, str]:
    """Return a name for each that nobody has, and no other of them: two may differ in nothing but the number at the end."""
    found: dict[str, str] = {}
    used = set(taken)
    for name in chains:
        stem, number = _SUFFIX.sub("", name), 1
        while (free := f"{stem}-anew-{number}") in used:
            number += 1
        found[name] = free
        used.add(free)
    return found


def _may_be_sent(elements: Mapping[str, tuple[str, ...]], table: TableImage) -> bool:
    """Tell whether elements can be sent once more: not too many, and none that counts or ends at a time of its own."""
    led = [text for texts in elements.values() for text in texts]
    said = [line for item in table.objects if item.kind is Kind.MAP and elements.get(item.name) for line in item.body]
    return len(led) <= _MOST_ELEMENTS and not any(
        holds_state(text) or _TIMED.search(text) is not None for text in (*led, *said)
    )


def _elements_to(anew: Mapping[str, ChainImage], table: TableImage) -> Mapping[str, tuple[str, ...]]:
    """Return by the map's name the elements that lead to one of the chains."""
    found = {}
    for item in table.objects:
        if item.kind is not Kind.MAP:
            continue
        texts = "\n".join(item.elements)  # most maps name none of them, and there may be thousands of elements
        if any(name in texts for name in anew):
            found[item.name] = tuple(text for text in item.elements if _leads_to(text, anew))
    return found


def _leads_to(element: str, chains: Mapping[str, ChainImage]) -> bool:
    return any(name in chains for name in names_in(element.rpartition(" : ")[2]))


def _renamed(
    table: TableImage,
    anew: Mapping[str, ChainImage],
    names: Mapping[str, str],
    elements: Mapping[str, tuple[str, ...]],
) -> TableImage:
    change = changing(names)

    def chain(item: ChainImage) -> ChainImage:
        if item.name not in anew:
            return item
        return replace(item, name=names[item.name], rules=tuple(map(change, item.rules)))

    def holder(item: ObjectImage) -> ObjectImage:
        texts = {text: change(text) for text in elements.get(item.name, ())} if item.kind is Kind.MAP else {}
        return replace(item, elements=tuple(texts.get(text, text) for text in item.elements)) if texts else item

    return replace(table, objects=tuple(map(holder, table.objects)), chains=tuple(map(chain, table.chains)))
