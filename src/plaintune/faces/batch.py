"""Tables in, tables out: every row of a file answered, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from ..core.errors import UserError, nearest
from ..core.events import Listener, progress, stage, warn
from ..core.tasks import Task
from ..data.examples import Examples
from ..data.names import unique_names
from ..data.read import joined_text, read_examples
from ..data.table import Row, Table
from ..data.tables import open_table
from ..data.write import row_writer, written_aside
from ..model.predict import Model, Prediction

BLOCK_ROWS = 1000
NO_ANSWER = {"answer": None, "confidence": None, "probabilities": None}
Answered = tuple[Row, dict[str, Any] | None]


def answer_file(
    model: Model,
    source: str,
    out: Path | None,
    *,
    text: tuple[str, ...] = (),
    unsure: float | None = None,
    to_stdout: bool = True,
    listener: Listener,
) -> Iterator[dict[str, Any] | None]:
    """Answer row after row of ``source``, as `predict --json` says it; None where there is no text.

    As they pass, rows are written with answer and confidence (beside a number, the ends of its interval) to
    ``out``; with None, to stdout or, unless ``to_stdout``, nowhere. With ``unsure`` a column says whether
    the confidence is below it. Rows without an answer keep their place.
    """
    table = open_table(source, listener=listener)
    answered = _answered(model, table, text_columns(table, model, text), unsure, listener)
    if out is None and not to_stdout:
        yield from (answer for _, answer in answered)
        return
    with written_aside(out) as file:
        for _, answer in _written(model, table, answered, unsure, out, file):
            yield answer


def read_for_model(
    model: Model, source: str, *, text: tuple[str, ...], label: tuple[str, ...], listener: Listener
) -> Examples:
    """Labelled examples by the columns the model was trained on, answers numbered as its classes."""
    manifest = model.manifest
    return read_examples(
        source,
        text=text or manifest.text_columns,
        label=label or manifest.label_columns,
        classes=model.classes,
        task=model.task,
        separator=manifest.separator,
        listener=listener,
    )


def text_columns(table: Table, model: Model, asked: tuple[str, ...]) -> list[int]:
    """Where the text stands: the columns asked for, those of training, or the only column there is."""
    wanted = asked or model.manifest.text_columns
    by_lower_case = {name.lower(): number for number, name in enumerate(table.columns)}
    if all(name.lower() in by_lower_case for name in wanted):
        return [
            table.columns.index(name) if name in table.columns else by_lower_case[name.lower()]
            for name in wanted
        ]
    if len(table.columns) == 1 and not asked:
        return [0]
    missing = next(name for name in wanted if name.lower() not in by_lower_case)
    raise UserError(
        f"{table.source} has no column '{missing}'. Its columns: {', '.join(table.columns[:20])}."
        + nearest(missing, table.columns),
        "Say which one holds the text: --text COL",
    )


def told(prediction: Prediction, unsure: float | None) -> dict[str, Any]:
    """A prediction as `predict --json` prints it."""
    plain = asdict(prediction)
    if unsure is not None:
        plain["unsure"] = prediction.confidence < unsure
    return plain


def _answered(
    model: Model, table: Table, columns: list[int], unsure: float | None, listener: Listener
) -> Iterator[Answered]:
    stage(listener, "Answering")
    rows, done, skipped = table.rows(), 0, 0
    while block := list(islice(rows, BLOCK_ROWS)):
        texts = ["" if row.problem else joined_text([row.values[c] for c in columns]) for row in block]
        asked = [number for number, text in enumerate(texts) if text.strip()]
        answers = dict(zip(asked, model.predict([texts[number] for number in asked]), strict=True))
        for number, row in enumerate(block):
            answer = answers.get(number)
            yield row, None if answer is None else told(answer, unsure)
        done += len(block)
        skipped += len(block) - len(asked)
        progress(listener, done, 0)
    if skipped:
        warn(listener, f"{skipped:,} rows hold no text or could not be read; they got no answer.")


def _written(
    model: Model,
    table: Table,
    answered: Iterator[Answered],
    unsure: float | None,
    out: Path | None,
    file: TextIO,
) -> Iterator[Answered]:
    """What comes in, each row written to ``file`` as it passes."""
    names = ["answer", "confidence", *(["unsure"] if unsure is not None else [])]
    if model.task is Task.NUMBER:
        names += ["low", "high"]
    added = unique_names([*table.columns, *names])[len(table.columns) :]
    separator = model.manifest.separator or ";"
    if separator[0] == "[":  # lists, in whatever brackets
        separator = ";"
    write = row_writer(file, out, [*table.columns, *added], separator=separator)
    for row, answer in answered:
        write([*row.values, *(_part(answer, name) for name in names)])
        yield row, answer


def _part(answer: dict[str, Any] | None, name: str) -> Any:
    """A column's share of an answer, None where there is no answer."""
    if answer is None:
        return None
    if name in ("low", "high"):
        return answer["interval"][name == "high"]
    return round(answer[name], 4) if name == "confidence" else answer[name]
