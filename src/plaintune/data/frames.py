"""Tables that are in memory already: pandas, polars or Arrow frames, columns, lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ..core.errors import UserError
from .dialect import column_names
from .table import Row, Table, as_text


def is_frame(source: object) -> bool:
    """Is ``source`` a pandas, polars or Arrow frame (told by what it can do), or a dict of columns?"""
    return isinstance(source, Mapping) or hasattr(source, "columns") or hasattr(source, "column_names")


def frame_table(source: Any) -> Table:
    """The table in a frame or a dict of columns; rows are counted from 1."""
    names, column = _columns_of(source)
    columns, notes = column_names([str(name) for name in names], len(names))
    lengths = {name: len(column(position)) for position, name in enumerate(columns)}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"`{name}` {length}" for name, length in lengths.items())
        raise UserError(f"The columns differ in length: {listed}.", "Give one value per row in each column.")

    def read() -> Iterator[Row]:
        values = [map(as_text, column(position)) for position in range(len(columns))]
        for number, row in enumerate(zip(*values, strict=True), start=1):
            yield Row(number, list(row))

    return Table("the table", "Python", columns, read, notes=notes)


def _columns_of(source: Any) -> tuple[list[Any], Callable[[int], list[Any]]]:
    """The names of a frame's columns, and a function that gives the values at a position."""
    if isinstance(source, Mapping):
        for name, part in source.items():
            if isinstance(part, str) or not isinstance(part, Iterable):
                raise UserError(
                    f"`{name}` is not a column of values.", "Give a list of values for each column."
                )
        parts = [as_list(part) for part in source.values()]
        return list(source), parts.__getitem__
    if hasattr(source, "collect"):  # polars, lazy
        source = source.collect()
    if hasattr(source, "iloc"):  # pandas; its several kinds of "missing" become None
        return list(source.columns), lambda i: _without_missing(source.iloc[:, i])
    if hasattr(source, "to_series"):  # polars
        return list(source.columns), lambda i: list(source.to_series(i).to_list())
    if hasattr(source, "column_names"):  # Arrow, or a Hugging Face dataset
        names = list(source.column_names)
        return names, lambda i: as_list(source.column(i) if hasattr(source, "column") else source[names[i]])
    raise UserError(
        f"A {type(source).__name__} is not a table I can read.", "Give a pandas or polars frame, or a path."
    )


def _without_missing(series: Any) -> list[Any]:
    return [None if missing else value for value, missing in zip(series, series.isna(), strict=True)]


def as_list(values: Any) -> list[Any]:
    if hasattr(values, "isna"):
        return _without_missing(values)
    if hasattr(values, "to_pylist"):
        return list(values.to_pylist())
    return list(values)


def list_table(texts: Iterable[Any], labels: Iterable[Any] | None) -> Table:
    """The table of a list of texts and, side by side with it, their labels."""
    if not isinstance(texts, Iterable):
        raise UserError(
            f"I cannot read examples from a {type(texts).__name__}.", "Give a path or a list of texts."
        )
    given = as_list(texts)
    for position, text in enumerate(given):
        if not isinstance(text, str) and text is not None:
            raise UserError(
                f"Text {position + 1} of the list is of type {type(text).__name__}, not a string.",
                "Give a list of strings, e.g. [str(text) for text in texts].",
            )
    if labels is None:
        return frame_table({"text": given})
    answers = as_list(labels)
    if len(answers) != len(given):
        raise UserError(
            f"There are {len(given):,} texts but {len(answers):,} labels.", "Give one label per text."
        )
    return frame_table({"text": given, "label": answers})
