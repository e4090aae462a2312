"""The different answers of a table, numbered as first met → labels and classes of the examples."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import UserError
from ..core.tasks import MOST_CLASSES, Task
from .describe import some
from .examples import Examples, SetAside
from .profile import MOST_ANSWERS
from .several import only_item
from .targets import ROWS_PER_CODE, WHOLE_NUMBER, Target

Codes = NDArray[np.int64]  # (rows,) which of the answers a row has; -1 for none
Labelled = tuple[NDArray[Any], tuple[str, ...], list[str]]  # labels, classes, notes
MOST_LABELS = 500_000_000  # rows times answers, where a row may have several: 4 GB


def labels_of(
    target: Target, answers: dict[str, int], codes: Codes, *, wanted: tuple[str, ...] | None
) -> Labelled:
    """Labels in the shape of ``target.task``, their classes (``wanted`` where given) and notes."""
    if target.task is Task.NUMBER:
        numbers = [target.number(answer) for answer in answers]
        return np.array([*numbers, np.nan], dtype=np.float64)[codes], (), []
    if target.task is Task.MULTI:
        return _several(target, answers, codes, wanted)
    return _one(target, answers, codes, wanted)


def learnable(examples: Examples) -> Examples:
    """``examples`` without what cannot be learned; UserError where too little is left."""
    if examples.task is Task.SINGLE:
        examples = _without_lone_answers(examples)
    else:
        _check_varied(examples)
    if len(examples.classes) > MOST_CLASSES:
        raise UserError(
            f"{_quoted(examples.understood.label_columns)} holds {len(examples.classes):,} answers, "
            f"and a model can give {MOST_CLASSES:,}.",
            "Keep the most frequent answers, or name another column: --label NAME",
        )
    return examples


def numbered_as(examples: Examples, classes: tuple[str, ...]) -> Examples:
    """``examples``, of one answer each, with it numbered as in ``classes``; -1 where it is not there."""
    if examples.task is not Task.SINGLE or examples.classes == classes:
        return examples
    places = {name: place for place, name in enumerate(classes)}
    new = np.array([*(places.get(name, -1) for name in examples.classes), -1])  # the last one is of -1
    return replace(examples, classes=classes, labels=new[examples.labels])


def require_known_answers(test: Examples) -> None:
    """Raise UserError where no answer in ``test`` is one of its classes, which are those of a model."""
    least = 1 if test.task is Task.MULTI else 0
    if test.task is not Task.NUMBER and not (test.labels >= least).any():
        raise UserError(
            f"No answer in {test.understood.source} is one of those in the training data, so there is "
            "nothing to score.",
            f"Use the same names in both: {', '.join(test.classes[:10])}",
        )


def set_aside(examples: Examples, positions: NDArray[np.int64], reasons: Sequence[str]) -> Examples:
    """``examples`` without those at ``positions``, which are told with their reasons."""
    understood = examples.understood
    rows = examples.rows[positions].tolist()
    aside = [SetAside(row, reason) for row, reason in zip(rows, reasons, strict=True)]
    together = tuple(sorted((*understood.set_aside, *aside), key=lambda a: a.row))
    kept = examples.take(np.delete(np.arange(len(examples)), positions))
    return replace(kept, understood=replace(understood, set_aside=together))


# --- one answer ---


def _one(target: Target, answers: dict[str, int], codes: Codes, wanted: tuple[str, ...] | None) -> Labelled:
    notes = []
    if wanted is None:
        classes, places = _sorted_classes([target.name(answer) for answer in answers])
        if classes and all(map(WHOLE_NUMBER.match, classes)):
            count = len(classes)
            notes.append(
                f"The answers are numbers ({some(classes)}); I treat them as {count} separate answers."
            )
    else:
        classes, places = wanted, _places_in(wanted, answers)
        rows = _rows_of(answers, codes)
        unknown = {name: int(rows[code]) for name, code in answers.items() if places[code] < 0}
        if unknown:
            count = sum(unknown.values())
            have = "rows have" if count > 1 else "row has"
            notes.append(f"{count:,} {have} an answer the model does not know: {_counted(unknown)}.")
    return np.append(places, -1)[codes], classes, notes


def _rows_of(answers: dict[str, int], codes: Codes) -> NDArray[np.int64]:
    """(answers,) in how many rows each stands."""
    return np.bincount(codes[codes >= 0], minlength=len(answers))


def _counted(names: dict[str, int]) -> str:
    return some([f"`{name}` ({count:,})" for name, count in names.items()])


def _sorted_classes(answers: Collection[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The classes in order, and for each answer as first met its class. "1.0" is "1" beside integers."""
    written = set(answers)
    whole = [WHOLE_NUMBER.match(answer) for answer in answers]
    integers = all(whole)
    names = [
        found[1] if found and (integers or found[1] in written) else answer
        for found, answer in zip(whole, answers, strict=True)
    ]
    classes = tuple(sorted(set(names), key=(lambda name: (int(name), name)) if integers else None))
    places = {name: place for place, name in enumerate(classes)}
    return classes, np.array([places[name] for name in names], dtype=np.int64)


