"""Parquet files and spreadsheets. Their libraries come with the `train` extra."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from itertools import chain, islice
from pathlib import Path
from typing import Any

from ..core.errors import MissingExtra, UserError
from .delimited import HEADER_SAMPLE, fit_rows
from .dialect import column_names, has_header, left_out, titles_above
from .names import LABEL_NAMES, TEXT_NAMES, normalised
from .table import Row, Table, as_text

READ = {"pre_buffer": False, "buffer_size": 1 << 20}  # else what was read stays in memory to the end
BATCH_ROWS, GROUP_ROWS = 2048, 65_536  # read at a time; written as one of Parquet's row groups
GROUP_BYTES = 64_000_000  # or so many bytes
LEGEND = 10  # times as many rows as a legend of its answers a table has, at least
AGAIN = "Download or save it again, or give the table as CSV."


def _library(name: str, wanted_for: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtra(wanted_for, extra="train") from error


def parquet_table(path: Path) -> Table:
    """The table in a Parquet file; rows are counted from 1."""
    arrow, parquet = _library("pyarrow", "Reading Parquet"), _library("pyarrow.parquet", "Reading Parquet")
    damage = (arrow.ArrowException, OSError)
    try:
        with parquet.ParquetFile(path, **READ) as file:
            names = list(file.schema_arrow.names)
            columns, notes = column_names(names, len(names))
            told = _class_names(file.schema_arrow.metadata or {})
            classes = [told.get(name, ()) for name in names]
    except damage as error:
        raise UserError(f"{path.name} is a damaged Parquet file.", AGAIN) from error

    def read() -> Iterator[Row]:
        number = 0
        try:
            with parquet.ParquetFile(path, **READ) as file:
                for batch in file.iter_batches(batch_size=BATCH_ROWS):
                    for values in zip(*map(_values, columns, batch.columns), strict=True):
                        number += 1
                        record = dict(zip(columns, values, strict=True))
                        named = map(_named, values, classes)
                        yield Row(number, list(map(as_text, named)), record=record)
        except damage as error:
            raise UserError(f"{path.name} is damaged after row {number}.", AGAIN) from error

    def _values(name: str, column: Any) -> list[Any]:
        try:
            return _python_values(column)
        except (arrow.ArrowException, ValueError, OverflowError) as error:
            raise UserError(
                f"{path.name}: `{name}` holds values of type {column.type} that cannot be read.",
                "Leave this column out of the file, or write it as text.",
            ) from error

    return Table(path.name, "Parquet", columns, read, notes=notes)


def _class_names(metadata: Mapping[bytes, bytes]) -> dict[str, Sequence[str]]:
    """The answers that the numbers of a column stand for, where Hugging Face's `datasets` wrote the file."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"].items()
        kinds = {name: kind for name, kind in features if isinstance(kind, dict)}
        return {name: kind["names"] for name, kind in kinds.items() if isinstance(kind.get("names"), list)}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _named(value: Any, names: Sequence[str]) -> Any:
    """The name that a number stands for; none below 0, where a row has no answer."""
    if not names or not isinstance(value, int) or value >= len(names):
        return value
    return names[value] if value >= 0 else None


def _python_values(column: Any) -> list[Any]:
    """The values of one of Arrow's columns; what is legal there but not in Python becomes text."""
    import pyarrow as arrow

    if arrow.types.is_timestamp(column.type):  # Python's moments have no nanoseconds
        column = column.cast(arrow.string())
    try:
        values: list[Any] = column.to_pylist()
    except UnicodeDecodeError:
        values = [
            value if value is None else as_text(value) for value in column.cast(arrow.binary()).to_pylist()
        ]
    except OverflowError:  # its years end with 9999
        values = column.cast(arrow.string()).to_pylist()
    return values


def require_parquet() -> None:
    """Raise MissingExtra where Parquet cannot be written."""
    _library("pyarrow", "Writing Parquet")


def write_parquet(
    lines: Path, out: Path, columns: Sequence[str], added: Mapping[str, str], *, like: Path | None
) -> Path:
    """The JSON ``lines`` as a Parquet file beside ``out``: ``columns`` of text, or as in the file ``like``.

    ``added`` are further columns and what they hold: "text", "texts", "number" or "yes or no".
    """
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    kinds = {"text": arrow.string(), "texts": arrow.list_(arrow.string())}
    kinds |= {"number": arrow.float64(), "yes or no": arrow.bool_()}
    fields = [arrow.field(name, kinds[kind]) for name, kind in added.items()]
    own = [arrow.field(name, arrow.string()) for name in columns]
    if like is not None:
        own = [field.with_name(name) for field, name in zip(parquet.read_schema(like), columns, strict=True)]
    schema = arrow.schema([*own, *fields])
    made = out.with_name(f".{out.name}.made")
    with lines.open(encoding="utf-8") as file, parquet.ParquetWriter(made, schema) as writer:
        group: list[Any] = []
        for batch in _own_batches(lines, schema, like):
            part = [json.loads(line) for line in islice(file, batch.num_rows)]
            answers = [arrow.array([row[field.name] for row in part], field.type) for field in fields]
            group.append(arrow.record_batch([*batch.columns[: len(own)], *answers], schema=schema))
            size = sum(batch.nbytes for batch in group)
            if sum(batch.num_rows for batch in group) >= GROUP_ROWS or size >= GROUP_BYTES:
                writer.write_table(arrow.Table.from_batches(group))
                group.clear()
        writer.write_table(arrow.Table.from_batches(group, schema))
    return made


