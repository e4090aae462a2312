"""The second reading of a table: the rows that can be learned from, as arrays.

What cannot be used is set aside with its line and the reason; nothing disappears silently.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import UserError
from ..core.events import Listener, progress
from .columns import Roles
from .describe import some
from .examples import TEXT_DTYPE, Examples, SetAside, Understood
from .profile import REPORT_EVERY, TableProfile
from .table import Row, Table
from .times import parse_times

WHOLE_NUMBER = re.compile(r"([-+]?\d+)(?:\.0+)?$")
CODE_DTYPE = np.dtype(np.int64)
CHUNK = 1024
NO_ANSWER = frozenset({"nan", "NaN", "<NA>"})  # how libraries write a missing value into a text file


def joined_text(parts: Sequence[str]) -> str:
    """The text of a row whose text stands in several columns (title, body): one below the other."""
    return parts[0] if len(parts) == 1 else "\n".join(part for part in parts if part.strip())


class _Column:
    """Values appended one by one to an array whose rows are there from the start."""

    def __init__(self, rows: int, dtype: np.dtype[Any]) -> None:
        self.array: NDArray[Any] = np.empty(rows, dtype=dtype)
        self.waiting: list[Any] = []
        self.stored = 0

    def append(self, value: str | int) -> None:
        self.waiting.append(value)
        if len(self.waiting) == CHUNK:
            self._store()

    def _store(self) -> None:
        end = self.stored + len(self.waiting)
        self.array[self.stored : end] = self.waiting
        self.stored = end
        self.waiting.clear()

    def finished(self) -> NDArray[Any]:
        if self.waiting:
            self._store()
        return self.array[: self.stored]


class _Collected:
    """The usable rows of a table. ``answers`` and ``group_codes`` number the values as first met."""

    def __init__(self, rows: int, roles: Roles) -> None:
        self.texts = _Column(rows, TEXT_DTYPE)
        self.rows = _Column(rows, CODE_DTYPE)
        self.labels = _Column(rows, CODE_DTYPE)
        self.groups = _Column(rows if roles.group is not None else 0, CODE_DTYPE)
        self.times = _Column(rows if roles.time is not None else 0, TEXT_DTYPE)
        self.answers: dict[str, int] = {}
        self.group_codes: dict[str, int] = {}
        self.set_aside: list[SetAside] = []


def collect_examples(
    table: Table,
    profile: TableProfile,
    roles: Roles,
    *,
    classes: tuple[str, ...] | None,
    need_labels: bool,
    listener: Listener,
) -> Examples:
    """The examples in the columns ``roles`` of ``table``; their answers in ``classes`` where given."""
    found = _collect(table, profile, roles, need_labels, listener)
    _check_something_kept(table, roles, found)
    examples = _examples(table, profile, roles, found, classes)
    return _learnable(examples) if classes is None and need_labels else examples


def _collect(
    table: Table, profile: TableProfile, roles: Roles, need_labels: bool, listener: Listener
) -> _Collected:
    found = _Collected(profile.rows - profile.problem_rows, roles)
    for done, row in enumerate(table.rows(), start=1):
        reason = row.problem or _keep(row, roles, found, need_labels, table)
        if reason is not None:
            found.set_aside.append(SetAside(row.line, reason))
        if done % REPORT_EVERY == 0:
            progress(listener, done, profile.rows)
    return found


def _keep(row: Row, roles: Roles, found: _Collected, need_answer: bool, table: Table) -> str | None:
    """Add ``row`` to what is collected, or say why not."""
    values = row.values
    text = values[roles.text[0]] if len(roles.text) == 1 else joined_text([values[i] for i in roles.text])
    if not text or text.isspace():
        return "empty text"
    answer = "" if roles.label is None else values[roles.label].strip()
    if answer in NO_ANSWER:
        answer = ""
    if not answer and need_answer:
        return "no answer"
    if text == table.columns[roles.text[0]] and table.has_header and tuple(values) == table.columns:
        return "the header again"
    if roles.time is not None:
        moment = values[roles.time].strip()
        if not moment:
            return f"no {table.columns[roles.time]}"
        found.times.append(moment)
    if roles.group is not None:
        name = values[roles.group].strip()
        new = len(found.group_codes)
        # a row without a group stands alone
        found.groups.append(found.group_codes.setdefault(name or f"\0{row.line}", new))
    found.labels.append(found.answers.setdefault(answer, len(found.answers)) if answer else -1)
    found.rows.append(row.line)
    found.texts.append(text)
    return None


def _check_something_kept(table: Table, roles: Roles, collected: _Collected) -> None:
    if len(collected.rows.finished()):
        return
    reasons = Counter(aside.reason for aside in collected.set_aside)
    text = " and ".join(f"`{table.columns[i]}`" for i in roles.text)
    if reasons.most_common(1)[0][0] == "no answer" and roles.label is not None:
        raise UserError(
            f"`{table.columns[roles.label]}` is empty in every row of {table.source} that has a text.",
            "Fill in the answers, or name another column: --label NAME",
        )
    raise UserError(
        f"All texts of {table.source} are empty (column {text}).",
        "Name the column with the texts: --text NAME",
    )


def _examples(
    table: Table, profile: TableProfile, roles: Roles, found: _Collected, wanted: tuple[str, ...] | None
) -> Examples:
    notes = [*table.notes, *roles.notes]
    labels = found.labels.finished()
    if wanted is not None:
        classes, codes = wanted, _codes_in(wanted, found.answers)
        notes += _unknown_note(found.answers, codes, labels)
    else:
        classes, codes = _sorted_classes(found.answers)
        if classes and all(map(WHOLE_NUMBER.match, classes)):
            count = len(classes)
            notes.append(
                f"The answers are numbers ({some(classes)}); I treat them as {count} separate answers."
            )
    codes = np.append(codes, -1)  # what -1, no answer, points to
    used = {*roles.text, roles.label, roles.group, roles.time}
    examples = Examples(
        texts=found.texts.finished(),
        labels=codes[labels],
        classes=classes,
        rows=found.rows.finished(),
        groups=None if roles.group is None else found.groups.finished(),
        times=None,
        understood=Understood(
            source=table.source,
            format=table.format,
            text_columns=tuple(table.columns[i] for i in roles.text),
            label_column=None if roles.label is None else table.columns[roles.label],
            ignored_columns=tuple(name for i, name in enumerate(table.columns) if i not in used),
            encoding=table.encoding,
            delimiter=table.delimiter,
            has_header=table.has_header,
            notes=tuple(notes),
            set_aside=tuple(found.set_aside),
            rows_in_file=profile.rows,
        ),
    )
    if roles.time is not None:
        times = parse_times(found.times.finished(), examples.rows, column=table.columns[roles.time])
        examples = replace(examples, times=times)
    return examples


def _sorted_classes(answers: dict[str, int]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The classes in order, and for each answer as first met its class. "1.0" is "1" among integers."""
    whole = [WHOLE_NUMBER.match(answer) for answer in answers]
    names = [found[1] if found else answer for found, answer in zip(whole, answers, strict=True)]
    if all(whole):
        classes = tuple(sorted(set(names), key=lambda name: (int(name), name)))
    else:
        names = list(answers)
        classes = tuple(sorted(names))
    places = {name: place for place, name in enumerate(classes)}
    return classes, np.array([places[name] for name in names], dtype=np.int64)


