"""The columns beside text and answer: which give the answer away, which hold groups or times."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import UserError
from ..core.metrics import wilson_interval
from ..core.tasks import Task
from .columns import TIME_WORDS
from .examples import TEXT_DTYPE, Examples
from .finding import Finding, Severity, found, share
from .frames import frame_table, is_frame
from .names import IDENTITY_WORDS, normalised, words_of
from .table import Table
from .tables import local_path, open_table
from .targets import NO_ANSWER
from .times import parse_times
from .unpack import is_archive

BINS = 20  # of a column of numbers
GIVES_AWAY = 0.8  # of the gap between the majority guess and 100%
ROWS_PER_GROUP = 1.5  # on average, at least, for a column to hold groups
FEWEST_GROUPS, LARGEST_GROUP = 10, 0.3  # with fewer, or with one of most rows, one side would be all alike
STRADDLE = 0.01  # of the test rows

Beside = Mapping[str, NDArray[Any]]  # the values of each other column, (rows,) in the order of the examples


def columns_beside(source: Any, examples: Examples) -> Beside:
    """The columns of a table that are neither text nor answer; none where ``source`` is no single table."""
    table = table_of(source, examples)
    if table is None or table.format == "label-text lines":  # there the other column is the answer as well
        return {}
    used = examples.understood.named
    places = {name: place for place, name in enumerate(table.columns) if name not in used}
    columns: dict[str, NDArray[Any]] = {name: np.empty(len(examples), dtype=TEXT_DTYPE) for name in places}
    wanted, at = examples.rows, 0
    for row in table.rows() if places else ():
        if at < len(wanted) and row.line == wanted[at]:
            for name, place in places.items():
                columns[name][at] = row.values[place].strip()
            at += 1
    return columns


def table_of(source: Any, examples: Examples) -> Table | None:
    """The one table that ``source`` is, None for folders, archives and lists; read as ``examples`` were."""
    if is_frame(source):
        return frame_table(source)
    path = _file_of_rows(source)
    return None if path is None else open_table(path, expected=examples.understood.named)


def is_one_table(source: Any) -> bool:
    """Whether `table_of` would give one; nothing is read for it."""
    return is_frame(source) or _file_of_rows(source) is not None


def _file_of_rows(source: Any) -> Path | None:
    if not isinstance(source, str | os.PathLike):
        return None
    path = local_path(os.fspath(source))
    return None if path.is_dir() or is_archive(path) else path


def column_findings(examples: Examples, beside: Beside, *, group: str | None) -> list[Finding]:
    """Columns that give the answer away, and columns whose rows belong together (but for ``group``)."""
    told = []
    for name, values in beside.items():
        if examples.task is Task.SINGLE:
            told.append(_giving_away(examples, name, values))
        if normalised(name) != normalised(group or ""):
            told.append(_groups(examples, name, values))
    return [finding for finding in told if finding is not None]


def straddle_findings(
    examples: Examples,
    beside: Beside,
    test: Examples,
    test_beside: Beside,
    *,
    group: str | None,
    time: str | None,
) -> list[Finding]:
    """Groups that stand in both the data and the test, and test rows older than the newest training row."""
    told = []
    for name, values in beside.items():
        there = test_beside.get(name)
        if there is None:
            continue
        if normalised(name) == normalised(group or "") or len(_group_sizes(name, values)):
            told.append(_groups_on_both_sides(name, values, test, there))
        if normalised(name) == normalised(time or "") or words_of(name) & TIME_WORDS:
            told.append(_times_on_both_sides(name, values, examples, test, there))
    return [finding for finding in told if finding is not None]


def _giving_away(examples: Examples, name: str, values: NDArray[Any]) -> Finding | None:
    """A column from whose value alone the answer of a row follows, going by all the other rows."""
    right = _right_by_others(_codes(values), examples.labels)
    majority = np.bincount(examples.labels).max() / len(examples)
    low = wilson_interval(int(right.sum()), len(right))[0]
    if low - majority < GIVES_AWAY * (1 - majority):
        return None
    reached = float(right.mean())
    return found(
        "telling_column", Severity.MEDIUM, np.flatnonzero(right), examples,
        what=f"The column `{name}` gives the answer away: going by it and nothing else is right "
        f"{reached:.1%} of the time (always the same answer: {majority:.1%}).",
        why="It was probably filled in together with the answer; new texts will come without it.",
        done="It is not used. Do not name it with --text.",
        values={"column": name, "score": round(reached, 4)},
    )  # fmt: skip


def _right_by_others(codes: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(rows,) whether the most frequent label among the other rows of the same code is the row's own."""
    classes = int(labels.max()) + 1
    pairs, pair, count = np.unique(codes * classes + labels, return_inverse=True, return_counts=True)
    code = pairs // classes
    top = np.zeros(int(codes.max()) + 1, dtype=np.int64)
    np.maximum.at(top, code, count)
    best = count == top[code]
    alone = best & (np.bincount(code[best])[code] == 1)  # of two as frequent the row's own has one less
    return np.asarray((alone & (count > 1))[pair])


