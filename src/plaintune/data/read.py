"""Any usual source of labelled text → Examples: the first room of the house.

A table is read twice: once to see what its columns hold, once to keep those that are needed. So a
file of any size is never in memory beside its examples.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..core.errors import MissingExtra, UserError
from ..core.events import Listener, silent, stage
from ..core.tasks import Task
from .answers import require_known_answers
from .collect import collect_examples, joined_text
from .columns import WantedColumns, check_label, choose_roles
from .describe import describe
from .examples import Examples
from .folders import Parts, open_folder, open_part
from .frames import frame_table, is_frame, list_table
from .names import normalised
from .profile import TableProfile, profile_table
from .table import Table
from .tables import is_url, local_path, open_table
from .targets import choose_target
from .unpack import is_archive, unpacked

__all__ = ["describe", "joined_text", "read_examples"]

MOST_PROBLEM_ROWS = 0.01  # of all rows; more of them and the file is not what it seems
KEY_IN_ADDRESS = re.compile(r"(?i)([?&][^=&#]*(?:sig|token|key|secret|passw|credential|auth)[^=&#]*=)[^&#]+")


class _BrokenRows(UserError):
    """More rows than a few cannot be read: the file has to be mended, whatever part of the data it is."""


@dataclass(frozen=True)
class _Request:
    """What the caller wants to be read, and how strictly."""

    columns: WantedColumns
    task: Task | None
    separator: str | None
    classes: tuple[str, ...] | None
    need_labels: bool
    strict_rows: bool
    keep_lone: bool
    listener: Listener


def read_examples(
    source: Any,
    labels: Iterable[Any] | None = None,
    *,
    text: Sequence[str] = (),
    label: str | Sequence[str] | None = None,
    group: str | None = None,
    time: str | None = None,
    task: Task | None = None,
    separator: str | None = None,
    listener: Listener = silent,
    classes: tuple[str, ...] | None = None,
    need_labels: bool = True,
    strict_rows: bool = True,
    keep_lone: bool = False,
) -> Examples:
    """The examples in ``source``, with what was understood of it.

    ``source`` is a path (file, folder or archive), a web address, a pandas or polars frame, a dict
    of columns, or a list of texts with ``labels`` beside it. Columns that are not named are chosen
    where that is clear; several ``label`` columns are one class each. ``task`` is recognised where
    it is None; ``separator`` parts several answers in one cell.

    With ``classes`` the answers are mapped onto these, others become -1 (of several: are passed
    over), and nothing is recognised: ``task`` and ``separator`` are those of the training data.
    Without ``need_labels`` an answer is read only where ``label`` names its column. With ``keep_lone``
    answers that have one example, too few to learn from, are kept.

    Raises UserError (AmbiguousColumns, MissingExtra) with what to type next.
    """
    names = WantedColumns((text,) if isinstance(text, str) else tuple(text), label, group, time)
    request = _Request(names, task, separator or None, classes, need_labels, strict_rows, keep_lone, listener)
    if is_frame(source):
        if labels is not None:
            raise UserError("A frame and a list of labels were both given.", "Give the labels as a column.")
        return _read_table(frame_table(source), request)
    if isinstance(source, os.PathLike):
        source = Path(source)
    if not isinstance(source, str | Path):
        lists = WantedColumns(("text",), None if labels is None else "label")
        if labels is None and need_labels:
            raise UserError(
                "A list of texts was given without their labels.", "Give two lists: texts, labels."
            )
        return _read_table(list_table(source, labels), replace(request, columns=lists))
    if labels is not None:
        raise UserError("A path and a list of labels were both given.", "Give the path alone, or two lists.")
    shown = KEY_IN_ADDRESS.sub(r"\1…", str(source)) if is_url(source) else str(source)
    stage(listener, f"Reading {shown}")
    examples = _read_path(local_path(source, listener=listener), request)
    return replace(examples, understood=replace(examples.understood, source=shown))


def _read_path(path: Path, request: _Request) -> Examples:
    if path.is_dir():
        return _read_parts(open_folder(path, expected=request.columns.named), request)
    if is_archive(path):
        with unpacked(path, listener=request.listener) as folder:
            parts = open_folder(folder, lasting=False, expected=request.columns.named)
            return _read_parts(parts, request)
    answers = None if request.need_labels else request.classes or ()
    return _read_table(open_table(path, expected=request.columns.named, answers=answers), request)


def _read_parts(parts: Parts, request: _Request) -> Examples:
    """The examples of a folder, with its own test part and its texts without an answer."""
    train = _read_table(parts.train, request)
    notes = [*train.understood.notes, *parts.notes]
    test = unlabeled = None
    if parts.test is not None:
        try:
            test = _test_part(parts.test, train, request)
        except (_BrokenRows, MissingExtra):
            raise
        except UserError as error:
            notes.append(_not_used(parts.test.name, error))
    if parts.unlabeled is not None:
        text = WantedColumns(("text",))
        without = replace(request, columns=text, task=None, separator=None, need_labels=False, classes=None)
        unlabeled = _read_table(parts.unlabeled, without).texts
    understood = replace(train.understood, notes=tuple(notes))
    return replace(train, understood=understood, official_test=test, unlabeled=unlabeled)


def _test_part(path: Path, train: Examples, request: _Request) -> Examples:
    """The examples in ``path``, read as ``train`` was; UserError where none of them can be scored."""
    understood, table = train.understood, open_part(path, train.understood.named)
    there = set(map(normalised, table.columns))
    missing = [name for name in understood.label_columns if normalised(name) not in there]
    if missing:
        raise UserError(
            f"{path.name} has no column `{missing[0]}` to test against.", "Add the answer to each text."
        )
    like_train = replace(
        request,
        columns=WantedColumns(understood.text_columns, understood.label_columns),
        task=train.task,
        separator=understood.separator,
        classes=request.classes or train.classes,
    )
    test = _read_table(table, like_train)
    if understood.label_columns:
        require_known_answers(test)
    return test


def _not_used(name: str, error: UserError) -> str:
    """That the part called ``name`` is passed over, and why."""
    why = error.problem
    return f"{name} is not used: {f'it {why[len(name) + 1 :]}' if why.startswith(f'{name} ') else why}"


def _read_table(table: Table, request: _Request) -> Examples:
    profile = profile_table(table, listener=request.listener)
    if profile.rows == 0:
        headed = table.has_header and table.delimiter
        what = "a header and no rows" if headed else f"no {table.counted_in}s"
        raise UserError(
            f"{table.source} holds {what}.", "Give a file with a text and its answer in each row."
        )
    if request.strict_rows:
        _check_problem_rows(table, profile)
    roles = choose_roles(profile, request.columns, source=table.source, need_label=request.need_labels)
    if request.classes is not None:
        roles = replace(roles, notes=())  # they advise on what to learn from
    learn = request.need_labels and request.classes is None
    columns = [profile.columns[i] for i in roles.labels]
    target = choose_target(
        columns, task=request.task, separator=request.separator, learn=learn, delimiter=table.delimiter
    )
    if learn and request.task is None and target.task is Task.SINGLE:
        check_label(columns[0])
    if request.classes is not None and len(columns) > 1:
        written = {normalised(name): name for name in request.classes}
        names = tuple(written.get(normalised(name), name) for name in target.columns)
        target = replace(target, columns=names)
    return collect_examples(
        table, profile, roles, target,
        classes=request.classes, need_labels=request.need_labels, keep_lone=request.keep_lone,
        listener=request.listener,
    )  # fmt: skip


def _check_problem_rows(table: Table, profile: TableProfile) -> None:
    if profile.problem_rows <= MOST_PROBLEM_ROWS * profile.rows:
        return
    first = ", ".join(f"{table.counted_in} {line} ({problem})" for line, problem in profile.first_problems)
    more = ", …" if profile.problem_rows > len(profile.first_problems) else ""
    remedy = "Put quotes around texts that hold the delimiter" if table.delimiter else "Mend these rows"
    what, fix = "rows", f"{remedy}, or export the file again from where it came."
    if table.counted_in == "file":
        what, fix = "files", "Remove these files, or save them as plain text (UTF-8)."
    count = f"{profile.problem_rows:,} of {profile.rows:,} {what}"
    raise _BrokenRows(f"{table.source}: {count} cannot be used: {first}{more}.", fix)
