"""Parquet files and spreadsheets. Their libraries come with the `train` extra."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from ..core.errors import MissingExtra, UserError
from .delimited import HEADER_SAMPLE, fit_rows
from .dialect import column_names, has_header
from .table import Row, Table, as_text

BATCH_ROWS = 2048
AGAIN = "Download or save it again, or give the table as CSV."


def parquet_table(path: Path) -> Table:
    """The table in a Parquet file; rows are counted from 1."""
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise MissingExtra("Reading Parquet", extra="train") from error
    damage = (arrow.ArrowException, OSError)
    try:
        with parquet.ParquetFile(path) as file:
            names = list(file.schema_arrow.names)
            columns, notes = column_names(names, len(names))
    except damage as error:
        raise UserError(f"{path.name} is a damaged Parquet file.", AGAIN) from error

    def read() -> Iterator[Row]:
        number = 0
        try:
            with parquet.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=BATCH_ROWS):
                    for values in zip(*map(_texts, batch.columns), strict=True):
                        number += 1
                        yield Row(number, list(values))
        except damage as error:
            raise UserError(f"{path.name} is damaged after row {number}.", AGAIN) from error

    def _texts(column: Any) -> list[str]:
        if arrow.types.is_timestamp(column.type):  # Python's moments have no nanoseconds
            column = column.cast(arrow.string())
        return [as_text(value) for value in column.to_pylist()]

    return Table(path.name, "Parquet", columns, read, notes=notes)


def excel_table(path: Path) -> Table:
    """The table in the first sheet that is not empty; rows are counted as the sheet counts them."""
    try:
        import python_calamine as calamine
    except ImportError as error:
        raise MissingExtra("Reading Excel files", extra="train") from error
    try:
        with path.open("rb") as file, calamine.CalamineWorkbook.from_filelike(file) as book:
            sheets = [(name, book.get_sheet_by_name(name).to_python()) for name in book.sheet_names]
            starts = {name: book.get_sheet_by_name(name).start or (0, 0) for name in book.sheet_names}
    except (calamine.CalamineError, OSError, ValueError) as error:
        raise UserError(
            f"{path.name} is not a spreadsheet I can open (damaged, or with a password).", AGAIN
        ) from error
    filled = [(name, rows) for name, rows in sheets if rows]
    if not filled:
        raise UserError(f"{path.name} is empty.", "Give a sheet with a text and its answer in each row.")
    sheet, cells = filled[0]
    first_row = int(starts[sheet][0]) + 1

    def records() -> Iterator[tuple[int, list[str]]]:
        for number, row in enumerate(cells, start=first_row):
            values = [_cell(value) for value in row]
            if any(values):
                yield number, values

    sample = [values for _, values in islice(records(), HEADER_SAMPLE)]
    headed = has_header(sample[0], sample[1:])
    columns, notes = column_names(sample[0] if headed else None, len(sample[0]))
    if len(filled) > 1:
        others = ", ".join(f"`{name}`" for name, _ in filled[1:])
        notes += (f"Only the sheet `{sheet}` is read, not {others}.",)

    def read() -> Iterator[Row]:
        return fit_rows(islice(records(), int(headed), None), len(columns))

    return Table(path.name, "Excel", columns, read, has_header=headed, notes=notes)


def _cell(value: Any) -> str:
    """A sheet keeps every number as a fraction: 3.0 is shown, and meant, as 3."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else as_text(value)
