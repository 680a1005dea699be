"""The proof of what was printed: read back, with another reader than the printer, and compared with the input.

    with EarlyProof(original, host, files) as early:
        early.begin(text)                                   # as soon as there is a text
        prove(original, host, text, sink, files, early)     # the same as without it

An early proof is another process that was begun while there was no text yet. It has loaded the reader until then, and
proves while this process says what became of each rule. What it finds not to be equal is found again here, with packets
that show it.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from fwtrans.comparing import compare_on, load_comparison
from fwtrans.diagnostics import Diagnostic, DiagnosticSink, Refused
from fwtrans.processes import Worker, usable
from fwtrans.read import read_inputs
from fwtrans.source import SourceFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from types import TracebackType
    from typing import Self

    from fwtrans.comparing import Compared
    from fwtrans.ir.host import Host
    from fwtrans.ir.ruleset import Ruleset
    from fwtrans.read import Files

_Answer = tuple["Compared | None", "tuple[str, str] | tuple[()]"]
"""The comparison, if both are equal, and code and message of a refusal."""

# Fewer rules are proved before another process has loaded anything.
_MANY_RULES = 300


def prove(
    original: Ruleset,
    host: Host,
    text: str,
    sink: DiagnosticSink,
    files: Files,
    early: EarlyProof | None = None,
) -> Compared | None:
    """Return how what was printed compares with the input; what is not equal is told. None where there is no comparison."""
    try:
        found = early.result(text) if early is not None else None
        if found is not None:
            return found
        printed = _read_back(text, sink, files)
        if printed is None:
            return None
        proof = compare_on(host, original, printed)
    except Refused as refused:
        sink.add(Diagnostic(code=refused.code, message=refused.message))
        return None
    _tell(proof, sink)
    return proof


def _tell(proof: Compared, sink: DiagnosticSink) -> None:
    """Tell what is not equal."""
    if proof.comparison.differences:
        from fwtrans.report.equivalence import difference_text  # noqa: PLC0415 -- hardly ever is there anything to tell

    for item in proof.comparison.differences:
        sink.add(Diagnostic(code="FWT400", message=difference_text(item)))
    for unknown in proof.comparison.undecided:
        sink.add(Diagnostic(code="FWT401", message=f"{unknown.path.name}: {unknown.reason}", notes=unknown.names[:5]))


def _read_back(text: str, sink: DiagnosticSink, files: Files) -> Ruleset | None:
    own = DiagnosticSink()
    reading = read_inputs((SourceFile("the printed ruleset", text),), own, files)
    if reading is None or own.errors:
        why = own.errors[0].message if own.errors else "nothing was read"
        sink.add(Diagnostic(code="FWT400", message=f"the printed ruleset cannot be read back: {why}"))
        return None
    return reading.ruleset


def early_proof(original: Ruleset, host: Host, files: Files) -> AbstractContextManager[EarlyProof | None]:
    """Return a proof that begins now, None where it would not pay or no other process can be had."""
    rules = sum(len(chain.rules) for table in original.tables for chain in table.chains)
    return EarlyProof(original, host, files) if rules >= _MANY_RULES and usable() > 1 else nullcontext()


class EarlyProof:
    """A proof in another process, of the last text that it is given."""

    def __init__(self, original: Ruleset, host: Host, files: Files) -> None:
        rules = (rule for table in original.tables for chain in table.chains for rule in chain.rules)
        sources = {id(origin.source): origin.source for rule in rules for origin in rule.origins}

        def work(receive: Callable[[], object]) -> _Answer:
            from fwtrans.lower.nft import ruleset  # noqa: F401, PLC0415 -- loaded while the other process has no text yet
            from fwtrans.parsers.nft_text import parse  # noqa: F401, PLC0415 -- loaded like it
            from fwtrans.parsers.nft_text.shapes import load_reader  # noqa: PLC0415 -- the other process never reads

            load_reader()
            load_comparison()
            try:
                return _equal(original, host, str(receive()), files), ()
            except Refused as refused:
                return None, (refused.code, refused.message)

        self._text = ""
        self._answer: _Answer | None = None
        self._work, self._known = work, tuple(sources.values())
        self._worker = Worker(self._work, self._known)

    def __enter__(self) -> Self:
        """Return the proof, which is given up at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the other process, whatever it is at."""
        self._worker.end()

    def begin(self, text: str) -> None:
        """Prove this text; the proof of another one is given up."""
        if self._text == text:
            return
        if self._text:
            self._worker.end()
            self._worker = Worker(self._work, self._known)
        self._text, self._answer = text, None
        self._worker.send(text)

    def result(self, text: str) -> Compared | None:
        """Return the comparison if the text is the one that is proved, and is equal; raise `Refused` where it was refused."""
        if text != self._text:
            return None
        if self._answer is None:  # the same text may be asked for twice: a worker answers once
            self._answer = self._worker.result() or (None, ())
        found, refused = self._answer
        if refused:
            raise Refused(*refused)
        return found


def _equal(original: Ruleset, host: Host, text: str, files: Files) -> Compared | None:
    printed = _read_back(text, DiagnosticSink(), files)
    found = compare_on(host, original, printed) if printed is not None else None
    return found if found is not None and found.comparison.equal and not found.comparison.undecided else None
