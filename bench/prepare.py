"""The rulesets that benches load, translated once a run, and what each translation took."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from measure import FWTRANS, OUT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PLACE = OUT / "rulesets"
PATIENCE = 900
"""Seconds after which a translation is left out, and told."""


class Wanted(NamedTuple):
    """An input, by file names, and how it is to be translated."""

    name: str
    texts: Mapping[str, str]
    options: tuple[str, ...] = ()
    command: str = "translate"


class Made(NamedTuple):
    """A translation, empty if it took too long, and what it took: seconds of processor and of wall clock, MiB."""

    text: str
    cpu: float
    wall: float
    memory: float


def make(wanted: Wanted) -> Made:
    """Translate, unless the same has been translated by the same program before."""
    key = hashlib.sha256(repr((wanted, _program())).encode()).hexdigest()[:20]
    place = PLACE / f"{wanted.name}-{key}.json"
    if not place.exists():
        PLACE.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(_run(wanted)))
    return Made(*json.loads(place.read_text()))


def make_all(wanted: Sequence[Wanted]) -> list[Made]:
    """Translate all, as many at once as there are processors, and what is wanted twice once."""
    different = {repr(one): one for one in wanted}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = dict(zip(different, pool.map(make, different.values()), strict=True))
    return [made[repr(one)] for one in wanted]


def _run(wanted: Wanted) -> Made:
    with tempfile.TemporaryDirectory() as folder:
        for name, text in wanted.texts.items():
            path = Path(folder, "in", name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        # a single file is named itself: not every command takes folders
        paths = [str(Path(folder, "in", *wanted.texts))] if len(wanted.texts) == 1 else [str(Path(folder, "in"))]
        result, words = Path(folder, "out.nft"), [*FWTRANS, wanted.command, *paths]
        start = time.perf_counter()
        with Path(folder, "said").open("w+") as said:
            process = subprocess.Popen([*words, *wanted.options, "-o", str(result)], stdout=said, stderr=said)
            status, usage = _wait(process, start)
            if status is None:
                return Made("", usage.ru_utime + usage.ru_stime, time.perf_counter() - start, usage.ru_maxrss / 1024)
            said.seek(0)
            if status or not result.exists():
                raise SystemExit(f"{' '.join(words)}: exit status {status}: {said.read()[-1500:]}")
        wall = time.perf_counter() - start
        return Made(result.read_text(), usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024)


def _wait(process: subprocess.Popen[bytes], start: float):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """Return the exit status, none where patience ended, and what the process used."""
    timed_out = False
    while True:
        found, status, usage = os.wait4(process.pid, os.WNOHANG)
        if found:
            process.returncode = os.waitstatus_to_exitcode(status)
            return (None if timed_out else process.returncode), usage
        if time.perf_counter() - start > PATIENCE and not timed_out:
            timed_out = True
            process.kill()
        time.sleep(0.05)


def _program() -> str:
    """Return a digest of the program, so that nothing is taken from a run of another version."""
    root = Path(__file__).resolve().parent.parent / "fwtrans"
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit("a part of the benches; run `make bench`")
