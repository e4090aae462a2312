"""Parquet files and spreadsheets. Their libraries come with the `train` extra."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib import import_module
from itertools import chain, islice
from pathlib import Path
from typing import Any

from ..core.errors import MissingExtra, UserError
from .delimited import HEADER_SAMPLE, fit_rows
from .dialect import column_names, has_header
from .table import Row, Table, as_text

READ = {"pre_buffer": False, "buffer_size": 1 << 20}  # else what was read stays in memory to the end
BATCH_ROWS, GROUP_ROWS = 2048, 65_536  # read at a time; written as one of Parquet's row groups
GROUP_BYTES = 64_000_000  # or so many bytes
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
    except damage as error:
        raise UserError(f"{path.name} is a damaged Parquet file.", AGAIN) from error

    def read() -> Iterator[Row]:
        number = 0
        try:
            with parquet.ParquetFile(path, **READ) as file:
                for batch in file.iter_batches(batch_size=BATCH_ROWS):
                    for values in zip(*map(_values, batch.columns), strict=True):
                        number += 1
                        record = dict(zip(columns, values, strict=True))
                        yield Row(number, list(map(as_text, values)), record=record)
        except damage as error:
            raise UserError(f"{path.name} is damaged after row {number}.", AGAIN) from error

    def _values(column: Any) -> list[Any]:
        if arrow.types.is_timestamp(column.type):  # Python's moments have no nanoseconds
            column = column.cast(arrow.string())
        values: list[Any] = column.to_pylist()
        return values

    return Table(path.name, "Parquet", columns, read, notes=notes)


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


def excel_table(path: Path, expected: Collection[str] = ()) -> Table:
    """The table in the first sheet that is not empty; rows are counted as the sheet counts them.

    A first row that holds one of the names ``expected`` is a header.
    """
    calamine = _library("python_calamine", "Reading Excel files")
    try:
        with path.open("rb") as file, calamine.CalamineWorkbook.from_filelike(file) as book:
            sheets = [(name, book.get_sheet_by_name(name)) for name in book.sheet_names]
            tables = [(name, sheet.to_python(), sheet.start or (0, 0)) for name, sheet in sheets]
    except (calamine.CalamineError, OSError, ValueError) as error:
        raise UserError(
            f"{path.name} is not a spreadsheet I can open (damaged, or with a password).", AGAIN
        ) from error
    filled = [table for table in tables if any(map(_cell, chain.from_iterable(table[1])))]
    if not filled:
        raise UserError(f"{path.name} is empty.", "Give a sheet with a text and its answer in each row.")
    sheet, cells, (rows_above, _) = filled[0]

    def records() -> Iterator[tuple[int, list[str]]]:
        for number, row in enumerate(cells, start=rows_above + 1):
            values = [_cell(value) for value in row]
            if any(values):
                yield number, values

    sample = [values for _, values in islice(records(), HEADER_SAMPLE)]
    headed = has_header(sample[0], sample[1:], expected)
    columns, notes = column_names(sample[0] if headed else None, len(sample[0]))
    if len(filled) > 1:
        others = ", ".join(f"`{name}`" for name, *_ in filled[1:])
        notes += (f"Only the sheet `{sheet}` is read, not {others}.",)

    def read() -> Iterator[Row]:
        return fit_rows(islice(records(), int(headed), None), len(columns), "\t")

    return Table(path.name, "Excel", columns, read, has_header=headed, notes=notes)


def _cell(value: Any) -> str:
    """A sheet keeps every number as a fraction: 3.0 is shown, and meant, as 3."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else as_text(value)
