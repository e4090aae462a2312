"""What each column of a table holds, in one pass and constant memory."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property

from ..core.events import Listener, progress, silent
from .table import Table
from .times import is_date, is_number

MOST_ANSWERS = 200
EXACT_DISTINCT = 1 << 14
SAMPLE_ROWS = 2000
CUT_AT = 2000  # characters of a value
UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\uffff]")  # Thai, Chinese, Japanese…
TAGS = re.compile(r"(?:<[^<>\s]+>)+")  # <java><sql>: a list of two
URL = re.compile(r"(?:https?://|www\.)\S+$")
REPORT_EVERY = 50_000


class DistinctCount:
    """About how many different values were added: exact up to 16,384, then within about 2%.

    Keeps the values whose checksum ends in ``bits`` zeros and raises ``bits`` when there are too
    many (adaptive sampling: Flajolet, Computing 43, 1990).
    """

    def __init__(self) -> None:
        self.kept: set[int] = set()
        self.mask = 0

    def add(self, value: str) -> None:
        checksum = zlib.crc32(value.encode("utf-8", "surrogatepass"))
        if not checksum & self.mask:
            self.kept.add(checksum)
            if len(self.kept) > EXACT_DISTINCT:
                self.mask = self.mask << 1 | 1
                self.kept = {known for known in self.kept if not known & self.mask}

    def __int__(self) -> int:
        return len(self.kept) * (self.mask + 1)


@dataclass(eq=False)
class ColumnProfile:
    """What was seen of one column."""

    name: str
    filled: int = 0
    sample: list[str] = field(default_factory=list)
    counts: Counter[str] | None = field(default_factory=Counter)  # None once there are too many values
    _distinct: DistinctCount = field(default_factory=DistinctCount)

    def add(self, value: str, *, sampled: bool) -> None:
        value = value.strip()
        if not value:
            return
        self.filled += 1
        if sampled:
            self.sample.append(value[:CUT_AT])
        if self.counts is not None:
            self.counts[value] += 1
            if len(self.counts) > 10 * MOST_ANSWERS:
                for known in self.counts:
                    self._distinct.add(known)
                self.counts = None
        else:
            self._distinct.add(value)

    @cached_property
    def distinct(self) -> int:
        return int(self._distinct) if self.counts is None else len(self.counts)

    @cached_property
    def words(self) -> float:
        """Mean number of words; scripts without spaces count three characters as one."""
        return self._mean(
            len(v.split()) if v.isascii() else len(v.split()) + len(UNSPACED.findall(v)) / 3
            for v in self.sample
        )

    @cached_property
    def characters(self) -> float:
        return self._mean(len(value) for value in self.sample)

    @cached_property
    def is_numeric(self) -> bool:
        return self._mostly(is_number)

    @cached_property
    def is_whole_numbers(self) -> bool:
        return self.is_numeric and all(float(v).is_integer() for v in self.sample if is_number(v))

    @cached_property
    def is_years(self) -> bool:
        return self.is_whole_numbers and all(1900 <= float(v) <= 2100 for v in self.sample if is_number(v))

    @cached_property
    def is_dates(self) -> bool:
        return self._mostly(is_date)

    @cached_property
    def is_links(self) -> bool:
        return self._mostly(URL.match)

    @cached_property
    def is_nested(self) -> bool:
        """JSON lists or objects, or tags."""

        def nested(v: str) -> object:
            return v[0] + v[-1] in ("[]", "{}") or (v[0] in "[{" and len(v) == CUT_AT) or TAGS.fullmatch(v)

        return self._mostly(nested)

    @cached_property
    def is_codes(self) -> bool:
        """One word with a digit in it, such as tt0114746 or A-17."""
        return self._mostly(lambda v: any(map(str.isdigit, v)) and " " not in v, share=0.8)

    def _mostly(self, holds: Callable[[str], object], *, share: float = 0.9) -> bool:
        return self._mean(bool(holds(value)) for value in self.sample) >= share

    def _mean(self, values: Iterable[float]) -> float:
        return sum(values) / len(self.sample) if self.sample else 0.0


@dataclass
class TableProfile:
    """``rows`` counts every row, good or bad; ``problems`` the bad ones, by their first lines."""

    columns: tuple[ColumnProfile, ...]
    rows: int = 0
    problem_rows: int = 0
    first_problems: list[tuple[int, str]] = field(default_factory=list)


def profile_table(table: Table, *, listener: Listener = silent) -> TableProfile:
    """Read ``table`` once and say what its columns hold."""
    profile = TableProfile(tuple(map(ColumnProfile, table.columns)))
    columns = profile.columns
    for line, values, problem, *_ in table.rows():
        profile.rows += 1
        if problem is not None:
            profile.problem_rows += 1
            if len(profile.first_problems) < 3:
                profile.first_problems.append((line, problem))
            continue
        # the first rows, then ever fewer: a file may be sorted by its answers
        sampled = profile.rows < SAMPLE_ROWS or profile.rows % (profile.rows // SAMPLE_ROWS * 8) == 0
        for column, value in zip(columns, values, strict=True):
            column.add(value, sampled=sampled)
        if profile.rows % REPORT_EVERY == 0:
            progress(listener, profile.rows, 0)
    return profile
