"""`fwtrans translate PATH...`: dumps in, an nftables ruleset out."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from fwtrans.cli.exitcodes import ExitCode, exit_code_of
from fwtrans.cli.output import Result


class OutputTarget(Enum):
    """Which nft and kernel the ruleset has to load on."""

    DEBIAN_12 = "debian12"
    DEBIAN_13 = "debian13"


class OutputFormat(Enum):
    """What the ruleset is written as."""

    NFT = "nft"
    JSON = "json"


class Bridged(Enum):
    """Whether bridged packets pass iptables."""

    AUTO = "auto"
    YES = "yes"
    NO = "no"


class Fix(Enum):
    """A fault of the original that is put right on request."""

    MARK_LEAK = "mark-leak"


_BRIDGED = {Bridged.AUTO: None, Bridged.YES: True, Bridged.NO: False}


def translate(
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Files, directories of `fwtrans collect` or of Proxmox VE, or - for stdin", show_default=False
        ),
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", help="Write the ruleset to this file instead of stdout", show_default=False)
    ] = "",
    output_format: Annotated[
        OutputFormat, typer.Option("--format", help="nft text, or libnftables JSON")
    ] = OutputFormat.NFT,
    target: Annotated[
        OutputTarget, typer.Option(help="What it has to load on: nft 1.0.6 and kernel 6.1, or 1.1.3 and 6.12")
    ] = OutputTarget.DEBIAN_12,
    counters: Annotated[
        bool, typer.Option("--counters", help="Count packets in every rule, from the dump's values on")
    ] = False,
    map_file: Annotated[
        str,
        typer.Option("--map", help="Write where each output line came from to this file (JSON)", show_default=False),
    ] = "",
    no_optimize: Annotated[
        bool,
        typer.Option(
            "--no-optimize", help="Print the rules one by one, as they stand in the input (so does --counters)"
        ),
    ] = False,
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Do not read the result back and prove it equal to the input")
    ] = False,
    partial: Annotated[
        bool,
        typer.Option(
            "--partial",
            help="Write what can be translated, in such a way that nothing more is accepted; still exits with 4",
        ),
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a Proxmox VE configuration with mistakes that PVE would skip")
    ] = False,
    bridged: Annotated[
        Bridged,
        typer.Option(help="Do bridged packets pass iptables (bridge-nf-call-iptables)? auto: if rules ask for ports"),
    ] = Bridged.AUTO,
    host_address: Annotated[
        list[str] | None,
        typer.Option("--host-address", help="An address of the host with its network, 10.0.0.1/24", show_default=False),
    ] = None,
    fix: Annotated[
        list[Fix] | None, typer.Option("--fix", help="What to put right on the way: mark-leak", show_default=False)
    ] = None,
    report: Annotated[bool, typer.Option("--report", help="Tell what became of each input rule")] = False,
) -> Result:
    """Translate iptables dumps to an nftables ruleset.

    What each file is, is seen from its content. Nothing is written unless every rule was translated exactly, or
    --partial asks for the rest.

    Example:
        fwtrans translate iptables-save ip6tables-save ipset-save -o host.nft
    """
    from fwtrans.backend.nft.target import TARGETS
    from fwtrans.cli.inputs import FileAccess, read_host_addresses, read_host_facts, read_paths, write_file
    from fwtrans.diagnostics import DiagnosticSink
    from fwtrans.ir.host import Host
    from fwtrans.report.translation import line_map_json, translation_report, translation_value
    from fwtrans.translate import Settings
    from fwtrans.translate import translate as translate_texts

    sink = DiagnosticSink()
    sources = read_paths(paths, sink)
    settings = Settings(
        counters=counters,
        as_json=output_format is OutputFormat.JSON,
        verify=not no_verify,
        partial=partial,
        strict=strict,
        target=TARGETS[target.value],
        optimize=not no_optimize and not counters,
        close_mark_leak=Fix.MARK_LEAK in (fix or ()),
        host=read_host_facts(paths).joined(
            Host(addresses=read_host_addresses(host_address or (), sink), bridged=_BRIDGED[bridged])
        ),
    )
    result = translate_texts(sources, settings, sink, FileAccess(paths))
    exit_code = exit_code_of(sink.found)
    if exit_code is ExitCode.DONE or (partial and result.output):
        for name, text in ((output, result.output), (map_file, line_map_json(result.line_map))):
            if name:
                write_file(Path(name), text)
    return Result(
        exit_code=exit_code,
        data="" if output else result.output,
        value=translation_value(result, ruleset_written_to=output),
        report=translation_report(result) if report else "",
        diagnostics=tuple(sink.found),
    )
