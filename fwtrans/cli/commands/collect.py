"""`fwtrans collect -o DIR`: a snapshot of this host."""

from pathlib import Path
from typing import Annotated

import typer

from fwtrans.cli.exitcodes import ExitCode
from fwtrans.cli.output import Result


def collect(
    output: Annotated[
        str, typer.Option("--output", "-o", help="The directory to write, which is to be new", show_default=False)
    ],
) -> Result:
    """Collect what a translation needs of this host.

    Nothing is changed, and passwords and keys are not collected. The directory is what translate, verify and apply take.

    Example:
        fwtrans collect -o before
    """
    from fwtrans.collect.run import collect as take
    from fwtrans.diagnostics import DiagnosticSink

    sink = DiagnosticSink()
    found = take(Path(output), Path("/"), sink)
    if found is None:
        return Result(exit_code=ExitCode.UNREADABLE, diagnostics=tuple(sink.found))
    gaps = "".join(f"not there: {gap.what}: {gap.why}\n" for gap in found.gaps)
    return Result(
        exit_code=ExitCode.FINDINGS if sink.errors else ExitCode.DONE,
        data="".join(f"{name}\n" for name in found.files),
        value={
            "directory": output,
            "files": list(found.files),
            "missing": [{"what": gap.what, "why": gap.why} for gap in found.gaps],
        },
        report=gaps,
        diagnostics=tuple(sink.found),
    )
