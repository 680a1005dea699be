"""`-m recent`: lists of addresses that rules fill while packets pass, and ask.

net/netfilter/xt_recent.c keeps for each address of a list the times it was entered. In nftables a list becomes dynamic
sets, for each question that some rule asks: an element lives as long as its entry counts as recent. The sets of a list
are its views: whatever enters the address enters it into all of them.

    --rcheck --seconds 60     the element is in the view of 60 seconds
    --rcheck, --remove        it is in the view without an end
    --set                     enters (renews) it in all views
    --update                  asks like --rcheck, and then renews it in all views
    --remove                  asks, and then takes it out of all views

A view that asks for several hits (`--seconds 60 --hitcount 4`) has as many sets, the places. An entry goes to the place
where the oldest one was, so all places hold the address exactly if the last four entries are within 60 seconds. Which
place is next is told by further sets (`-next2`: it is the second). Finding it takes several rules: a subroutine.

So what a use means depends on every rule that names the list. What is not in a set: the TTL that an address had
(`--rttl`). What a rule does although it does not match (`! --set`, `! --remove`, `! --update --seconds`) has no place in
a rule of nftables either.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.diagnostics import Refused
from fwtrans.ir.effect import SetOperation, SetUpdate
from fwtrans.ir.fields import Family, destination_address, source_address
from fwtrans.ir.match import AnyOf, KeyPart, MemberTest
from fwtrans.ir.rule import Rule
from fwtrans.ir.sets import NamedSet
from fwtrans.ir.verdict import Return
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use, no_exact_form
from fwtrans.lower.subroutines import Call, Subroutine
from fwtrans.lower.values import address_width, bad_value, read_host, read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwtrans.ir.rule import Step

_COMMANDS = ("--set", "--rcheck", "--update", "--remove")
_LONGEST_NAME = 199
_MOST_HITS = 0xFFFF
# The kernel's own limit (ip_list_tot) is 100; nftables refuses to enter more than the size of a set.
_SIZE = 65535
_SHARED = "lists of recent"

# A rule of nftables holds 128 expressions (NFT_RULE_MAXEXPRS), and asking for one place takes two.
_MOST_PLACES = 32
_Key = tuple[KeyPart, ...]


class View(NamedTuple):
    """A question: entered so often (or once), within so many seconds (or ever)."""

    seconds: int | None
    hits: int

    @property
    def order(self) -> tuple[bool, int, int]:
        """Return what views are sorted by: the shortest first."""
        return self.seconds is None, self.seconds or 0, self.hits


class Entry(NamedTuple):
    """What one use says."""

    name: str
    command: str
    inverted: bool
    view: View
    reaps: bool
    by_ttl: bool
    of_destination: bool
    mask: int


@dataclass(frozen=True, slots=True)
class List:
    """What all uses of a list say together."""

    views: tuple[View, ...]
    masks: frozenset[int]
    reaped_after: tuple[int, ...]


def read_entry(use: Use, family: Family) -> Entry:
    """Return what a use says, checked like libxtables and the kernel check it."""
    use.exclusive(*_COMMANDS)
    found = [name for name in _COMMANDS if use.has(name)]
    if not found:
        raise Refused("FWT116", "`recent` needs `--set`, `--rcheck`, `--update` or `--remove`", option="recent")
    command = found[0]
    asks = command in {"--rcheck", "--update"}
    for name in ("--seconds", "--hitcount", "--rttl", "--reap"):
        if use.has(name) and not asks:
            raise Refused("FWT117", f"`{name}` goes with `--rcheck` or `--update` only", option=name)
    if use.has("--reap") and not use.has("--seconds"):
        raise Refused("FWT116", "`--reap` needs `--seconds`", option="--reap")
    seconds = read_number(use.value("--seconds"), "--seconds", low=1) if use.has("--seconds") else None
    sides = [option.name for option in use.options if option.name in {"--rsource", "--rdest"}]
    return Entry(
        name=_read_name(use.value("--name", "DEFAULT")),
        command=command,
        inverted=use.negated(command),
        view=View(seconds, max(1, read_number(use.value("--hitcount", "0"), "--hitcount", high=_MOST_HITS))),
        reaps=use.has("--reap"),
        by_ttl=use.has("--rttl"),
        of_destination=bool(sides) and sides[-1] == "--rdest",
        mask=_read_mask(use, family),
    )


def _read_name(text: str) -> str:
    # iptables cuts a longer name off; the list becomes a file of that name in /proc.
    name = text.encode()[:_LONGEST_NAME].decode(errors="ignore")
    if not name or "/" in name or name in {".", ".."}:
        raise bad_value(text, "a list's name", "--name")
    return name


def _read_mask(use: Use, family: Family) -> int:
    option = use.find("--mask")
    if option is None:
        return (1 << address_width(family)) - 1
    return read_host(option.values[0], option.name, family)


# --- the lists of a dump ---


def _lists(place: Place, own: Entry) -> dict[str, List]:
    """Return the lists of the dump; of a use that stands alone, its own."""
    if place.dump is None or place.shared is None:
        return _gather([own])
    known = place.shared.get(_SHARED)
    if not isinstance(known, dict):
        known = place.shared[_SHARED] = _gather(_entries(place))
    return known


def _entries(place: Place) -> Iterator[Entry]:
    """Yield what every use in the dump says; one that is wrong is reported where it stands."""
    assert place.dump is not None  # noqa: S101 -- the caller looked
    for table in place.dump.tables:
        for chain in table.chains:
            for rule in chain.rules:
                for use in rule.matches:
                    if use.name == "recent":
                        try:
                            yield read_entry(Use(use), place.family)
                        except Refused:
                            continue


def _gather(entries: Iterator[Entry] | list[Entry]) -> dict[str, List]:
    views: dict[str, set[View]] = {}
    masks: dict[str, set[int]] = {}
    reaped: dict[str, set[int]] = {}
    for entry in entries:
        views.setdefault(entry.name, set())
        masks.setdefault(entry.name, set()).add(entry.mask)
        if entry.command != "--set":
            views[entry.name].add(entry.view)
        if entry.reaps and entry.view.seconds is not None:
            reaped.setdefault(entry.name, set()).add(entry.view.seconds)
    return {
        name: List(
            # A list that is only filled is kept as well: somebody may look at it.
            tuple(sorted(found, key=lambda view: view.order)) or (View(None, 1),),
            frozenset(masks[name]),
            tuple(sorted(reaped.get(name, ()))),
        )
        for name, found in views.items()
    }


# --- one use ---


def _check(entry: Entry, found: List) -> None:
    if entry.view.hits > _MOST_PLACES:
        raise no_exact_form(
            "recent", f"each hit that is asked for takes two of the 128 expressions of a rule, so {_MOST_PLACES} are the most",
            option="--hitcount", hint="`-m hashlimit` says nearly the same and can be translated",
        )  # fmt: skip
    if entry.by_ttl:
        raise no_exact_form(
            "recent", "it cannot compare a packet's TTL with one kept beside an address", option="--rttl"
        )
    if len(found.masks) > 1:
        raise no_exact_form(
            "recent", f"rules use list `{entry.name}` with different masks, and the kernel takes the one that it "
            "happens to load first", option="--mask",
        )  # fmt: skip
    if any(view.seconds is None or view.seconds > least for least in found.reaped_after[:1] for view in found.views):
        raise no_exact_form(
            "recent", f"other rules of list `{entry.name}` look at older entries than `--reap` leaves there, and it takes "
            "away one at a time", option="--reap",
        )  # fmt: skip
    if entry.inverted and (
        entry.command in {"--set", "--remove"} or (entry.command == "--update" and entry.view != View(None, 1))
    ):
        raise no_exact_form(
            "recent", f"`! {entry.command}` changes the list where the rule does not match", option=entry.command
        )


# --- the sets of a view ---


def _stem(name: str, view: View) -> str:
    ending = "" if view.seconds is None else f"-{view.seconds}s"
    return f"recent-{name}{ending}"


def _places(name: str, view: View) -> tuple[str, ...]:
    stem = _stem(name, view)
    if view.hits == 1:
        return (stem,)
    return tuple(f"{stem}-{place}of{view.hits}" for place in range(1, view.hits + 1))


def _pointers(name: str, view: View) -> tuple[str, ...]:
    """Name the sets that tell which place is next, from the second on: an address in none of them goes to the first."""
    return tuple(f"{_stem(name, view)}-next{place}of{view.hits}" for place in range(2, view.hits + 1))


def _declare(entry: Entry, found: List, place: Place) -> None:
    field = source_address(place.family)
    for view in found.views:
        for name in (*_places(entry.name, view), *_pointers(entry.name, view)):
            if place.shared is not None and name not in place.shared:
                place.shared[name] = NamedSet(name, (field,), dynamic=True, timeout=view.seconds, size=_SIZE)
    place.assume(
        f"list `{entry.name}` of -m recent never holds more addresses than the module's ip_list_tot (100 unless set), "
        "where iptables forgets the oldest, and nobody writes to it in /proc/net/xt_recent"
    )
    if entry.command == "--remove" or any(view.hits > 1 for view in found.views):
        # What is deleted stays in its bucket until the set is swept, once a second; where a bucket holds more than sixteen
        # of a key (RHT_ELASTICITY), further ones are refused. Sweeping ten times as often was tried: little is gained.
        place.assume(
            f"no address leaves a set of list `{entry.name}` of -m recent and comes again more than sixteen times within a second: "
            "nftables would miss hits of that second"
        )


# --- what is done to them ---


def _touch(entry: Entry, found: List, key: _Key) -> Iterator[SetUpdate | Call]:
    for view in found.views:
        if view.hits == 1:
            yield _enter(_stem(entry.name, view), key, view)
        else:
            yield Call(_next_place(entry, view, key))


def _enter(set_name: str, key: _Key, view: View) -> SetUpdate:
    return SetUpdate(set_name, key, SetOperation.ADD if view.seconds is None else SetOperation.UPDATE)


def _next_place(entry: Entry, view: View, key: _Key) -> Subroutine:
    """Return what enters the address into the place whose turn it is, and moves the turn on."""
    places, pointers = _places(entry.name, view), _pointers(entry.name, view)
    rules = []
    for number, pointer in enumerate(pointers, 1):
        following = (_enter(pointers[number], key, view),) if number < len(pointers) else ()
        steps = (
            MemberTest(key, pointer, dynamic=True),
            SetUpdate(pointer, key, SetOperation.DELETE),
            _enter(places[number], key, view),
            *following,
        )
        rules.append(Rule(steps, Return()))
    rules.append(Rule((_enter(places[0], key, view), _enter(pointers[0], key, view))))
    side = "-dst" if entry.of_destination else ""
    return Subroutine("recent", f"{_stem(entry.name, view)}-hit{side}-of{view.hits}", tuple(rules))


def _asks(entry: Entry, key: _Key) -> tuple[MemberTest | AnyOf, ...]:
    """Return the tests that the address is in all places of the view, or that it is not."""
    tests = tuple(MemberTest(key, name, dynamic=True) for name in _places(entry.name, entry.view))
    if not entry.inverted:
        return tests
    missing = tuple(replace(test, inside=False) for test in tests)
    if len(missing) == 1:
        return missing
    return (AnyOf(tuple((*tests[:index], test) for index, test in enumerate(missing))),)


def _lower(use: Use, place: Place) -> tuple[Step | Call, ...]:
    entry = read_entry(use, place.family)
    found = _lists(place, entry)[entry.name]
    _check(entry, found)
    _declare(entry, found, place)
    field = (destination_address if entry.of_destination else source_address)(place.family)
    ones = (1 << field.width) - 1
    key = (KeyPart(field, entry.mask if entry.mask != ones else None),)
    if entry.command == "--set":
        return tuple(_touch(entry, found, key))
    asked = _asks(entry, key)
    if entry.inverted or entry.command == "--rcheck":
        return asked
    if entry.command == "--update":
        return (*asked, *_touch(entry, found, key))
    sets = (name for view in found.views for name in (*_places(entry.name, view), *_pointers(entry.name, view)))
    return (*asked, *(SetUpdate(name, key, SetOperation.DELETE) for name in sets))


EXTENSION = Match(
    name="recent",
    families=BOTH,
    options=(
        Option(name="--set", arity=0, negatable=True),
        Option(name="--rcheck", arity=0, negatable=True),
        Option(name="--update", arity=0, negatable=True),
        Option(name="--remove", arity=0, negatable=True),
        Option(name="--seconds"),
        Option(name="--reap", arity=0),
        Option(name="--hitcount"),
        Option(name="--rttl", arity=0),
        Option(name="--name"),
        Option(name="--mask"),
        Option(name="--rsource", arity=0),
        Option(name="--rdest", arity=0),
    ),
    lower=_lower,
    in_context=True,
)
