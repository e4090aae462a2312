"""What was understood of a source, in sentences for the user to nod at or correct."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.tasks import Task
from .examples import Examples, Understood

DELIMITER_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}


def describe(examples: Examples) -> list[str]:
    """The sentences, most important first: what is predicted from what, what was read, notes, set aside."""
    understood = examples.understood
    sentences = [_task(examples), _rows(examples)]
    if examples.official_test is not None:
        count = len(examples.official_test)
        sentences.append(f"It brings a test part of its own: {count:,} examples, kept for the final measure.")
        sentences += [
            f"Test part: {sentence}" for sentence in _odd_in_test(examples.official_test, understood)
        ]
    if examples.unlabeled is not None:
        sentences.append(f"It brings {len(examples.unlabeled):,} texts without an answer.")
    return [*sentences, *odd(understood)]


def odd(understood: Understood) -> list[str]:
    """What was done with the rows beyond what was asked for, and which were set aside."""
    return [*understood.notes, *([_set_aside(understood)] if understood.set_aside else [])]


def _odd_in_test(test: Examples, train: Understood) -> list[str]:
    """What is to be said of a test part that was not said of ``train``."""
    sentences = [sentence for sentence in test.understood.notes if sentence not in train.notes]
    return [*sentences, _set_aside(test.understood)] if test.understood.set_aside else sentences


def some(names: Sequence[str], most: int = 10) -> str:
    """ "a, b, c", or the first ``most`` of them "…and 67 more"."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" …and {more:,} more" if more > 0 else "")


def _task(examples: Examples) -> str:
    understood = examples.understood
    texts = " and ".join(f"`{name}`" for name in understood.text_columns)
    if understood.label_column is None:
        task = f"The texts are in {texts}."
    else:
        task = f"I will predict {_target(examples)} from {texts}."
    if understood.ignored_columns:
        task += f" Ignoring {some([f'`{name}`' for name in understood.ignored_columns])}."
    return task


def _target(examples: Examples) -> str:
    column, count = f"`{examples.understood.label_column}`", len(examples.classes)
    if examples.task is Task.NUMBER:
        lowest, highest = _number(examples.labels.min()), _number(examples.labels.max())
        return f"the number {column} (from {lowest} to {highest})"
    if examples.task is Task.SINGLE:
        return f"{column} ({count} answers: {some(examples.classes)})"
    if len(examples.understood.label_columns) > 1:
        return f"which of {count} tags apply ({some([f'`{name}`' for name in examples.classes])})"
    return f"which of {count} tags in {column} apply ({some(examples.classes)})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.6g}"


def _rows(examples: Examples) -> str:
    understood = examples.understood
    how = [understood.format]
    if understood.encoding:
        how.append(understood.encoding)
    if understood.delimiter:
        how.append(f"columns parted by {DELIMITER_NAMES.get(understood.delimiter, understood.delimiter)}")
    if not understood.has_header:
        how.append("no header row")
    used = f"{len(examples):,} of {understood.rows_in_file:,} rows can be used"
    return f"Read {understood.source} ({', '.join(how)}): {used}."


def _set_aside(understood: Understood) -> str:
    places: dict[str, list[int]] = {}
    for aside in understood.set_aside:
        places.setdefault(aside.reason, []).append(aside.row)
    parts = [f"{reason} ({_numbered(understood.counted_in, rows)})" for reason, rows in places.items()]
    count = len(understood.set_aside)
    more = "; …" if parts[5:] else ""
    return f"Set aside {count:,} {'row' if count == 1 else 'rows'}: {'; '.join(parts[:5])}{more}."


def _numbered(counted_in: str, rows: list[int]) -> str:
    if len(rows) == 1:
        return f"{counted_in} {rows[0]}"
    count = f"{len(rows):,} rows, " if len(rows) > 5 else ""
    return f"{count}{counted_in}s {', '.join(map(str, rows[:5]))}{', …' if rows[5:] else ''}"
