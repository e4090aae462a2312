"""Answers given by a person, one at a time: every one is on disk before the next question."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

from ..core.errors import UserError
from .records import long_fields
from .write import cell_writer, make_room, written_aside

COLUMNS = ["text", "answer"]


class AnswerFile:
    """A CSV file of texts and answers; an empty answer is a text that was skipped."""

    def __init__(self, path: Path) -> None:
        """Raises UserError where ``path`` holds something else."""
        self.path = path
        self.rows: list[tuple[str, str]] = []
        make_room(path)
        if not path.exists():
            return
        try:
            written = path.read_bytes().decode("utf-8-sig")  # a spreadsheet marks it
            with long_fields():
                rows = list(csv.reader(io.StringIO(written, newline="")))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise self._foreign() from error
        if rows and (rows[0] != COLUMNS or any(len(row) != len(COLUMNS) for row in rows[1:-1])):
            raise self._foreign()
        cut_short = bool(rows) and (not written.endswith("\n") or len(rows[-1]) != len(COLUMNS))
        self.rows = [(text, answer) for text, answer in rows[1 : -1 if cut_short else None]]
        if cut_short:  # by a kill
            self._write_all()

    def _foreign(self) -> UserError:
        return UserError(
            f"{self.path} is there already, and holds no answers of an earlier session.",
            "Choose another place for the answers: --out FILE",
        )

    @property
    def given(self) -> int:
        """How many answers there are, skipped texts left out."""
        return sum(bool(answer) for _, answer in self.rows)

    def add(self, text: str, answer: str) -> None:
        """Keep an answer."""
        self.rows.append((text, answer))
        with self.path.open("a", encoding="utf-8", newline="") as file:
            write = cell_writer(file)
            if not file.tell():  # new, or empty
                write(COLUMNS)
            write([text, answer])
            file.flush()
            os.fsync(file.fileno())

    def take_back(self) -> str | None:
        """Forget the last answer; gives its text, None where there is none."""
        if not self.rows:
            return None
        text, _ = self.rows.pop()
        self._write_all()
        return text

    def _write_all(self) -> None:
        with written_aside(self.path) as file:
            write = cell_writer(file)
            for row in [COLUMNS, *self.rows]:
                write(row)
