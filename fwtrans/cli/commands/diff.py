"""`fwtrans diff OLD NEW`: what changes for the traffic, for somebody who has to say yes or no to it."""

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from fwtrans.cli.exitcodes import ExitCode
from fwtrans.cli.output import Result
from fwtrans.cli.pve_backend import PveBackend, PveBackendOption

if TYPE_CHECKING:
    from fwtrans.report.review.model import Review


class Form(Enum):
    """The forms of a review."""

    TEXT = "text"
    MARKDOWN = "markdown"
    JSON = "json"
    SARIF = "sarif"
    HTML = "html"


class FailOn(Enum):
    """Which differences make exit status 1."""

    ALLOWED = "allowed"
    DENIED = "denied"
    ANY = "any"


def diff(
    old: Annotated[
        str,
        typer.Argument(
            help="A dump, a directory (collected, or of Proxmox VE), an nft ruleset, or `live`", show_default=False
        ),
    ],
    new: Annotated[str, typer.Argument(help="The same, of any kind", show_default=False)],
    *,
    form: Annotated[Form, typer.Option("--format", help="How the review is written")] = Form.TEXT,
    fail_on: Annotated[
        FailOn, typer.Option("--fail-on", help="Exit with 1 only for traffic that is newly allowed, or newly denied")
    ] = FailOn.ANY,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a Proxmox VE configuration with mistakes that PVE would skip")
    ] = False,
    pve_backend: PveBackendOption = PveBackend.IPTABLES,
) -> Result:
    """Review what changes for the traffic between two rulesets.

    Exit status 0 says no difference (or none that --fail-on asks for), 1 differences or something not decided, 3 that a side
    cannot be read.

    Example:
        fwtrans diff monday/ today/
        fwtrans diff monday/ live
        fwtrans diff --format markdown --fail-on allowed old.nft new.nft
        fwtrans diff --format html /etc/pve ruleset.nft > review.html
    """
    from fwtrans.cli.inputs import FileAccess, read_paths
    from fwtrans.diagnostics import DiagnosticSink
    from fwtrans.report.review.value import review_value
    from fwtrans.review import review_sides

    sink = DiagnosticSink()
    before, after = read_paths([old], sink), read_paths([new], sink)
    files = FileAccess((old, new))
    nftables = pve_backend is PveBackend.NFTABLES
    found = review_sides(before, after, sink, files, strict=strict, pve_nftables=nftables)
    if found is None:
        return Result(exit_code=ExitCode.UNREADABLE, diagnostics=tuple(sink.found))
    return Result(
        exit_code=_exit_code(found, fail_on),
        data=_written(found, form, old, new),
        value=review_value(found),
        diagnostics=tuple(sink.found),
    )


def _exit_code(found: "Review", fail_on: FailOn) -> ExitCode:
    from fwtrans.report.review.model import Category

    wanted = {
        FailOn.ALLOWED: (Category.ALLOWED,),
        FailOn.DENIED: (Category.DENIED, Category.ANSWERED),
        FailOn.ANY: tuple(Category),
    }
    # what could not be compared may be what is asked for
    fails = found.has(*wanted[fail_on]) or bool(found.undecided) or bool(found.omitted)
    return ExitCode.FINDINGS if fails else ExitCode.DONE


def _written(found: "Review", form: Form, old: str, new: str) -> str:
    if form is Form.MARKDOWN:
        from fwtrans.report.review.markdown import review_markdown

        return review_markdown(found)
    if form is Form.SARIF:
        from fwtrans.report.review.sarif import review_sarif

        return review_sarif(found)
    if form is Form.HTML:
        from fwtrans.report.review.html import review_html

        return review_html(found, old, new)
    if form is Form.JSON:
        import json

        from fwtrans.report.review.value import review_value

        return json.dumps(review_value(found), indent=2) + "\n"
    import sys

    from fwtrans.cli.output import wants_color
    from fwtrans.report.review.text import review_text

    return review_text(found, color=wants_color(sys.stdout))