def _places_in(classes: tuple[str, ...], answers: Iterable[str]) -> NDArray[np.int64]:
    """Where each answer stands among ``classes``; -1 for nowhere. "1" is "1.0", and "[x]" is "x"."""
    wholes = {found[1]: place for place, name in enumerate(classes) if (found := WHOLE_NUMBER.match(name))}
    places = wholes | {name: place for place, name in enumerate(classes)}

    def place(answer: str) -> int:
        item = only_item(answer) or answer
        whole = WHOLE_NUMBER.match(item)
        alike = (answer, item, whole[1] if whole else item)
        return next((places[name] for name in alike if name in places), -1)

    return np.array([place(answer) for answer in answers], dtype=np.int64)


def _without_lone_answers(examples: Examples) -> Examples:
    """``examples`` without answers that have one example only; UserError if fewer than two are left."""
    columns = examples.understood.label_columns
    counts = np.bincount(examples.labels, minlength=len(examples.classes))
    single, gone = np.flatnonzero(counts == 1), np.flatnonzero(counts == 0)  # gone: all of them corrected
    if len(examples.classes) - len(single) - len(gone) < 2:
        if len(examples.classes) == 1:
            only = examples.classes[0]
            raise UserError(
                f"All {len(examples):,} rows have the same answer in {_quoted(columns)}: {only}.",
                "Add examples of a second answer, or name another column: --label NAME",
            )
        raise _too_few_answers(columns, examples.classes, counts)
    if not len(single) + len(gone):
        return examples
    lone = np.flatnonzero(np.isin(examples.labels, single))
    named = [f"`{examples.classes[code]}`" for code in examples.labels[lone]]
    kept = set_aside(examples, lone, [f"the only example of {name}, too few to learn from" for name in named])
    return replace(
        kept,
        labels=(np.cumsum(counts > 1) - 1)[kept.labels],
        classes=tuple(name for name, count in zip(examples.classes, counts, strict=True) if count > 1),
    )


def _too_few_answers(columns: Sequence[str], names: Iterable[str], counts: NDArray[np.int64]) -> UserError:
    listed = some([f"{name} ({count})" for name, count in zip(names, counts, strict=True)])
    holds = f"{_quoted(columns)} {'holds' if len(columns) == 1 else 'hold'}"
    return UserError(
        f"Two answers with at least two examples each are needed; {holds} {listed}.",
        "Add examples, or name another column: --label NAME",
    )


def _quoted(columns: Sequence[str]) -> str:
    return some([f"`{name}`" for name in columns])


# --- any of several ---


