"""What kind of answer the label columns hold: one of several classes, any of several, or a number.

Recognised where it is clear, and then said with how to overrule it; what the user asks for is done.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ..core.errors import UserError
from ..core.tasks import Task
from .names import IDENTITY_WORDS, LABEL_NAMES, MEASURE_NAMES, words_of
from .profile import ColumnProfile
from .times import is_number

SEPARATORS = (";", "|", ",")  # of several answers in one cell, where nobody names another
LISTS = "[]"  # stands for a separator where each cell is a list of classes,
PLACES = "[01]"  # or of as many 0 and 1 as there are classes: a row of a matrix
BESIDE = "\x1f"  # between the cells of several label columns
NO_ANSWER = frozenset({"nan", "NaN", "<NA>"})  # how libraries write a missing value into a text file
YES = frozenset({"1", "1.0", "true", "yes"})
NO = frozenset({"0", "0.0", "false", "no", "", "nan", "<na>"})
MOSTLY = 0.9  # of the cells
MOST_RATINGS = 20  # different whole numbers that are taken for classes without a closer look
ROWS_PER_ANSWER = 20  # with many answers, fewer rows each than this are no answers
ROWS_PER_CODE = 5  # the same for 0, 1, 2… with hardly a gap, and for many classes that come together
FIRST = 1000  # of the sampled cells stand in rows that follow each other

WHOLE_NUMBER = re.compile(r"([-+]?\d+)(?:\.0+)?$")
THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?$")
DECIMAL_COMMA = re.compile(r"[-+]?\d+(?:,\d+)?$")
LIST_ITEM = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^\s,'"][^,"]*)""")


@dataclass(frozen=True)
class Target:
    """How the cells of the label columns are to be read."""

    task: Task = Task.SINGLE
    columns: tuple[str, ...] = ()
    separator: str | None = None
    decimal_comma: bool = False
    notes: tuple[str, ...] = ()

    def parts(self, answer: str) -> list[str]:
        """The classes that a row's ``answer`` names; of several columns, those that say yes."""
        if len(self.columns) > 1:
            cells = zip(self.columns, answer.split(BESIDE), strict=True)
            return [name for name, cell in cells if self._says_yes(name, cell)]
        items = _list_items(answer) if self.separator in (LISTS, PLACES) else None
        if items is None:
            return _split(answer, self.separator)
        if self.separator == LISTS:
            return items
        return [str(place) for place, item in enumerate(items) if item.lower() in YES]

    def _says_yes(self, name: str, cell: str) -> bool:
        if says_yes_or_no(cell):
            return cell.lower() in YES
        raise UserError(
            f"`{name}` holds '{cell[:40]}'; of several label columns each holds 0 or 1, true or false, "
            "yes or no.",
            f"Mend these cells, or name one column: --label {self.columns[0]}",
        )

    def number(self, answer: str) -> float:
        return number_in(answer, decimal_comma=self.decimal_comma)


def choose_target(
    columns: Sequence[ColumnProfile],
    *,
    task: Task | None,
    separator: str | None,
    learn: bool,
    delimiter: str | None,
) -> Target:
    """How ``columns``, the label columns of a table, are read; recognised where ``task`` is None.

    Without ``learn`` nothing is recognised: answers are single ones unless ``task`` says otherwise.
    Raises UserError where the columns do not hold what was asked for.
    """
    if len(columns) > 1:
        return _several_columns(columns, task, separator)
    if separator is not None and task not in (None, Task.MULTI):
        raise UserError(
            f"--separator parts several answers in one cell, but --task {task} has one in each.",
            "Leave one of the two out.",
        )
    if not columns:
        return Target()
    column = columns[0]
    if separator is not None or task is Task.MULTI:
        return _several_answers(column, separator, learn)
    if task is Task.NUMBER:
        return _asked_number(column, learn, delimiter)
    return _recognised(column, delimiter) if learn and task is None else Target(columns=(column.name,))


def _recognised(column: ColumnProfile, delimiter: str | None) -> Target:
    name = (column.name,)
    decimal_comma = delimiter == ";" and _holds_decimal_commas(column)
    separator = None if decimal_comma else found_separator(column)
    if separator in (LISTS, PLACES):
        return Target(Task.MULTI, name, separator)
    if separator is not None:
        note = (
            f"`{column.name}` holds several answers parted by '{separator}', so a text can have several. "
            f"If each is one answer: --task {Task.SINGLE}."
        )
        return Target(Task.MULTI, name, separator, notes=(note,))
    if _is_measure(column, decimal_comma):
        note = f"If each number in `{column.name}` is an answer of its own: --task {Task.SINGLE}."
        return Target(Task.NUMBER, name, decimal_comma=decimal_comma, notes=(note,))
    if _are_numbers(column, decimal_comma) and column.distinct > 2:
        return Target(columns=name, notes=(f"To predict the number itself: --task {Task.NUMBER}.",))
    return Target(columns=name)


