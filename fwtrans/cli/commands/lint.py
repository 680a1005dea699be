"""`fwtrans lint RULESET`: rules that do nothing, and mistakes that other translators make."""

from enum import Enum
from typing import Annotated

import typer

from fwtrans.cli.exitcodes import ExitCode
from fwtrans.cli.output import Result


class Form(Enum):
    """The forms of the findings."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"


def lint(
    ruleset: Annotated[
        str,
        typer.Argument(
            help="A dump, a directory (collected, or of Proxmox VE), an nft ruleset, or `live`", show_default=False
        ),
    ],
    *,
    form: Annotated[Form, typer.Option("--format", help="How the findings are written")] = Form.TEXT,
) -> Result:
    """List rules that do nothing and known mistakes.

    Exit status 0 says that nothing was found, 1 that there are findings or something could not be decided, 3 that the ruleset
    cannot be read.

    Example:
        fwtrans lint /etc/nftables.conf
        fwtrans lint --format sarif iptables-save > lint.sarif
    """
    import json

    from fwtrans.cli.inputs import FileAccess, read_paths
    from fwtrans.diagnostics import DiagnosticSink
    from fwtrans.linting import lint_sides
    from fwtrans.report.lint import linted_sarif, linted_text, linted_value

    sink = DiagnosticSink()
    found = lint_sides(read_paths([ruleset], sink), sink, FileAccess([ruleset]))
    if found is None:
        return Result(exit_code=ExitCode.UNREADABLE, diagnostics=tuple(sink.found))
    value = linted_value(found)
    if form is Form.SARIF:
        data = linted_sarif(found)
    else:
        data = linted_text(found) if form is Form.TEXT else json.dumps(value, indent=2) + "\n"
    return Result(
        exit_code=ExitCode.DONE if found.is_clean else ExitCode.FINDINGS,
        data=data,
        value=value,
        diagnostics=tuple(sink.found),
    )