def _several(
    target: Target, answers: dict[str, int], codes: Codes, wanted: tuple[str, ...] | None
) -> Labelled:
    by_column = len(target.columns) > 1
    parts = {name: code for code, name in enumerate(target.columns if by_column else ())}
    cells = [
        sorted({parts.setdefault(part, len(parts)) for part in target.parts(answer)}) for answer in answers
    ]
    met = np.zeros(len(parts), dtype=np.int64)  # in how many rows
    for cell, rows in zip(cells, _rows_of(answers, codes), strict=True):
        met[cell] += rows
    if wanted is None:
        _check_classes(target, parts, met, len(codes))
        known = {name: code for name, code in parts.items() if met[code] > 1}
        classes, places = (tuple(known), np.arange(len(known))) if by_column else _sorted_classes(known)
        notes = _left_out(name for name in parts if name not in known)
    else:
        known, classes, places = parts, wanted, _places_in(wanted, parts)
        unknown = {name: int(met[code]) for name, code in parts.items() if places[code] < 0 < met[code]}
        notes = [f"Passed over, as the model does not know them: {_counted(unknown)}."] if unknown else []
    place_of = np.full(len(parts), -1)
    place_of[list(known.values())] = places
    labels = _zeros_and_ones([place_of[cell] for cell in cells], codes, len(classes))
    return labels, classes, notes + _with_none(labels)


def _zeros_and_ones(places: list[NDArray[np.int64]], codes: Codes, classes: int) -> NDArray[np.int64]:
    """(rows, classes) 1 at the ``places`` of a row's answer; place -1 is a class that is not known."""
    applies = np.zeros((len(places) + 1, classes + 1), dtype=np.int8)  # code -1, no answer: the last row
    for code, ones in enumerate(places):
        applies[code, ones] = 1
    return applies[codes, :-1].astype(np.int64)


def _left_out(names: Iterable[str]) -> list[str]:
    lost = [f"`{name}`" for name in names]
    return [f"Left out, because fewer than two examples have it: {some(lost)}."] if lost else []


def _with_none(labels: NDArray[np.int64]) -> list[str]:
    rows, classes = int((~labels.any(axis=1)).sum()), labels.shape[1]
    have = "rows have" if rows > 1 else "row has"
    return [f"{rows:,} {have} none of the {classes:,} answers; kept, as examples of that."] if rows else []


def _check_classes(target: Target, parts: dict[str, int], met: NDArray[np.int64], rows: int) -> None:
    often = int((met > 1).sum())
    if often < 2:
        raise _too_few_answers(target.columns, parts, met)
    if often > MOST_ANSWERS and (rows < ROWS_PER_CODE * often or rows * often > MOST_LABELS):
        raise UserError(
            f"{_quoted(target.columns)} holds {often:,} different answers: too many for {rows:,} rows.",
            "Keep the most frequent answers, or name another column: --label NAME",
        )


# --- a number ---


def set_aside_no_numbers(examples: Examples, answers: dict[str, int], codes: Codes) -> Examples:
    """``examples`` without those whose answer is there but no finite number."""
    written = list(answers)
    odd = np.flatnonzero(np.isnan(examples.labels) & (codes >= 0))
    if len(odd) == len(examples):
        column = _quoted(examples.understood.label_columns)
        raise UserError(
            f"{column} holds no number; '{written[0][:40]}', for example.",
            "Name a column of numbers: --label NAME",
        )
    return set_aside(
        examples, odd, [f"'{written[code][:40]}' is no number to learn from" for code in codes[odd]]
    )


def _check_varied(examples: Examples) -> None:
    first, column = examples.labels[0], _quoted(examples.understood.label_columns)
    if (examples.labels != first).any():
        return
    kind, told = ("number", f": {first:g}") if examples.task is Task.NUMBER else ("answers", "")
    raise UserError(
        f"All {len(examples):,} rows have the same {kind} in {column}{told}.",
        f"Add examples with other {kind.removesuffix('s')}s, or name another column: --label NAME",
    )
