"""`fwtrans status`: what is loaded, what waits for a confirmation, what one can go back to."""

from pathlib import Path

from fwtrans.cli.commands.apply import STATE_FOLDER, StateFolder
from fwtrans.cli.exitcodes import ExitCode
from fwtrans.cli.output import Result


def status(state_dir: StateFolder = STATE_FOLDER) -> Result:
    """Tell what is loaded and what one can go back to.

    Exit status 1 says that something needs attention: an apply is not confirmed, or others changed our tables.

    Example:
        fwtrans status
    """
    from fwtrans.apply.boot import BootFiles
    from fwtrans.apply.finish import status as look
    from fwtrans.apply.tell import status_text, status_value
    from fwtrans.diagnostics import DiagnosticSink

    sink = DiagnosticSink()
    found = look(Path(state_dir), sink, BootFiles())
    if found is None:
        return Result(exit_code=ExitCode.LOAD_RESTORED, diagnostics=tuple(sink.found))
    needs_attention = found.pending is not None or found.foreign
    return Result(
        exit_code=ExitCode.FINDINGS if needs_attention else ExitCode.DONE,
        data=status_text(found),
        value=status_value(found),
        diagnostics=tuple(sink.found),
    )
