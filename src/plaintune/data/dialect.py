"""How a delimited file is written (delimiter, quotes, line ends, header), and its records.

No record may swallow its neighbours: quotes are judged over the whole sample (quoting, or just
characters?), and a quote that opens and never properly closes makes one line be read as it stands.
"""

from __future__ import annotations

import csv
import re
import statistics
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice

from plaintune.data.names import KNOWN_NAMES, normalised
from plaintune.data.times import is_date, is_number

DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "pipe"}
NO_DELIMITER = "\udcff"  # stands in no decoded text: the file is one column
SHIELD = "\udc0d"  # a line end of the other kind inside a line, hidden from csv, which would stop at it
LONGEST_FIELD = 64 << 20  # characters
SAMPLE_CHARS = 1 << 20
MANY_LINES = 200  # no single text is expected to have more
ENOUGH_ROWS = 20  # before this many rows there is no telling what a usual value is


@dataclass(frozen=True)
class Dialect:
    """``usual`` holds, for each column whose values keep coming back, those values."""

    delimiter: str
    newline: str = "\n"  # "\n" (which ends "\r\n" too) or "\r"
    quoting: bool = True
    space_before_quote: bool = False
    backslash: bool = False  # inner quotes are written \" and not ""
    first_line: int = 1  # 2 where `sep=;` stands in line 1
    usual: tuple[frozenset[str], ...] = ()


class _LineFeed:
    """Lines for csv.reader. Those of the record being read are kept, so they can be read again."""

    def __init__(self, lines: Iterable[str], newline: str) -> None:
        self.lines = iter(lines)
        self.again: deque[str] = deque()
        self.record: list[str] = []
        self.shielded = False
        self.other = "\r" if newline == "\n" else "\n"
        self.end = 2 if newline == "\n" else 1  # length of the longest line end

    def __iter__(self) -> _LineFeed:
        return self

    def __next__(self) -> str:
        line = self.again.popleft() if self.again else next(self.lines)
        self.record.append(line)
        if line.find(self.other, 0, len(line) - self.end) >= 0:
            self.shielded = True
            body, end = _cut_line_end(line)
            return body.replace(self.other, SHIELD) + end
        return line

    def keep_first(self) -> str:
        """Give back all lines of the record but the first, which is returned without its end."""
        self.again.extendleft(reversed(self.record[1:]))
        del self.record[1:]
        return _cut_line_end(self.record[0])[0]


def _cut_line_end(line: str) -> tuple[str, str]:
    end = "\r\n" if line.endswith("\r\n") else line[-1:] if line[-1:] in ("\n", "\r") else ""
    return line[: len(line) - len(end)], end


@dataclass
class _Record:
    line: int
    values: list[str]
    repaired: bool  # its quotes were broken: the line is taken as it stands


def _records(feed: _LineFeed, dialect: Dialect) -> Iterator[_Record]:
    reader = csv.reader(
        feed,
        delimiter=dialect.delimiter,
        quoting=csv.QUOTE_MINIMAL if dialect.quoting else csv.QUOTE_NONE,
        skipinitialspace=dialect.space_before_quote,
        doublequote=not dialect.backslash,
        escapechar="\\" if dialect.backslash else None,
        strict=True,
    )
    line = dialect.first_line
    while True:
        feed.record.clear()
        feed.shielded = False
        repaired = False
        try:
            values = next(reader)
            repaired = len(feed.record) > 1 and _swallowed(feed.record, dialect)
        except StopIteration:
            return
        except csv.Error:
            repaired = True
        if repaired:
            values = feed.keep_first().split(dialect.delimiter)
        elif feed.shielded:
            values = [value.replace(SHIELD, feed.other) for value in values]
        if values:
            yield _Record(line, values, repaired)
        line += len(feed.record)


def _swallowed(lines: list[str], dialect: Dialect) -> bool:
    """Is each line of this quoted record a whole row by itself, with a usual value in its place?"""
    rows = [_cut_line_end(line)[0].split(dialect.delimiter) for line in lines]
    if not dialect.usual or any(len(row) != len(dialect.usual) for row in rows):
        return False
    return any(
        values and all(row[column] in values for row in rows) for column, values in enumerate(dialect.usual)
    )


