"""Matches of the case tables, each in a ruleset of its own: iptables with the rule, nft with its translation, the same packets.

All rulesets are loaded one after the other in one run of a kernel, each in a namespace of its own. What that kernel has no
match for is left out, and said.
"""

from __future__ import annotations

import re
import shutil
import warnings
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, NamedTuple

import pytest

from fwtrans.cli.inputs import FileAccess, read_paths
from fwtrans.diagnostics import DiagnosticSink
from fwtrans.lab.derive import derive, interfaces_of
from fwtrans.lab.judge import LabFailed, Question, compare, judge_all, lasting
from fwtrans.lab.kernels import candidates
from fwtrans.lab.loadable import loadable
from fwtrans.lab.sides import Variant, side_of
from fwtrans.lab.topology import HOST, RouterTopology
from fwtrans.laboratory import LabResult, LabSettings, compare_in_lab
from fwtrans.optimize import Settings as OptimizerSettings
from fwtrans.optimizing import optimize_texts
from fwtrans.read import read_inputs
from fwtrans.source import SourceFile
from fwtrans.translate import Settings, translate
from tests.lab.kernels_at_hand import kernels
from tests.lower.extensions.match_cases import FIXTURES as EXTENSIONS
from tests.lower.extensions.match_cases import Case
from tests.lower.extensions.second_half import dump_of, read_cases, sets_for
from tests.places import FIXTURES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fwtrans.lab.kernels import Kernel

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(shutil.which("iptables-legacy-restore") is None, reason="needs iptables-legacy-restore"),
]

NAMES = sorted(path.stem for path in EXTENSIONS.glob("*.cases"))
# Answers of their own: what depends on the moment, on chance, on what came before, or on what a lab of packets has not.
NOT_ASKED = {
    "bpf": "the packets of a translated socket filter are compared by the tests of that match",
    "cluster": "which node takes a packet is a hash of connections, with a seed in each kernel",
    "connbytes": "counts what came before", "connlimit": "counts what came before", "cpu": "depends on who runs",
    "connlabel": "a connection from before the rules has no room for labels, and iptables reserves it as it loads",
    "hashlimit": "depends on the moment", "limit": "depends on the moment", "quota": "counts what came before",
    "nfacct": "needs an object of another program", "rateest": "depends on the moment", "recent": "counts what came before",
    "statistic": "chance", "string": "is refused but for bytes at fixed places", "time": "depends on the clock",
    "u32": "the packets of translated offsets are compared by the tests of that match",
    "ipvs": "needs a virtual service", "eui64": "has no exact nftables form", "physdev": "bridge ports: asked with nodes of Proxmox VE", "target-CLUSTERIP": "gone from kernels since 6.1",
    "target-HMARK": "a hash with a seed in each kernel", "target-IDLETIMER": "shows in sysfs only", "target-LED": "shows on a lamp",
    "target-AUDIT": "shows in the audit log only", "target-CHECKSUM": "shows where the device leaves it to the driver only",
    "target-CONNSECMARK": "needs SELinux", "target-SECMARK": "needs SELinux", "target-LOG": "shows in the kernel's log only",
    "target-NFQUEUE": "needs a program that answers", "target-RATEEST": "depends on the moment", "target-TEE": "needs a gateway",
    "target-TPROXY": "needs a program that answers", "target-TRACE": "shows in a monitor only", "target-ULOG": "gone from kernels",
    "target-SYNPROXY": "needs a server behind it", "target-CLASSIFY": "shows in a queueing discipline only",
    "target-SNPT": "has no exact nftables form", "target-DNPT": "has no exact nftables form",
    "target-SET": "what it adds is compared by the tests of that target",
}  # fmt: skip
BY_CHANCE = re.compile(
    r"--random|--persistent|-m (?:statistic|limit|hashlimit|recent|time|quota|conn(?:limit|bytes|label))\b|-j LOG"
)
"""Options that make a case one of those, wherever it stands."""
OF_IPTABLES_NFT = re.compile(r"--nflog-prefix \S{64,}")
"""What iptables-legacy, which is asked here, cuts off: a dump with it comes from iptables-nft."""
OTHERS = {
    "golden/hosts/10-nat-gateway": "test_a_golden_host_is_treated_as_before",
    "golden/proxmox/10-small-node": "test_a_configuration_of_proxmox_is_compared_with_its_translation",
    "lab/host": "test_a_host_and_its_translation_are_the_same", "lab/host.nft": "test_a_host_and_its_translation_are_the_same",
    "corpus/nft-hand-written": "test_a_ruleset_of_nftables_is_treated_as_its_optimised_form",
    "ipset/every-type.save": "test_every_type_of_set_holds_the_same_packets",
    "ipset/masks.save": "test_every_type_of_set_holds_the_same_packets",
    "ipset/restore.cases": "commands for sets, no ruleset: ipset itself is asked by the tests of its reader",
}  # fmt: skip
"""Fixtures that are no case tables: the test that brings each into a kernel, or why none does."""
FAMILIES = {"ip": "iptables-save", "ip6": "ip6tables-save"}


