"""Moments as people write them → seconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import UserError

NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?$")
YEAR_FIRST = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)(.*)$")
YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4}|\d{2})(?!\d)(.*)$")
WORDY = re.compile(  # 5 March 2024 · Mar 5, 2024 10:30 · Tue Mar 05 10:30:00 +0000 2024
    r"(?:[A-Za-z]{3,9},? )?"
    r"(?:(\d{1,2})(?:st|nd|rd|th)?[ -]([A-Za-z]{3,9})|([A-Za-z]{3,9})\.? (\d{1,2})(?:st|nd|rd|th)?)"
    r"[.,]*[ -](\d\d:\d\d:\d\d (?:[A-Z]{3,4}|[+-]\d{4}) )?(\d{4})(?!\d)(.*)$"
)
CLOCK = re.compile(
    r"(?:[T ,]+(?:at )?(\d{1,2}):(\d{2})(?::(\d{2})([.,]\d+)?)?"
    r"\s*(?:([AaPp])\.?[Mm]\.?)?\s*(Z|[A-Z]{3,4}|[+-]\d{2}:?\d{2})?)?\s*$"
)
MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTHS = {name: number for number, name in enumerate(MONTH_NAMES, start=1)}
LONGEST = 48  # characters in any of these
Texts = NDArray[Any]  # (rows,) of TEXT_DTYPE


def is_number(value: str) -> bool:
    return NUMBER.match(value) is not None


def is_date(value: str) -> bool:
    """Is ``value`` written as a date (not as a plain number)?"""
    return len(value) <= LONGEST and any(
        (found := form.match(value)) is not None and CLOCK.match(found[found.re.groups]) is not None
        for form in (YEAR_FIRST, YEAR_LAST, WORDY)
    )


def parse_times(values: Texts, rows: NDArray[np.int64], *, column: str) -> NDArray[np.float64]:
    """(rows,) seconds since 1970 of dates, or plain numbers as they are written.

    Dates such as 03/04/2024 are read only where the column itself shows which part is the day.
    """
    if all(map(is_number, values)):
        return np.array([float(value) for value in values], dtype=np.float64)
    day_first = _day_first(values, column)
    seconds = np.empty(len(values), dtype=np.float64)
    for position, value in enumerate(values):
        try:
            seconds[position] = _seconds(value, day_first)
        except (ValueError, KeyError) as error:
            raise UserError(
                f"`{column}` holds {value[:LONGEST]!r} in row {rows[position]}: I cannot read it as a time.",
                "Write times as 2024-03-31 or 2024-03-31 18:30, or as numbers.",
            ) from error
    return seconds


def _day_first(values: Texts, column: str) -> bool:
    parts = [(int(m[1]), int(m[3])) for value in values if (m := YEAR_LAST.match(value)) and m[2] != "."]
    day_first = any(first > 12 for first, _ in parts)
    month_first = any(second > 12 for _, second in parts)
    if parts and day_first == month_first:
        what = "in both orders" if day_first else "that could be day/month or month/day"
        raise UserError(f"`{column}` holds dates {what}.", "Write them as year-month-day: 2024-03-31.")
    return day_first


def _seconds(value: str, day_first: bool) -> float:
    if found := YEAR_FIRST.match(value):
        return _moment(int(found[1]), int(found[2]), int(found[3]), found[4])
    if found := YEAR_LAST.match(value):
        first, second, year = int(found[1]), int(found[3]), int(found[4])
        day, month = (first, second) if day_first or found[2] == "." else (second, first)
        year += 0 if year > 99 else 2000 if year < 69 else 1900
        return _moment(year, month, day, found[5])
    if found := WORDY.match(value):
        day, month = int(found[1] or found[4]), MONTHS[(found[2] or found[3])[:3].lower()]
        return _moment(int(found[6]), month, day, " " + found[5].strip() if found[5] else found[7])
    raise ValueError(value)


def _moment(year: int, month: int, day: int, clock: str) -> float:
    found = CLOCK.match(clock)
    if found is None:
        raise ValueError(clock)
    hour, minute, second = (int(part or 0) for part in found.group(1, 2, 3))
    if found[5]:
        hour = hour % 12 + (12 if found[5] in "pP" else 0)
    moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
    zone = found[6] or ""
    if zone[:1] in ("+", "-") and zone:
        offset = int(zone[1:3]) * 3600 + int(zone[-2:]) * 60
        moment -= offset if zone[0] == "+" else -offset
    return moment + float("0" + (found[4] or ".0").replace(",", "."))
