"""What kind of answer the label columns hold: one of several classes, any of several, or a number.

Recognised where it is clear, and then said with how to overrule it; what the user asks for is done.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from ..core.errors import UserError
from ..core.tasks import Task
from .names import CLASS_NAMES, CODE_NAMES, IDENTITY_WORDS, LABEL_NAMES, MEASURE_NAMES, words_of
from .profile import ColumnProfile
from .several import (
    LISTS,
    MOSTLY,
    PLACES,
    SEPARATORS,
    THOUSANDS,
    YES,
    cells_with_several,
    found_separator,
    holds_lists_of_one,
    list_items,
    only_item,
    says_yes_or_no,
    split_cell,
)
from .times import is_number

BESIDE = "\x1f"  # between the cells of several label columns
NO_ANSWER = frozenset({"nan", "NaN", "<NA>", "NULL", "null", r"\N", "#N/A"})  # a missing value in a file
MOST_RATINGS = 20  # different whole numbers that are taken for classes without a closer look
MOST_STEPS = 3  # the same for numbers with fractions: 0, 0.5 and 1
LARGEST = 1e150  # of numbers to learn from: their squares have to be numbers too
CLEAR_SHARE = 0.05  # of the numbers have a fraction; fewer are slips of the pen
ROWS_PER_ANSWER = 20  # with many answers, fewer rows each than this are no answers
ROWS_PER_CODE = 5  # the same for a few numbers with fractions, and for many classes that come together
ROWS_PER_NUMBER = 2  # whole numbers with fewer rows each hardly come back
FIRST = 1000  # of the sampled cells stand in rows that follow each other

WHOLE_NUMBER = re.compile(r"([-+]?\d+)(?:\.0+)?$")
DECIMAL_COMMA = re.compile(r"[-+]?\d+(?:,\d+)?$")
LEADING_ZERO = re.compile(r"[-+]?0\d")


@dataclass(frozen=True)
class Target:
    """How the cells of the label columns are to be read."""

    task: Task = Task.SINGLE
    columns: tuple[str, ...] = ()
    separator: str | None = None
    decimal_comma: bool = False
    listed: bool = False  # each cell is a list of the one answer
    notes: tuple[str, ...] = ()

    def name(self, answer: str) -> str:
        """The class that ``answer`` is, of a single one."""
        return (only_item(answer) if self.listed else None) or answer

    def parts(self, answer: str) -> list[str]:
        """The classes that a row's ``answer`` names; of several columns, those that say yes."""
        if len(self.columns) > 1:
            cells = zip(self.columns, answer.split(BESIDE), strict=True)
            return [name for name, cell in cells if self._says_yes(name, cell)]
        items = list_items(answer) if self.separator in (LISTS, PLACES) else None
        if items is None:
            return split_cell(answer, self.separator)
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
    if holds_lists_of_one(column):
        note = (
            f"Each list in `{column.name}` has one item: the answer. To allow several: --task {Task.MULTI}."
        )
        return Target(columns=name, listed=True, notes=(note,))
    decimal_comma = _are_commas_decimal(column, delimiter)
    separator = None if decimal_comma else found_separator(column)
    if separator is not None:
        listed = separator in (LISTS, PLACES)
        holds = "lists" if listed else f"several answers parted by '{separator}'"
        note = (
            f"`{column.name}` holds {holds}, so a text can have several answers. "
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


# --- a number ---


def number_in(value: str, *, decimal_comma: bool = False) -> float:
    """The number that ``value`` is, else nan, as for one whose square is too large.

    1,234 has thousands unless commas are decimal.
    """
    if decimal_comma:
        value = value.replace(",", ".") if DECIMAL_COMMA.match(value) else value
    elif THOUSANDS.match(value):
        value = value.replace(",", "")
    number = float(value) if is_number(value) else math.nan
    return number if abs(number) < LARGEST else math.nan


def _asked_number(column: ColumnProfile, learn: bool, delimiter: str | None) -> Target:
    decimal_comma = _may_commas_be_decimal(column, delimiter)
    answers = _answers(column)
    if learn and answers and not _are_numbers(column, decimal_comma):
        odd = next(v for v in answers if math.isnan(number_in(v, decimal_comma=decimal_comma)))
        raise UserError(
            f"`{column.name}` holds '{odd[:40]}': it is not a column of numbers.",
            f"Name a column of numbers: --label NAME, or use --task {Task.SINGLE}",
        )
    return Target(Task.NUMBER, (column.name,), decimal_comma=decimal_comma)


def is_measure(column: ColumnProfile) -> bool:
    """Does ``column`` hold numbers to be predicted as such?"""
    return _is_measure(column, _may_commas_be_decimal(column, None))


def _is_measure(column: ColumnProfile, decimal_comma: bool) -> bool:
    if not _are_numbers(column, decimal_comma):
        return False
    numbers = _numbers(column, decimal_comma)
    if _is_counter(column, numbers) or _are_codes(column):
        return False
    named = _is_named_measure(column)
    fractions = sum(not number.is_integer() for number in numbers)
    if fractions >= CLEAR_SHARE * len(numbers):
        return column.distinct > MOST_STEPS and (named or _hardly_come_back(column))
    rows_each = ROWS_PER_ANSWER if named else ROWS_PER_NUMBER
    rare = column.distinct > MOST_RATINGS and column.filled < rows_each * column.distinct
    return rare and (named or not words_of(column.name) & CLASS_NAMES)


def _is_named_measure(column: ColumnProfile) -> bool:
    return bool(words_of(column.name) & MEASURE_NAMES)


def _hardly_come_back(column: ColumnProfile) -> bool:
    """Of many values the usual one is looked at: of 0 to 5 in hundredths, the round ones are frequent."""
    if column.distinct <= MOST_RATINGS:
        return column.filled < ROWS_PER_CODE * column.distinct
    return column.counts is None or median(column.counts.values()) < ROWS_PER_ANSWER


def _is_counter(column: ColumnProfile, numbers: Sequence[float]) -> bool:
    """Does it number the rows, or name things by whole numbers? Then it is nothing to predict."""
    steps = [after - before for before, after in pairwise(numbers[:FIRST])]
    each_its_own = column.distinct >= 0.95 * column.filled
    if each_its_own and len(steps) > 1 and max(steps) - min(steps) <= 1e-6 * abs(steps[0]):
        return True
    if not all(map(float.is_integer, numbers)):
        return False
    words = words_of(column.name)
    if words & IDENTITY_WORDS and not words & (LABEL_NAMES | MEASURE_NAMES):
        return True
    return each_its_own and bool(steps) and (min(steps) > 0 or max(steps) < 0)


def _are_codes(column: ColumnProfile) -> bool:
    """Versions, ZIP codes, sections: by the name, by a leading zero, or as 3.10 beside 3.1."""
    values = set(column.sample)
    if words_of(column.name) & CODE_NAMES or any(map(LEADING_ZERO.match, values)):
        return True
    twins = any("." in value and value.endswith("0") and value[:-1] in values for value in values)
    return twins and not _is_named_measure(column)


def _numbers(column: ColumnProfile, decimal_comma: bool) -> list[float]:
    numbers = (number_in(value, decimal_comma=decimal_comma) for value in column.sample)
    return [number for number in numbers if not math.isnan(number)]


def _are_numbers(column: ColumnProfile, decimal_comma: bool) -> bool:
    return len(_numbers(column, decimal_comma)) >= max(1.0, MOSTLY * len(_answers(column)))


def _answers(column: ColumnProfile) -> list[str]:
    """The sampled cells that hold one."""
    return [value for value in column.sample if value not in NO_ANSWER]


def _may_commas_be_decimal(column: ColumnProfile, delimiter: str | None) -> bool:
    """Numbers like 3,5 throughout, none like 3.5; and not thousands where no semicolons part the fields."""
    commas = [value for value in column.sample if "," in value]
    numbers = sum(DECIMAL_COMMA.match(value) is not None for value in column.sample)
    points = any("." in value and is_number(value) for value in column.sample)
    thousands = delimiter != ";" and all(map(THOUSANDS.match, commas))
    return bool(commas) and numbers >= MOSTLY * len(_answers(column)) and not points and not thousands


def _are_commas_decimal(column: ColumnProfile, delimiter: str | None) -> bool:
    """Are its commas decimal? UserError where they part answers as well as decimals: 1; 1,5; 2,5."""
    three_parts = any(value.count(",") > 1 for value in column.sample)
    if three_parts or not _may_commas_be_decimal(column, delimiter):
        return False
    numbers = [value for value in column.sample if DECIMAL_COMMA.match(value)]
    in_each = all("," in value for value in numbers)  # 12,50 and 1,0: tags are not always two
    if not in_each and not _is_named_measure(column) and cells_with_several(column.sample, ","):
        met = next(value for value in numbers if "," in value)
        raise UserError(
            f"`{column.name}` holds '{met}': one number with a decimal comma, or two answers. I cannot tell.",
            f'Numbers: --task {Task.NUMBER}; several answers: --task {Task.MULTI} --separator ","; '
            f"one answer in each row: --task {Task.SINGLE}",
        )
    return True
