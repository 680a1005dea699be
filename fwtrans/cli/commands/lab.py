"""`fwtrans lab OLD NEW`: both rulesets in network namespaces, the same packets, the kernel's verdicts side by side."""

import signal
import sys
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from fwtrans.cli.exitcodes import ExitCode, exit_code_of
from fwtrans.cli.output import Result, wants_color

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from fwtrans.laboratory import Stage


class IptablesVariant(Enum):
    """Which iptables-restore loads a dump."""

    LEGACY = "legacy"
    NFT = "nft"


def lab(
    old: Annotated[str, typer.Argument(help="A dump, a directory of dumps, or an nft ruleset", show_default=False)],
    new: Annotated[str, typer.Argument(help="The same, of any kind", show_default=False)],
    *,
    budget: Annotated[int, typer.Option(min=1, help="Send at most so many packets")] = 1000,
    all_pairs: Annotated[
        bool, typer.Option("--all-pairs", help="Between any two endpoints of a host with bridges, send one more")
    ] = False,
    kernel: Annotated[
        str, typer.Option(help="auto, running, uml (the launcher set by FWTRANS_LAB_UML), or a launcher's path")
    ] = "auto",
    iptables: Annotated[
        IptablesVariant, typer.Option(help="Which iptables-restore loads dumps")
    ] = IptablesVariant.LEGACY,
    seed: Annotated[int, typer.Option(help="Another seed sends other packets")] = 0,
    timeout: Annotated[int, typer.Option(min=10, help="Seconds that one side's packets may take")] = 600,
) -> Result:
    """Send the same packets through two rulesets in a kernel.

    What becomes of each packet is compared. The live firewall is not touched: everything happens in network namespaces that end with the command, or in another
    kernel. Needs root. Exit status 0 says that every packet was treated alike, 1 that some were not.

    Example:
        fwtrans lab iptables-save host.nft --budget 300
    """
    from fwtrans.cli.inputs import FileAccess, read_paths
    from fwtrans.diagnostics import DiagnosticSink
    from fwtrans.lab.kernels import NAMED
    from fwtrans.lab.sides import Variant
    from fwtrans.laboratory import LabSettings, compare_in_lab
    from fwtrans.report.laboratory import lab_text, lab_value

    if "/" not in kernel and kernel not in NAMED:
        message = (
            f"there is no kernel `{kernel}`; there are {', '.join(NAMED)}, and launchers by their path (./{kernel})"
        )
        raise typer.BadParameter(message, param_hint="--kernel")
    sink = DiagnosticSink()
    before, after = read_paths([old], sink), read_paths([new], sink)
    settings = LabSettings(
        budget=budget, kernel=kernel, variant=Variant(iptables.value), seed=seed, seconds=timeout, all_pairs=all_pairs
    )
    # as an interrupt does, it ends the kernel's processes with this one; a shell's background job ignores interrupts
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _progress() as told:
        found = compare_in_lab(before, after, settings, sink, FileAccess(), told)
    if found is None:
        exit_code = exit_code_of(item for item in sink.found if item.code[3] != "7")
        return Result(exit_code=exit_code or ExitCode.UNREADABLE, diagnostics=tuple(sink.found))
    return Result(
        exit_code=ExitCode.DONE if found.same else ExitCode.FINDINGS,
        data=lab_text(found, color=wants_color(sys.stdout)),
        value=lab_value(found),
        diagnostics=tuple(sink.found),
    )


def _progress() -> "AbstractContextManager[Callable[[Stage], None]]":
    """Return what shows a bar on stderr, where somebody looks at it."""
    from contextlib import contextmanager

    @contextmanager
    def shown() -> "Iterator[Callable[[Stage], None]]":
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
            task = bar.add_task("starting", total=4)
            yield lambda stage: bar.update(task, description=stage.name, completed=stage.done, total=stage.total)

    return shown()
