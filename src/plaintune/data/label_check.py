"""What can be wrong with answers: spellings, small classes, an uneven mix, one text with two, far numbers."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from ..core.metrics import is_uneven, plain_number
from ..core.tasks import Task
from .corrections import can_merge
from .describe import some
from .examples import Examples
from .finding import MEND, Finding, Severity, found, share
from .names import word_set

FEWEST_TO_LEARN = 8
FEWEST_TO_MEASURE = 50  # with a fifth of them to score on, one class's share right is known to ± 30 points
UNEVEN_RATIO = 10.0
TYPO_LETTERS = 5  # a shorter word may be another word after one change
USUAL = (0.05, 0.95)  # between these quantiles numbers are what one expects
FAR = 20.0  # times as far from the middle as those
RULES = 2.0  # times the spread of the others: training and score would be about the far ones alone
TYPO_SHARE = 0.05  # of the rows of the class it would be merged with
# what spellings of one name differ by; signs and marks between digits are the point of "-1", "C++" or "1.5"
NOT_A_LETTER = re.compile(
    r"""(?<!\d)[\s_]+|[\s_]+(?!\d)|(?<=[^\W\d_])[-–.]+(?=[^\W\d_])|[.!,;:]+$|["'`“”‘’]+"""
)
CAPITAL_INSIDE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")  # a word begins there: "TypeII"
WORD = re.compile(r"[^\W_]+")
NUMBERING = re.compile(r"[ivxlcdm]+|\w*\d\w*|\w")  # "Type II", "grade 2b", "class a": the letter is the point
NO_ANSWERS = word_set("""
    na n/a n/d #n/a none null nil nan <na> missing blank empty undefined
    notavailable notapplicable notgiven notspecified noanswer
""")
NO_ANSWER_MARKS = re.compile(r"[-–—]+|\?+|\.+|_+")


def label_findings(examples: Examples, hashes: NDArray[np.uint64]) -> list[Finding]:
    """What the answers of ``examples`` show; ``hashes`` (rows,) are equal for the same text."""
    if examples.task is Task.NUMBER:
        return _far_numbers(examples)
    rows_of = class_rows(examples)
    checks = [
        _spelling(examples, rows_of), _no_answer(examples, rows_of), _too_small(examples, rows_of),
    ]  # fmt: skip
    if examples.task is Task.SINGLE:
        checks += [_uneven(examples, rows_of), _conflicts(examples, hashes)]
    return [finding for finding in checks if finding is not None]


def _far_numbers(examples: Examples) -> list[Finding]:
    """Numbers so far from the others that training would be about them alone: slips, mostly."""
    numbers = examples.labels.astype(np.float64)
    low, middle, high = np.quantile(numbers, (USUAL[0], 0.5, USUAL[1]))
    away = np.abs(numbers - middle)
    far = away > FAR * max(high - middle, middle - low)
    if high == low or not far.any() or numbers.std() < RULES * numbers[~far].std():
        return []
    positions = np.flatnonzero(far)[np.argsort(-away[far], kind="stable")]
    listed = some([plain_number(numbers[position], 12) for position in positions])
    return [
        found(
            "far_numbers", Severity.HIGH, positions, examples,
            what=f"{share(len(positions), len(examples))} with a number far from all others: {listed}; "
            f"nine of ten lie between {plain_number(low)} and {plain_number(high)}.",
            why="Beside such a number all others look the same: training and score are about it alone.",
            done="Kept. Where it is a slip or stands for a missing number, mend or remove the row.",
        )
    ]  # fmt: skip


def class_rows(examples: Examples) -> NDArray[np.int64]:
    """How many examples each class has. Shape (classes,)."""
    if examples.task is Task.MULTI:
        return np.asarray(examples.labels.sum(axis=0))
    return np.bincount(examples.labels[examples.labels >= 0], minlength=len(examples.classes))


def _rows_with(examples: Examples, codes: list[int]) -> NDArray[np.int64]:
    """Positions of the examples that have any of the classes ``codes``."""
    if examples.task is Task.MULTI:
        return np.flatnonzero(examples.labels[:, codes].any(axis=1))
    return np.flatnonzero(np.isin(examples.labels, codes))


