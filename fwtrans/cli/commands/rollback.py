"""`fwtrans rollback`: go back to what was there before an apply."""

from pathlib import Path
from typing import Annotated

import typer

from fwtrans.cli.commands.apply import STATE_FOLDER, StateFolder
from fwtrans.cli.exitcodes import ExitCode
from fwtrans.cli.output import Result


def rollback(
    to: Annotated[
        str, typer.Option("--to", help="The snapshot to go back to, as `status` lists it", show_default=False)
    ] = "",
    state_dir: StateFolder = STATE_FOLDER,
) -> Result:
    """Go back to the firewall before an apply.

    Without --to it is the apply that waits for its confirmation or, if there is none, the newest that was confirmed.

    Example:
        fwtrans rollback
    """
    from fwtrans.apply.boot import BootFiles
    from fwtrans.apply.finish import roll_back
    from fwtrans.diagnostics import DiagnosticSink

    sink = DiagnosticSink()
    found = roll_back(Path(state_dir), to, sink, BootFiles())
    exit_code = ExitCode.RESTORE_FAILED if found.failed else ExitCode.DONE if found.done else ExitCode.FINDINGS
    return Result(
        exit_code=exit_code,
        data=f"restored {found.identity}\n" if found.done else "",
        value={"id": found.identity or None, "restored": found.done},
        diagnostics=tuple(sink.found),
    )
