"""Answers that the user has mended: applied while reading, so that the source itself stays as it is."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import UserError, nearest
from ..core.events import Listener, note, silent
from ..core.features import text_hash, text_hashes
from ..core.tasks import Task
from .answers import learnable
from .examples import JOINED_BY, Examples
from .targets import number_in

COLUMNS = ("line", "key", "was", "answer")  # as the report saves them; `line` or `key` may be missing


@dataclass(frozen=True)
class Correction:
    """The right answer for one row: at ``line`` of the source, or with the text whose hash is ``key``."""

    line: int | None
    key: int | None
    was: str
    answer: str

    def after(self, merges: Sequence[str], task: Task) -> Correction:
        """The same with the names that answers have after ``merges``, as `merged` takes them."""
        return replace(self, was=_after(self.was, merges, task), answer=_after(self.answer, merges, task))


def _after(answer: str, merges: Sequence[str], task: Task) -> str:
    names = answer.split(JOINED_BY) if task is Task.MULTI else [answer]
    for old, new in map(_parted, merges):
        names = [new if name.strip() == old else name for name in names]
    return JOINED_BY.join(dict.fromkeys(names))


def correction_key(text: str) -> str:
    """What tells that a line still holds the text that was corrected."""
    return f"{text_hash(text):016x}"


def corrections_csv(rows: Sequence[dict[str, Any]]) -> str:
    """A file for `train --corrections`; ``rows`` have the `COLUMNS`."""
    written = io.StringIO()
    writer = csv.DictWriter(written, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue()


def read_corrections(path: Path) -> list[Correction]:
    """The corrections in a CSV file with `COLUMNS`. Raises UserError."""
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(path, str(getattr(error, "strerror", None) or error)) from error
    columns = set(rows[0]) if rows else set()
    if rows and not ("answer" in columns and columns & {"line", "key"}):
        raise _unreadable(path, f"its columns are {', '.join(map(str, rows[0]))}")
    try:
        return [
            Correction(
                line=int(row["line"]) if row.get("line") else None,
                key=int(row["key"], 16) if row.get("key") else None,
                was=row.get("was") or "",
                answer=(row["answer"] or "").strip(),
            )
            for row in rows
        ]
    except ValueError as error:
        raise _unreadable(path, str(error)) from error


def corrected(examples: Examples, corrections: Sequence[Correction], path: Path) -> Examples:
    """The examples with the answers of ``corrections``; UserError where one fits no row."""
    labels = examples.labels.copy()
    mended = np.zeros(len(examples), dtype=bool) if examples.corrected is None else examples.corrected.copy()
    row_at = {int(line): at for at, line in enumerate(examples.rows)}
    rows_with: dict[int, list[int]] = {}
    for correction in corrections:
        places = _at_its_line(examples, correction, row_at)
        if not places and correction.key is not None:
            rows_with = rows_with or _by_key(examples)
            places = rows_with.get(correction.key, [])
        places = [at for at in places if _says(examples, at, correction, path)]
        if not places:
            raise _no_such_row(correction, path)
        for at in places:
            labels[at] = _as_label(examples, correction.answer, path)
            mended[at] |= correction.answer != correction.was
    return replace(examples, labels=labels, corrected=mended)


def put_right(
    examples: Examples,
    merges: Sequence[str],
    corrections: Sequence[str],
    *,
    lenient: bool,
    listener: Listener = silent,
) -> Examples:
    """The examples with their answers joined, then corrected by the files ``corrections``, as was asked for.

    Answers that stand once only now are set aside, unless ``lenient``.
    """
    examples = merged(examples, merges)
    for path in map(Path, corrections):
        found = [correction.after(merges, examples.task) for correction in read_corrections(path)]
        examples = corrected(examples, found, path)
        note(listener, f"{len(found):,} answers are corrected by {path}; the data stay as they are.")
    if lenient or not (merges or corrections):
        return examples
    left = learnable(examples)
    for sentence in left.understood.notes[len(examples.understood.notes) :]:
        note(listener, sentence)
    return left


def can_merge(*names: str) -> bool:
    """Whether a merge can name these answers: it parts two names at the first equals sign."""
    return not any("=" in name for name in names)


def merged(examples: Examples, merges: Sequence[str]) -> Examples:
    """The examples with some answers joined, as in ``"refund=return"``: what was refund is return."""
    for merge in merges:
        codes = [_code(examples, name, f"--merge {merge}") for name in _parted(merge)]
        examples = joined_classes(examples, *codes)
    return examples


def merged_away(merges: Sequence[str]) -> tuple[str, ...]:
    """The answers that are no more after `merged`."""
    return tuple(dict.fromkeys(_parted(merge)[0] for merge in merges))


def _parted(merge: str) -> tuple[str, str]:
    """The two answers that "refund=return" names."""
    old, found, new = (part.strip() for part in merge.partition("="))
    if not found or old == new:
        raise UserError(f"--merge {merge} names no two answers.", "For example: --merge refund=return")
    return old, new


def joined_classes(examples: Examples, old: int, new: int) -> Examples:
    """Class ``old`` goes into ``new``, and the classes after it move up."""
    classes = tuple(name for code, name in enumerate(examples.classes) if code != old)
    if examples.task is Task.MULTI:
        labels = examples.labels.copy()
        labels[:, new] |= labels[:, old]
        return replace(examples, labels=np.delete(labels, old, axis=1), classes=classes)
    labels = np.where(examples.labels == old, new, examples.labels)
    return replace(examples, labels=labels - (labels > old), classes=classes)


def _at_its_line(examples: Examples, correction: Correction, row_at: dict[int, int]) -> list[int]:
    at = None if correction.line is None else row_at.get(correction.line)
    if at is None or (correction.key is not None and text_hash(str(examples.texts[at])) != correction.key):
        return []
    return [at]


def _by_key(examples: Examples) -> dict[int, list[int]]:
    places: dict[int, list[int]] = {}
    for at, key in enumerate(text_hashes(examples.texts)):
        places.setdefault(int(key), []).append(at)
    return places


def _says(examples: Examples, at: int, correction: Correction, path: Path) -> bool:
    """Whether the row still has the answer that was to be corrected, or the right one already."""
    if not correction.was:
        return True
    for answer in (correction.was, correction.answer):
        with suppress(UserError):  # the data may know but one of the two
            label = _as_label(examples, answer, path)
            if np.allclose(examples.labels[at], label, rtol=1e-9, atol=0):  # numbers are cut
                return True
    return False


def _as_label(examples: Examples, answer: str, path: Path) -> Any:
    """``answer`` as ``examples.labels`` has it."""
    if examples.task is Task.NUMBER:
        number = number_in(answer)
        if math.isnan(number):
            raise UserError(f"{path} has '{answer}' where a number belongs.", "Mend that line.")
        return number
    if examples.task is Task.SINGLE:
        return _code(examples, answer, str(path))
    row = np.zeros(len(examples.classes), dtype=examples.labels.dtype)
    for name in filter(None, (part.strip() for part in answer.split(JOINED_BY))):
        row[_code(examples, name, str(path))] = 1
    return row


def _code(examples: Examples, name: str, where: str) -> int:
    if name not in examples.classes:
        raise UserError(
            f"{where}: there is no answer '{name}' in the data.{nearest(name, examples.classes)}",
            "Write it as it stands in the data.",
        )
    return examples.classes.index(name)


def _unreadable(path: Path, why: str) -> UserError:
    return UserError(
        f"{path} cannot be read as corrections ({why}).",
        f"Save it from the report, or write a CSV file with the columns {','.join(COLUMNS)}.",
    )


def _no_such_row(correction: Correction, path: Path) -> UserError:
    at = f"line {correction.line}" if correction.line is not None else "the text"
    was = f" with the answer '{correction.was}'" if correction.was else ""
    return UserError(
        f"{path} corrects {at}{was}, which is not in the data.",
        "Were the data changed since the report was made? Leave that correction out, or train again first.",
    )