def _codes_in(classes: tuple[str, ...], answers: dict[str, int]) -> NDArray[np.int64]:
    places = {name: place for place, name in enumerate(classes)}

    def place(answer: str) -> int:
        whole = WHOLE_NUMBER.match(answer)
        return places.get(answer, places.get(whole[1], -1) if whole else -1)

    return np.array([place(answer) for answer in answers], dtype=np.int64)


def _unknown_note(answers: dict[str, int], codes: NDArray[np.int64], labels: NDArray[np.int64]) -> list[str]:
    unknown = {name: int((labels == code).sum()) for name, code in answers.items() if codes[code] < 0}
    if not unknown:
        return []
    listed = some([f"`{name}` ({count:,})" for name, count in unknown.items()])
    rows = sum(unknown.values())
    return [f"{rows:,} {'rows have' if rows > 1 else 'row has'} an answer the model does not know: {listed}."]


def _learnable(examples: Examples) -> Examples:
    """``examples`` without answers that have one example only; UserError if fewer than two are left."""
    counts = np.bincount(examples.labels, minlength=len(examples.classes))
    single = np.flatnonzero(counts == 1)
    understood = examples.understood
    if len(examples.classes) - len(single) < 2:
        raise _too_few_answers(examples, counts)
    if not len(single):
        return examples
    names = [examples.classes[code] for code in single]
    lone = np.isin(examples.labels, single)
    aside = [
        SetAside(int(row), f"the only example of `{examples.classes[code]}`")
        for row, code in zip(examples.rows[lone], examples.labels[lone], strict=True)
    ]
    listed = some([f"`{name}`" for name in names])
    note = f"Set aside, because one example is too few to learn from: {listed}."
    kept = examples.take(np.flatnonzero(~lone))
    return replace(
        kept,
        labels=(np.cumsum(counts != 1) - 1)[kept.labels],
        classes=tuple(name for name, count in zip(examples.classes, counts, strict=True) if count != 1),
        understood=replace(
            understood,
            notes=(*understood.notes, note),
            set_aside=tuple(sorted((*understood.set_aside, *aside), key=lambda a: a.row)),
        ),
    )


def _too_few_answers(examples: Examples, counts: NDArray[np.int64]) -> UserError:
    column = f"`{examples.understood.label_column}`"
    if len(examples.classes) == 1:
        problem = f"All {len(examples):,} rows have the same answer in {column}: {examples.classes[0]}."
        return UserError(problem, "Add examples of a second answer, or name another column: --label NAME")
    listed = some([f"{name} ({count})" for name, count in zip(examples.classes, counts, strict=True)])
    problem = f"Two answers with at least two examples each are needed; {column} holds {listed}."
    return UserError(problem, "Add examples, or name another column: --label NAME")
