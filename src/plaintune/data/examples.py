"""The table of examples that every later room works on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.tasks import Task
from .mixed import OddLines

LINES = ("CSV", "TSV", "JSON lines", "label-text lines", "text lines")  # formats with line numbers
JOINED_BY = ";"  # several answers in one cell, where we write it
TEXT_DTYPE = np.dtypes.StringDType()  # UTF-8 in one arena: a third of a list of str in memory


@dataclass(frozen=True, slots=True)  # there may be as many as rows
class SetAside:
    """A row that was read but will not be used: where it stands and why."""

    row: int  # line number in a text file (first line = 1), row number elsewhere
    reason: str


@dataclass(frozen=True)
class Understood:
    """What the reader made of a source, to be said back to the user before any work."""

    source: str
    format: str  # "CSV", "TSV", "JSON lines", "Parquet", "Excel", "folder", "label-text lines", "Python"
    text_columns: tuple[str, ...]
    label_column: str | None  # the first of ``label_columns``
    label_columns: tuple[str, ...] = ()
    separator: str | None = None  # of several answers in a cell; "[]" where it is a list, "[01]" of 0 and 1
    ignored_columns: tuple[str, ...] = ()
    encoding: str | None = None
    delimiter: str | None = None
    has_header: bool = True
    notes: tuple[str, ...] = ()  # whole sentences, e.g. "`film` looks like a group: …"
    set_aside: tuple[SetAside, ...] = ()
    rows_in_file: int = 0
    odd_lines: OddLines | None = None  # of a file in two encodings, those that are not UTF-8

    @property
    def named(self) -> tuple[str, ...]:
        """The columns of text and answers."""
        return (*self.text_columns, *self.label_columns)

    @property
    def counted_in(self) -> str:
        """What `Examples.rows` counts: "line", "row" or "file"."""
        return "line" if self.format in LINES else "file" if self.format == "folder" else "row"


@dataclass(frozen=True)
class Examples:
    """Labelled texts. Row i is ``texts[i]``, ``labels[i]``, ``groups[i]``, ``times[i]``."""

    texts: NDArray[Any]  # (rows,) of TEXT_DTYPE
    labels: NDArray[Any]  # as ``task`` says; -1 or nan where the source has no label
    classes: tuple[str, ...]  # sorted; numbers are sorted as numbers but stay strings
    rows: NDArray[np.int64]  # (rows,) line or row number in the source
    understood: Understood
    task: Task = Task.SINGLE
    groups: NDArray[np.int64] | None = None  # (rows,) a code per group
    times: NDArray[np.float64] | None = None  # (rows,) seconds, or the number as written
    corrected: NDArray[np.bool_] | None = None  # (rows,) whose answer the user has mended since it was read
    official_test: Examples | None = None  # of a source that brings its own test part
    unlabeled: NDArray[Any] | None = field(default=None, repr=False)  # texts of an `unsup` folder

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def corrected_rows(self) -> int:
        """How many answers the user has mended."""
        return 0 if self.corrected is None else int(self.corrected.sum())

    def say(self, label: Any) -> str:
        """``label``, as in ``labels``, in words: the class, the classes joined by `JOINED_BY`, the number."""
        if self.task is Task.NUMBER:
            return f"{label:.15g}"  # read again by `--corrections`
        if self.task is Task.SINGLE:
            return str(self.classes[label])
        return JOINED_BY.join(self.classes[number] for number in np.flatnonzero(label))

    def take(self, chosen: NDArray[np.int64]) -> Examples:
        """The examples at positions ``chosen``, in that order."""
        return replace(
            self,
            texts=self.texts[chosen],
            labels=self.labels[chosen],
            rows=self.rows[chosen],
            groups=None if self.groups is None else self.groups[chosen],
            times=None if self.times is None else self.times[chosen],
            corrected=None if self.corrected is None else self.corrected[chosen],
        )
