"""A cleaned copy of a table, with lists of what was left out and what was changed. The table stays as it is.

Texts are mended, answers merged that differ in case, marks and spaces only, and rows left out that repeat an
earlier one (but for these) with the same answer. Nothing else: in Banking77 a changed word changes it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from ..core.errors import OutputExists, UserError
from ..core.events import Listener, progress, stage
from ..core.features import strict_hashes, text_hashes
from .beside import is_one_table, table_of
from .corrections import joined_classes
from .examples import TEXT_DTYPE, Examples
from .label_check import class_rows, respellings
from .repeats import first_ones
from .several import list_items, split_cell
from .symptoms import mended
from .table import Row, Table
from .write import LINES_SUFFIXES, line_writer, require_known_suffix, row_writer, written_aside

REMOVED, CHANGED = "removed.csv", "changed.csv"
REPORT_EVERY = 2000


@dataclass(frozen=True)
class Fixed:
    """What `write_fixed` did."""

    out: Path
    rows: int  # written
    removed: int
    changed: int  # cells

    @property
    def removed_file(self) -> Path:
        """The rows that were left out, each with its line and the reason."""
        return self.out.with_name(REMOVED)

    @property
    def changed_file(self) -> Path:
        """The cells that were changed: line, column, before, after, reason."""
        return self.out.with_name(CHANGED)

    def as_json(self) -> dict[str, Any]:
        """The part of `plaintune check --json` about the fix."""
        files = {"removed_file": str(self.removed_file), "changed_file": str(self.changed_file)}
        counts = {"rows": self.rows, "removed": self.removed, "changed": self.changed}
        return {"file": str(self.out), **counts, **files}


@dataclass(frozen=True)
class _Fixes:
    """What is to be done, by line of the source."""

    removed: dict[int, int]  # line → the earlier line that says the same
    merges: dict[str, str]  # spelling → spelling


def require_fixable(source: Any, out: Path, *, replace_existing: bool = False) -> None:
    """Raise UserError where ``source`` is no single table or ``out`` cannot be one, and OutputExists."""
    if not is_one_table(source):
        raise UserError(
            "--fix mends one table, and that is a folder, an archive or a list.",
            "Give one CSV, TSV, JSON lines, Parquet or Excel file.",
        )
    done = Fixed(out, 0, 0, 0)
    require_known_suffix(out, option="--fix")
    if out in (done.removed_file, done.changed_file):
        raise UserError(f"--fix {out} is the name of a list beside it.", "Choose another: --fix cleaned.csv")
    for file in (out, done.removed_file, done.changed_file):
        if file.exists() and not replace_existing:
            raise OutputExists(
                f"{file} exists already.", "Add --yes to replace it, or choose another place: --fix FILE"
            )
        if isinstance(source, str | Path) and file.exists() and file.samefile(source):
            raise UserError(f"--fix {out} would overwrite the data.", "Choose another place: --fix FILE")


def write_fixed(source: Any, examples: Examples, out: Path, *, listener: Listener) -> Fixed:
    """Write the cleaned copy of ``source`` to ``out``, and the two lists beside it.

    Rows that the reader set aside for want of a text or an answer are kept; those that it could not read
    are in the list of removed ones. `require_fixable` has been asked.
    """
    table = table_of(source, examples)
    assert table is not None
    done = Fixed(out, 0, 0, 0)
    stage(listener, "Mending texts", total=2 * len(examples))
    fixes = _choose_fixes(examples, listener)
    return _write(table, examples, fixes, done, listener)


def _choose_fixes(examples: Examples, listener: Listener) -> _Fixes:
    texts = np.empty(len(examples), dtype=TEXT_DTYPE)
    for at, text in enumerate(examples.texts):
        texts[at] = mended(text)
        if at % REPORT_EVERY == 0:
            progress(listener, at, 2 * len(examples))
    merges = respellings(examples.classes, class_rows(examples)) if examples.classes else {}
    left = examples
    for name, kept in merges.items():
        left = joined_classes(left, left.classes.index(name), left.classes.index(kept))
    first = _first_alike(strict_hashes(texts, text_hashes(texts)), left.labels)
    copies = np.flatnonzero(first != np.arange(len(first)))
    removed = {int(left.rows[at]): int(left.rows[first[at]]) for at in copies}
    return _Fixes(removed, merges)


def _first_alike(hashes: NDArray[np.uint64], labels: NDArray[Any]) -> NDArray[np.int64]:
    """(rows,) the position of the first row with the same text and the same answer."""
    _, answer = np.unique(labels, return_inverse=True, axis=0)
    _, text = np.unique(hashes, return_inverse=True)
    both = text * (int(answer.max(initial=0)) + 1) + answer.reshape(-1)
    return first_ones(both)


def _write(table: Table, examples: Examples, fixes: _Fixes, done: Fixed, listener: Listener) -> Fixed:
    understood = examples.understood
    texts = [table.columns.index(name) for name in understood.text_columns]
    labels = [table.columns.index(name) for name in understood.label_columns]
    used = set(map(int, examples.rows))
    rows = left_out = changes = 0
    with (
        written_aside(done.out) as cleaned,
        written_aside(done.removed_file) as removed,
        written_aside(done.changed_file) as changed,
    ):
        keep = _keeper(cleaned, done.out, table.columns)
        leave_out = row_writer(removed, done.removed_file, (table.counted_in, "reason", *table.columns))
        note = row_writer(
            changed, done.changed_file, (table.counted_in, "column", "before", "after", "reason")
        )
        for number, row in enumerate(table.rows()):
            reason = _reason(row, fixes, table.counted_in)
            if reason is not None:
                leave_out((row.line, reason, *row.values))
                left_out += 1
                continue
            values = list(row.values)
            if row.line in used:
                for change in _mend(values, texts, labels, fixes.merges, understood.separator):
                    column, before, why = change
                    note((row.line, table.columns[column], before, values[column], why))
                    changes += 1
            keep(row, values)
            rows += 1
            if number % REPORT_EVERY == 0:
                progress(listener, len(examples) + number, 2 * len(examples))
    return replace(done, rows=rows, removed=left_out, changed=changes)


def _keeper(file: TextIO, out: Path, columns: Sequence[str]) -> Callable[[Row, list[str]], None]:
    """Writes a row with its mended ``values``; as JSON, what was not mended stays what it was."""
    if out.suffix.lower() not in LINES_SUFFIXES:
        write = row_writer(file, out, columns)
        return lambda row, values: write(values)
    write_line = line_writer(file)

    def keep(row: Row, values: list[str]) -> None:
        record = dict(row.record or dict(zip(columns, values, strict=True)))
        for column, before, after in zip(columns, row.values, values, strict=True):
            if after != before:
                record[column] = json.loads(after) if isinstance(record.get(column), list) else after
        write_line(record)

    return keep


def _reason(row: Row, fixes: _Fixes, counted_in: str) -> str | None:
    """Why a row is left out, None where it stays."""
    if row.problem:
        return f"could not be read: {row.problem}"
    first = fixes.removed.get(row.line)
    return None if first is None else f"the same text and answer as in {counted_in} {first}"


def _mend(
    values: list[str], texts: list[int], labels: list[int], merges: dict[str, str], separator: str | None
) -> Iterable[tuple[int, str, str]]:
    """Change ``values`` in place; yields (column, what it was, why) of each change."""
    merge = partial(_merged_cell, merges=merges, separator=separator)
    mends = [(column, mended, "mended") for column in texts]
    mends += [(column, merge, "another spelling of this answer") for column in labels if merges]
    for column, mend, why in mends:
        before = values[column]
        values[column] = mend(before)
        if values[column] != before:
            yield column, before, why


def _merged_cell(cell: str, merges: dict[str, str], separator: str | None) -> str:
    """``cell`` as it was where nothing in it is to be merged."""
    items = list_items(cell.strip())
    parts = split_cell(cell, separator) if items is None else items
    if not any(part in merges for part in parts):
        return cell
    merged = list(dict.fromkeys(merges.get(part, part) for part in parts))
    return (separator or "").join(merged) if items is None else json.dumps(merged, ensure_ascii=False)
