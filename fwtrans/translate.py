"""The whole way from texts to nftables: recognise, parse, lower, check, print. Pure: texts in, texts and findings out.

inputs --parsers--> syntax --lower--> IR --backend--> nft objects --> text or JSON
"""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.backend.nft.lower import Lowered, Printing, Renaming, lower_ruleset
from fwtrans.backend.nft.nesting import DEEPEST, rule_to, too_deep
from fwtrans.backend.nft.target import DEBIAN_12, Target
from fwtrans.backend.nft.text import print_ruleset
from fwtrans.comparing import asks_for_bridge_ports
from fwtrans.diagnostics import Diagnostic, DiagnosticSink, Refused
from fwtrans.ir.fields import Family
from fwtrans.ir.host import Host
from fwtrans.ir.rule import never_matches
from fwtrans.ir.ruleset import Table
from fwtrans.ir.verify import loop_text, loop_ways, verify
from fwtrans.ir.walk import map_names, map_targets
from fwtrans.optimize import Settings as OptimizerSettings
from fwtrans.optimize import optimize_ruleset
from fwtrans.optimizer.bridged.own_fragments import letting_own_fragments_pass
from fwtrans.optimizer.bridged.translation import bridged_translation
from fwtrans.optimizer.live_sets import held, live_sets, released
from fwtrans.proving import early_proof, prove
from fwtrans.read import read_inputs
from fwtrans.report.coverage import Coverage, coverage
from fwtrans.report.translation import LineOrigin, Stage, Translation
from fwtrans.source import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from fwtrans.backend.nft import model as nft
    from fwtrans.backend.nft.text import PrintedRuleset
    from fwtrans.ir.rule import Rule
    from fwtrans.ir.ruleset import Ruleset
    from fwtrans.proving import EarlyProof
    from fwtrans.read import Files
    from fwtrans.semantics.bridged.reading import Intended
    from fwtrans.source import Origin, SourceFile

_SHORT = {
    "iptables-save": "v4",
    "ip6tables-save": "v6",
    "ipset-save": "set",
    "ebtables-save": "eb",
    "arptables-save": "arp",
    "interfaces": "if",
}
_MADE = {"pve-firewall: iptables": "pve4", "pve-firewall: ip6tables": "pve6", "pve-firewall: ebtables": "pveb"}
"""Texts that we make of other inputs, for the rules in them that come from no line of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the caller may choose."""

    counters: bool = False
    as_json: bool = False
    verify: bool = True
    partial: bool = False
    strict: bool = False
    pve_nftables: bool = False
    target: Target = DEBIAN_12
    optimize: bool = False
    close_mark_leak: bool = False
    host: Host = field(default_factory=Host)


_LEAK = (
    "a guest's packet keeps the accept mark of its own rules here, and the host may accept it in spite of its policy"
)
_LEAK_CLOSED = "the accept mark of a guest's own rules no longer counts here"
_TORN = (
    "set `{}` is changed by rules and asked by others, the ones for packets of the host and the others for those that a bridge"
    " forwards: tables of nftables share no sets"
)
_LEFT_OUT = "left out: its packets go on with the next rule"
_DROPS = "in its place, every packet that passes its translated tests is dropped"
_NO_DIFFERENCES: tuple[Intended, ...] = ()
_NOTHING = Translation("", None, Coverage(()), (), (), ())


def translate(sources: Sequence[SourceFile], settings: Settings, sink: DiagnosticSink, files: Files) -> Translation:
    """Return the translation of all inputs together; findings go to the sink."""
    left_out: list[Diagnostic] | None = [] if settings.partial else None
    reading = read_inputs(sources, sink, files, left_out, strict=settings.strict, pve_nftables=settings.pve_nftables)
    if reading is None:
        return _NOTHING
    original = reading.ruleset
    if left_out and not _forbids(sink, left_out):
        original = _part(original, sink)
    host = reading.host.joined(settings.host)
    begun = early_proof(original, host, files) if settings.verify and not sink.errors else nullcontext()
    with begun as early:
        faulty = bool(verify(original))  # loops of jumps, told when it is printed; nobody may follow them before
        known = held(original, live_sets(original))
        shaped = known if faulty or _forbids(sink, left_out) else _shaped(known, host, settings, sink)
        is_bridged = shaped is not known
        work = _Work(sources, settings, files, original, host, reading.read, left_out, is_bridged, early)
        if faulty or not settings.optimize or sink.errors:
            found = _finished(work, shaped, sink)
        else:
            found = _optimized(work, shaped, sink)
    return found if found.history else found._replace(history=_history(work, shaped))


