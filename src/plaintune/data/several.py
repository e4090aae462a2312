"""Several answers in one cell: parted by a mark, or as a list."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from .profile import TAGS, ColumnProfile

SEPARATORS = (";", "|", ",")  # of several answers in one cell, where nobody names another
LISTS = "[]"  # stands for a separator where each cell is a list of classes,
PLACES = "[01]"  # or of as many 0 and 1 as there are classes: a row of a matrix
YES = frozenset({"1", "1.0", "true", "yes"})
NO = frozenset({"0", "0.0", "false", "no", "", "nan", "<na>"})
MOSTLY = 0.9  # of the cells

THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?$")
LIST_ITEM = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^\s,'"][^,"]*)""")


def says_yes_or_no(cell: str) -> bool:
    return cell.lower() in YES or cell.lower() in NO


def usual_separator(column: ColumnProfile) -> str | None:
    """The separator that stands in at least half of the cells, if one does."""
    counts = {mark: sum(mark in value for value in column.sample) for mark in SEPARATORS}
    best = max(SEPARATORS, key=counts.__getitem__)
    return best if 0 < len(column.sample) <= 2 * counts[best] else None


def found_separator(column: ColumnProfile) -> str | None:
    """What clearly parts several answers in the cells of ``column``, if anything does."""
    if column.is_nested:
        return _kind_of_lists(column.sample)
    if column.is_dates or column.is_links:
        return None
    several = {
        separator: cells_with_several(column.sample, separator)
        for separator in SEPARATORS
        if _stand_anywhere(column.sample, separator)
    }
    best = max(several, key=several.__getitem__, default=None)
    return best if best and several[best] else None


def _stand_anywhere(values: Sequence[str], separator: str) -> bool:
    """Do half of the parts that follow another also lead a cell, or fill one?

    Of tags they do, sorted or not; of a class name that goes on ("yes, but late") they do not.
    """
    cells = [tuple(dict.fromkeys(split_cell(value, separator))) for value in set(values)]
    leading = {parts[0] for parts in cells if parts}
    following = {part for parts in cells for part in parts[1:]}
    return 2 * len(following & leading) >= len(following) > 0


def cells_with_several(values: Sequence[str], separator: str) -> int:
    """How many of ``values`` hold several answers; 0 unless their parts come back, differently combined.

    A class name that merely holds the separator brings parts of its own. So there would be as many
    parts as values, and they would be met in no other value.
    """
    held = [value for value in values if separator in value]
    if sum(THOUSANDS.match(value) is not None for value in held) >= MOSTLY * len(held):
        return 0
    cells = Counter(values)
    parts = {value: frozenset(split_cell(value, separator)) for value in cells}
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


def split_cell(answer: str, separator: str | None) -> list[str]:
    parts = answer.split(separator) if separator else [answer]
    return [part for part in map(str.strip, parts) if part]


def _kind_of_lists(values: Sequence[str]) -> str | None:
    lists = [items for value in values if (items := list_items(value)) is not None]
    if len(lists) < MOSTLY * len(values):
        return None
    of_places = {len(items) for items in lists} == {max(2, len(lists[0]))} and all(
        says_yes_or_no(item) for items in lists for item in items
    )
    return PLACES if of_places else LISTS


def holds_lists_of_one(column: ColumnProfile) -> bool:
    """Is each cell a list of exactly one answer, such as ['cs.AI'] or {spam}?"""
    values = column.counts or column.sample
    there = (value for value in values if value.lower() not in NO)
    return column.is_nested and all(only_item(value) is not None for value in there)


def only_item(value: str) -> str | None:
    """The item of a list that has but one; None of anything else."""
    items = list_items(value)
    return items[0] if items is not None and len(items) == 1 else None


def list_items(value: str) -> list[str] | None:
    """The items of a list as JSON, Python, numpy, Postgres or Stack Overflow write it; else None."""
    if TAGS.fullmatch(value):
        return value[1:-1].split("><")
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