class Asked(NamedTuple):
    """A case, what its dump and its translation are asked, each twice."""

    case: Case
    questions: tuple[Question, ...]


def cases() -> Iterator[Case]:
    """Yield every right case that a kernel can be asked about."""
    for name in NAMES:
        for case in read_cases(name) if name not in NOT_ASKED else ():
            if not case.code and not BY_CHANCE.search(case.rule) and not OF_IPTABLES_NFT.search(case.rule):
                yield case


def dump_for(case: Case) -> str:
    """Return the case as a dump in which it shows whether its rule holds."""
    accepts = case.rule.endswith("-j ACCEPT")
    return dump_of(
        case.table, case.chain, [*case.rule.split(" // "), *(["-j DROP"] if accepts and case.table != "nat" else [])]
    )


class Refused(NamedTuple):
    """A case whose whole dump is refused, and why."""

    case: Case
    why: str


def asked(case: Case, budget: int, sets: Sequence[SourceFile] = ()) -> Asked | Refused:
    dump = [SourceFile(FAMILIES[case.family], dump_for(case)), *(sets or sets_for(case))]
    sink = DiagnosticSink()
    script = SourceFile("new.nft", translate(dump, Settings(verify=False), sink, FileAccess()).output)
    if sink.errors:
        return Refused(case, "; ".join(f"{item.code} {item.message}" for item in sink.errors))
    sides = [side_of(name, list(texts), Variant.LEGACY, sink) for name, texts in (("old", dump), ("new", [script]))]
    old, new = (read_inputs(list(texts), sink, FileAccess()) for texts in (dump, [script]))
    assert old is not None, (case, sink.errors)
    assert new is not None, (case, sink.errors)
    probes = tuple(item.probe for item in derive(old.ruleset, new.ruleset, budget=budget))
    topology = RouterTopology(interfaces=interfaces_of(list(probes), HOST))
    return Asked(case, tuple(Question(side, topology, probes) for side in sides if side is not None))


class Judged(NamedTuple):
    """How many packets were judged by both sides, for which tables, and what the kernel does not load."""

    packets: int
    tables: set[str]
    left_out: list[str]
    wrong: list[str]


def judge(chosen: list[Case], budget: int) -> Judged:
    """Compare; what differs is asked again, so that only what lasts counts."""
    rounds = [asked(case, budget) for case in chosen]
    refused = [f"{item.case.place} {item.case.rule}: {item.why}" for item in rounds if isinstance(item, Refused)]
    assert not refused, f"a right case is refused, and no packet asks about it: {refused}"
    return judge_rounds([item for item in rounds if isinstance(item, Asked)])


def judge_rounds(rounds: Sequence[Asked]) -> Judged:
    """Ask the first kernel, and the next one about what the one before does not load."""
    found = Judged(0, set(), [], [])
    for kernel in kernels():
        packets, tables, left_out, wrong = judge_in(kernel, rounds)
        found = Judged(found.packets + packets, found.tables | tables, list(left_out.values()), found.wrong + wrong)
        rounds = [item for item in rounds if item.case in left_out]
        if not rounds:
            break
    return found


def judge_in(kernel: Kernel, rounds: Sequence[Asked]) -> tuple[int, set[str], dict[Case, str], list[str]]:
    """Return how many packets were judged, for which tables, what does not load and why, and what differs."""
    first = iter(judge_all([one for item in rounds for one in item.questions], kernel, seconds=3000))
    packets, tables, again = 0, set(), []
    left_out: dict[Case, str] = {}
    for item in rounds:
        old, new = next(first), next(first)
        if isinstance(old, LabFailed) or isinstance(new, LabFailed):
            failed = old if isinstance(old, LabFailed) else new
            left_out[item.case] = f"{item.case.place} {item.case.rule}: {' '.join(str(failed).split())[-160:]}"
            continue
        packets += len(old)
        tables.add(item.case.extension)
        if compare(old, new):
            again.append((item, old, new))
    second = iter(
        judge_all([one for item, _, _ in again for one in item.questions], kernel, seconds=3000) if again else []
    )
    wrong = []
    for item, old, new in again:
        old_again, new_again = next(second), next(second)
        assert not isinstance(old_again, LabFailed)
        assert not isinstance(new_again, LabFailed)
        same = lasting((old, old_again), (new, new_again))
        wrong += [f"{item.case.place} {item.case.rule}: {one}" for one in same.differences[:1]]
    return packets, tables, left_out, wrong


def check(chosen: list[Case], budget: int) -> Judged:
    found = judge(chosen, budget)
    if found.left_out:
        warnings.warn(f"{len(found.left_out)} rules load in no kernel here: {found.left_out}", stacklevel=1)
    assert not found.wrong, f"{len(found.wrong)} of {len(chosen)} rules\n" + "\n".join(found.wrong[:20])
    assert len(found.left_out) < len(chosen) / 2, found.left_out[:5]
    return found


