"""Tables out: a row at a time, written aside and renamed when all of it is there."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from ..core.errors import UserError

LINES_SUFFIXES = (".jsonl", ".ndjson")
TABLE_SUFFIXES = (".csv", ".tsv", ".txt")


@contextmanager
def written_aside(out: Path | None) -> Iterator[TextIO]:
    """stdout, or a file written aside and renamed when all of it is there."""
    if out is None:
        yield sys.stdout
        return
    aside = out.with_name(f".{out.name}.part")
    try:
        with aside.open("w", encoding="utf-8", newline="") as file:
            yield file
        aside.replace(out)
    finally:
        aside.unlink(missing_ok=True)


def row_writer(
    file: TextIO, out: Path | None, columns: Sequence[str], *, separator: str = ";", option: str = "--out"
) -> Callable[[Sequence[Any]], None]:
    """Writes rows of values in the form that ``out`` ends in; several answers in a cell by ``separator``."""
    suffix = ".csv" if out is None else out.suffix.lower()
    if suffix in LINES_SUFFIXES:

        def write_line(values: Sequence[Any]) -> None:
            file.write(json.dumps(dict(zip(columns, values, strict=True)), ensure_ascii=False) + "\n")

        return write_line
    if suffix not in TABLE_SUFFIXES:
        raise UserError(
            f"{option} {out}: {suffix or 'no ending'} is not known.", "End it in .csv, .tsv or .jsonl"
        )
    table = csv.writer(file, delimiter="\t" if suffix == ".tsv" else ",", lineterminator="\n")
    table.writerow(columns)

    def write_row(values: Sequence[Any]) -> None:
        table.writerow([_cell(value, separator) for value in values])

    return write_row


def _cell(value: Any, separator: str) -> str:
    """A value as a table holds it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return separator.join(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