def proposed_merges(classes: Sequence[str], rows_of: NDArray[np.int64]) -> dict[str, str]:
    """Spellings of the same answer, each with the one to keep: `respellings`, and those one letter off.

    A slip of one letter counts only in a rare spelling of a frequent answer: in "type_a" and "type_b" the
    letter is the point.
    """
    same = respellings(classes, rows_of)
    count = dict(zip(classes, map(int, rows_of), strict=True))
    letters = {name: _letters(name) for name in classes}
    slips: dict[str, str] = {}
    known: dict[tuple[str, int], list[str]] = {}  # by first letter and length, frequent first

    def alike(name: str, rows: float) -> Iterator[str]:
        """Of the known ones with at least so many ``rows``, those that a slip could make into ``name``."""
        first, length = letters[name][:1], len(letters[name])
        for near in (length - 1, length, length + 1):
            yield from takewhile(lambda other: count[other] >= rows, known.get((first, near), ()))

    for name in _frequent_first(classes, rows_of):
        if name in same:
            continue
        often = alike(name, count[name] / TYPO_SHARE if count[name] > 1 else 1)
        slipped = [other for other in often if _one_slip(letters[name], letters[other])]
        meant = [other for other in slipped if _same_numbering(name, other)]
        if meant:
            slips[name] = max(meant, key=count.__getitem__)
        else:
            known.setdefault((letters[name][:1], len(letters[name])), []).append(name)
    return {name: slips.get(kept, kept) for name, kept in same.items()} | slips


def respellings(classes: Sequence[str], rows_of: NDArray[np.int64]) -> dict[str, str]:
    """Names that are another but for case, spaces, marks or how an accent is stored, each with that one."""
    kept: dict[str, str] = {}
    merges = {}
    for name in _frequent_first(classes, rows_of):
        first = kept.setdefault(_letters(name) or name, name)
        if first != name:
            merges[name] = first
    return merges


def _frequent_first(classes: Sequence[str], rows_of: NDArray[np.int64]) -> Iterator[str]:
    return (classes[i] for i in np.argsort(-rows_of, kind="stable"))


def _letters(name: str) -> str:
    return NOT_A_LETTER.sub("", unicodedata.normalize("NFC", name.casefold()))


def _same_numbering(one: str, other: str) -> bool:
    """Whether no word in which two names differ is a number, Roman or not, or a letter."""
    words = (set(WORD.findall(CAPITAL_INSIDE.sub(" ", name).casefold())) for name in (one, other))
    return not any(map(NUMBERING.fullmatch, set.symmetric_difference(*words)))


def _one_slip(one: str, other: str) -> bool:
    """Whether a single letter was left out, added, changed, or swapped with its neighbour."""
    if min(len(one), len(other)) < TYPO_LETTERS or abs(len(one) - len(other)) > 1:
        return False
    at = next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    a, b = one[at:], other[at:]
    if at == 0 or not all(mark.isalpha() for mark in a[:1] + b[:1]):  # "typical", "atypical" are no slip
        return False
    changed = a[1:] == b[1:] and len(a) > 1  # not at the end: "type_a" and "type_b"
    swapped = len(a) > 1 and a[:2] == b[1::-1] and a[2:] == b[2:]
    return changed or swapped or a[1:] == b or a == b[1:]


def _spelling(examples: Examples, rows_of: NDArray[np.int64]) -> Finding | None:
    merges = proposed_merges(examples.classes, rows_of)
    if not merges:
        return None
    concerned = _rows_with(examples, [examples.classes.index(name) for name in merges])
    pairs = [f"`{name}` → `{kept}`" for name, kept in merges.items()]
    return found(
        "label_spelling", Severity.HIGH, concerned, examples,
        what=f"{len(merges)} answer{'s look' if len(merges) > 1 else ' looks'} like another spelling of one: "
        f"{some(pairs)}.",
        why="The model would learn two spellings as two answers, and be counted wrong for mixing them up.",
        done=_how_to_merge(merges),
        values={"merges": merges},
    )  # fmt: skip


def _how_to_merge(merges: dict[str, str]) -> str:
    """What to type: only what differs in no letter is merged without asking."""
    slips = {name: kept for name, kept in merges.items() if _letters(name) != _letters(kept)}
    if not slips:
        return f"To merge them: {MEND}."
    named = [f"{name}={kept}" for name, kept in slips.items() if can_merge(name, kept)]
    typed = [f"`--merge {shlex.quote(pair)}`" for pair in named]
    by_hand = f"train with {some(typed)}" if typed else "mend it in your file"
    rest = f"{MEND} merges what differs by case, spaces or marks only. " if len(slips) < len(merges) else ""
    return f"{rest}A letter can be the point, so no fix merges those. Where it is a slip, {by_hand}."


