"""Tables out: a row at a time, written aside and renamed when all of it is there."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from ..core.errors import UserError
from ..core.files import hold, write_text
from .table import as_text

LINES_SUFFIXES = (".jsonl", ".ndjson")
TABLE_SUFFIXES = (".csv", ".tsv", ".txt")


def plain_stdout() -> TextIO:
    """stdout for a table: UTF-8 wherever it goes, lines end as they are written, half a character is "?"."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="replace", newline="")
    return sys.stdout


def make_room(out: Path) -> None:
    """The folder that ``out`` goes into. Raises UserError where ``out`` cannot be a file."""
    if out.is_dir():
        raise UserError(f"{out} is a folder, not a file.", "Name a file in that folder.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{out.parent} is no folder.", "Choose another place: --out FILE") from None


@contextmanager
def written_aside(out: Path) -> Iterator[TextIO]:
    """A file written aside and renamed when all of it is there."""
    make_room(out)
    aside = out.with_name(f".{out.name}.part")
    try:
        with aside.open("w", encoding="utf-8", newline="") as file:
            yield file
        aside.replace(out)
    finally:
        aside.unlink(missing_ok=True)


class PartFile:
    """What will be ``out``, while it grows beside it: killed, the same ``work`` goes on from its last `keep`.

    ``work`` says what the rows are made of; a part of other work begins anew. Raises UserError where
    another process is writing it.
    """

    def __init__(self, out: Path, work: Mapping[str, Any]) -> None:
        self.out, self.work = out, dict(work)
        make_room(out)
        self.path = out.with_name(f".{out.name}.part")
        self.journal = out.with_name(f".{out.name}.part.json")
        self._bytes = self.path.open("ab")
        hold(self._bytes, self.path, out, kind="FILE")
        self.done = self._done()
        if not self.done["bytes"]:
            self.journal.unlink(missing_ok=True)  # of other work: a kill before the first `keep` begins anew
        self._bytes.truncate(self.done.pop("bytes"))
        self.text = io.TextIOWrapper(self._bytes, encoding="utf-8", errors="replace", newline="")

    def _done(self) -> dict[str, int]:
        """Of earlier work of the same kind: bytes that are whole, and the counts kept with them."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads(self.journal.read_text(encoding="utf-8"))
            if (
                kept["work"] == json.loads(json.dumps(self.work))
                and self.path.stat().st_size >= kept["bytes"]
            ):
                return {name: int(count) for name, count in kept.items() if name != "work"}
        return {"bytes": 0}

    def keep(self, **counts: int) -> None:
        """All that was written is whole: put it on the disk, with what ``done`` is to say of it."""
        self.text.flush()
        os.fsync(self._bytes.fileno())
        size = os.fstat(self._bytes.fileno()).st_size
        write_text(self.journal, json.dumps({"work": self.work, "bytes": size, **counts}))

    def finish(self, made: Path | None = None) -> None:
        """Put the finished file in its place, or ``made`` of it."""
        self.text.flush()  # the journal tells all of it already
        os.fsync(self._bytes.fileno())
        if made is not None:
            with made.open("rb+") as file:  # on the disk before what it was made of goes
                os.fsync(file.fileno())
        if os.name == "nt":  # an open file cannot be renamed there, nor is it locked
            self.text.close()
        (made or self.path).replace(self.out)
        self.path.unlink(missing_ok=True)
        self.journal.unlink(missing_ok=True)
        self.text.close()

    def close(self) -> None:
        """Leave the part for the next run, unless nothing of it is whole."""
        nothing_whole = not self.text.closed and not self.journal.exists()
        self.text.close()
        if nothing_whole:
            self.path.unlink(missing_ok=True)


@contextmanager
def kept_beside(out: Path) -> Iterator[Path]:
    """Where stdin is kept while ``out`` is made of it: a file in a hidden folder beside ``out``.

    Both are gone when the block ends. What a kill leaves of them the next run that writes ``out`` takes
    over or removes (`remove_kept`). Raises UserError where another process has it.
    """
    path = _kept(out)
    path.parent.mkdir(exist_ok=True)
    with path.open("ab") as file:
        hold(file, path, out, kind="FILE")
        try:
            yield path
        finally:
            if os.name == "nt":  # an open file cannot be removed there
                file.close()
            shutil.rmtree(path.parent, ignore_errors=True)


def remove_kept(out: Path) -> None:
    """Remove what a kill left of `kept_beside`, unless another process has it."""
    path = _kept(out)
    with suppress(OSError, UserError), path.open("rb+") as file:
        hold(file, path, out, kind="FILE")
        shutil.rmtree(path.parent)


def _kept(out: Path) -> Path:
    """The folder bears the name of ``out``; the file is called as problems with it are to call it."""
    return out.with_name(f".{out.name}.given") / "stdin"


def line_writer(file: TextIO) -> Callable[[Mapping[str, Any]], None]:
    """Writes one JSON object a line."""

    def write_line(record: Mapping[str, Any]) -> None:
        try:
            line = json.dumps(record, ensure_ascii=False, default=as_text, allow_nan=False)
        except ValueError:  # NaN and infinity are no JSON
            line = json.dumps({name: _finite(value) for name, value in record.items()}, default=as_text)
        file.write(line + "\n")

    return write_line


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return as_text(value) or None if isinstance(value, float) and not math.isfinite(value) else value


def require_known_suffix(out: Path, *, option: str, others: Sequence[str] = ()) -> None:
    """Raise UserError where ``out`` does not end in a form that rows can be written in, or in ``others``."""
    suffix = out.suffix.lower()
    if suffix not in (*LINES_SUFFIXES, *TABLE_SUFFIXES, *others):
        *most, last = [".csv", ".tsv", ".jsonl", *others]
        raise UserError(
            f"{option} {out}: {suffix or 'no ending'} is not known.", f"End it in {', '.join(most)} or {last}"
        )


def row_writer(
    file: TextIO, out: Path, columns: Sequence[str], *, separator: str = ";", header: bool = True
) -> Callable[[Sequence[Any]], None]:
    """Writes rows of values in the form that ``out`` ends in; several answers in a cell by ``separator``."""
    suffix = out.suffix.lower()
    if suffix in LINES_SUFFIXES:
        write_line = line_writer(file)
        return lambda values: write_line(dict(zip(columns, values, strict=True)))
    write_cells = cell_writer(file, "\t" if suffix == ".tsv" else ",")
    if header:
        write_cells(columns)
    return lambda values: write_cells([_cell(value, separator) for value in values])


def cell_writer(file: TextIO, delimiter: str = ",") -> Callable[[Sequence[str]], Any]:
    """Writes rows of a delimited table. Before Python 3.13 `csv` leaves a lone carriage return unquoted."""
    usual = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    wary = csv.writer(file, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL)
    return lambda cells: (wary if any("\r" in cell for cell in cells) else usual).writerow(cells)


def _cell(value: Any, separator: str) -> str:
    """A value as a table holds it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return separator.join(value)
    return f"{value:.15g}" if isinstance(value, float) else str(value)