# --- several answers ---


def _several_columns(columns: Sequence[ColumnProfile], task: Task | None, separator: str | None) -> Target:
    names = tuple(column.name for column in columns)
    if task not in (None, Task.MULTI) or separator is not None:
        option = f"--task {task}" if separator is None else "--separator"
        raise UserError(
            f"{option} needs one column of answers, but {len(names)} are named.", "Name one of them."
        )
    return Target(Task.MULTI, names)


def says_yes_or_no(cell: str) -> bool:
    return cell.lower() in YES or cell.lower() in NO


def usual_separator(column: ColumnProfile) -> str | None:
    """The separator that stands in at least half of the cells, if one does."""
    counts = {mark: sum(mark in value for value in column.sample) for mark in SEPARATORS}
    best = max(SEPARATORS, key=counts.__getitem__)
    return best if 0 < len(column.sample) <= 2 * counts[best] else None


def _several_answers(column: ColumnProfile, separator: str | None, learn: bool) -> Target:
    name = (column.name,)
    if separator not in (LISTS, PLACES) and (separator is None or column.is_nested):
        met = [mark for mark in SEPARATORS if _parts_any(column, mark)]
        separator = found_separator(column) or separator or (met[0] if len(met) == 1 else None)
    listed = separator in (LISTS, PLACES)
    if learn and column.filled and not listed and not (separator and _parts_any(column, separator)):
        problem = (
            f"No cell of `{column.name}` holds two answers parted by '{separator}'."
            if separator
            else f"I cannot tell what parts the answers in `{column.name}`."
        )
        raise UserError(
            problem, 'Say what does: --separator ";", or name a column for each: --label A --label B'
        )
    return Target(Task.MULTI, name, separator)


def _parts_any(column: ColumnProfile, separator: str) -> bool:
    return any(separator in value for value in column.counts or column.sample)


def found_separator(column: ColumnProfile) -> str | None:
    """What clearly parts several answers in the cells of ``column``, if anything does."""
    if column.is_nested:
        return _kind_of_lists(column.sample)
    if column.is_dates or column.is_links:
        return None
    several = {separator: _cells_with_several(column.sample, separator) for separator in SEPARATORS}
    best = max(SEPARATORS, key=several.__getitem__)
    return best if several[best] else None


def _cells_with_several(values: Sequence[str], separator: str) -> int:
    """How many of ``values`` hold several answers; 0 unless their parts come back, differently combined.

    A class name that merely holds the separator brings parts of its own. So there would be as many
    parts as values, and they would be met in no other value.
    """
    held = [value for value in values if separator in value]
    if sum(THOUSANDS.match(value) is not None for value in held) >= MOSTLY * len(held):
        return 0
    cells = Counter(values)
    parts = {value: frozenset(_split(value, separator)) for value in cells}
    met_in = Counter(part for found in parts.values() for part in found)
    several = sum(count for value, count in cells.items() if len(parts[value]) > 1)
    total = sum(count * len(parts[value]) for value, count in cells.items())
    clear = (
        several >= max(2, 0.03 * len(values))
        and 2 <= len(met_in) <= 0.75 * len(cells)
        and sum(count > 1 for count in met_in.values()) >= 0.6 * len(met_in)
        and total >= 3 * len(met_in)
        and len(set(map(len, parts.values())) - {0}) > 1  # always two: a first and a last name, say
    )
    return several if clear else 0


def _split(answer: str, separator: str | None) -> list[str]:
    parts = answer.split(separator) if separator else [answer]
    return [part for part in map(str.strip, parts) if part]


def _kind_of_lists(values: Sequence[str]) -> str | None:
    lists = [items for value in values if (items := _list_items(value)) is not None]
    if len(lists) < MOSTLY * len(values):
        return None
    of_places = {len(items) for items in lists} == {max(2, len(lists[0]))} and all(
        says_yes_or_no(item) for items in lists for item in items
    )
    return PLACES if of_places else LISTS


