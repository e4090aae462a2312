"""The command that shows a model's report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import MissingExtra
from .app import Json, NoTexts, OpenReport, Yes, app, open_page, print_json


@app.command(epilog="Example: plaintune report reviews-model --open")
def report(
    model: Annotated[Path, typer.Argument(help="The folder that train wrote.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Another place for the page. [default: in MODEL]")
    ] = None,
    no_texts: NoTexts = False,
    open_report: OpenReport = False,
    as_json: Json = False,
    yes: Yes = False,
) -> None:
    """Write a model's report anew: how good it is and why, as one page."""
    try:
        from ..report.stored import rewrite_report
    except ModuleNotFoundError as error:
        raise MissingExtra("The report", extra="train") from error

    done = rewrite_report(model, out, texts=not no_texts, replace_existing=yes)
    if as_json:
        print_json({"report": str(done.page)})
    else:
        typer.echo(f"The report is in {done.page}.")
    if done.still_with_texts is not None:
        typer.echo(
            f"{done.still_with_texts} still holds examples; without --out they go from there, too.", err=True
        )
    elif no_texts and out is None:
        typer.echo("report.json and data-check.json hold no examples any more, either.", err=True)
    if open_report:
        open_page(done.page)