def _codes(values: NDArray[Any]) -> NDArray[np.int64]:
    """A number per value; columns of many numbers are cut into `BINS` ranges, and one for none."""
    different, codes = np.unique(values, return_inverse=True)
    if len(different) <= BINS:
        return codes
    missing = np.isin(different, ["", *NO_ANSWER])
    numbers = np.zeros(len(different))
    try:
        numbers[~missing] = different[~missing].astype(np.float64)
    except ValueError:
        return codes
    if not np.isfinite(numbers).all():
        return codes
    bounds = np.quantile(numbers[codes][~missing[codes]], np.linspace(0, 1, BINS + 1)[1:-1])
    return np.where(missing, BINS, np.searchsorted(bounds, numbers, side="right"))[codes]


def _group_sizes(name: str, values: NDArray[Any]) -> NDArray[np.int64]:
    """The rows of each film, customer or ticket that the column names, (groups,); of others none."""
    none = np.zeros(0, np.int64)
    if not words_of(name) & IDENTITY_WORDS:
        return none
    _, sizes = np.unique(values[values != ""], return_counts=True)
    several = len(sizes) >= FEWEST_GROUPS and ROWS_PER_GROUP * len(sizes) <= sizes.sum()
    return sizes if several and sizes.max() <= LARGEST_GROUP * sizes.sum() else none


def _groups(examples: Examples, name: str, values: NDArray[Any]) -> Finding | None:
    sizes = _group_sizes(name, values)
    if not len(sizes):
        return None
    return found(
        "group", Severity.MEDIUM, [], examples, rows=int(sizes.sum()),
        what=f"`{name}` names {len(sizes):,} groups, with {sizes.mean():.0f} rows each on average.",
        why="With rows of one group on both sides, the model may know the group, not the answer.",
        done=f"To keep each on one side: --group {shlex.quote(name)}",
        values={"column": name, "groups": len(sizes)},
    )  # fmt: skip


def _groups_on_both_sides(
    name: str, values: NDArray[Any], test: Examples, there: NDArray[Any]
) -> Finding | None:
    met = np.isin(there, np.unique(values)) & (there != "")
    if met.mean() <= STRADDLE:
        return None
    return found(
        "group_straddle", Severity.HIGH if met.mean() > 0.2 else Severity.MEDIUM, np.flatnonzero(met), test,
        what=f"{share(int(met.sum()), len(test))} of the test data are of a `{name}` that is also in the "
        "training data.",
        why="The score tells how well it does on these; on new ones it may do worse.",
        done=f"Make the test part of other values of `{name}`, if new texts will be of others.",
        values={"column": name},
    )  # fmt: skip


def _times_on_both_sides(
    name: str, values: NDArray[Any], examples: Examples, test: Examples, there: NDArray[Any]
) -> Finding | None:
    try:
        before = parse_times(values, examples.rows, column=name)
        after = parse_times(there, test.rows, column=name)
    except UserError:
        return None
    early = after < before.max()
    if early.mean() <= STRADDLE:
        return None
    return found(
        "time_straddle", Severity.MEDIUM, np.flatnonzero(early), test,
        what=f"{share(int(early.sum()), len(test))} of the test data are older than the newest training text "
        f"(`{name}`).",
        why="A model in use meets later texts only; among its own times it looks better than it will be.",
        done=f"Test on the latest: put all rows into one file and use --time {shlex.quote(name)}",
        values={"column": name},
    )  # fmt: skip