def _history(work: _Work, shaped: Ruleset, passes: Iterable[Stage] = ()) -> tuple[Stage, ...]:
    bridged = (Stage("bridge", "what a bridge forwards is judged once, by the bridge family", shaped),)
    return (Stage("read", "as it was read", work.original), *(bridged if work.is_bridged else ()), *passes)


@dataclass(frozen=True, slots=True)
class _Work:
    """What stays the same whatever shape the ruleset is given."""

    sources: Sequence[SourceFile]
    settings: Settings
    files: Files
    original: Ruleset
    host: Host
    read: tuple[Origin, ...]
    left_out: Sequence[Diagnostic] | None
    is_bridged: bool
    """Whether the bridge family judges what a bridge forwards."""
    early: EarlyProof | None
    """The proof that has begun, where there is one."""


def _optimized(work: _Work, shaped: Ruleset, sink: DiagnosticSink) -> Translation:
    """Return the translation in its fastest shape that is proved.

    The passes are proved together, by the proof of what is printed in the end. Only where that fails each is proved by
    itself, and those whose result is not are left out.
    """
    likely: list[_Lowered] = []

    def begin(ruleset: Ruleset) -> None:
        likely[:] = (_lowered(work, ruleset, sink),)

    for each in (False, True):
        trial = DiagnosticSink(list(sink.found))
        try:
            optimized = optimize_ruleset(shaped, OptimizerSettings(verify=each), begin if work.early else None)
        except RecursionError:  # jumps nested so deep that no kernel takes them, which is told below
            return _finished(work, shaped, sink)
        for stage in optimized.refused:
            message = f"pass `{stage.name}` was left out: its result was not proved equal"
            trial.add(Diagnostic(code="FWT403", message=message, notes=stage.faults[:5]))
        ready = next((item for item in likely if item.shape is optimized.ruleset), None)
        found = _finished(work, optimized.ruleset, trial, before=shaped, ready=ready)
        if any(item.code == "FWT404" for item in trial.found):  # no other shape of the ruleset would help
            sink.found[:] = trial.found
            return found
        if not trial.errors and not any(item.code == "FWT401" for item in trial.found):
            sink.found[:] = trial.found
            passes = (Stage(item.name, item.about, item.ruleset) for item in optimized.stages if item.changed)
            return found._replace(history=_history(work, shaped, passes))
    found = _finished(work, shaped, sink)
    if found.output:  # else nothing is printed, and that has other reasons
        message = "the ruleset is printed as it was read: no faster shape was proved equal"
        sink.add(Diagnostic(code="FWT403", message=message))
    return found


class _Lowered(NamedTuple):
    """A shape of the ruleset, all that is printed of it, and the text, of which the proof has begun where there can be one."""

    shape: Ruleset
    ruleset: Ruleset
    lowered: Lowered
    text: PrintedRuleset | None
    found: tuple[Diagnostic, ...]


def _lowered(work: _Work, shape: Ruleset, sink: DiagnosticSink) -> _Lowered:
    ruleset = released(shape)
    if work.is_bridged:
        ruleset = _with_bridge(letting_own_fragments_pass(ruleset))
    # where nothing will be written, that bridge ports want another family is no news: it was not tried
    untried = _forbids(sink, work.left_out)
    printing = Printing(
        counters=work.settings.counters,
        origin_id=origin_ids(work.sources),
        proof_only=untried,
        in_place=work.settings.optimize,
    )
    trial = DiagnosticSink(list(sink.found))
    lowered = lower_ruleset(ruleset, trial, printing)
    text = _begun(lowered.ruleset, work, trial)
    return _Lowered(shape, ruleset, lowered, text, tuple(trial.found[len(sink.found) :]))