def _list_items(value: str) -> list[str] | None:
    """The items of a list as JSON, Python, numpy or Postgres write it; None where it is none."""
    if value[:1] + value[-1:] not in ("[]", "{}"):
        return None
    try:
        found: Any = json.loads(value)
    except (ValueError, RecursionError):
        body = value[1:-1]
        if LIST_ITEM.sub("", body).replace(",", "").strip():
            return None
        found = [re.sub(r"\\(.)", r"\1", "".join(item)) for item in LIST_ITEM.findall(body)]
    if found == {}:  # of Postgres
        return []
    if not isinstance(found, list) or any(isinstance(item, list | dict) for item in found):
        return None
    return [item for item in (str(item).strip() for item in found if item is not None) if item]


# --- a number ---


def number_in(value: str, *, decimal_comma: bool = False) -> float:
    """The finite number that ``value`` is, else nan. 1,234 has thousands unless commas are decimal."""
    if decimal_comma:
        value = value.replace(",", ".") if DECIMAL_COMMA.match(value) else value
    elif THOUSANDS.match(value):
        value = value.replace(",", "")
    number = float(value) if is_number(value) else math.nan
    return number if math.isfinite(number) else math.nan


def _asked_number(column: ColumnProfile, learn: bool, delimiter: str | None) -> Target:
    commas = [value for value in column.sample if "," in value]
    thousands = delimiter != ";" and all(map(THOUSANDS.match, commas))
    decimal_comma = _holds_decimal_commas(column) and not thousands
    if learn and column.sample and not _are_numbers(column, decimal_comma):
        numbers = Target(Task.NUMBER, decimal_comma=decimal_comma)
        odd = next(value for value in column.sample if math.isnan(numbers.number(value)))
        raise UserError(
            f"`{column.name}` holds '{odd[:40]}': it is not a column of numbers.",
            f"Name a column of numbers: --label NAME, or use --task {Task.SINGLE}",
        )
    return Target(Task.NUMBER, (column.name,), decimal_comma=decimal_comma)


def is_measure(column: ColumnProfile) -> bool:
    """Does ``column`` hold numbers to be predicted as such?"""
    return _is_measure(column, _holds_decimal_commas(column))


def _is_measure(column: ColumnProfile, decimal_comma: bool) -> bool:
    if not _are_numbers(column, decimal_comma):
        return False
    numbers = _numbers(column.sample, decimal_comma)
    if _is_counter(column, numbers):
        return False
    if not all(map(float.is_integer, numbers)):
        return column.distinct > 2
    too_rare = column.filled < ROWS_PER_ANSWER * column.distinct
    return column.distinct > MOST_RATINGS and too_rare and not _are_codes(column, numbers)


def _is_counter(column: ColumnProfile, numbers: Sequence[float]) -> bool:
    """Does it number the rows, or name things by whole numbers? Then it is nothing to predict."""
    steps = [after - before for before, after in pairwise(numbers[:FIRST])]
    each_its_own = column.distinct >= 0.95 * column.filled
    if each_its_own and len(steps) > 1 and max(steps) - min(steps) <= 1e-6 * abs(steps[0]):
        return True
    if not all(map(float.is_integer, numbers)):
        return False
    words = words_of(column.name)
    if words & IDENTITY_WORDS and not words & LABEL_NAMES:
        return True
    return each_its_own and bool(steps) and (min(steps) > 0 or max(steps) < 0)


def _are_codes(column: ColumnProfile, numbers: Collection[float]) -> bool:
    """0, 1, 2… (or from 1) with hardly a gap and coming back: the numbers of classes."""
    whole = set(numbers)
    dense = min(whole) in (0, 1) and max(whole) <= 1.1 * len(whole)
    named = not words_of(column.name) & MEASURE_NAMES
    return dense and named and column.filled >= ROWS_PER_CODE * column.distinct


def _numbers(values: Iterable[str], decimal_comma: bool) -> list[float]:
    numbers = (number_in(value, decimal_comma=decimal_comma) for value in values)
    return [number for number in numbers if not math.isnan(number)]


def _are_numbers(column: ColumnProfile, decimal_comma: bool) -> bool:
    return len(_numbers(column.sample, decimal_comma)) >= max(1.0, MOSTLY * len(column.sample))


def _holds_decimal_commas(column: ColumnProfile) -> bool:
    """Numbers like 3,5 throughout, and none like 3.5."""
    return (
        any("," in value for value in column.sample)
        and sum(DECIMAL_COMMA.match(value) is not None for value in column.sample)
        >= MOSTLY * len(column.sample)
        and not any("." in value and is_number(value) for value in column.sample)
    )
