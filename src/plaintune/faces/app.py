"""The app: options that several commands have in common, and how its commands speak."""

from __future__ import annotations

import json
import webbrowser
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from ..core.errors import printable
from ..core.tasks import Task

app = typer.Typer(
    name="plaintune",
    help="A file of labelled text in, a classifier you can trust out: on a plain CPU, with no settings.",
    epilog="Start with: plaintune demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, everything else on stderr.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only the result.")]
Yes = Annotated[
    bool,
    typer.Option(
        "--yes",
        "-y",
        help="Ask nothing: replace what is there; rent (train: up to --max-cost), move or end machines.",
    ),
]
Minutes = Annotated[float, typer.Option(help="The whole command ends within this time.")]
Seed = Annotated[int, typer.Option(help="Another seed draws another test part and another order.")]
TextColumns = Annotated[
    list[str] | None,
    typer.Option("--text", metavar="COL", help="Column of the text; repeat it to join several."),
]
LabelColumns = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="COL", help="Column of the answer; repeat it for columns of yes and no."),
]
Group = Annotated[
    str | None,
    typer.Option(metavar="COL", help="A film, a customer…: its rows are all learned from or all scored on."),
]
Time = Annotated[str | None, typer.Option(metavar="COL", help="Score on the latest rows.")]
TaskOption = Annotated[
    Task | None, typer.Option(help="One answer a text, several, or a number. [default: by the data]")
]
Separator = Annotated[
    str | None,
    typer.Option(metavar="MARK", help='The mark between several answers in one cell, such as ";".'),
]

NoTexts = Annotated[bool, typer.Option("--no-texts", help="A report without any of your texts.")]
OpenReport = Annotated[bool, typer.Option("--open", help="Show the report in the browser.")]


def default_name(source: str) -> str:
    """`reviews-model` for `data/reviews.csv.gz`, in the folder one stands in."""
    name = Path(source.rstrip("/\\").split("?")[0]).name
    stem = name.split(".")[0] or name.strip(".") or "text"
    return f"{stem}-model"


def terminal(quiet: bool) -> Any:
    """A listener that shows a run at the terminal."""
    from .terminal import Terminal

    return Terminal(quiet=quiet)


def open_page(page: Path) -> None:
    """Show a page in the user's browser: the one in BROWSER, where that is set."""
    if not webbrowser.open(page.resolve().as_uri()):
        typer.echo(f"No browser could be started here; open {printable(str(page))} yourself.", err=True)


def print_json(value: dict[str, Any]) -> None:
    """One JSON object on stdout."""
    typer.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))


def print_json_list(name: str, values: Iterable[Any]) -> None:
    """One JSON object on stdout that holds a list of any length, written as it comes."""
    first = True
    for value in values:
        lead = f'{{"{name}": [' if first else ", "
        typer.echo(lead + json.dumps(value, ensure_ascii=False, allow_nan=False), nl=False)
        first = False
    typer.echo(f'{{"{name}": []}}' if first else "]}")
