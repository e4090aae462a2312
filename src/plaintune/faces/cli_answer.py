"""The commands predict and evaluate: a finished model at work on texts, on files, on labelled data."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import OutputExists, UserError, printable
from ..core.tasks import Task
from .app import Json, LabelColumns, Quiet, TextColumns, Yes, app, print_json, print_json_list, terminal

if TYPE_CHECKING:
    from ..model.predict import Model


class Engine(StrEnum):
    """What divides many files among workers."""

    RAY = "ray"


@app.command(epilog='Example: plaintune predict reviews-model "Loved it"')
def predict(
    model: Annotated[Path, typer.Argument(help="The folder that train wrote, or a .plaintune file.")],
    texts: Annotated[list[str] | None, typer.Argument(help="One or more texts.")] = None,
    file: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Answer every row of a table; - is stdin, 'shards/*.csv' many."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where they go: .csv, .tsv, .jsonl or .parquet; of many files a folder. [default: stdout]",
        ),
    ] = None,
    text: TextColumns = None,
    unsure: Annotated[
        float | None, typer.Option(metavar="P", help="Say so where it is less sure than this, e.g. 0.8.")
    ] = None,
    engine: Annotated[
        Engine | None, typer.Option(help="Let the workers of a Ray cluster answer many files.")
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="The Ray cluster. [default: one on this machine, for this run]"
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    yes: Yes = False,
) -> None:
    """Answer texts, every row of a file, or of many files."""
    from ..core.events import note
    from ..model.predict import Model

    if bool(texts) == bool(file):
        raise UserError(
            "predict needs texts, or a file of them.",
            f'Type: plaintune predict {model} "Loved it", or: plaintune predict {model} --file new.csv',
        )
    if out is not None and not file:
        raise UserError(
            "--out goes with --file.", f"For example: plaintune predict {model} --file new.csv --out {out}"
        )
    if (address and not engine) or (engine and not file):
        raise UserError(
            "--address goes with --engine ray, and that with --file.", _many(model, "--engine ray")
        )
    if unsure is not None and not 0 < unsure <= 1:
        raise UserError(f"--unsure {unsure} is not a share.", "Give one between 0 and 1: --unsure 0.8")
    loaded = Model.load(model)
    if unsure is not None and loaded.task is Task.NUMBER:
        raise UserError(
            f"{model} answers with numbers, and says by an interval how sure it is.", "Leave --unsure out."
        )
    columns = tuple(text or ())
    if not file:
        _say_answers(loaded, texts or [], unsure, as_json)
        return
    from .batch import answer_file, answers_of  # the readers of tables take 60 ms to load
    from .shards import answer_shards, is_pattern, shards_of

    out = None if out == Path("-") else out
    with terminal(quiet) as listener:
        if engine or is_pattern(file):
            shards = shards_of(file, _folder_for_many(out, model))
            ray = (address or "local") if engine else None
            done = answer_shards(
                loaded, shards, text=columns, unsure=unsure, ray=ray, replace_existing=yes, listener=listener
            )
        elif out is None and as_json:
            answers = answers_of(loaded, file, text=columns, unsure=unsure, listener=listener)
            print_json_list("predictions", answers)
            return
        else:
            if out is not None and out.exists() and not yes:
                raise OutputExists(
                    f"{out} exists already.", "Add --yes to replace it, or choose another name: --out FILE"
                )
            done = answer_file(loaded, file, out, text=columns, unsure=unsure, listener=listener)
        if out is not None:
            note(listener, f"{done.rows:,} rows answered in {out}.")
    if out is not None and as_json:
        print_json({"out": str(out), **done._asdict()})


def _say_answers(model: Model, texts: list[str], unsure: float | None, as_json: bool) -> None:
    """Answer texts that were typed."""
    from .summary import answer_in_words, told

    predictions = [told(prediction, unsure) for prediction in model.predict(texts)]
    if as_json:
        print_json({"predictions": predictions})
    else:
        for prediction in predictions:
            typer.echo(printable(answer_in_words(prediction)))


def _folder_for_many(out: Path | None, model: Path) -> Path:
    """The folder that the answers to many files go to."""
    if out is None or out.is_file():
        problem = f"{out} is a file." if out else "Answers to many files need a folder."
        raise UserError(f"{problem}", f"Name one: {_many(model)}")
    return out


def _many(model: Path, *options: str) -> str:
    return " ".join(["plaintune predict", str(model), "--file 'shards/*.csv' --out answers", *options])


@app.command(epilog="Example: plaintune evaluate reviews-model held.csv")
def evaluate(
    model: Annotated[Path, typer.Argument(help="The folder that train wrote, or a .plaintune file.")],
    data: Annotated[str, typer.Argument(help="Labelled texts, in any form that train takes.")],
    text: TextColumns = None,
    label: LabelColumns = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score a model on labelled texts."""
    from ..core.events import note, warn
    from ..core.tasks import Task
    from ..data.describe import odd
    from ..model.evaluate import evaluate as evaluate_model
    from ..model.predict import Model
    from .batch import read_for_model
    from .summary import evaluate_summary

    loaded = Model.load(model)
    with terminal(quiet) as listener:
        examples = read_for_model(
            loaded, data, text=tuple(text or ()), label=tuple(label or ()), listener=listener
        )
        for sentence in odd(examples.understood):
            note(listener, sentence)
        unknown = int((examples.labels < 0).sum()) if loaded.task is Task.SINGLE else 0
        if unknown:
            warn(
                listener,
                f"{unknown:,} of {len(examples):,} examples count as wrong for their unknown answer.",
            )
        result = evaluate_model(loaded, examples, listener=listener)
    if as_json:
        aside = len(examples.understood.set_aside)
        told = {"unknown_rows": unknown, "set_aside_rows": aside}
        print_json({"model": str(model), **result.as_json(), **told})
    else:
        for line in evaluate_summary(result, str(model)):
            typer.echo(line)
