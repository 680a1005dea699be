"""Loading an image over whatever is there: the difference where it is known what that is, else everything anew.

    assess   is what the state file says still what the kernel has?
    plan     what has to change (plan.py)
    run      prepare, switch; tidy when the caller says so

What is sent and what was found is in the answer. Nothing here prints, asks or waits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.backend.loader import transaction as tx
from fwtrans.backend.loader.client import Fault
from fwtrans.backend.loader.image import HOLDERS, Image, TableImage, TableName
from fwtrans.backend.loader.plan import Counts, Plan, Present, make_plan
from fwtrans.backend.loader.state import HeldTable, State, this_host
from fwtrans.backend.loader.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fwtrans.backend.loader.client import NftClient
    from fwtrans.backend.loader.netlink import TableHandles

_MOST_SUMMED = 20_000
"""Sets with more elements are not read back: after a change by others they are filled anew."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """What is loaded of ours, how sure that is, and what others did to it.

    `doubts` say why something is loaded anew though it may be the same; `foreign` what others changed in our tables;
    `generation` is the kernel's count of commits when it was begun to look.
    """

    present: tuple[Present, ...]
    doubts: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    generation: int = -1


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load came to. With faults nothing has changed, but for unreferenced parts of the preparation."""

    faults: tuple[Fault, ...] = ()
    plan: Plan | None = None
    state: State | None = None
    doubts: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    sent: tuple[Transaction, ...] = ()

    @property
    def counts(self) -> Counts:
        """Return what was changed."""
        return self.plan.counts if self.plan is not None else Counts()


def assess(client: NftClient, state: State | None, names: Iterable[TableName]) -> Assessment:
    """Return what is loaded of the tables in the state and of those named."""
    generation = client.generation()
    return replace(_assessed(client, state, names, generation), generation=generation)


def changed_since(
    client: NftClient, state: State | None, found: Assessment, names: Iterable[TableName]
) -> tuple[str, ...]:
    """Return what others did to our tables, or to those of these names, since they were looked at."""
    if client.generation() == found.generation:
        return ()
    now = assess(client, state, names)
    before = {item.image.name: item for item in found.present}
    after = {item.image.name: item for item in now.present}
    others = tuple(text for text in now.foreign if text not in found.foreign)
    differing = (name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name))
    return others or tuple(f"table {name} may have been changed" for name in differing)


def _assessed(client: NftClient, state: State | None, names: Iterable[TableName], generation: int) -> Assessment:
    trusted = state if state is not None and state.host == this_host() else None
    held = {table.image.name: table for table in trusted.tables} if trusted is not None else {}
    if trusted is not None and trusted.generation == generation:
        known = tuple(Present(table.image, table.rules) for table in trusted.tables)
        return _with_outlines(client, Assessment(known), [name for name in names if name not in held], "")
    why = "" if trusted is not None else "it is not known what was loaded before"
    found = Assessment(())
    for table in held.values():
        found = _compare(client, table, found)
    return _with_outlines(client, found, [name for name in names if name not in held], why)


def check(client: NftClient, plan: Plan) -> tuple[Fault, ...]:
    """Let nft and the kernel look at all of the plan's first two steps together; nothing changes."""
    return client.check(Transaction((*plan.prepare.commands, *plan.switch.commands)))