def _finished(
    work: _Work,
    shape: Ruleset,
    sink: DiagnosticSink,
    before: Ruleset | None = None,
    ready: _Lowered | None = None,
) -> Translation:
    """Print a ruleset, prove what was printed, and say what became of each rule.

    Where passes have put rules together, it is told of the rules as they were before.
    """
    settings = work.settings
    _, ruleset, lowered, text, told = ready or _lowered(work, shape, sink)
    sink.found.extend(told)
    before = None if before is None else released(before)
    origin_id = origin_ids(work.sources)
    _refuse_faults(ruleset, sink)
    _refuse_deep_jumps(lowered.ruleset, {origin_id(origin): origin for origin in _origins(ruleset)}, sink)
    _note_renamings(lowered.renamings, sink)
    printed = _count_printed(ruleset, lowered.ruleset, origin_id) if before is None else _count_rules(before)
    never = [_key(origin) for rule in _rules(ruleset) if never_matches(rule) for origin in rule.origins]
    found = coverage(work.read, printed, never, sink.found)
    if _forbids(sink, work.left_out):
        return Translation("", ruleset, found, lowered.renamings, ruleset.assumptions, ())
    try:
        text = text or print_ruleset(lowered.ruleset)
        output, line_map = _print(lowered.ruleset, text, settings, _locations(ruleset, origin_id))
    except Refused as refused:
        sink.add(Diagnostic(code=refused.code, message=refused.message))
        return Translation("", ruleset, found, lowered.renamings, ruleset.assumptions, ())
    assumptions, intended = ruleset.assumptions, _NO_DIFFERENCES
    if settings.verify:
        proof = prove(work.original, work.host, text.text, sink, work.files, work.early)
        if proof is not None:
            assumptions, intended = proof.comparison.assumptions, proof.intended
        if _forbids(sink, work.left_out):
            return Translation("", ruleset, found, lowered.renamings, assumptions, (), intended)
    return Translation(output, ruleset, found, lowered.renamings, assumptions, line_map, intended)


def _shaped(original: Ruleset, host: Host, settings: Settings, sink: DiagnosticSink) -> Ruleset:
    """Return the ruleset in the shape in which it is printed: bridged packets judged by the bridge family."""
    wanted = asks_for_bridge_ports(original) if host.bridged is None else host.bridged
    if not wanted:
        return original
    found = bridged_translation(original, host, close_mark_leak=settings.close_mark_leak)
    if found.leaks:
        lines = tuple(dict.fromkeys(origin.location for origin in found.leaks))
        sink.add(Diagnostic(code="FWT210", message=_LEAK_CLOSED if settings.close_mark_leak else _LEAK, notes=lines))
    for name in found.torn:
        sink.add(Diagnostic(code="FWT200", message=_TORN.format(name)))
    for port, reason in found.unanswered:
        sink.add(Diagnostic(code="FWT211", message=f"a REJECT towards {port} is a drop: {reason}"))
    return found.ruleset


def _with_bridge(ruleset: Ruleset) -> Ruleset:
    """Return a ruleset with a table for bridges, which says that they judge what they forward, even where all of it passes.

    `apply` takes bridged packets out of the IP families' hooks where there is one.
    """
    if any(table.family is Family.BRIDGE for table in ruleset.tables):
        return ruleset
    name = next((table.name for table in ruleset.tables), "fwtrans")
    return replace(ruleset, tables=(*ruleset.tables, Table(Family.BRIDGE, name, ())))


def _forbids(sink: DiagnosticSink, left_out: Sequence[Diagnostic] | None) -> bool:
    """Tell whether an error forbids a result: any, but for what a partial translation leaves out."""
    known = set(map(id, left_out or ()))
    return any(id(error) not in known for error in sink.errors)


def _part(original: Ruleset, sink: DiagnosticSink) -> Ruleset:
    """Return what can be translated, with what the rest becomes told line by line."""
    from fwtrans.semantics.partial import partial  # noqa: PLC0415 -- with all that proves it; hardly anybody asks for it

    found = partial(original)
    for item in found.replaced:
        for origin in item.origins:
            message = _DROPS if item.drops else _LEFT_OUT
            sink.add(Diagnostic(code="FWT207", message=message, span=_whole_line(origin)))
    for fault in found.faults:
        sink.add(Diagnostic(code="FWT402", message=fault))
    return found.ruleset


def _rules(ruleset: Ruleset) -> Iterator[Rule]:
    return (rule for table in ruleset.tables for chain in table.chains for rule in chain.rules)


def _origins(ruleset: Ruleset) -> Iterator[Origin]:
    return (origin for rule in _rules(ruleset) for origin in rule.origins)


def _key(origin: Origin) -> tuple[str, int]:
    return origin.source.name, origin.line


def origin_ids(sources: Iterable[SourceFile]) -> Callable[[Origin], str]:
    """Return the function that names an origin shortly: `v4:37`. Two files of one name get a number behind it."""
    short: dict[str, str] = {}
    used: Counter[str] = Counter()
    for source in sources:
        name = PurePath(source.name).name
        wanted = _SHORT.get(
            name, "".join(letter for letter in name if letter.isalnum() and letter.isascii())[:12] or "in"
        )
        used[wanted] += 1
        short[source.name] = wanted if used[wanted] == 1 else f"{wanted}{used[wanted]}"
    short |= _MADE
    return lambda origin: f"{short.get(origin.source.name, 'in')}:{origin.line}"