def _no_answer(examples: Examples, rows_of: NDArray[np.int64]) -> Finding | None:
    """Answers that are written where there is none; of two that are about as frequent, either is meant."""
    frequent = [int(i) for i in np.argsort(-rows_of, kind="stable") if rows_of[i]]
    codes = [code for code in frequent if _says_none(examples.classes[code], examples.classes)]
    if not codes or (len(frequent) == 2 and rows_of[frequent[0]] < 2 * rows_of[frequent[1]]):
        return None
    rows = {examples.classes[code]: int(rows_of[code]) for code in codes}
    positions = _rows_with(examples, codes)
    named = [f"`{name}`" + (f" ({count:,})" if len(rows) > 1 else "") for name, count in rows.items()]
    have = "rows have" if len(positions) > 1 else "row has"
    return found(
        "no_answer", Severity.LOW if codes[0] == frequent[0] else Severity.MEDIUM, positions, examples,
        what=f"{len(positions):,} {have} the answer {' or '.join(named)}, "
        "which may mean that none was given.",
        why="The model would learn it like any other answer, and give it to new texts.",
        done="Kept. If none was given, leave those rows out.",
        values={"answers": rows},
    )  # fmt: skip


def _says_none(name: str, classes: Sequence[str]) -> bool:
    is_marks = NO_ANSWER_MARKS.fullmatch(name) is not None and "+" not in classes
    return is_marks or _letters(name) in NO_ANSWERS


def _too_small(examples: Examples, rows_of: NDArray[np.int64]) -> Finding | None:
    order = np.argsort(rows_of, kind="stable")
    small = [int(i) for i in order if rows_of[i] < FEWEST_TO_MEASURE]
    if not small:
        return None
    tiny = [i for i in small if rows_of[i] < FEWEST_TO_LEARN]
    listed = some([f"`{examples.classes[i]}` ({int(rows_of[i])})" for i in small], 6)
    positions = _rows_with(examples, small)
    have = "has" if len(small) == 1 else "have"
    few = f", {len(tiny)} of them fewer than {FEWEST_TO_LEARN}" if tiny else ""
    return found(
        "small_class", Severity.MEDIUM if tiny else Severity.LOW, positions, examples,
        what=f"{len(small)} of {len(examples.classes)} answers {have} fewer than {FEWEST_TO_MEASURE} examples"
        f"{few}: {listed}.",
        why="So few examples teach little, and one cannot measure how well such an answer is recognised.",
        done="Collect more of these, or merge answers that need no telling apart.",
        values={"smallest": int(rows_of.min())},
    )  # fmt: skip


def _uneven(examples: Examples, rows_of: NDArray[np.int64]) -> Finding | None:
    if not is_uneven(rows_of, UNEVEN_RATIO):
        return None
    largest, smallest = int(rows_of.argmax()), int(np.where(rows_of > 0, rows_of, rows_of.max()).argmin())
    part = rows_of[largest] / len(examples)
    return found(
        "imbalance", Severity.LOW, [], examples, rows=int(rows_of[largest]),
        what=f"The answers are uneven: `{examples.classes[largest]}` has {rows_of[largest]:,} examples, "
        f"`{examples.classes[smallest]}` {rows_of[smallest]:,}.",
        why=f"Always answering `{examples.classes[largest]}` is right {part:.0%} of the time: look at "
        "macro-F1, which counts every answer alike.",
        done="Both are printed after training, beside what that guess would reach.",
        values={"largest": int(rows_of[largest]), "smallest": int(rows_of[smallest])},
    )  # fmt: skip


def _conflicts(examples: Examples, same_text: NDArray[np.uint64]) -> Finding | None:
    """Texts that are the same after normalising, under different answers."""
    order = np.lexsort((examples.labels, same_text))
    text, label = same_text[order], examples.labels[order]
    differs = (text[1:] == text[:-1]) & (label[1:] != label[:-1])
    torn = np.unique(text[1:][differs])
    if not len(torn):
        return None
    positions = np.flatnonzero(np.isin(same_text, torn))
    together = positions[np.argsort(same_text[positions], kind="stable")]
    return found(
        "conflict", Severity.HIGH if len(positions) > 0.01 * len(examples) else Severity.MEDIUM,
        together, examples,
        what=f"{share(len(positions), len(examples))} stand under different answers: "
        f"{len(torn):,} text{'s' if len(torn) > 1 else ''} with two or more each.",
        why="No model can be right about both; and one of the answers may simply be wrong.",
        done="They are kept; decide on one answer for each in your file.",
        values={"texts": len(torn)},
    )  # fmt: skip