def load(
    client: NftClient,
    wanted: Image,
    state: State | None,
    *,
    tidy: bool = True,
    step: Callable[[str], None] = lambda _: None,
) -> Loaded:
    """Load what is wanted in place of what is there. `step` is called with the name of each step when it is done.

    Without `tidy` what nothing refers to any more is left, so that the way back finds it as it was.
    """
    found = assess(client, state, [table.name for table in wanted])
    answer = carry_out(client, make_plan(found.present, wanted), found, tidy=tidy, state=state, step=step)
    if answer.faults and any(item.handles is not None for item in found.present):
        # an element has run out since, or something else is not as we think: once more without relying on anything
        why = f"the difference did not load ({answer.faults[0].message})"
        outlines = Assessment((), generation=client.generation())
        outlines = _with_outlines(client, outlines, [item.image.name for item in found.present], why)
        new = [table.name for table in wanted if all(item.image.name != table.name for item in outlines.present)]
        outlines = _with_outlines(client, outlines, new, "")
        found = replace(found, present=outlines.present, doubts=(*found.doubts, *outlines.doubts))
        answer = carry_out(client, make_plan(found.present, wanted), outlines, tidy=tidy, state=None, step=step)
    state = with_sums(client, answer.state) if answer.state is not None else None
    return replace(answer, state=state, doubts=found.doubts, foreign=found.foreign)


def carry_out(
    client: NftClient,
    plan: Plan,
    found: Assessment,
    *,
    tidy: bool,
    state: State | None,
    step: Callable[[str], None] = lambda _: None,
) -> Loaded:
    """Run the steps of a plan made of what was found. The state that comes back is what is loaded then; `with_sums` completes it.

    Nothing is sent where others have changed our tables since: a difference to what is not there any more would leave their
    changes standing, and a set's declaration would make it again, all but empty.
    """
    before = client.generation()
    sent: list[Transaction] = []
    names = [table.name for table in plan.switched]
    if before != found.generation and (changes := changed_since(client, state, found, names)):
        return Loaded(tuple(Fault(f"{text} since it was looked at") for text in changes), plan)
    for name, transaction in (("prepared", plan.prepare), ("switched", plan.switch)):
        if transaction and (faults := client.run(transaction)):
            return Loaded(faults, plan, sent=tuple(sent))
        sent.extend([transaction] if transaction else [])
        step(name)
    image = plan.switched
    if tidy:
        if plan.tidy and not client.run(plan.tidy):
            sent.append(plan.tidy)
            image = plan.tidied
        elif not plan.tidy:
            image = plan.tidied
        step("tidied")
    after = client.generation()
    ours_only = after == before + len(sent)
    held = tuple(
        _hold(client, table, state.table(table.name) if state is not None else None, _touched(table.name, sent))
        for table in image
    )
    known = State(this_host(), after if ours_only else -1, tuple(table for table in held if table is not None))
    return Loaded((), plan, known, sent=tuple(sent))


def with_sums(client: NftClient, state: State) -> State:
    """Return the state with the sums of its sets, by which the next load knows them again after commits of others.

    It takes longer than a load of a few elements, and need not be done while anybody waits for that. Where others have
    committed since, their elements would be taken for ours, so nothing is read.
    """
    if client.generation() != state.generation:
        return state
    tables = tuple(replace(table, sums=table.sums | _sums(client, table)) for table in state.tables)
    return replace(state, tables=tables) if client.generation() == state.generation else state


def _with_outlines(client: NftClient, found: Assessment, names: Iterable[TableName], why: str) -> Assessment:
    present, doubts = list(found.present), list(found.doubts)
    for name in names:
        outline = client.outline(name)
        if outline is not None:
            present.append(Present(outline, None))
            doubts.append(f"table {name} is loaded anew as a whole: {why or 'it was not loaded by fwtrans'}")
    return replace(found, present=tuple(present), doubts=tuple(doubts))


def _compare(client: NftClient, held: HeldTable, found: Assessment) -> Assessment:
    """Hold a table against the kernel; somebody has committed something since."""
    name = held.image.name
    handles = client.handles(name)
    if handles is None:
        return replace(found, foreign=(*found.foreign, f"table {name} was deleted"))
    changes = tuple(_changes(held, handles))
    doubtful, altered = _doubtful_sets(client, held) if not changes else (frozenset(), ())
    foreign = (*found.foreign, *(f"table {name}: {text}" for text in (*changes, *altered)))
    if changes:
        outline = client.outline(name)
        present = (*found.present, *([Present(outline, None)] if outline is not None else []))
        doubts = (*found.doubts, f"table {name} is loaded anew as a whole: others have changed it")
        return Assessment(present, doubts, foreign)
    doubts = found.doubts
    unread = sorted(doubtful - {text.split()[1] for text in altered})
    if unread:
        doubts = (*doubts, f"table {name}: {', '.join(unread)} filled anew: others have changed the ruleset of this host, and so much is not read back")  # fmt: skip
    return Assessment((*found.present, Present(held.image, held.rules, doubtful)), doubts, foreign)


