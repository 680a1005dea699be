"""`fwtrans explain CODE`: the page of an error code."""

from pathlib import Path
from typing import Annotated

import typer

import fwtrans
from fwtrans.cli.output import Result
from fwtrans.diagnostics import CODES


def explain(
    code: Annotated[
        str,
        typer.Argument(help="A code such as FWT200, or its number; left out, all codes are listed", show_default=False),
    ] = "",
) -> Result:
    """Tell what an error code means and what to do.

    Example:
        fwtrans explain FWT200
    """
    if not code:
        return _list()
    known = _find(code)
    page = _read_page(known)
    entry = CODES[known]
    value = {"code": known, "title": entry.title, "severity": entry.severity.value, "page": page}
    return Result(data=page, value=value)


def _list() -> Result:
    rows = [{"code": code, "title": entry.title, "severity": entry.severity.value} for code, entry in CODES.items()]
    lines = [f"{row['code']}  {row['severity']:<8}{row['title']}\n" for row in rows]
    return Result(data="".join(lines), value={"codes": rows})


def _find(code: str) -> str:
    """Return the code as it stands in the table; people leave out the letters, or copy it with the brackets."""
    from difflib import get_close_matches

    word = code.strip("[]").upper()
    wanted = word if word.startswith("FWT") else f"FWT{word}"
    if wanted in CODES:
        return wanted
    near = [code for code in CODES if code.startswith(wanted)][:3] or get_close_matches(wanted, CODES, n=3)
    advice = f"; near it: {', '.join(near)}" if near else ""
    message = f"there is no code {code!r}{advice}; `fwtrans explain` lists all"
    raise typer.BadParameter(message, param_hint="CODE")


def _read_page(code: str) -> str:
    """Read the page from the installed package, or from the checkout that the package stands in."""
    package = Path(fwtrans.__file__).parent
    installed = package / "_errors" / f"{code}.md"
    page = installed if installed.is_file() else package.parent / "docs" / "errors" / f"{code}.md"
    return page.read_text(encoding="utf-8")
