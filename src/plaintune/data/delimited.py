"""Text files of rows: CSV, TSV and the like; `label text` lines; one text per line."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path

from ..core.errors import UserError
from .dialect import (
    NO_DELIMITER,
    SEP_LINE,
    column_names,
    has_header,
    left_out,
    sample_lines,
    sniff_dialect,
    sniff_newline,
)
from .encoding import damage_told, open_text
from .records import Dialect, read_records
from .table import Row, Table, fitted

FASTTEXT = "__label__"
LEADING = re.compile(rf"[\s\ufeff]*((?:{FASTTEXT}\S+(?:\s+|\Z))+)(.*)", re.DOTALL)
SEVERAL = 0.01  # of the lines, with several answers each
PROMISED = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".psv": "|"}
HEADER_SAMPLE = 1000  # rows that a first row is compared with
MANY_CLASSES = 200


def text_table(
    path: Path,
    encoding: str,
    sample: str,
    *,
    whole: bool,
    suffix: str,
    expected: Collection[str],
    answers: Collection[str] | None,
) -> Table:
    """The table in a text file whose beginning is ``sample``.

    ``expected`` are names of columns, ``answers`` all that can lead a line (None: any words that come back).
    """
    newline = sniff_newline(sample)
    lines = sample_lines(sample, newline, whole=whole)
    tokens = [line.split(maxsplit=1)[0].lstrip("\ufeff") for line in lines if line.strip()]
    if not tokens:
        raise UserError(
            f"{path.name} holds nothing but blank lines.", "Give a file with a text and its answer per row."
        )
    prefixed = sum(token.startswith(FASTTEXT) for token in tokens) >= 0.9 * len(tokens)
    if suffix == ".label" or prefixed:
        most = sum(len(_answers_of(line)[0]) > 1 for line in lines) if prefixed else 0
        several = most >= max(2, SEVERAL * len(tokens))
        return _label_lines(path, encoding, newline, tokens, prefixed, several)
    prefer = PROMISED.get(suffix)
    dialect = sniff_dialect(lines, newline, whole=whole, prefer=prefer, expected=expected)
    one_column = dialect.delimiter == NO_DELIMITER
    if one_column and suffix not in PROMISED and _answers_lead(tokens, answers):
        return _label_lines(path, encoding, newline, tokens, prefixed)
    return _delimited(path, encoding, dialect, lines, expected)


def _delimited(
    path: Path, encoding: str, dialect: Dialect, sample: list[str], expected: Collection[str]
) -> Table:
    rows = [values for _, values in islice(read_records(sample, dialect), HEADER_SAMPLE)]
    first, rest = (rows[0], rows[1:]) if rows else ([], [])
    usual_width = Counter(len(row) for row in rest or rows).most_common(1)[0][0] if rows else 1
    headed = has_header(first, rest, expected)
    if headed and usual_width == len(first) + 1 and _row_names_lead(rest, usual_width):
        first = ["", *first]
    columns, notes = column_names(first if headed else None, usual_width)
    notes += _left_out(sample[: dialect.first_line - 1])
    if not dialect.quoting:
        notes += ("Quote marks in this file are unbalanced, so they are read as plain characters.",)

    def read() -> Iterator[Row]:
        with damage_told(path), open_text(path, encoding, newline=dialect.newline) as lines:
            records = read_records(lines, dialect)
            if headed:
                next(records, None)
            yield from fit_rows(records, len(columns), dialect.delimiter)

    one_column = dialect.delimiter == NO_DELIMITER
    return Table(
        source=path.name,
        format="text lines" if one_column else "TSV" if dialect.delimiter == "\t" else "CSV",
        columns=columns,
        rows=read,
        delimiter=None if one_column else dialect.delimiter,
        has_header=headed,
        counted_in="line",
        notes=notes,
    )


def _left_out(above: list[str]) -> tuple[str, ...]:
    """What to say of the lines that stand above a table."""
    if not "".join(above).strip() or SEP_LINE.match(above[0]):
        return ()
    return (left_out(len(above), "line"),)


def _row_names_lead(rows: list[list[str]], width: int) -> bool:
    """R writes no name over its column of row names, each of which is another."""
    names = [row[0] for row in rows if len(row) == width]
    return len(set(names)) == len(names) == len(rows) and all(row[-1] for row in rows)


def fit_rows(records: Iterator[tuple[int, list[str]]], width: int, delimiter: str) -> Iterator[Row]:
    for line, values in records:
        if len(values) == width:
            yield Row(line, values)
        elif len(values) > 1 or values[0].strip():  # a line of blanks is a blank line
            yield Row(line, *fitted(values, width, delimiter), cut_short=len(values) < width)


def _answers_lead(tokens: list[str], answers: Collection[str] | None) -> bool:
    """Do the first words of the lines look like answers: few, and each of them coming back?

    Where the ``answers`` are known, most must be among them: questions begin with few words as well.
    """
    if answers is not None:
        known = sum(token in answers or token.split(":")[0] in answers for token in tokens)
        return known > len(tokens) / 2
    counts = Counter(tokens)
    if len(tokens) < 6 or not 2 <= len(counts) <= min(MANY_CLASSES, len(tokens) // 2):
        return False
    return sum(count for count in counts.values() if count == 1) <= 0.02 * len(tokens)


def _label_lines(
    path: Path, encoding: str, newline: str, tokens: list[str], prefixed: bool, several: bool = False
) -> Table:
    two_levels = not several and all(":" in token.strip(":") for token in tokens)
    notes = []
    if prefixed:
        each = "each " if several else ""
        notes.append(f"The answers are what follows {each}`{FASTTEXT}` at the beginning of each line.")
    if two_levels:
        coarse = len({token.split(":")[0] for token in tokens})
        notes.append(f"The answers have two levels. For the {coarse} before the colon: --label coarse.")

    def read() -> Iterator[Row]:
        with damage_told(path), open_text(path, encoding, newline=newline) as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield (
                        _row_of_several(number, line)
                        if several
                        else _label_row(number, line, prefixed, two_levels)
                    )

    return Table(
        source=path.name,
        format="label-text lines",
        columns=("label", "coarse", "text") if two_levels else ("label", "text"),
        rows=read,
        has_header=False,
        counted_in="line",
        notes=tuple(notes),
    )


def _answers_of(line: str) -> tuple[list[str], str]:
    """The answers that lead a line of fastText's, and its text."""
    led = LEADING.match(line)
    return ([part.removeprefix(FASTTEXT) for part in led[1].split()], led[2].strip()) if led else ([], line)


def _row_of_several(number: int, line: str) -> Row:
    answers, text = _answers_of(line)
    return Row(
        number,
        [json.dumps(answers, ensure_ascii=False), text],
        None if answers else f"no {FASTTEXT} at its beginning",
    )


def _label_row(number: int, line: str, prefixed: bool, two_levels: bool) -> Row:
    parts = line.split(maxsplit=1)
    label, text = parts[0], parts[1].rstrip("\r\n") if len(parts) > 1 else ""
    problem = None
    if prefixed:
        if not label.startswith(FASTTEXT):
            problem = f"no {FASTTEXT} at its beginning"
        elif text.startswith(FASTTEXT):
            problem = "2 answers instead of 1"
        label = label.removeprefix(FASTTEXT)
    values = [label, label.split(":")[0], text] if two_levels else [label, text]
    return Row(number, values, problem)
