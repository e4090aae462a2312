"""How a delimited file is written: its delimiter, quotes, line ends and header.

Quotes are judged over the whole sample: are they quoting, or just characters of the texts?
"""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import islice

from .names import KNOWN_NAMES, LABEL_NAMES, TEXT_NAMES, normalised, unique_names
from .records import Dialect, LineFeed, cut_line_end, is_all_quoted, long_fields, records_in
from .times import is_date, is_number

DELIMITERS = (",", "\t", ";", "|")
NO_DELIMITER = "\udcff"  # stands in no decoded text: the file is one column
SAMPLE_CHARS = 1 << 20
MANY_LINES = 200  # no single text is expected to have more
MOST_ABOVE = 5  # lines above a table that are no part of it: a title, comments
ENOUGH_ROWS = 20  # before this many rows there is no telling what a usual value is
SEP_LINE = re.compile(r"\ufeff?sep=(.)\r?\n?$")  # names the delimiter; Excel writes it


@dataclass(frozen=True)
class _Trial:
    """How well a dialect reads the sample."""

    first_width: int = 0  # fields of the first record
    usual_width: int = 0  # fields of most of the others
    share: float = 0.0  # of the others that have that many
    records: int = 0
    wrapped: int = 0  # records with a quoted field
    served: int = 0  # of these, records that could not be written without quotes
    repaired: int = 0  # records whose quotes are broken

    @property
    def fit(self) -> tuple[bool, float]:
        return self.first_width == self.usual_width, self.share

    @property
    def quotes_quote(self) -> bool:
        return not self.repaired or self.served > self.repaired or 2 * self.wrapped >= self.records


def sniff_newline(sample: str) -> str:
    """The line end of a file: "\\r" for old Macs, else "\\n". Those inside quotes do not count."""
    outside = re.sub(r'"(?:[^"]|"")*"', "", sample)
    text = outside if "\n" in outside or "\r" in outside else sample
    feeds = text.count("\n")
    return "\r" if text.count("\r") - text.count("\r\n") > feeds else "\n"


def sniff_dialect(
    lines: list[str], newline: str, *, whole: bool, prefer: str | None, expected: Collection[str] = ()
) -> Dialect:
    """The dialect that reads ``lines`` best; with `NO_DELIMITER` where no other makes columns of them.

    ``whole`` says that they are the whole file; ``prefer`` is the delimiter that the file's name
    promises: it decides a draw, and is believed where rows are ragged. ``expected`` are names of columns.
    A few lines above the header are passed over.
    """
    filled = list(islice((number for number, line in enumerate(lines, 1) if line.strip()), MOST_ABOVE + 1))
    named = SEP_LINE.match(lines[0]) if lines else None
    if named:
        return _fit(lines, Dialect(named[1], newline, first_line=2), whole)[0]
    begin = "".join(lines[number - 1] for number in filled[:3])
    first = [Dialect(mark, newline, first_line=filled[0]) for mark in DELIMITERS if mark in begin]
    best = _best(lines, first, whole=whole, prefer=prefer)
    if best is None or not _has_known_names(lines, best):
        start = lines[:MANY_LINES]
        begins = [number for number in filled[1:] if number <= len(start)]
        later = [Dialect(mark, newline, first_line=number) for number in begins for mark in DELIMITERS]
        below = _under_a_title(start, later) if best else _under_others(start, later, prefer, expected)
        best = _fit(lines, below, whole)[0] if below else best
    if best is None:
        return _fit(lines, Dialect(NO_DELIMITER, newline), whole)[0]
    with long_fields():
        records = list(islice(records_in(LineFeed(lines, best), best), MANY_LINES))
    above = titles_above([record.values for record in records], expected)
    return replace(best, first_line=records[above].line) if above else best


def _best(lines: list[str], dialects: list[Dialect], *, whole: bool, prefer: str | None) -> Dialect | None:
    """That of ``dialects`` which makes the best table of ``lines``."""
    best: tuple[tuple[bool, float, bool], Dialect] | None = None
    for tried in dialects:
        dialect, trial = _fit(lines, tried, whole)
        first, usual, share = trial.first_width, trial.usual_width, trial.share
        is_table = usual >= 2 and first >= 2 and usual - first in (0, 1)
        preferred = dialect.delimiter == prefer
        known = first >= 2 and _has_known_names(lines, dialect)
        if known or (is_table and share >= (0.3 if preferred else 0.8)):
            rank = (*trial.fit, preferred)
            if best is None or rank > best[0]:
                best = rank, dialect
    return best[1] if best else None


def _under_a_title(lines: list[str], later: list[Dialect]) -> Dialect | None:
    """Which of the dialects that begin ``later`` begins with a header of usual names, if one does.

    That is believed where the line above makes a table, too: a title may look like a row.
    """
    for dialect in later:
        names = set(map(normalised, lines[dialect.first_line - 1].replace('"', "").split(dialect.delimiter)))
        usual = names <= KNOWN_NAMES and names & TEXT_NAMES and names & LABEL_NAMES
        if usual and _clear_rows(lines, dialect):
            return dialect
    return None


def _under_others(
    lines: list[str], later: list[Dialect], prefer: str | None, expected: Collection[str]
) -> Dialect | None:
    """Which of the dialects that begin ``later`` clearly begins with a header, if one does."""
    wanted = set(map(normalised, expected))
    for dialect in later:
        *above, header = (line.count(dialect.delimiter) for line in lines[: dialect.first_line])
        narrower = all(count < header or lines[n].startswith("#") for n, count in enumerate(above))
        first, *rest = (narrower and _clear_rows(lines, dialect)) or [[]]
        names = set(map(normalised, first))
        likely = prefer is not None and len(rest) >= MOST_ABOVE and first not in rest
        if first and (names <= KNOWN_NAMES or names & wanted or (likely and has_header(first, rest))):
            return dialect
    return _under_a_title(lines, later)


