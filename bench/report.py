"""The report of all benches: markdown, JSON and charts, and the figures that the README quotes. Pure but for writing files."""

from __future__ import annotations

import json
from itertools import groupby
from math import exp, log
from typing import TYPE_CHECKING, Any

from charts import line_chart

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

Figures = dict[str, Any]
Row = dict[str, Any]

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
LEGACY, NEW, OURS, PLAIN, THEIRS = (
    "iptables-legacy", "iptables-nft", "ours, optimised", "ours, unoptimised", "Proxmox VE's nftables firewall",
)  # fmt: skip
SIDES = (LEGACY, NEW, THEIRS, PLAIN, OURS)
IN, ACROSS = "outside to the last guest", "first guest to the last"
NOBODYS = "no rule's"


def write_all(folder: Path, figures: Figures) -> None:
    """Write report.md, report.json and the charts, and take charts away for which there are no figures any more."""
    folder.mkdir(parents=True, exist_ok=True)
    for chart in folder.glob("*.svg"):
        chart.unlink()
    (folder / "report.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    for name, text in rendered(figures).items():
        (folder / name).write_text(text, encoding="utf-8")


def rendered(figures: Figures) -> dict[str, str]:
    """Return all files but the figures themselves, by name."""
    charts = dict(_charts(figures))
    return {"report.md": _markdown(figures), **charts}


def put_into_readme(path: Path, figures: Figures) -> None:
    """Replace what stands between the marks."""
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{path} has no place for figures: {BEGIN} ... {END}")
    path.write_text(before + readme_block(figures) + after, encoding="utf-8")


def readme_block(figures: Figures) -> str:
    """Return what the README says, marks included."""
    rows = _nodes(figures)
    most = max(
        (row["guests"] for row in rows if row["side"] == THEIRS),
        default=max((row["guests"] for row in rows), default=0),
    )
    lines = [BEGIN]
    if rows:
        lines += [
            (
                f"Nanoseconds that the rules add to a packet from outside to the last of {most} guests, and milliseconds to load them "
                f"({_kernels(figures)}, {figures['facts']['date'][:10]}; how, and all other figures: "
                "[docs/benchmarks/report.md](docs/benchmarks/report.md)):"
            ),
            "",
            "| | packet of a new connection | first packet of each connection | established | loading |",
            "| --- | --- | --- | --- | --- |",
        ]
        for side in SIDES:
            cells = [_own(rows, most, IN, state, side) for state in ("new", "new flow", "established")]
            load = _first(figures.get("load", ()), guests=most, ruleset=side)
            if any(cell is not None for cell in cells):
                lines.append(f"| {side} | " + " | ".join(_ns(cell) for cell in cells) + f" | {_ms(load)} |")
        lines += [
            "",
            "What is promised, and what was measured:",
            "",
            "| promise | measured | kept |",
            "| --- | --- | --- |",
        ]
        lines += [f"| {' | '.join(cells)} |" for cells in _quoted_promises(figures)]
        lines += ["", "![Nanoseconds a packet over the number of guests](docs/benchmarks/guests-new.svg)"]
    return "\n".join([*lines, END])


def _markdown(figures: Figures) -> str:
    parts = [
        "# Benchmarks", "", "Written by `make bench`; the same figures for programs are in [report.json](report.json).", "",
        *_conditions(figures), *_promises(figures), *_nodes_part(figures), *_flat_part(figures), *_load_part(figures),
        *_scaling_part(figures), *_fixtures_part(figures), *_steps_part(figures), *_others(figures),
    ]  # fmt: skip
    return "\n".join(parts).rstrip() + "\n"


def _conditions(figures: Figures) -> Iterator[str]:
    facts = figures["facts"]
    yield "| | |"
    yield "| --- | --- |"
    yield f"| date | {facts['date']}, commit {facts['commit']} |"
    yield f"| packets and loading in | {_kernels(figures)} |"
    yield f"| everything else on | {facts['machine']} |"
    if facts["kept"]:
        yield "| translations | made by an earlier run of the same program on this machine |"
    yield f"| duration | {facts['minutes']} minutes |"
    yield f"| noise | up to {facts['waiting']} processes waited for each processor while it ran; above 1 the machine did other things too |"
    yield ""
    yield "**Left out:** " + ("; ".join(f"{what}: {why}" for what, why in facts["left out"].items()) or "no part") + "."
    yield ""
    yield (
        "Times of packets: frames of 60 bytes are sent by sendmmsg past the queueing discipline into a wire of the topology, and counted where they come out, so the whole "
        "path is in the sender's time and delivery is checked. All rulesets are loaded side by side, each in a namespace of its own; they take turns in bursts of about a "
        "millisecond, and the limit of their lowest tenth counts, which other work on the machine hardly touches. `own` is a ruleset's time without that of the same path with no "
        "ruleset. Differences below 40 ns say nothing. A ruleset that does not load ends the bench. What is promised in seconds is judged by the seconds of processor, for waiting is not the program's."
    )
    yield ""


# What was promised, and whether it is kept.


def _promises(figures: Figures) -> Iterator[str]:
    rows = list(_promise_rows(figures))
    yield "## What is promised"
    yield ""
    yield "| promise | measured | kept |"
    yield "| --- | --- | --- |"
    for what, measured, kept in rows:
        yield f"| {what} | {measured} | {_kept(kept)} |"
    yield ""
    missed = [
        reason
        for name, reason in _reasons(figures)
        if any(what.startswith(name) and kept is False for what, _, kept in rows)
    ]
    yield from (f"{reason}\n" for reason in missed)


def _quoted_promises(figures: Figures) -> Iterator[tuple[str, str, str]]:
    """Yield what the README tells: the promises of packets and loading, of the same packet beside each other, the rest as a count."""
    rows = list(_promise_rows(figures))
    quoted = [row for row in rows if not row[0].startswith(_OF_SECONDS)]
    for path, some in groupby(quoted, key=lambda row: row[0].partition(_AT_MOST)[0]):
        same = list(some)
        goals = [what.partition(_AT_MOST)[2] for what, _, _ in same]
        what = f"{path}{_AT_MOST}{', '.join(goals)}" if all(goals) else path
        yield (
            what,
            ", ".join(measured for _, measured, _ in same if measured),
            ", ".join(_kept(kept) for *_, kept in same),
        )
    others = [kept for what, _, kept in rows if what.startswith(_OF_SECONDS)]
    if others:
        met = sum(kept is True for kept in others)
        yield (
            "seconds and memory of translations and proofs (in the report)",
            f"{met} of {len(others)} kept",
            _kept(met == len(others)),
        )


_OF_SECONDS, _AT_MOST = ("translate:", "verify:"), ": at most "


def _kept(kept: bool | None) -> str:
    return "not measured" if kept is None else "yes" if kept else "**no**"


def _promise_rows(figures: Figures) -> Iterator[tuple[str, str, bool | None]]:
    rows = _nodes(figures)
    for path in (IN, ACROSS):
        for state, factors in (("new", (10, 25)), ("new flow", (6, 14))):
            for other, factor in zip((LEGACY, NEW), factors, strict=True):
                theirs, ours = (_own(rows, 500, path, state, side) for side in (other, OURS))
                what = f"500 guests, {path}, {state}: at most 1/{factor} of {other}"
                yield _ratio(what, ours, theirs, factor, "ns")
        few, many = (_own(rows, guests, path, "new", OURS) for guests in (10, 500))
        what = f"growth from 10 to 500 guests, {path}, new: at most 20 % or 80 ns"
        if few is None or many is None:
            yield what, "", None
        else:
            yield what, f"{few:.0f} to {many:.0f} ns", many - few <= max(80, 0.2 * few)
    flat = _flat(figures)
    worst = [row["own"] for row in flat if row["rules"] == 5000 and row["side"] == OURS]
    theirs = [row["own"] for row in flat if row["rules"] == 5000 and row["side"] == LEGACY]
    what = "chain of 5,000 rules like those between networks, worst packet: at most 1/40 of iptables-legacy"
    yield _ratio(what, max(worst, default=None), max(theirs, default=None), 40, "ns")
    ours_load, their_load = (_first(figures.get("load", ()), guests=500, ruleset=side) for side in (OURS, THEIRS))
    what = "loading 500 guests: at least 7 times faster than Proxmox VE's nftables firewall"
    yield _ratio(what, ours_load and _own_load(ours_load), their_load and _own_load(their_load), 7, "ms")
    fixtures = figures.get("fixtures", ())
    slower, classes = sum(row["slower"] for row in fixtures), sum(row["classes"] for row in fixtures)
    what = "never slower than the unoptimised translation, packet class by packet class"
    yield what, f"{slower} of {classes} classes slower" if classes else "", slower == 0 if classes else None
    for name in ("translate", "verify"):
        for row in figures.get(name, ()):
            limit, seconds = row.get("promised s"), row.get("s", row.get("with proof s"))
            if isinstance(limit, (int, float)) and isinstance(seconds, (int, float)):
                used = row.get("cpu s", row.get("cpu s with proof", seconds))
                # other work on the machine makes waiting, which is not the program's; several processes do not wait for
                # each other's processor time
                yield (
                    f"{name}: {row['input']} {row.get('', '')} in {limit} s".replace("  ", " "),
                    f"{seconds:.1f} s, of it {used:.1f} s of processor",
                    min(used, seconds) <= limit,
                )
            memory, most = row.get("MiB with proof"), row.get("promised MiB")
            if isinstance(most, int) and isinstance(memory, (int, float)):
                yield f"{name}: {row['input']} in {most:,} MiB", f"{memory:,.0f} MiB", memory <= most


def _ratio(
    what: str, ours: float | None, theirs: float | None, factor: float, unit: str
) -> tuple[str, str, bool | None]:
    if not ours or not theirs:
        return what, "", None
    return what, f"1/{theirs / ours:.1f} ({ours:,.0f} of {theirs:,.0f} {unit})", theirs >= factor * ours


def _reasons(figures: Figures) -> Iterator[tuple[str, str]]:
    steps = {row["step"]: row["ns"] for row in figures.get("steps", ())}
    alone = _own(_nodes(figures), 500, IN, "new", "conntrack alone, no firewall bridges")
    if alone is not None and "a base chain without rules" in steps:
        yield (
            "500 guests",
            (
                f"Why the ratios at 500 guests: of our time {alone:.0f} ns are the bridge's connection tracking, before any rule, and every base chain at a hook costs about "
                f"{steps['a base chain without rules']:.0f} ns, even one without rules; what iptables takes grows with the number of guests, ours does not, so that the ratios do."
            ),
        )
    if steps:
        yield (
            "chain of 5,000 rules",
            (
                f"Why the chain of 5,000 rules: a look-up takes {steps['hash, three keys, 10000 elements']:.0f} ns and a rule that does not hold {steps['test IP_SADDR']:.0f} ns; iptables-legacy's rules "
                "take only a few nanoseconds each as long as they stay in the processor's cache."
            ),
        )


# One part of the report each.


def _nodes_part(figures: Figures) -> Iterator[str]:
    rows = _nodes(figures)
    if not rows:
        return
    yield "## Guests of a Proxmox VE node"
    yield ""
    yield (
        "Every guest has a firewall of its own. iptables judges guests behind firewall bridges only, ours with them and without, Proxmox VE's own nftables firewall without. `own` nanoseconds; "
        "`no rules` is the time of the path itself. New: packets of one flow without an answer; new flow: each packet opens a flow, its making in conntrack included."
    )
    for path in dict.fromkeys(row["packet"] for row in rows):
        for state in dict.fromkeys(row["state"] for row in rows):
            some = [row for row in rows if (row["packet"], row["state"]) == (path, state)]
            sizes = sorted({row["guests"] for row in some})
            yield ""
            yield f"### {path[0].upper()}{path[1:]}, {state}"
            yield ""
            yield from _table(
                ["", *(f"{size:,} guests" for size in sizes)],
                (
                    [side, *(_cell(_first(some, guests=size, side=side)) for size in sizes)]
                    for side in dict.fromkeys(row["side"] for row in some)
                ),
            )
    yield ""
    yield "![New](guests-new.svg)\n"
    yield "![New flows](guests-new-flow.svg)\n"
    yield "![Established](guests-established.svg)\n"


def _flat_part(figures: Figures) -> Iterator[str]:
    rows = _flat(figures)
    if not rows:
        return
    sizes = sorted({row["rules"] for row in rows})
    yield "## Flat chains"
    yield ""
    yield (
        "Rules as between networks (`acl` of bench/lists.py), the packet that no rule is for, and of those that were tried the ones that take most steps of our search. `own` nanoseconds."
    )
    if any(not _first(rows, rules=size, side=OURS) for size in sizes):
        yield "Longer lists than those with figures are not optimised here: it takes more minutes than a bench should."
    for packet in dict.fromkeys(row["packet"] for row in rows):
        some = [row for row in rows if row["packet"] == packet]
        yield ""
        yield f"### {'A packet that no rule is for' if packet == NOBODYS else packet.replace('worst of the search', 'One of the dearest packets that were tried,')}"
        yield ""
        yield from _table(
            ["", *(f"{size:,} rules" for size in sizes)],
            (
                [side, *(_cell(_first(some, rules=size, side=side)) for size in sizes)]
                for side in dict.fromkeys(row["side"] for row in some)
            ),
        )
    yield ""
    yield "![Flat chains](flat.svg)\n"


def _own_load(row: Row) -> float:
    """Return the time of a load without that of starting its tools, where that was measured."""
    return float(row.get("own", row["ms"]))


def _load_part(figures: Figures) -> Iterator[str]:
    rows = figures.get("load", ())
    if rows:
        yield "## Loading"
        yield ""
        yield f"Milliseconds, quickest of {min(row['loads'] for row in rows)} to {max(row['loads'] for row in rows)} loads in turns, starting the tools included; logs included."
        yield ""
        sizes = sorted({row["guests"] for row in rows})
        yield from _table(
            ["", *(f"{size:,} guests" for size in sizes)],
            (
                [side, *(_ms(_first(rows, guests=size, ruleset=side)) for size in sizes)]
                for side in dict.fromkeys(row["ruleset"] for row in rows)
            ),
        )
        yield ""
        yield "![Loading](load.svg)\n"
    changes = figures.get("load_changes", ())
    if changes:
        yield "A change of what is loaded: the difference alone is sent."
        yield ""
        yield from _table(
            ["guests", "change", "ms", "finding the difference, ms", "checking it, ms", "commands", "elements only"],
            (
                [
                    row["guests"],
                    row["change"],
                    row["ms"],
                    row["planning"],
                    row.get("checking", ""),
                    row["commands"],
                    {True: "yes", False: "no"}.get(row.get("elements only"), ""),
                ]
                for row in changes
            ),
        )
        yield ""


def _scaling_part(figures: Figures) -> Iterator[str]:
    rows = figures.get("scaling", ())
    if not rows:
        return
    yield "## Time and memory over size"
    yield ""
    yield "Seconds of processor of the whole program. The exponent is that of growth: 1 is linear, 2 quadratic; the start of the program is taken off."
    yield ""
    for unit in dict.fromkeys(row["unit"] for row in rows):
        some = [row for row in rows if row["unit"] == unit]
        sizes = sorted({row["size"] for row in some})
        lines = []
        for what in dict.fromkeys(row["what"] for row in some):
            own = [row for row in some if row["what"] == what and row["finished"]]
            cells = []
            for size in sizes:
                row = _first(some, size=size, what=what)
                cells.append(
                    ""
                    if row is None
                    else f"{row['cpu']:.1f} s, {row['MiB']} MiB"
                    if row["finished"]
                    else "not finished"
                )
            lines.append(
                [
                    what,
                    *cells,
                    exponent([(row["size"], row["cpu"]) for row in own]),
                    exponent([(row["size"], row["MiB"]) for row in own]),
                ]
            )
        yield from _table(["", *(f"{size:,} {unit}" for size in sizes), "exponent of time", "of memory"], lines)
        yield ""
    yield "![Time](scaling.svg)\n"


def exponent(points: Sequence[tuple[float, float]]) -> str:
    """Return the slope of a line through the logarithms; what the smallest takes is mostly the program's start."""
    if len(points) < 3:
        return ""
    start = min(value for _, value in points) * 0.9
    pairs = [(log(size), log(value - start)) for size, value in points]
    mean_x, mean_y = (sum(column) / len(pairs) for column in zip(*pairs, strict=True))
    slope = sum((x - mean_x) * (y - mean_y) for x, y in pairs) / sum((x - mean_x) ** 2 for x, _ in pairs)
    return f"{slope:.2f}" if exp(slope) else ""


def _fixtures_part(figures: Figures) -> Iterator[str]:
    rows = figures.get("fixtures", ())
    if not rows:
        return
    yield "## Optimised against unoptimised, every fixture"
    yield ""
    yield (
        "A class is a path, a protocol and port, new or established. Slower is what is slower by more than 40 ns and 3 % in a second, longer measurement. Case tables of single extensions are left out: "
        "one rule each."
    )
    yield ""
    yield from _table(
        ["fixture", "classes", "slower", "worst of them", "gain in the middle, ns", "left out"],
        (
            [row["fixture"], row["classes"], row["slower"], row["worst"], row["median gain"], row["left out"]]
            for row in rows
        ),
    )
    yield ""


def _steps_part(figures: Figures) -> Iterator[str]:
    rows = figures.get("steps", ())
    if rows:
        yield "## What each step costs"
        yield ""
        yield "Nanoseconds that one more of them adds to a bridged packet. The optimiser decides by such a table, fwtrans/optimizer/calibration.py."
        yield ""
        yield from _table(["step", "ns"], ([row["step"], row["ns"]] for row in rows))
        yield ""


def _others(figures: Figures) -> Iterator[str]:
    titles = {
        "translate": "Translations", "verify": "Proofs", "optimize": "Long lists through all passes",
        "optimize_frontier": "Long lists: steps against size", "shapes": "Proofs of optimised shapes",
    }  # fmt: skip
    for name, title in titles.items():
        rows = figures.get(name, ())
        if rows:
            yield f"## {title}"
            yield ""
            yield from _table(list(rows[0]), (list(row.values()) for row in rows))
            yield ""


def _charts(figures: Figures) -> Iterator[tuple[str, str]]:
    rows = _nodes(figures)
    for state in ("new", "new flow", "established") if rows else ():
        some = [row for row in rows if (row["packet"], row["state"]) == (IN, state)]
        if not some:
            continue
        yield (
            f"guests-{state.replace(' ', '-')}.svg",
            line_chart(
                f"Outside to the last guest, {state}",
                "guests",
                "nanoseconds that the rules add to a packet",
                _series(some, "guests", "own"),
                SIDES,
            ),
        )
    flat = [row for row in _flat(figures) if row["packet"] == NOBODYS]
    if flat:
        yield (
            "flat.svg",
            line_chart(
                "Flat chain, a packet that no rule is for",
                "rules",
                "nanoseconds that the rules add to a packet",
                _series(flat, "rules", "own"),
                SIDES,
            ),
        )
    load = [{**row, "side": row["ruleset"]} for row in figures.get("load", ())]
    if load:
        yield "load.svg", line_chart("Loading", "guests", "milliseconds", _series(load, "guests", "ms"), SIDES)
    scaling = [
        {**row, "side": row["what"]}
        for row in figures.get("scaling", ())
        if row["unit"] == "guests" and row["finished"]
    ]
    if scaling:
        yield (
            "scaling.svg",
            line_chart("Translation of a node", "guests", "seconds of processor", _series(scaling, "size", "cpu")),
        )


def _series(rows: Sequence[Row], x: str, y: str) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row[y] is not None:
            found.setdefault(row["side"], []).append((row[x], row[y]))
    return {name: sorted(points) for name, points in found.items()}


# Rows and cells.


def _nodes(figures: Figures) -> list[Row]:
    return list(figures.get("packets_nodes", ()))


def _flat(figures: Figures) -> list[Row]:
    return [row for row in figures.get("packets_flat", ()) if row["own"] is not None]


def _first(rows: Iterable[Row], **wanted: object) -> Row | None:
    return next((row for row in rows if all(row[name] == value for name, value in wanted.items())), None)


def _own(rows: Iterable[Row], guests: int, path: str, state: str, side: str) -> float | None:
    found = _first(rows, guests=guests, packet=path, state=state, side=side)
    return None if found is None else found["own"]


def _kernels(figures: Figures) -> str:
    named = {row["kernel"] for name in ("packets_nodes", "packets_flat", "load") for row in figures.get(name, ())}
    virtual = {kernel for kernel in named if kernel not in figures["facts"]["machine"]}
    return (
        ", ".join(sorted(f"User Mode Linux {kernel}" if kernel in virtual else f"Linux {kernel}" for kernel in named))
        or "no kernel"
    )


def _cell(row: Row | None) -> str:
    if row is None:
        return ""
    return f"({row['ns']:,.0f})" if row["own"] is None else f"{row['own']:,.0f}"


def _ns(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f} ns"


def _ms(row: Row | None) -> str:
    return "" if row is None else f"{row['ms']:,.0f} ms"


def _table(heads: Sequence[object], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield "| " + " | ".join(map(str, heads)) + " |"
    yield "|" + " --- |" * len(heads)
    for row in rows:
        yield (
            "| "
            + " | ".join(
                "" if cell is None else f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row
            )
            + " |"
        )
