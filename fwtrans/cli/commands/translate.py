"""`fwtrans translate PATH...`: dumps in, an nftables ruleset out."""

import sys
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fwtrans.cli.exitcodes import ExitCode, exit_code_of
from fwtrans.cli.output import Result, terminal_width, wants_color
from fwtrans.cli.pve_backend import PveBackend, PveBackendOption

if TYPE_CHECKING:
    from fwtrans.diagnostics import DiagnosticSink
    from fwtrans.report.translation import Translation


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


def _known_forms(names: list[str] | None) -> list[str]:
    """Refuse what is no report's name before anything is done: a forgotten FILE must not cost an input."""
    for name in names or ():
        if name != "-" and Path(name).suffix not in {".html", ".json", ".md"}:
            raise typer.BadParameter(f"`{name}` does not end in .html, .json or .md, and is not - for the terminal")
    return names or []


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
    pve_backend: PveBackendOption = PveBackend.IPTABLES,
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
    report: Annotated[
        list[str] | None,
        typer.Option(
            "--report",
            metavar="FILE",
            help="Tell what became of each input rule: FILE.html, FILE.json or FILE.md, or - for the terminal; repeatable",
            callback=_known_forms,
            show_default=False,
        ),
    ] = None,
) -> Result:
    """Translate iptables dumps to an nftables ruleset.

    What each file is, is seen from its content. Nothing is written unless every rule was translated exactly, or
    --partial asks for the rest.

    Example:
        fwtrans translate iptables-save ip6tables-save ipset-save -o host.nft
        fwtrans translate /etc/pve -o node.nft --report - --report node.html
    """
    from fwtrans.backend.nft.target import TARGETS
    from fwtrans.cli.inputs import FileAccess, read_host_addresses, read_host_facts, read_paths, write_file
    from fwtrans.diagnostics import DiagnosticSink
    from fwtrans.ir.host import Host
    from fwtrans.report.translation import line_map_json, translation_value
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
        pve_nftables=pve_backend is PveBackend.NFTABLES,
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
        report=_reported(result, report or (), sink, " ".join(paths)),
        diagnostics=tuple(sink.found),
    )


def _reported(result: "Translation", names: Iterable[str], sink: "DiagnosticSink", inputs: str) -> str:
    """Write the account of the translation to the files, and return it for the terminal where that is asked for."""
    if not names:
        return ""
    from fwtrans.cli.inputs import write_file
    from fwtrans.report.migration import migration
    from fwtrans.report.migration_forms import migration_json, migration_markdown, migration_text
    from fwtrans.report.migration_page import migration_html
    from fwtrans.report.translation import translation_remarks

    found = migration(result, sink.found)
    for name in names:
        if name.endswith(".json"):
            write_file(Path(name), migration_json(found))
        elif name.endswith(".md"):
            write_file(Path(name), migration_markdown(found))
        elif name != "-":
            write_file(Path(name), migration_html(found, inputs))
    if "-" not in names:
        return ""
    columns = terminal_width(sys.stderr)
    if columns:
        from fwtrans.report.migration_tables import migration_tables

        told = migration_tables(found, width=columns, color=wants_color(sys.stderr))
    else:
        told = migration_text(found)
    return "\n".join([told, *translation_remarks(result)])
