"""The commands about data and words: check, label, get, glossary."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .app import (
    Group,
    Json,
    LabelColumns,
    Quiet,
    Separator,
    TaskOption,
    TextColumns,
    Time,
    Yes,
    app,
    default_name,
    print_json,
    terminal,
)


@app.command(epilog="Example: plaintune check reviews.csv --fix cleaned.csv")
def check(
    data: Annotated[str, typer.Argument(help="Labelled texts, in any form that train takes.")],
    test: Annotated[
        str | None, typer.Option(metavar="DATA", help="Test data, to be compared with these.")
    ] = None,
    fix: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a cleaned copy: .csv, .tsv or .jsonl.")
    ] = None,
    goal: Annotated[float | None, typer.Option(metavar="P", help="The share right you need.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Without the part that needs models.")] = False,
    text: TextColumns = None,
    label: LabelColumns = None,
    group: Group = None,
    time: Time = None,
    task: TaskOption = None,
    separator: Separator = None,
    seed: Annotated[int, typer.Option(help="Another seed draws other rows for the models.")] = 0,
    as_json: Json = False,
    quiet: Quiet = False,
    yes: Yes = False,
) -> None:
    """Look for what would fool a model: repeats, leaks, slips in answers, damage, private data."""
    from ..api import check as check_data
    from .checkup import check_summary

    with terminal(quiet) as listener:
        found = check_data(
            data,
            test=test, text=tuple(text or ()), label=tuple(label or ()), group=group, time=time, task=task,
            separator=separator, goal=goal, models=not quick, seed=seed, fix=fix, overwrite=yes,
            listener=listener,
        )  # fmt: skip
    if as_json:
        print_json(found.as_json())
    else:
        for line in check_summary(found):
            typer.echo(line)


@app.command(epilog="Example: plaintune label mail.csv --answers billing,delivery,other")
def label(
    texts: Annotated[str, typer.Argument(help="Texts without answers, in any form that train takes.")],
    answers: Annotated[str, typer.Option(metavar="A,B,C", help="What may be answered.")],
    text: TextColumns = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the answers go. [default: NAME-labels.csv]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed asks in another order.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Answer texts with one key each, the most useful first; goes on where you stopped."""
    from ..api import require_training

    require_training()
    from .asking import prepared

    file = out or Path(default_name(texts).removesuffix("-model") + "-labels.csv")
    choices = [answer.strip() for answer in answers.split(",") if answer.strip()]
    with terminal(quiet) as listener:
        session = prepared(texts, choices, file, text=tuple(text or ()), seed=seed, listener=listener)
    session.run()
    typer.echo(f"{session.kept.given:,} answers in {file}. Next: plaintune train {shlex.quote(str(file))}")
    typer.echo("Examples that you had before are best put into the same file.")


@app.command(epilog="Example: plaintune glossary convergence")
def glossary(
    term: Annotated[
        list[str] | None, typer.Argument(help="A word you met; without one, all of them.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say in two sentences what a term of art means."""
    from ..report.words import glossary as entries
    from ..report.words import look_up

    found = [look_up(" ".join(term))] if term else list(entries())
    if as_json:
        print_json({"entries": [asdict(entry) for entry in found]})
        return
    for entry in found:
        typer.echo(f"{entry.term}: {entry.meaning}")
        if term and entry.see:
            typer.echo(f"See also: {', '.join(entry.see)}")


@app.command(epilog="Example: plaintune get imdb --from aclImdb_v1.tar.gz")
def get(
    name: Annotated[str, typer.Argument(help="The data set: imdb.")],
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where it goes.")] = None,
    from_file: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="An archive you have already.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fetch a public data set, checked and unpacked."""
    from ..data.fetch import get_dataset

    with terminal(quiet) as listener:
        folder = get_dataset(name, out=out, from_file=from_file, listener=listener)
    if as_json:
        print_json({"folder": str(folder)})
    else:
        typer.echo(f"{name} is in {folder}. Next: plaintune train {shlex.quote(str(folder))}")
