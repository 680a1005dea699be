"""`fwtrans optimize FILE`: the same ruleset in a faster shape."""

from pathlib import Path
from typing import Annotated

import typer

from fwtrans.cli.exitcodes import ExitCode, exit_code_of
from fwtrans.cli.output import Result


def optimize(
    path: Annotated[str, typer.Argument(metavar="FILE", help="An nft ruleset, or - for stdin", show_default=False)],
    output: Annotated[
        str, typer.Option("--output", "-o", help="Write the ruleset to this file instead of stdout", show_default=False)
    ] = "",
    report: Annotated[bool, typer.Option("--report", help="Tell steps, time and size before and after")] = False,
    explain_passes: Annotated[
        bool, typer.Option("--explain-passes", help="Show the ruleset behind each pass that changed it")
    ] = False,
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Do not prove that each pass keeps what the ruleset means")
    ] = False,
    skip: Annotated[
        list[str] | None, typer.Option("--skip", help="Leave out a pass, by its name", show_default=False)
    ] = None,
    size_factor: Annotated[
        float,
        typer.Option(
            "--size-factor",
            min=1,
            help="How many times as big a long list may become as a search; above 4, the fewest steps count rather than time",
        ),
    ] = 4,
) -> Result:
    """Make an nftables ruleset faster, proved to do the same.

    Every pass is proved; one that is not is left out and told. Rules that fwtrans does not understand stay as they are.

    Named sets and maps stay what they are, so that programs may go on filling them; chains are made anew: who wants another rule changes the input and optimises it again.

    Example:
        fwtrans optimize host.nft -o faster.nft --report
    """
    from fwtrans.cli.inputs import FileAccess, read_paths, write_file
    from fwtrans.diagnostics import DiagnosticSink
    from fwtrans.optimize import Settings
    from fwtrans.optimizer.registry import PASSES
    from fwtrans.optimizing import optimize_texts
    from fwtrans.report.cost import cost_text, cost_value, passes_text

    known = {item.name for item in PASSES}
    for name in skip or ():
        if name not in known:
            message = f"there is no pass `{name}`; there are {', '.join(sorted(known))}"
            raise typer.BadParameter(message, param_hint="--skip")
    sink = DiagnosticSink()
    settings = Settings(verify=not no_verify, skip=frozenset(skip or ()), size_factor=size_factor)
    result = optimize_texts(read_paths([path], sink), settings, sink, FileAccess([path]))
    exit_code = exit_code_of(sink.found)
    if output and exit_code is ExitCode.DONE:
        write_file(Path(output), result.output)
    found = result.optimized
    parts = [passes_text(found)] if found is not None and explain_passes else []
    if found is not None and report:
        parts.append(cost_text(found))
    ruleset = None if output or not result.output else result.output
    return Result(
        exit_code=exit_code,
        data="" if output else result.output,
        value={"ruleset": ruleset, "written_to": output or None, **(cost_value(found) if found is not None else {})},
        report="\n".join(parts),
        diagnostics=tuple(sink.found),
    )
