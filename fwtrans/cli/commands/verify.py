"""`fwtrans verify OLD NEW`: a proof that both do the same, or packets that they treat differently."""

from typing import Annotated

import typer

from fwtrans.cli.exitcodes import ExitCode
from fwtrans.cli.output import Result
from fwtrans.cli.pve_backend import PveBackend, PveBackendOption


def verify(
    old: Annotated[
        str,
        typer.Argument(
            help="A dump, a directory (collected, or of Proxmox VE), an nft ruleset, or `live`", show_default=False
        ),
    ],
    new: Annotated[
        str | None, typer.Argument(help="The same, of any kind; none with --lint", show_default=False)
    ] = None,
    *,
    lint: Annotated[
        bool, typer.Option("--lint", help="Take one ruleset: list rules that never match or never matter")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a Proxmox VE configuration with mistakes that PVE would skip")
    ] = False,
    pve_backend: PveBackendOption = PveBackend.IPTABLES,
    host_address: Annotated[
        list[str] | None,
        typer.Option("--host-address", help="An address of the host with its network, 10.0.0.1/24", show_default=False),
    ] = None,
) -> Result:
    """Prove two rulesets equal, or show packets that differ.

    Exit status 0 says equal, 1 different or not decided, 3 that a side cannot be read. With --lint, 0 says that every rule
    can match and matters, 1 that there are findings or something could not be decided.

    Example:
        fwtrans verify iptables-save host.nft
        fwtrans verify --lint iptables-save
    """
    if lint:
        if new is not None:
            raise typer.BadParameter("--lint takes one ruleset", param_hint="NEW")
        return _lint(old)
    if new is None:
        raise typer.BadParameter("it is missing; `verify --lint` takes one ruleset", param_hint="NEW")
    nftables = pve_backend is PveBackend.NFTABLES
    return _verify(old, new, strict=strict, pve_nftables=nftables, addresses=host_address or [])


def _verify(old: str, new: str, *, strict: bool, pve_nftables: bool, addresses: list[str]) -> Result:
    from fwtrans.cli.inputs import FileAccess, read_host_addresses, read_paths
    from fwtrans.diagnostics import DiagnosticSink
    from fwtrans.ir.host import Host
    from fwtrans.report.equivalence import comparison_text, comparison_value
    from fwtrans.verify import verify_sides

    sink = DiagnosticSink()
    before, after = read_paths([old], sink), read_paths([new], sink)
    host = Host(addresses=read_host_addresses(addresses, sink))
    found = verify_sides(
        before, after, sink, FileAccess((old, new)), strict=strict, pve_nftables=pve_nftables, host=host
    )
    if found is None:
        return Result(exit_code=ExitCode.UNREADABLE, diagnostics=tuple(sink.found))
    return Result(
        exit_code=ExitCode.DONE if found.comparison.equal else ExitCode.FINDINGS,
        data=comparison_text(found.comparison, found.intended, both_pve=found.both_pve),
        value=comparison_value(found.comparison, found.intended, both_pve=found.both_pve),
        diagnostics=tuple(sink.found),
    )


def _lint(path: str) -> Result:
    from fwtrans.cli.inputs import FileAccess, read_paths
    from fwtrans.diagnostics import DiagnosticSink
    from fwtrans.report.shadowing import lint_text, lint_value
    from fwtrans.verify import lint_side

    sink = DiagnosticSink()
    found = lint_side(read_paths([path], sink), sink, FileAccess([path]))
    if found is None:
        return Result(exit_code=ExitCode.UNREADABLE, diagnostics=tuple(sink.found))
    return Result(
        exit_code=ExitCode.FINDINGS if found.findings or found.undecided else ExitCode.DONE,
        data=lint_text(found),
        value=lint_value(found),
        diagnostics=tuple(sink.found),
    )
