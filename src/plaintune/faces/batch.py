"""Tables in, tables out: every row of a file answered, in constant memory, killed and gone on with."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from ..core.errors import UserError
from ..core.events import Listener, note, progress, stage, warn
from ..core.features import whole_characters
from ..core.files import file_sha256
from ..core.tasks import Task
from ..data.answers import require_known_answers
from ..data.columns import find_column
from ..data.corrections import merged, merged_away
from ..data.encoding import file_kind
from ..data.examples import Examples
from ..data.names import unique_names
from ..data.read import joined_text, read_examples
from ..data.sheets import require_parquet, write_parquet
from ..data.table import Row, Table
from ..data.tables import local_path, open_table
from ..data.write import (
    LINES_SUFFIXES,
    PartFile,
    kept_beside,
    line_writer,
    make_room,
    plain_stdout,
    remove_kept,
    require_known_suffix,
    row_writer,
)
from ..model.predict import Model, Prediction
from .summary import told

BLOCK_ROWS, BLOCK_CHARACTERS = 2048, 1_000_000  # worked on at a time
REMEMBERED_CHARACTERS = 200  # of a text, at most, whose answer is kept for when it comes back
REMEMBERED_NUMBERS = 200_000  # kept in all: a probability for each answer to each text
PARQUET = ".parquet"
NO_ANSWER = {"answer": None, "confidence": None, "probabilities": None, "interval": None}
FORM_OF = {"JSON lines": ".jsonl", "TSV": ".tsv"}  # what goes to stdout looks like what came in
Block = list[tuple[Row, Prediction | None]]


class Answered(NamedTuple):
    """How many rows went out, and how many of them have no text to answer."""

    rows: int
    without_answer: int


@contextmanager
def opened(
    source: str, model: Model, text: tuple[str, ...], listener: Listener, *, out: Path | None = None
) -> Iterator[tuple[Path, Table, dict[str, Any]]]:
    """The file ``source`` ("-": stdin, kept on disk while it is read), its table, and what tells it apart.

    Raises UserError, MissingExtra where ``out`` cannot be written, before stdin is read.
    """
    expected = text or model.manifest.text_columns
    if source != "-":
        path = local_path(source, listener=listener)
        if out is not None:
            _require_place(out)
            remove_kept(out)
        table, told = _opened(path, model, expected, listener), path.stat()
        yield path, table, {"file": str(path.resolve()), "bytes": told.st_size, "changed": told.st_mtime_ns}
        return
    if sys.stdin is None:
        raise UserError("There is no stdin to read.", "Give a file: --file FILE")
    with _place_for_stdin(out) as path:
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
        told_apart = {"file": "-", "sha256": file_sha256(path)}
        yield path, _opened(path, model, expected, listener), told_apart


@contextmanager
def _place_for_stdin(out: Path | None) -> Iterator[Path]:
    """Beside ``out``, where there must be room for as much; a temporary folder may lie in memory."""
    if out is not None:
        _require_place(out)
        with kept_beside(out) as path:
            yield path
        return
    with tempfile.TemporaryDirectory(prefix="plaintune-") as folder:
        yield Path(folder) / "stdin"


def _require_place(out: Path) -> None:
    """Raise UserError where ``out`` cannot be written, MissingExtra where it needs more than is installed."""
    make_room(out)
    require_known_suffix(out, option="--out", others=[PARQUET])
    if out.suffix.lower() == PARQUET:
        require_parquet()


def _opened(path: Path, model: Model, expected: tuple[str, ...], listener: Listener) -> Table:
    """The table at ``path``; what was odd about it is told."""
    table = open_table(path, expected=expected, answers=model.classes, listener=listener)
    for odd in table.notes:
        note(listener, odd)
    return table


def answer_file(
    model: Model,
    source: str,
    out: Path | None,
    *,
    text: tuple[str, ...] = (),
    unsure: float | None = None,
    listener: Listener,
) -> Answered:
    """Write every row of ``source`` to ``out`` (None: stdout) with its answer and confidence.

    Beside a number stand the ends of its interval; with ``unsure`` a column says whether the confidence
    is below it. Rows without text keep their place. So does what stands in JSON and is no object, whole:
    as `unreadable` in JSON lines, else in the first column, as a line with too few fields stays in a CSV
    file. Killed, the same call goes on where it was.
    """
    with opened(source, model, text, listener, out=out) as (path, table, told):
        columns = text_columns(table, model, text)
        names = added_names(model, unsure)
        if out is None:
            form = Path("stdout" + FORM_OF.get(table.format, ".csv"))
            write = _writer(plain_stdout(), form, table, names, model, unsure, listener)
            return _answer_rest(model, table, columns, write, Answered(0, 0), listener)
        part = PartFile(out, {**told, "text": columns, "unsure": unsure, "model": model_mark(model)})
        try:
            before = Answered(part.done.get("rows", 0), part.done.get("without_answer", 0))
            write = _writer(part.text, out, table, names, model, unsure, listener, header=not before.rows)
            if before.rows:
                note(listener, f"{before.rows:,} rows were answered before; going on with the next.")
            keep = lambda done: part.keep(**done._asdict())  # noqa: E731
            done = _answer_rest(model, table, columns, write, before, listener, keep=keep)
            made = None
            if out.suffix.lower() == PARQUET:
                like = path if file_kind(path) == "parquet" else None
                added = added_columns(table.columns, names)
                kinds = {column: kind_of(model, name) for column, name in added.items()}
                made = write_parquet(part.path, out, table.columns, kinds, like=like)
            part.finish(made)
        finally:
            part.close()
    return done


def answers_of(
    model: Model, source: str, *, text: tuple[str, ...] = (), unsure: float | None = None, listener: Listener
) -> Iterator[dict[str, Any]]:
    """What `predict --json` says of each row."""
    no_answer = NO_ANSWER if unsure is None else {**NO_ANSWER, "unsure": None}
    with opened(source, model, text, listener) as (_, table, _):
        for block in _blocks(model, table.rows(), text_columns(table, model, text)):
            for _, prediction in block:
                yield no_answer if prediction is None else told(prediction, unsure)


def read_for_model(
    model: Model, source: str, *, text: tuple[str, ...], label: tuple[str, ...], listener: Listener
) -> Examples:
    """Labelled examples by the columns the model was trained on, answers numbered as its classes.

    What was merged for training is merged here. Raises UserError where the model knows none of the answers.
    """
    manifest = model.manifest
    merges = tuple((manifest.settings or {}).get("merge", ()))
    examples = read_examples(
        source,
        text=text or manifest.text_columns,
        label=label or manifest.label_columns,
        classes=(*model.classes, *merged_away(merges)),
        task=model.task,
        separator=manifest.separator,
        listener=listener,
    )
    examples = merged(examples, merges)
    require_known_answers(examples)
    return examples


def text_columns(table: Table, model: Model, asked: tuple[str, ...]) -> list[int]:
    """Where the text stands: the columns asked for, those of training, or the only column there is."""
    if len(table.columns) == 1 and not asked:
        return [0]
    wanted = asked or model.manifest.text_columns
    return [find_column(table.columns, name, source=table.source, option="text") for name in wanted]


def model_mark(model: Model) -> str:
    """A mark that only this model has: of its parts, and of the rules that make answers of them."""
    told = model.manifest
    rules = [told.task, told.classes, told.separator, told.max_length_tokens, told.windows, told.pad_id]
    parts = json.dumps([told.files, told.blend, rules], sort_keys=True)
    return hashlib.sha256(parts.encode()).hexdigest()


def added_names(model: Model, unsure: float | None) -> list[str]:
    """What a row gets beside its own columns."""
    interval = ["low", "high"] if model.task is Task.NUMBER else []
    return ["answer", "confidence", *(["unsure"] if unsure is not None else []), *interval]


def added_columns(own: Collection[str], names: Sequence[str]) -> dict[str, str]:
    """The columns that ``names`` go to: others where the table has such columns of its ``own``."""
    return dict(zip(unique_names([*own, *names])[len(own) :], names, strict=True))


def kind_of(model: Model, name: str) -> str:
    """What the column ``name`` of an answer holds, as `write_parquet` calls it."""
    if name != "answer":
        return "yes or no" if name == "unsure" else "number"
    return {Task.SINGLE: "text", Task.MULTI: "texts", Task.NUMBER: "number"}[model.task]


def _answer_rest(
    model: Model,
    table: Table,
    columns: list[int],
    write: Callable[[Row, Prediction | None], None],
    before: Answered,
    listener: Listener,
    *,
    keep: Callable[[Answered], None] = lambda done: None,
) -> Answered:
    """Answer and write what comes after the rows ``before``; `keep` is told after each block."""
    stage(listener, "Answering")
    done = before
    for block in _blocks(model, islice(table.rows(), before.rows, None), columns):
        for row, prediction in block:
            write(row, prediction)
        without = sum(prediction is None for _, prediction in block)
        done = Answered(done.rows + len(block), done.without_answer + without)
        keep(done)
        progress(listener, done.rows, 0)
    if done.without_answer:
        warn(listener, f"{done.without_answer:,} rows hold no text or could not be read; they got no answer.")
    return done


def _blocks(model: Model, rows: Iterator[Row], columns: list[int]) -> Iterator[Block]:
    """Rows with their predictions, None where there is no text; a text that comes back is worked out once.

    In a block any text, from block to block short ones: the latest, so that memory has a bound.
    """
    most = REMEMBERED_NUMBERS // max(10, len(model.classes))
    remembered: dict[str, Prediction] = {}
    while block := _block(rows):
        texts = [_text(row, columns) for row in block]
        known = {text: remembered.pop(text) for text in dict.fromkeys(texts) if text in remembered}
        asked = list(dict.fromkeys(text for text in texts if text.strip() and text not in known))
        answers = known | dict(zip(asked, model.predict(asked), strict=True))
        yield [(row, answers.get(text)) for row, text in zip(block, texts, strict=True)]
        remembered |= {text: answer for text, answer in answers.items() if len(text) <= REMEMBERED_CHARACTERS}
        for text in list(islice(remembered, max(0, len(remembered) - most))):
            del remembered[text]


def _block(rows: Iterator[Row]) -> list[Row]:
    """The next rows: so many, or so many characters of them."""
    block, characters = list[Row](), 0
    for row in islice(rows, BLOCK_ROWS):
        block.append(row)
        characters += sum(map(len, row.values))
        if characters > BLOCK_CHARACTERS:
            break
    return block


def _text(row: Row, columns: list[int]) -> str:
    """What is to be answered; "" where fields are not in their places."""
    return "" if row.problem and not row.cut_short else joined_text([row.values[c] for c in columns])


def _writer(
    file: TextIO,
    out: Path,
    table: Table,
    names: list[str],
    model: Model,
    unsure: float | None,
    listener: Listener,
    *,
    header: bool = True,
) -> Callable[[Row, Prediction | None], None]:
    """Writes a row and its answer in the form that ``out`` ends in; a row of JSON stays as it was.

    Where columns must be known from the first row on, a key of JSON that turns up late is told.
    """
    added = added_columns(table.columns, names)
    tell_late_keys = _late_keys(table, listener)
    lines, parquet = out.suffix.lower() in LINES_SUFFIXES, out.suffix.lower() == PARQUET
    if lines or parquet:
        write_line = line_writer(file)

        def write_record(row: Row, prediction: Prediction | None) -> None:
            if not lines:
                tell_late_keys(row)
            own = row.record if lines else None
            own = dict(zip(table.columns, row.values, strict=True)) if own is None else own
            new = added if added.keys().isdisjoint(own) else added_columns(own, names)  # a late key of JSON
            write_line(own | {column: _part(prediction, name, unsure) for column, name in new.items()})

        return write_record
    separator = model.manifest.joined_by
    write_row = row_writer(file, out, [*table.columns, *added], separator=separator, header=header)

    def write_cells(row: Row, prediction: Prediction | None) -> None:
        tell_late_keys(row)
        write_row([*row.values, *(_part(prediction, name, unsure) for name in names)])

    return write_cells


def _late_keys(table: Table, listener: Listener) -> Callable[[Row], None]:
    """Warns of the first row with a key that has no column."""
    known, warned = set(table.columns), False

    def tell(row: Row) -> None:
        nonlocal warned
        if warned or row.problem or row.record is None or row.record.keys() <= known:
            return
        if late := [name for name in map(whole_characters, row.record) if name not in known]:
            warned = True
            first = f"'{late[0]}' turns up first in {table.counted_in} {row.line:,}"
            warn(listener, f"{first}, too late for a column of its own: --out FILE.jsonl keeps it.")

    return tell


def _part(prediction: Prediction | None, name: str, unsure: float | None) -> Any:
    """A column's share of an answer, None where there is no answer."""
    if prediction is None:
        return None
    if name in ("low", "high"):
        return (prediction.interval or (None, None))[name == "high"]
    if name == "unsure":
        return unsure is not None and prediction.confidence < unsure
    return round(prediction.confidence, 4) if name == "confidence" else prediction.answer