def _clear_rows(lines: list[str], dialect: Dialect) -> list[list[str]]:
    """The rows that ``dialect`` makes of the beginning of a file; none where they are no table."""
    fitted, trial = _fit(lines, dialect, whole=False)
    if not trial.first_width == trial.usual_width >= 2 or trial.share < 0.95 or trial.records < 2:
        return []
    with long_fields():
        return [record.values for record in records_in(LineFeed(lines, fitted), fitted)]


def sample_lines(sample: str, newline: str, *, whole: bool) -> list[str]:
    """The lines of a sample with their ends; the last is left out where it may be cut short."""
    lines = [line + newline for line in sample.split(newline)]
    last = lines.pop()[:-1]
    return [*lines, last] if last and (whole or not lines) else lines


def _has_known_names(lines: list[str], dialect: Dialect) -> bool:
    first = next(records_in(LineFeed(lines, dialect), dialect), None)
    return first is not None and all(normalised(cell) in KNOWN_NAMES for cell in first.values)


def _fit(lines: list[str], dialect: Dialect, whole: bool) -> tuple[Dialect, _Trial]:
    """``dialect`` with its way of quoting settled, and how well it does."""
    fitted = replace(dialect, usual=_usual_values(lines, dialect))
    trial = _try(lines, fitted, whole)
    for other in (replace(fitted, space_before_quote=True), replace(fitted, backslash=True)):
        if trial.fit < (True, 1.0) or trial.repaired:
            attempt = _try(lines, other, whole)
            fitter = attempt.fit > trial.fit and attempt.repaired <= trial.repaired
            sounder = attempt.fit >= trial.fit and attempt.repaired < trial.repaired / 2
            if fitter or sounder:
                fitted, trial = other, attempt
    if trial.quotes_quote:
        return fitted, trial
    literal = replace(dialect, quoting=False)
    return literal, _try(lines, literal, whole)


def _try(lines: list[str], dialect: Dialect, whole: bool) -> _Trial:
    feed = LineFeed(lines, dialect)
    widths: Counter[int] = Counter()
    first = wrapped = served = repaired = 0
    with long_fields():
        for record in records_in(feed, dialect):
            to_the_end = len(feed.again) == len(lines) - record.line
            if record.repaired and not whole and to_the_end and len(feed.again) < MANY_LINES:
                break  # the sample ends inside this record: no fault of the record
            width = len(record.values)
            first = first or width
            while width > first and not record.values[width - 1]:
                width -= 1
            widths[width] += 1
            repaired += record.repaired
            written = cut_line_end("".join(feed.record))[0]
            if record.repaired:
                wrapped += is_all_quoted(written, dialect.delimiter)
            elif written != dialect.delimiter.join(record.values):
                wrapped += 1
                served += _needs_quotes(record.values, dialect.delimiter)
    if not widths:
        return _Trial()
    records = widths.total()
    widths[first] -= 1  # the first may be a header without a name for the row numbers
    usual, count = widths.most_common(1)[0] if records > 1 else (first, 1)
    return _Trial(first, usual, count / max(records - 1, 1), records, wrapped, served, repaired)


def _needs_quotes(values: list[str], delimiter: str) -> bool:
    return any(delimiter in value or '"' in value or "\n" in value or "\r" in value for value in values)


def _usual_values(lines: list[str], dialect: Dialect) -> tuple[frozenset[str], ...]:
    rows = [cut_line_end(line)[0].split(dialect.delimiter) for line in lines if '"' not in line]
    widths = Counter(map(len, rows))
    width, count = next(iter(widths.most_common(1)), (0, 0))
    if count < ENOUGH_ROWS:
        return ()
    columns = zip(*(row for row in rows if len(row) == width), strict=True)
    counts = [Counter(column) for column in columns]
    return tuple(frozenset(c) if len(c) <= c.total() / 4 else frozenset[str]() for c in counts)


def titles_above(rows: list[list[str]], expected: Collection[str] = ()) -> int:
    """How many of the first ``rows`` fill their first cell only and stand above a header: a title, a date."""
    for above, row in enumerate(rows[: MOST_ABOVE + 1]):
        if any(map(str.strip, row[1:])):
            wide = sum(any(map(str.strip, each[1:])) for each in rows) > len(rows) / 2
            return above if wide and has_header(row, rows[above + 1 :], expected) else 0
    return 0


def left_out(above: int, what: str) -> str:
    """What to say of so many lines or rows above a table."""
    which = f"{what} is" if above == 1 else f"{above} {what}s are"
    return f"The first {which} no part of the table: left out."


def has_header(first: list[str], rest: list[list[str]], expected: Collection[str] = ()) -> bool:
    """Does ``first`` name the columns of ``rest``? Expected or known names, and cells unlike those below."""
    cells = [cell.strip() for cell in first]
    names = {normalised(cell) for cell in cells}
    known = sum(normalised(cell) in KNOWN_NAMES for cell in cells)
    if known == len(cells) or names & {normalised(name) for name in expected}:
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


def column_names(header: list[str] | None, width: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Unique names for ``width`` columns, with or without a header; notes on what was not as usual."""
    cells = header or [""] * width
    wanted = [cell.strip() or f"column {position}" for position, cell in enumerate(cells, start=1)]
    twice = [name for name, count in Counter(wanted).items() if count > 1]
    notes = [f"Several columns are called `{name}`; the second is now `{name} (2)`." for name in twice]
    if header is None:
        notes.append("The first row is not a header, so the columns are called `column 1`, `column 2`…")
    return unique_names(wanted), tuple(notes)