@contextmanager
def _long_fields() -> Iterator[None]:
    before = csv.field_size_limit(LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def read_records(lines: Iterable[str], dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """(number of its first line, fields) of each record; blank lines are passed over.

    ``lines`` keep their ends. csv's limit on a field's length is global, so it is raised only
    while a few records are parsed, never while this generator waits.
    """
    records = _records(_LineFeed(islice(lines, dialect.first_line - 1, None), dialect.newline), dialect)
    while True:
        with _long_fields():
            few = list(islice(records, 64))
        if not few:
            return
        for record in few:
            yield record.line, record.values


def sniff_newline(sample: str) -> str:
    """The line end of a file: "\\r" for old Macs, else "\\n". Those inside quotes do not count."""
    outside = re.sub(r'"(?:[^"]|"")*"', "", sample)
    text = outside if "\n" in outside or "\r" in outside else sample
    feeds = text.count("\n")
    return "\r" if text.count("\r") - text.count("\r\n") > feeds else "\n"


def sniff_dialect(sample: str, *, whole: bool, prefer: str | None) -> Dialect | None:
    """The dialect that reads ``sample`` best, or None where no delimiter makes columns of it.

    ``whole`` says that the sample is the whole file; ``prefer`` is the delimiter that the file's
    name promises: it decides a draw, and is believed where rows are ragged.
    """
    newline = sniff_newline(sample)
    lines = sample_lines(sample, newline, whole=whole)
    first_line = 1
    named = re.match(r"\ufeff?sep=(.)\r?\n?$", lines[0]) if lines else None
    if named:
        prefer, first_line = named[1], 2
    best: tuple[tuple[bool, float, bool], Dialect] | None = None
    for delimiter in [named[1]] if named else DELIMITERS:
        if not named and delimiter not in "".join(lines[:3]):
            continue
        dialect, first, usual_width, share = _fit(
            lines, Dialect(delimiter, newline, first_line=first_line), whole
        )
        is_table = usual_width >= 2 and first >= 2 and usual_width - first in (0, 1)
        expected = delimiter == prefer or _has_known_names(lines, dialect)
        if named or (is_table and share >= (0.3 if expected else 0.8)):
            rank = (first == usual_width, share, delimiter == prefer)
            if best is None or rank > best[0]:
                best = rank, dialect
    return best[1] if best else None


def single_column(sample: str, *, whole: bool) -> Dialect:
    """The dialect of a file with one value per line."""
    newline = sniff_newline(sample)
    return _fit(sample_lines(sample, newline, whole=whole), Dialect(NO_DELIMITER, newline), whole)[0]


def sample_lines(sample: str, newline: str, *, whole: bool) -> list[str]:
    """The lines of a sample with their ends; the last is left out where it may be cut short."""
    lines = [line + newline for line in sample.split(newline)]
    last = lines.pop()[:-1]
    return [*lines, last] if last and (whole or not lines) else lines


def _has_known_names(lines: list[str], dialect: Dialect) -> bool:
    with _long_fields():
        first = next(_records(_LineFeed(lines, dialect.newline), dialect), None)
    return first is not None and all(normalised(cell) in KNOWN_NAMES for cell in first.values)


def _fit(lines: list[str], dialect: Dialect, whole: bool) -> tuple[Dialect, int, int, float]:
    """``dialect`` with its quoting settled; width of the first record, usual width and its share."""
    dialect = replace(dialect, usual=_usual_values(lines, dialect))
    fitted = replace(dialect, quoting=True)
    first, width, share, quoted, repaired = _try(lines, fitted, whole)
    if repaired or share < 1:
        for other in (replace(fitted, space_before_quote=True), replace(fitted, backslash=True)):
            attempt = _try(lines, other, whole)
            if (attempt[4] <= repaired and attempt[2] > share) or (
                attempt[4] < repaired / 2 and attempt[2] >= share
            ):
                fitted, (first, width, share, quoted, repaired) = other, attempt
    if repaired and quoted <= repaired:
        fitted = replace(dialect, quoting=False)
        first, width, share, _, _ = _try(lines, fitted, whole)
    return fitted, first, width, share


def _try(lines: list[str], dialect: Dialect, whole: bool) -> tuple[int, int, float, int, int]:
    """Width of the first record; the usual width and its share; records that quoting serves, and
    records whose quotes are broken."""
    feed = _LineFeed(islice(lines, dialect.first_line - 1, None), dialect.newline)
    widths: Counter[int] = Counter()
    first = quoted = repaired = 0
    with _long_fields():
        for record in _records(feed, dialect):
            to_the_end = len(feed.again) == len(lines) - record.line
            if record.repaired and not whole and to_the_end and len(feed.again) < MANY_LINES:
                break  # the sample ends inside this record: no fault of the record
            width = len(record.values)
            first = first or width
            while width > first and not record.values[width - 1]:
                width -= 1
            widths[width] += 1
            repaired += record.repaired
            plain = dialect.delimiter.join(record.values)
            quoted += (
                not record.repaired
                and '"' in feed.record[0]
                and plain != _cut_line_end("".join(feed.record))[0]
            )
    if not widths:
        return 0, 0, 0.0, 0, 0
    rest = widths.copy()
    rest[first] -= 1  # the first may be a header without a name for the row numbers
    usual, rows = rest.most_common(1)[0] if rest.total() else (first, 1)
    return first, usual, rows / max(rest.total(), 1), quoted, repaired


def _usual_values(lines: list[str], dialect: Dialect) -> tuple[frozenset[str], ...]:
    rows = [_cut_line_end(line)[0].split(dialect.delimiter) for line in lines if '"' not in line]
    widths = Counter(map(len, rows))
    if not widths or widths.most_common(1)[0][1] < ENOUGH_ROWS:
        return ()
    width = widths.most_common(1)[0][0]
    columns = zip(*(row for row in rows if len(row) == width), strict=True)
    counts = [Counter(column) for column in columns]
    return tuple(frozenset(c) if len(c) <= c.total() / 4 else frozenset[str]() for c in counts)


def has_header(first: list[str], rest: list[list[str]]) -> bool:
    """Does ``first`` name the columns of ``rest``? Known names, and cells unlike those below."""
    cells = [cell.strip() for cell in first]
    known = sum(normalised(cell) in KNOWN_NAMES for cell in cells)
    if known == len(cells):
        return True
    if len(cells) == 1 or not any(cells):
        return known > 0
    below = [row for row in rest if row != first and len(row) == len(first)]
    score = 2 * known
    for position, cell in enumerate(cells):
        values = [value for row in below if (value := row[position].strip())]
        if cell and values:
            score += _header_evidence(cell, values)
    return score >= 0


def _header_evidence(cell: str, values: list[str]) -> int:
    if sum(map(_is_typed, values)) >= 0.95 * len(values):
        return -3 if _is_typed(cell) else 2
    if len(values) >= 4 and len(set(values)) <= len(values) / 2:
        return -3 if cell in values else 2
    if cell in values:
        return -2
    middle = statistics.median(map(len, values))
    return 1 if len(cell) <= middle / 2 and len(cell.split()) <= 4 else -1


def _is_typed(value: str) -> bool:
    return is_number(value) or is_date(value)


def column_names(cells: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Unique names for the columns of a header, and the names that stood there twice."""
    names: list[str] = []
    twice: list[str] = []
    for position, cell in enumerate(cells, start=1):
        name = wanted = cell.strip() or f"column {position}"
        copy = 1
        while name in names:
            copy += 1
            name = f"{wanted} ({copy})"
        if copy > 1 and wanted not in twice:
            twice.append(wanted)
        names.append(name)
    return tuple(names), tuple(twice)


def numbered_columns(count: int) -> tuple[str, ...]:
    return tuple(f"column {position}" for position in range(1, count + 1))