def _changes(held: HeldTable, handles: TableHandles) -> Iterable[str]:
    if held.handle != handles.table:
        yield "it was deleted and made again"
        return
    for what, before, after in (("chain", held.chains, handles.chains), ("set", held.sets, handles.sets)):
        for name in sorted(before.keys() | after.keys()):
            if name not in after:
                yield f"{what} {name} was deleted"
            elif name not in before:
                yield f"{what} {name} was added"
            elif before[name] != after[name]:
                yield f"{what} {name} was deleted and made again"
    for name, rules in held.rules.items():
        now = handles.rules.get(name, ())
        if name in handles.chains and rules != now:
            gone, added = len(set(rules) - set(now)), len(set(now) - set(rules))
            yield f"chain {name}: {added} rules added, {gone} removed"


def _doubtful_sets(client: NftClient, held: HeldTable) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the sets whose elements are not known any more, and what is known to have changed."""
    doubtful, altered = set(), []
    for item in held.image.objects:
        if item.kind not in HOLDERS or item.is_dynamic:
            continue
        before = held.sums.get(item.name)
        if before is None:
            doubtful.add(item.name)
        elif before != (now := client.element_sum(held.image.name, item.name)):
            doubtful.add(item.name)
            altered.append(
                f"{item.kind.value} {item.name} has other elements ({now[0]} in the kernel, {before[0]} when loaded)"
            )
    return frozenset(doubtful), tuple(altered)


class _Touched(NamedTuple):
    """What the transactions did to one table: the chains and sets that changed, or that its objects are others now."""

    chains: frozenset[str]
    sets: frozenset[str]
    is_other: bool


def _touched(name: TableName, sent: Iterable[Transaction]) -> _Touched:
    chains, sets, is_other = set(), set(), False
    for command in (command for step in sent for command in step.commands if command.table == name):
        match command:
            case tx.AddRule(chain=chain) | tx.DeleteRule(chain=chain) | tx.FlushChain(name=chain):
                chains.add(chain)
            case tx.AddElements(name=holder) | tx.DeleteElements(name=holder) | tx.FlushElements(name=holder):
                sets.add(holder)
            case _:
                is_other = True
    return _Touched(frozenset(chains), frozenset(sets), is_other)


def _hold(client: NftClient, table: TableImage, earlier: HeldTable | None, touched: _Touched) -> HeldTable | None:
    """Return a table with its handles; where only rules and elements changed, no others are asked for.

    None where it is not what we loaded: somebody was quicker, and the next load starts from nothing known.
    """
    if earlier is None or touched.is_other:
        handles = client.handles(table.name)
        if handles is None:
            return None
        held = HeldTable(table, handles.table, handles.chains, handles.sets, handles.rules, {})
    else:
        rules = {**earlier.rules, **{name: client.chain_handles(table.name, name) for name in touched.chains}}
        sums = {name: found for name, found in earlier.sums.items() if name not in touched.sets}
        held = HeldTable(table, earlier.handle, earlier.chains, earlier.sets, rules, sums)
    if any(len(chain.rules) != len(held.rules.get(chain.name, ())) for chain in table.chains):
        return None
    return held


def _sums(client: NftClient, table: HeldTable) -> dict[str, tuple[int, int]]:
    return {
        item.name: client.element_sum(table.image.name, item.name)
        for item in table.image.objects
        if item.kind in HOLDERS and not item.is_dynamic and item.name not in table.sums
        if len(item.elements) <= _MOST_SUMMED
    }