def _refuse_faults(ruleset: Ruleset, sink: DiagnosticSink) -> None:
    """Say what makes the ruleset no ruleset: loops of jumps, which an input may have, and faults of ours."""
    looping = {loop_text(way): _jump(table, *way[-2:]) for table in ruleset.tables for way in loop_ways(table)}
    for fault in verify(ruleset):
        code = "FWT205" if fault in looping else "FWT300"
        sink.add(Diagnostic(code=code, message=fault, span=_whole_line(looping.get(fault))))


def _jump(table: Table, chain: str, target: str) -> Origin | None:
    """Return where the rule stands that leads from a chain to another one."""
    found = table.chain(chain)
    for rule in found.rules if found is not None else ():
        behind_maps = (name for item in map_names(rule) for name in map_targets(table, item))
        if rule.origins and (getattr(rule.verdict, "chain", "") == target or target in behind_maps):
            return rule.origins[0]
    return None


def _whole_line(origin: Origin | None) -> Span | None:
    if origin is None:
        return None
    return Span(origin.source, origin.line, 0, max(len(origin.source.line(origin.line)), 1))


def _refuse_deep_jumps(ruleset: nft.Ruleset, origins: Mapping[str, Origin], sink: DiagnosticSink) -> None:
    for table in ruleset.tables:
        for way in too_deep(table):
            shown = " -> ".join([*way[:3], "...", *way[-2:]])
            message = f"{len(way) - 1} nested jumps ({shown}); the kernel takes {DEEPEST} from a base chain on"
            # the first jump that is one too many, or the last before it that has a line of its own
            rules = (rule_to(table, *way[at : at + 2]) for at in range(DEEPEST, -1, -1))
            ids = (rule.comment.split(" ", 1)[0].split(",")[0] for rule in rules if rule is not None)
            origin = next((origins[item] for item in ids if item in origins), None)
            sink.add(Diagnostic(code="FWT503", message=message, span=_whole_line(origin)))


def _note_renamings(renamings: Iterable[Renaming], sink: DiagnosticSink) -> None:
    for renaming in renamings:
        message = (
            f"{renaming.kind} `{renaming.wanted}` is called `{renaming.given}` in nftables ({renaming.family.value})"
        )
        sink.add(Diagnostic(code="FWT500", message=message))


def _count_rules(ruleset: Ruleset) -> dict[tuple[str, int], int]:
    """Count rules by origin."""
    return dict(Counter(_key(origin) for rule in _rules(ruleset) for origin in rule.origins))


def _count_printed(
    ruleset: Ruleset, printed: nft.Ruleset, origin_id: Callable[[Origin], str]
) -> dict[tuple[str, int], int]:
    """Count output rules by origin, through the ids in their comments: what is really there, not what was meant."""
    times: Counter[str] = Counter()
    for table in printed.tables:
        for chain in table.chains:
            for rule in chain.rules:
                times.update(rule.comment.split(" ", 1)[0].split(","))
    return {
        _key(origin): times[origin_id(origin)] for origin in _origins(ruleset)
    }  # fmt: skip


def _locations(ruleset: Ruleset, origin_id: Callable[[Origin], str]) -> dict[str, str]:
    return {origin_id(origin): origin.location for origin in _origins(ruleset)}


def _begun(ruleset: nft.Ruleset, work: _Work, sink: DiagnosticSink) -> PrintedRuleset | None:
    """Return the printed text, of which the proof begins at once; None where nothing is to be printed, or cannot be."""
    if work.early is None or _forbids(sink, work.left_out):
        return None
    try:
        printed = print_ruleset(ruleset)
    except Refused:  # it is told where the output is made
        return None
    work.early.begin(printed.text)
    return printed


def _print(
    ruleset: nft.Ruleset, printed: PrintedRuleset, settings: Settings, locations: Mapping[str, str]
) -> tuple[str, tuple[LineOrigin, ...]]:
    comments = {
        (table.family, table.name, chain.name, position): rule.comment
        for table in ruleset.tables
        for chain in table.chains
        for position, rule in enumerate(chain.rules)
    }
    rows = []
    for place in printed.rules:
        comment = comments[place.family, place.table, place.chain, place.position]
        ids = comment.split(" ", 1)[0].split(",")
        found = tuple(locations[part] for part in ids if part in locations)
        rows.append(LineOrigin(place.line, f"{place.family.value} {place.table}", place.chain, found))
    if not settings.as_json:
        return printed.text, tuple(rows)
    from fwtrans.backend.nft.json_form import print_json  # noqa: PLC0415 -- who wants text need not wait for it

    return print_json(ruleset, settings.target), tuple(rows)
