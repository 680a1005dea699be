"""Names that stay: what is loaded under another name than the new ruleset gives it keeps the one under which it is loaded.

    loaded                        wanted                         wanted, under the names that are loaded
    "a" : goto service-5353-x     "a" : goto service-1900-x      "a" : goto service-5353-x
    "b" : goto service-5353-x     "b" : goto service-1900-x      "b" : goto service-5353-x
                                  "c" : goto service-1900-x      "c" : goto service-5353-x

Many names are made: from a number, from the first of several that are alike, from a hash of what a chain says. One more
guest may change such a name, and then all elements and rules that have it would have to be sent, for nothing.

Names mean nothing to packets, so any other choice of them, one for each, is right; which one is chosen decides only how
much has to be sent. So each place that has one name in what is loaded and another in what is wanted is a vote for the two
being the same, and what two parts that are the same lead to is asked next. Only what differs is looked at.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from fwtrans.backend.loader.anew import made_anew
from fwtrans.backend.loader.image import HOLDERS, ChainImage, Kind, ObjectImage, TableImage, added_and_gone
from fwtrans.backend.loader.references import NAME, Part, changing, is_made, names_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fwtrans.backend.loader.image import Image
    from fwtrans.backend.loader.plan import Present

    Parts: TypeAlias = dict[str, ChainImage | ObjectImage]

_NUMBER = re.compile(r"-\d+$")
_HASH = re.compile(r"-(?=[0-9]*[a-f])[0-9a-f]{6,}(?![0-9a-z])")


def under_loaded_names(present: Iterable[Present], wanted: Image, given: frozenset[str] = frozenset()) -> Image:
    """Return the wanted tables under the names that are loaded.

    `given` are names that people gave: they are theirs, and so are those without a number. A table of which nothing but the
    outline is known has no names to keep.
    """
    loaded = {item.image.name: item.image for item in present if item.handles is not None}

    def of(table: TableImage) -> TableImage:
        old = loaded.get(table.name)
        if old is None:
            return table
        before, after = _parts(old), _parts(table)
        open_old = _open(before, after)
        if all(part[0] == "@" and part in after for part in open_old):
            return table  # elements come and go, as they most often do, and change no names
        return made_anew(old, _Naming(table, before, after, open_old, given).run(), given)

    return tuple(map(of, wanted))


class _Naming:
    """One table. `open` is what the kernel has otherwise than it is wanted, on either side: only that can get a name."""

    def __init__(
        self, new: TableImage, old_parts: Parts, new_parts: Parts, open_old: dict[Part, None], given: frozenset[str]
    ) -> None:
        self.new = new
        self.given = given
        self.old_parts = old_parts
        self.new_parts = new_parts
        self.open_old = open_old
        self.open_new = _open(new_parts, old_parts)
        self.chosen: dict[Part, Part] = {}
        self.taken: set[Part] = set()
        self.votes: Counter[tuple[Part, Part]] = Counter()
        self.differences: dict[tuple[Part, str], tuple[set[str], set[str]]] = {}
        self.walked: set[tuple[Part, Part]] = set()
        self._kept_uses: Counter[Part] | None = None

    def run(self) -> TableImage:
        """Return the table with its names."""
        for part in self.open_new:
            if part in self.old_parts:
                self._walk(part, part)
        while self._choose():
            pass
        self._settle_the_rest()
        names = {new: old for new, old in self.chosen.items() if new != old}
        return self._renamed(names) if names else self.new

    # --- votes ---

    def _walk(self, old: Part, new: Part) -> None:
        """Take the votes of two parts for each other's names."""
        if (old, new) in self.walked:
            return
        self.walked.add((old, new))
        before, after = self.old_parts[old], self.new_parts[new]
        if isinstance(before, ChainImage) and isinstance(after, ChainImage):
            pairs = _rule_pairs(before, after)
        elif isinstance(before, ObjectImage) and isinstance(after, ObjectImage):
            pairs = self._value_pairs(new, before, after)
        for one, other in pairs:
            if one in self.open_old and other in self.open_new and self._may_be(one, other):
                self.votes[one, other] += 1

    def _value_pairs(self, part: Part, old: ObjectImage, new: ObjectImage) -> Iterator[tuple[Part, Part]]:
        """Yield the chains that the same key leads to."""
        if old.kind is not Kind.MAP:
            return
        added, texts = self._added_and_gone(part, old, new)
        gone = dict(map(_key_and_value, texts))
        for key, value in map(_key_and_value, added):
            if key in gone:
                yield from zip(names_in(gone[key]), names_in(value), strict=False)

    def _added_and_gone(self, part: Part, old: ObjectImage, new: ObjectImage) -> tuple[set[str], set[str]]:
        """Return the elements that differ. It is asked for twice, and there may be thousands."""
        if (found := self.differences.get((part, old.name))) is None:
            found = self.differences[part, old.name] = added_and_gone(old.elements, new.elements)
        return found

    def _may_be(self, old: Part, new: Part) -> bool:
        """Tell whether the new one can go by the name of the old one."""
        if old == new:
            return True
        before, after = self.old_parts[old], self.new_parts[new]
        if after.name in self.given or not is_made(after.name):
            return False
        if isinstance(before, ObjectImage) and isinstance(after, ObjectImage):
            if before.kind is not after.kind or _declared(before) != _declared(after):
                return False
            return before.kind is Kind.MAP or not _stems(before.name).isdisjoint(_stems(after.name))
        return isinstance(before, ChainImage) and isinstance(after, ChainImage)

    # --- choices ---

    def _choose(self) -> bool:
        """Choose by the votes there are, most first, and take the votes of what was chosen; False where nothing was left."""
        votes, self.votes = self.votes, Counter()
        moved = {part for pair in votes if pair[0] != pair[1] for part in pair}
        for part in sorted(moved & self.open_old.keys() & self.open_new.keys()):
            votes[part, part] += self.kept_uses[part]  # the other choice is that it keeps its name
        before = len(self.chosen)
        for (old, new), _ in sorted(votes.items(), key=lambda vote: (-vote[1], not self._same(*vote[0]), vote[0])):
            if new not in self.chosen and old not in self.taken:
                self._take(old, new)
        return len(self.chosen) > before

    def _same(self, old: Part, new: Part) -> bool:
        before, after = self.old_parts[old], self.new_parts[new]
        return isinstance(before, ChainImage) and isinstance(after, ChainImage) and before.said == after.said

    def _take(self, old: Part, new: Part) -> None:
        self.chosen[new] = old
        self.taken.add(old)
        self._walk(old, new)

    @property
    def kept_uses(self) -> Counter[Part]:
        """Return how often what stays as it is names a part: those places would have to be sent if its name changed."""
        if self._kept_uses is None:
            self._kept_uses = Counter(self._uses_that_stay())
        return self._kept_uses

    def _uses_that_stay(self) -> Iterator[Part]:
        for part, thing in self.new_parts.items():
            other = self.old_parts.get(part)
            if isinstance(thing, ChainImage):
                if isinstance(other, ChainImage) and other.said == thing.said:
                    yield from names_in(thing.said)
            elif isinstance(other, ObjectImage) and thing.kind is Kind.MAP:
                for element in set(thing.elements).intersection(other.elements):
                    yield from names_in(element.rpartition(" : ")[2])

    def _settle_the_rest(self) -> None:
        """What nobody voted for: by what it says, by its own name, and by a name that nobody has."""
        by_rules = {
            thing.said: part
            for part in self.open_old
            if part not in self.taken and part not in self.new_parts
            if isinstance(thing := self.old_parts[part], ChainImage) and not thing.is_base
        }
        for new in self.open_new:
            if new in self.chosen:
                continue
            thing = self.new_parts[new]
            old = by_rules.get(thing.said) if isinstance(thing, ChainImage) and new not in self.old_parts else None
            if old is not None and old not in self.taken and self._may_be(old, new):
                self._take(old, new)
            elif new in self.taken:
                self.chosen[new] = self._free(new)
                self.taken.add(self.chosen[new])

    # --- the wanted table, under the names chosen ---

    def _renamed(self, names: Mapping[Part, Part]) -> TableImage:
        """Return the table with names in the place of names; what is loaded word for word names none that is new."""
        change = changing(names)
        anywhere = any(part in self.old_parts for part in names)  # the name goes from one part to another
        chains: dict[str, ChainImage] = {}
        objects: dict[str, ObjectImage] = {}
        for part in self.new_parts if anywhere else self.open_new:
            name, thing = names.get(part, part), self.new_parts[part]
            if isinstance(thing, ChainImage):
                chains[part] = replace(thing, name=name, rules=tuple(map(change, thing.rules)))
            else:
                old = None if anywhere else self.old_parts.get(part)
                texts = thing.elements
                if isinstance(old, ObjectImage):
                    texts = tuple(self._added_and_gone(part, old, thing)[0])
                changed = {text: change(text) for text in texts} if thing.kind is Kind.MAP else {}
                elements = tuple(map(changed.get, thing.elements, thing.elements))
                objects[thing.name] = replace(thing, name=name[1:], elements=elements)
        return replace(
            self.new,
            objects=tuple(objects.get(item.name, item) if item.kind in HOLDERS else item for item in self.new.objects),
            chains=tuple(chains.get(chain.name, chain) for chain in self.new.chains),
        )

    def _free(self, part: Part) -> Part:
        number = 2
        while (found := f"{part}-{number}") in self.taken or found in self.old_parts or found in self.new_parts:
            number += 1
        return found


