"""`fwtrans confirm`: keep what `apply` has loaded."""

from pathlib import Path

from fwtrans.cli.commands.apply import STATE_FOLDER, StateFolder
from fwtrans.cli.exitcodes import ExitCode
from fwtrans.cli.output import Result


def confirm(state_dir: StateFolder = STATE_FOLDER) -> Result:
    """Keep the ruleset that was loaded last.

    Run it from a connection that was opened after `fwtrans apply` had loaded the rules.

    Example:
        fwtrans confirm
    """
    from fwtrans.apply.boot import BootFiles
    from fwtrans.apply.finish import confirm as keep
    from fwtrans.diagnostics import DiagnosticSink

    sink = DiagnosticSink()
    found = keep(Path(state_dir), sink, BootFiles())
    return Result(
        exit_code=ExitCode.DONE if found.done and not sink.errors else ExitCode.FINDINGS,
        data=f"confirmed {found.identity}\n" if found.done else "",
        value={"id": found.identity or None, "confirmed": found.done},
        diagnostics=tuple(sink.found),
    )