def _own_batches(lines: Path, schema: Any, like: Path | None) -> Iterator[Any]:
    """The columns that rows came with, a few thousand rows at a time."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    if like is not None:
        with parquet.ParquetFile(like, **READ) as source:
            yield from source.iter_batches(batch_size=BATCH_ROWS)
        return
    with lines.open(encoding="utf-8") as file:
        while part := [json.loads(line) for line in islice(file, BATCH_ROWS)]:
            yield arrow.RecordBatch.from_pylist(part, schema)


@dataclass(frozen=True)
class _Sheet:
    name: str
    cells: list[list[Any]]
    rows_above: int

    expected: Collection[str] = ()

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """(number in the sheet, cells) of each row of its table that is not blank."""
        return islice(self._filled(), self.titles, None)

    @cached_property
    def titles(self) -> int:
        """How many rows stand above the table."""
        return titles_above([values for _, values in islice(self._filled(), HEADER_SAMPLE)], self.expected)

    def _filled(self) -> Iterator[tuple[int, list[str]]]:
        for number, row in enumerate(self.cells, start=self.rows_above + 1):
            values = [_cell(value) for value in row]
            if any(values):
                yield number, values

    @cached_property
    def sample(self) -> list[list[str]]:
        return [values for _, values in islice(self.records(), HEADER_SAMPLE)]

    @cached_property
    def names(self) -> frozenset[str]:
        """What its first row holds."""
        return frozenset(map(normalised, chain.from_iterable(self.sample[:1])))

    @property
    def usual(self) -> int:
        """Whether there are usual names of a text and of an answer among these: 0, 1 or 2."""
        return bool(self.names & TEXT_NAMES) + bool(self.names & LABEL_NAMES)

    @property
    def is_table(self) -> bool:
        """Does it look like one: two columns with something in them, or one that is known to be of texts?"""
        return sum(map(any, zip(*self.sample, strict=True))) >= 2 or bool(self.names & TEXT_NAMES)


def excel_table(path: Path, expected: Collection[str] = (), *, to_answer: bool = False) -> Table:
    """The table in the sheet that looks most like one; rows are counted as the sheet counts them.

    A first row that holds one of the names ``expected`` is a header. Where it is ``to_answer``, no answer is
    looked for.
    """
    calamine = _library("python_calamine", "Reading Excel files")
    try:
        with path.open("rb") as file, calamine.CalamineWorkbook.from_filelike(file) as book:
            opened = [(name, book.get_sheet_by_name(name)) for name in book.sheet_names]
            sheets = [
                _Sheet(name, sheet.to_python(), (sheet.start or (0, 0))[0], expected)
                for name, sheet in opened
            ]
    except (calamine.CalamineError, OSError, ValueError) as error:
        raise UserError(
            f"{path.name} is not a spreadsheet I can open (damaged, or with a password).", AGAIN
        ) from error
    filled = [sheet for sheet in sheets if sheet.sample]
    if not filled:
        raise UserError(f"{path.name} is empty.", "Give a sheet with a text and its answer in each row.")
    sheet = _likeliest(filled, expected, to_answer=to_answer)
    first, *rest = sheet.sample
    headed = has_header(first, rest, expected)
    columns, notes = column_names(first if headed else None, len(first))
    source = path.name
    if sheet.titles:
        notes += (left_out(sheet.titles, "row"),)
    if len(filled) > 1:
        source += f" (sheet `{sheet.name}`)"
        others = ", ".join(f"`{other.name}`" for other in filled if other is not sheet)
        notes += (f"Only the sheet `{sheet.name}` is read, not {others}.",)

    def read() -> Iterator[Row]:
        return fit_rows(islice(sheet.records(), int(headed), None), len(columns), "\t")

    return Table(source, "Excel", columns, read, has_header=headed, notes=notes)


def _likeliest(sheets: Sequence[_Sheet], expected: Collection[str], *, to_answer: bool) -> _Sheet:
    """The sheet with most of the names ``expected`` in its first row; of several the first that is a table.

    To learn from, those with usual names of a text and of an answer there go before it. A sheet that is
    shorter than the first, or a tenth of another such, does not: it may be a legend of the answers. So a
    sheet that was chosen with nothing expected is chosen again by its own names.
    """
    wanted = {normalised(name) for name in expected}
    tables = [sheet for sheet in sheets if sheet.is_table] or sheets
    most = max(len(sheet.names & wanted) for sheet in sheets)
    likely = [sheet for sheet in sheets if len(sheet.names & wanted) == most] if most else tables
    known = [sheet for sheet in likely if sheet.usual and len(sheet.cells) >= len(tables[0].cells)]
    if to_answer or not known:
        return likely[0]
    rows = max(len(sheet.cells) for sheet in known)
    return max((one for one in known if LEGEND * len(one.cells) > rows), key=lambda sheet: sheet.usual)


def _cell(value: Any) -> str:
    """A sheet keeps every number as a fraction: 3.0 is shown, and meant, as 3."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else as_text(value)