def _parts(table: TableImage) -> Parts:
    found: Parts = {chain.name: chain for chain in table.chains}
    found.update((f"@{item.name}", item) for item in table.objects if item.kind in HOLDERS)
    return found


def _open(these: Parts, others: Parts) -> dict[Part, None]:
    """Return what is not the same among the others; there may be thousands, and most are."""
    return {
        part: None
        for part, thing in these.items()
        if (other := others.get(part)) is None
        or (
            (isinstance(other, ObjectImage) or thing.said != other.said)
            if isinstance(thing, ChainImage)
            else (isinstance(other, ChainImage) or thing.elements != other.elements or thing.body != other.body)
        )
    }


def _declared(item: ObjectImage) -> list[str]:
    return [line for line in item.body if not line.startswith("comment ")]


def _stems(name: str) -> frozenset[str]:
    """Return a set's name, what is before its number, and that without hashes: a set is named after the class that it leads to.

    No more than that, since sets have names of people too, who put elements in by them. Digits alone are a date rather than a hash.
    """
    stem = _NUMBER.sub("", name)
    return frozenset({name, stem, _HASH.sub("-", stem)})


def _rule_pairs(old: ChainImage, new: ChainImage) -> Iterator[tuple[Part, Part]]:
    """Yield names at the same places of rules that are the same but for names."""
    before, after = _by_outline(old.said), _by_outline(new.said)
    for outline, rules in after.items():
        others = before.get(outline, [])
        if len(others) == len(rules):
            for one, other in zip(others, rules, strict=True):
                yield from zip(names_in(one), names_in(other), strict=True)


def _by_outline(said: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for rule in said.split("\n"):
        outline = NAME.sub(_without_name, rule)
        if outline != rule:
            found.setdefault(outline, []).append(rule)
    return found


def _without_name(found: re.Match[str]) -> str:
    return found["chain"] or ("@" if found["set"] else found[0])


def _key_and_value(element: str) -> tuple[str, str]:
    key, _, value = element.rpartition(" : ")
    return key, value
