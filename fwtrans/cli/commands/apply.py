"""`fwtrans apply NEW`: put a ruleset in force, with a way back that fires by itself."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from fwtrans.cli.exitcodes import ExitCode
from fwtrans.cli.output import Result
from fwtrans.cli.pve_backend import PveBackend, PveBackendOption

STATE_FOLDER = "/var/lib/fwtrans"
StateFolder = Annotated[str, typer.Option("--state-dir", help="Where snapshots and the state are kept")]


def apply(
    paths: Annotated[
        list[str],
        typer.Argument(help="An nft ruleset, or a directory of `fwtrans collect` to translate", show_default=False),
    ],
    confirm_within: Annotated[
        float, typer.Option("--confirm-within", min=1.0, help="Seconds until all is undone unless it is confirmed")
    ] = 60.0,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before loading")] = False,
    persist: Annotated[bool, typer.Option("--persist", help="Load it at every boot too, once it is confirmed")] = False,
    allow_changes: Annotated[
        bool, typer.Option("--allow-changes", help="Load it although it treats packets differently than what runs")
    ] = False,
    no_optimize: Annotated[
        bool, typer.Option("--no-optimize", help="Load the rules one by one, as they stand in the input")
    ] = False,
    pve_backend: PveBackendOption = PveBackend.IPTABLES,
    keep: Annotated[int, typer.Option("--keep", min=1, help="How many snapshots to keep")] = 10,
    state_dir: StateFolder = STATE_FOLDER,
) -> Result:
    """Load a ruleset with a way back.

    The plan is shown first. What is loaded goes away by itself unless `fwtrans confirm` is run in time: do that from a new
    connection, because one that is open already proves nothing.

    Example:
        fwtrans apply host.nft
    """
    from fwtrans.apply.request import Outcome, Request
    from fwtrans.apply.run import apply as put_in_force
    from fwtrans.apply.wanted import read_wanted
    from fwtrans.cli.exitcodes import exit_code_of
    from fwtrans.cli.inputs import FileAccess, read_host_facts, read_paths
    from fwtrans.cli.output import announce
    from fwtrans.diagnostics import Diagnostic, DiagnosticSink
    from fwtrans.translate import Settings

    sink = DiagnosticSink()
    nftables = pve_backend is PveBackend.NFTABLES
    settings = Settings(host=read_host_facts(paths), optimize=not no_optimize, pve_nftables=nftables)
    wanted = read_wanted(read_paths(paths, sink), settings, sink, FileAccess(paths))
    if wanted is None or sink.errors:
        own = all(item.code.startswith("FWT6") for item in sink.errors)
        exit_code = ExitCode.LOAD_RESTORED if own else exit_code_of(sink.found)
        return Result(exit_code=exit_code, diagnostics=tuple(sink.found))

    def agree(plan: str) -> bool:
        announce(plan)
        if yes:
            return True
        if not sys.stdin.isatty():
            hint = "say --yes where nobody can be asked"
            sink.add(Diagnostic(code="FWT620", message="nobody is there to be asked", hints=(hint,)))
            return False
        return typer.confirm("Go on?", err=True)

    request = Request(
        directory=Path(state_dir),
        confirm_within=confirm_within,
        persist=persist,
        allow_changes=allow_changes,
        keep=keep,
        ask=agree,
        say=announce,
    )
    found = put_in_force(wanted, request, sink, FileAccess(paths))
    exits = {
        Outcome.CONFIRMED: ExitCode.DONE,
        Outcome.UNCHANGED: ExitCode.DONE,
        Outcome.DECLINED: ExitCode.FINDINGS,
        Outcome.REFUSED: ExitCode.LOAD_RESTORED,
        Outcome.RESTORED: ExitCode.LOAD_RESTORED,
        Outcome.RESTORE_FAILED: ExitCode.RESTORE_FAILED,
    }
    differs = {"FWT607", "FWT608"} & {item.code for item in sink.errors}
    return Result(
        exit_code=ExitCode.FINDINGS if differs else exits[found.outcome],
        data=f"{found.outcome.value}\n" if exits[found.outcome] is ExitCode.DONE else "",
        value=found.value,
        diagnostics=tuple(sink.found),
    )
