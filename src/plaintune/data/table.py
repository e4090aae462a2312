"""A file of rows, opened: what every format is turned into."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, time
from typing import Any, NamedTuple

from ..core.features import whole_characters
from .mixed import OddLines


class Row(NamedTuple):
    """One row: ``values`` are as many as the table's columns, "" where one is missing."""

    line: int  # in a text file the line it begins in (first line = 1), else the row's number
    values: list[str]
    problem: str | None = None  # e.g. "3 fields instead of 2"
    record: dict[str, Any] | None = None  # the row as a typed format has it; of JSON also what is no object
    cut_short: bool = False  # the problem is that fields are missing at its end; those before are in place


@dataclass(frozen=True)
class Table:
    """A table whose rows are read from the start, one at a time, each time `rows` is called."""

    source: str  # the file's name
    format: str
    columns: tuple[str, ...]
    rows: Callable[[], Iterator[Row]] = field(repr=False)
    encoding: str | None = None
    delimiter: str | None = None
    has_header: bool = True
    counted_in: str = "row"  # what Row.line counts: "line", "row" or "file"
    notes: tuple[str, ...] = ()
    odd_lines: OddLines | None = None  # of a file in two encodings, those that are not UTF-8


def as_text(value: Any) -> str:
    """One value of a typed format as it would stand in a CSV file; "" for a missing one."""
    if isinstance(value, str):
        return whole_characters(value)
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return ""
    if hasattr(value, "tolist"):  # a number or an array of numpy
        value = value.tolist()
    if isinstance(value, float) and value != value:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, set | frozenset):
        value = sorted(map(str, value))
    if isinstance(value, list | dict | tuple):
        return whole_characters(json.dumps(value, ensure_ascii=False, default=str))
    return whole_characters(str(value))


def fitted(values: list[str], width: int, delimiter: str) -> tuple[list[str], str | None]:
    """``values`` in exactly ``width`` fields, and what was wrong if they were not as many.

    Empty fields beyond the last column (a trailing delimiter) are nothing wrong; others stay in the last one.
    """
    found = len(values)
    while found > width and not values[found - 1]:
        found -= 1
    if found == width:
        return values[:width], None
    problem = f"{found} field{'s' if found != 1 else ''} instead of {width}"
    if found > width:
        return [*values[: width - 1], delimiter.join(values[width - 1 : found])], problem
    return (values + [""] * width)[:width], problem
