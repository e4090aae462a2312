"""Answers given by a person, one at a time: every one is on disk before the next question."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from ..core.errors import UserError
from .write import written_aside

COLUMNS = ["text", "answer"]


class AnswerFile:
    """A CSV file of texts and answers; an empty answer is a text that was skipped."""

    def __init__(self, path: Path) -> None:
        """Raises UserError where ``path`` holds something else."""
        self.path = path
        self.rows: list[tuple[str, str]] = []
        if not path.exists():
            return
        try:
            with path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.reader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise self._foreign() from error
        if rows and (rows[0] != COLUMNS or any(len(row) != len(COLUMNS) for row in rows[1:-1])):
            raise self._foreign()
        self.rows = [(row[0], row[1]) for row in rows[1:] if len(row) == len(COLUMNS)]
        if len(self.rows) < len(rows) - 1:
            self._write_all()  # a kill cut the last line short

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
        new = not self.path.exists()
        with self.path.open("a", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            if new:
                writer.writerow(COLUMNS)
            writer.writerow([text, answer])
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
            csv.writer(file, lineterminator="\n").writerows([COLUMNS, *self.rows])
