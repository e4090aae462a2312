"""The records of a delimited file, by csv's strict parser, with a remedy for broken quotes.

No record may swallow its neighbours: where a quote opens and never properly closes, the line it
stands in is read as it is, and the next line is a record again.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

SHIELD = "\udc0d"  # a line end of the other kind inside a line, hidden from csv, which would stop at it
LONGEST_FIELD = 64 << 20  # characters
ESCAPED_QUOTE = re.compile(r'(?<!\\)((?:\\\\)*)\\"')


@dataclass(frozen=True)
class Dialect:
    """``usual`` holds, for each column whose values keep coming back, those values."""

    delimiter: str
    newline: str = "\n"  # "\n" (which ends "\r\n" too) or "\r"
    quoting: bool = True
    space_before_quote: bool = False
    backslash: bool = False  # quotes inside quotes are written \" and not ""
    first_line: int = 1  # 2 where `sep=;` stands in line 1
    usual: tuple[frozenset[str], ...] = ()


class LineFeed:
    """Lines for csv.reader. Those of the record being read are kept, so they can be read again."""

    def __init__(self, lines: Iterable[str], dialect: Dialect) -> None:
        self.lines = islice(lines, dialect.first_line - 1, None)
        self.again: deque[str] = deque()
        self.record: list[str] = []
        self.shielded = False
        self.other = "\r" if dialect.newline == "\n" else "\n"
        self.end = 2 if dialect.newline == "\n" else 1  # length of the longest line end
        self.backslash = dialect.backslash

    def __iter__(self) -> LineFeed:
        return self

    def __next__(self) -> str:
        line = self.again.popleft() if self.again else next(self.lines)
        self.record.append(line)
        if self.backslash and '\\"' in line:
            line = ESCAPED_QUOTE.sub(r'\1""', line)
        if line.find(self.other, 0, len(line) - self.end) >= 0:
            self.shielded = True
            body, end = cut_line_end(line)
            return body.replace(self.other, SHIELD) + end
        return line

    def keep_first(self) -> str:
        """Give back all lines of the record but the first, which is returned without its end."""
        self.again.extendleft(reversed(self.record[1:]))
        del self.record[1:]
        return cut_line_end(self.record[0])[0]


def cut_line_end(line: str) -> tuple[str, str]:
    end = "\r\n" if line.endswith("\r\n") else line[-1:] if line[-1:] in ("\n", "\r") else ""
    return line[: len(line) - len(end)], end


def is_all_quoted(line: str, delimiter: str) -> bool:
    """Does each field of ``line``, which is without its end, stand in quotes?"""
    return len(line) > 1 and line[0] == line[-1] == '"' and f'"{delimiter}"' in line


def split_broken(line: str, dialect: Dialect) -> list[str]:
    """The fields of a ``line`` whose quotes are broken: those beside a delimiter or an end are no content."""
    mark = dialect.delimiter
    if is_all_quoted(line, mark):
        return [value.replace('""', '"') for value in line[1:-1].split(f'"{mark}"')]
    found: list[str] = []
    at, closed = 0, line + mark
    last = closed.rfind(f'"{mark}')
    while at < len(closed):
        quoted = at < last and closed[at] == '"'
        end = closed.find(f'"{mark}' if quoted else mark, at + quoted)
        value = closed[at + quoted : end]
        found.append(value.replace('""', '"') if quoted else value)
        at = end + 1 + quoted
    plain = line.split(mark)
    return plain if len(found) != len(dialect.usual) == len(plain) else found


@dataclass
class Record:
    line: int
    values: list[str]
    repaired: bool  # its quotes were broken: the line is taken as it stands


def records_in(feed: LineFeed, dialect: Dialect) -> Iterator[Record]:
    reader = csv.reader(
        feed,
        delimiter=dialect.delimiter,
        quoting=csv.QUOTE_MINIMAL if dialect.quoting else csv.QUOTE_NONE,
        skipinitialspace=dialect.space_before_quote,
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
            values = split_broken(feed.keep_first(), dialect)
        elif feed.shielded:
            values = [value.replace(SHIELD, feed.other) for value in values]
        if values:
            yield Record(line, values, repaired)
        line += len(feed.record)


def _swallowed(lines: list[str], dialect: Dialect) -> bool:
    """Is each line of this quoted record a whole row by itself, with a usual value in its place?"""
    rows = [cut_line_end(line)[0].split(dialect.delimiter) for line in lines]
    if not dialect.usual or any(len(row) != len(dialect.usual) for row in rows):
        return False
    return any(
        values and all(row[column] in values for row in rows) for column, values in enumerate(dialect.usual)
    )


@contextmanager
def long_fields() -> Iterator[None]:
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
    records = records_in(LineFeed(lines, dialect), dialect)
    while True:
        with long_fields():
            few = list(islice(records, 64))
        if not few:
            return
        for record in few:
            yield record.line, record.values