def test_every_fixture_is_asked_about_or_says_why_not() -> None:
    files = {path.relative_to(FIXTURES).as_posix() for path in FIXTURES.rglob("*") if path.is_file()}
    tables = {f"extensions/{name}.cases" for name in NAMES}
    others = {one for one in files - tables if not any(one == name or one.startswith(f"{name}/") for name in OTHERS)}
    assert not others, f"no test brings these into a kernel, and nobody says why: {sorted(others)}"
    assert {case.extension for case in cases()} == set(NAMES) - set(NOT_ASKED)
    assert set(NOT_ASKED) <= set(NAMES)


@pytest.mark.filterwarnings("default")
def test_a_case_of_every_table_is_treated_alike() -> None:
    source = Random(7)  # noqa: S311 -- the same ones in every run
    by_table: dict[str, list[Case]] = {}
    for case in cases():
        by_table.setdefault(case.extension, []).append(case)
    found = check([source.choice(of_table) for of_table in by_table.values()], 16)
    assert found.packets > 400


@pytest.mark.lab_long
@pytest.mark.filterwarnings("default")
def test_all_cases_of_all_tables_are_treated_alike() -> None:
    assert check(list(cases()), 100).packets > 20_000


def same_in_lab(old: Sequence[SourceFile], new: Sequence[SourceFile], budget: int) -> LabResult:
    sink = DiagnosticSink()
    found = compare_in_lab(old, new, LabSettings(budget=budget, kernel="running"), sink, FileAccess())
    assert found is not None, sink.errors
    assert found.same, found.disagreements[:3]
    return found


def texts_of(place: Path) -> tuple[SourceFile, ...]:
    sink = DiagnosticSink()
    found = read_paths([str(place)], sink)
    assert not sink.errors
    return found


@pytest.mark.parametrize("optimized", [False, True])
def test_a_golden_host_is_treated_as_before(optimized: bool, lab_long: bool) -> None:
    old = texts_of(FIXTURES / "golden" / "hosts" / "10-nat-gateway" / "input")
    texts = loadable({Path(one.name).name: one.text for one in old}, next(candidates({}))).texts
    old = tuple(SourceFile(name, text) for name, text in texts.items())
    new = translate(old, Settings(verify=False, optimize=optimized), DiagnosticSink(), FileAccess()).output
    assert same_in_lab(old, [SourceFile("new.nft", new)], 3000 if lab_long else 150).verdicts["delivered"] > 10


def cases_of_sets(path: Path) -> Iterator[tuple[Case, SourceFile]]:
    """Yield for each set of a dump a rule that asks for it in every dimension, and the set with those that it lists."""
    lines = path.read_text().splitlines(keepends=True)
    kinds = {line.split()[1]: line.split()[2] for line in lines if line.startswith("create ")}
    for name, kind in kinds.items():
        listed = {line.split()[2] for line in lines if line.startswith(f"add {name} ")} & set(kinds)
        own = "".join(line for line in lines if line.split()[1] in {*listed, name})
        create = next(line for line in lines if line.startswith(f"create {name} "))
        sizes = [kinds[one].partition(":")[2].count(",") + 1 for one in (listed or {name})]
        sides = ",".join(("src", "dst", "dst")[: max(sizes)])
        family = "ip6" if "inet6" in create else "ip"
        rule = f"-m set --match-set {name} {sides} -j ACCEPT"
        yield (
            Case(f"{path.name} {kind}", kind, family, "filter", "FORWARD", rule, "", ""),
            SourceFile("ipset-save", own),
        )


@pytest.mark.filterwarnings("default")
def test_every_type_of_set_holds_the_same_packets(lab_long: bool) -> None:
    rounds, forbidden = [], []
    for path in (FIXTURES / "ipset" / "every-type.save", FIXTURES / "ipset" / "masks.save"):
        for case, sets in cases_of_sets(path):
            item = asked(case, 200 if lab_long else 24, [sets])
            if isinstance(item, Refused):
                forbidden.append(f"{case.place}: {case.rule}: {item.why}")
            else:
                rounds.append(item)
    found = judge_rounds(rounds)
    warnings.warn(f"load in no kernel here: {found.left_out}, and what is refused: {forbidden}", stacklevel=1)
    assert not found.wrong, "\n".join(found.wrong)
    assert len(found.tables) >= 8, found.left_out
    assert len(forbidden) < len(rounds)


def test_a_ruleset_of_nftables_is_treated_as_its_optimised_form(lab_long: bool) -> None:
    # an index of an interface is nothing that is printed again
    old = [
        SourceFile(one.name, one.text.replace("iif lo", "iifname lo"))
        for one in texts_of(FIXTURES / "corpus" / "nft-hand-written" / "nftables.conf")
    ]
    sink = DiagnosticSink()
    new = optimize_texts(old, OptimizerSettings(), sink, FileAccess()).output
    assert new, sink.errors
    assert same_in_lab(old, [SourceFile("new.nft", new)], 3000 if lab_long else 150).verdicts["delivered"] > 10
