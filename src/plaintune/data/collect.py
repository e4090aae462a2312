"""The second reading of a table: the rows that can be learned from, as arrays.

What cannot be used is set aside with its line and the reason; nothing disappears silently.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ..core.errors import UserError
from ..core.events import Listener, progress
from ..core.tasks import Task
from .answers import Labelled, labels_of, learnable, set_aside_no_numbers
from .columns import Roles
from .examples import TEXT_DTYPE, Examples, SetAside, Understood
from .profile import REPORT_EVERY, TableProfile
from .table import Row, Table
from .targets import BESIDE, NO_ANSWER, Target
from .times import parse_times


def joined_text(parts: Sequence[str]) -> str:
    """The text of a row whose text stands in several columns (title, body): one below the other."""
    there = [what_is_there(part) for part in parts]
    return there[0] if len(there) == 1 else "\n".join(part for part in there if part.strip())


def what_is_there(cell: str) -> str:
    """``cell``, empty where it says that there is nothing."""
    return "" if cell.strip() in NO_ANSWER else cell


class _Collected:
    """The usable rows of a table, ``kept`` of them so far. Answers and groups are numbered as first met."""

    def __init__(self, rows: int, roles: Roles) -> None:
        self.kept = 0
        self.texts = np.empty(rows, dtype=TEXT_DTYPE)
        self.rows, self.codes = np.empty(rows, dtype=np.int64), np.empty(rows, dtype=np.int64)
        self.groups = np.empty(0 if roles.group is None else rows, dtype=np.int64)
        self.times = np.empty(0 if roles.time is None else rows, dtype=TEXT_DTYPE)
        self.answers: dict[str, int] = {}
        self.group_codes: dict[str, int] = {}
        self.set_aside: list[SetAside] = []


def collect_examples(
    table: Table,
    profile: TableProfile,
    roles: Roles,
    target: Target,
    *,
    classes: tuple[str, ...] | None,
    need_labels: bool,
    keep_lone: bool,
    listener: Listener,
) -> Examples:
    """The examples in the columns ``roles`` of ``table``; their answers in ``classes`` where given."""
    need_answer = need_labels and target.task is not Task.MULTI  # an empty cell is none of them
    found = _collect(table, profile, roles, need_answer, listener)
    _check_something_kept(table, roles, found, need_labels)
    codes = found.codes[: found.kept]
    labelled = labels_of(target, found.answers, codes, wanted=classes)
    examples = _examples(table, profile, roles, target, found, labelled)
    if target.task is Task.NUMBER:
        examples = set_aside_no_numbers(examples, found.answers, codes)
    if classes is not None or not need_labels:
        return examples
    learned = learnable(examples)
    return examples if keep_lone else learned


def _collect(
    table: Table, profile: TableProfile, roles: Roles, need_answer: bool, listener: Listener
) -> _Collected:
    found = _Collected(profile.rows - profile.problem_rows, roles)
    for done, row in enumerate(table.rows(), start=1):
        reason = row.problem or _keep(row, roles, found, need_answer, table)
        if reason is not None:
            found.set_aside.append(SetAside(row.line, reason))
        if done % REPORT_EVERY == 0:
            progress(listener, done, profile.rows)
    return found


def _keep(row: Row, roles: Roles, found: _Collected, need_answer: bool, table: Table) -> str | None:
    """Add ``row`` to what is collected, or say why not."""

    def cell(column: int) -> str:
        return what_is_there(row.values[column])

    text = joined_text([row.values[i] for i in roles.text])
    if not text or text.isspace():
        return "empty text"
    answer = BESIDE.join([cell(i).strip() for i in roles.labels])
    if not answer and need_answer:
        return "no answer"
    if text == table.columns[roles.text[0]] and table.has_header and tuple(row.values) == table.columns:
        return "the header again"
    at = found.kept
    if roles.time is not None:
        moment = cell(roles.time).strip()
        if not moment:
            return f"no {table.columns[roles.time]}"
        found.times[at] = moment
    if roles.group is not None:
        name = cell(roles.group).strip() or f"\0{row.line}"  # a row without a group stands alone
        found.groups[at] = found.group_codes.setdefault(name, len(found.group_codes))
    found.codes[at] = found.answers.setdefault(answer, len(found.answers)) if answer else -1
    found.rows[at] = row.line
    found.texts[at] = text
    found.kept += 1
    return None


def _check_something_kept(table: Table, roles: Roles, found: _Collected, need_labels: bool) -> None:
    if found.kept and (found.answers or not need_labels):
        return
    reasons = Counter(aside.reason for aside in found.set_aside)
    text = " and ".join(f"`{table.columns[i]}`" for i in roles.text)
    if roles.labels and (found.kept or reasons.most_common(1)[0][0] == "no answer"):
        raise UserError(
            f"`{table.columns[roles.labels[0]]}` is empty in every row of {table.source} that has a text.",
            "Fill in the answers, or name another column: --label NAME",
        )
    raise UserError(
        f"All texts of {table.source} are empty (column {text}).",
        "Name the column with the texts: --text NAME",
    )


def _examples(
    table: Table, profile: TableProfile, roles: Roles, target: Target, found: _Collected, labelled: Labelled
) -> Examples:
    labels, classes, notes = labelled
    used = {*roles.text, *roles.labels, roles.group, roles.time}
    label_columns = tuple(table.columns[i] for i in roles.labels)
    kept = slice(found.kept)
    rows, times = found.rows[kept], None
    if roles.time is not None:
        times = parse_times(found.times[kept], rows, column=table.columns[roles.time])
    return Examples(
        texts=found.texts[kept],
        labels=labels,
        classes=classes,
        rows=rows,
        groups=None if roles.group is None else found.groups[kept],
        times=times,
        understood=Understood(
            source=table.source,
            format=table.format,
            text_columns=tuple(table.columns[i] for i in roles.text),
            label_column=label_columns[0] if label_columns else None,
            label_columns=label_columns,
            separator=target.separator,
            ignored_columns=tuple(name for i, name in enumerate(table.columns) if i not in used),
            encoding=table.encoding,
            delimiter=table.delimiter,
            has_header=table.has_header,
            notes=(*table.notes, *roles.notes, *notes, *target.notes),
            set_aside=tuple(found.set_aside),
            rows_in_file=profile.rows,
            odd_lines=table.odd_lines,
        ),
        task=target.task,
    )
