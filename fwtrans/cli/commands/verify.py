"""`fwtrans verify OLD NEW`: a proof that both do the same, or packets that they treat differently."""

from typing import Annotated

import typer

from fwtrans.cli.exitcodes import ExitCode
from fwtrans.cli.output import Result


def verify(
    old: Annotated[
        str, typer.Argument(help="A dump, a directory of `fwtrans collect`, or an nft ruleset", show_default=False)
    ],
    new: Annotated[str, typer.Argument(help="The same, of any kind", show_default=False)],
) -> Result:
    """Prove two rulesets equal, or show packets that differ.

    Exit status 0 says equal, 1 different or not decided, 3 that a side cannot be read.

    Example:
        fwtrans verify iptables-save host.nft
    """
    from fwtrans.cli.inputs import FileAccess, read_paths
    from fwtrans.diagnostics import DiagnosticSink
    from fwtrans.report.equivalence import comparison_text, comparison_value
    from fwtrans.verify import verify_sides

    sink = DiagnosticSink()
    before, after = read_paths([old], sink), read_paths([new], sink)
    found = verify_sides(before, after, sink, FileAccess())
    if found is None:
        return Result(exit_code=ExitCode.UNREADABLE, diagnostics=tuple(sink.found))
    return Result(
        exit_code=ExitCode.DONE if found.equal else ExitCode.FINDINGS,
        data=comparison_text(found),
        value=comparison_value(found),
        diagnostics=tuple(sink.found),
    )
