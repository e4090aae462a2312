"""The texts that a running model was unsure of, kept for a person to answer."""

from __future__ import annotations

import csv
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from ..core.errors import UserError
from ..core.features import text_hash
from ..data.examples import JOINED_BY
from ..data.write import cell_writer
from ..model.predict import Prediction

MOST_ROWS = 100_000
COLUMNS = ["text", "label", "guess", "confidence"]


class UnsureLog:
    """Texts that a model was unsure of, each once, in a table that `label` and `train` take."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = threading.Lock()
        self._known: set[int] = set()
        try:
            if not file.exists() or not file.stat().st_size:
                self._write([])
            else:
                self._go_on()
        except (OSError, csv.Error, UnicodeDecodeError) as error:
            fix = "Choose another file: --log-unsure FILE"
            raise UserError(f"{file} cannot be written ({error}).", fix) from None

    def _go_on(self) -> None:
        """With what was kept before; a table of other columns is somebody's own."""
        with self.file.open(encoding="utf-8-sig", newline="") as kept:  # a spreadsheet marks it
            csv.field_size_limit(sys.maxsize)
            rows = csv.reader(kept)
            if next(rows, None) != COLUMNS:
                problem = f"{self.file} exists and is no log of unsure texts, so it is left alone."
                raise UserError(problem, "Choose another file: --log-unsure FILE")
            self._known = {text_hash(row[0]) for row in rows if row}
        with self.file.open("rb") as kept_bytes:
            kept_bytes.seek(-1, os.SEEK_END)
            cut = kept_bytes.read() != b"\n"
        with self._opened() as file:
            file.write("\n" if cut else "")

    def add(self, doubted: Sequence[tuple[str, Prediction]]) -> None:
        """Append the texts not there yet; the label's place stays empty for a person to fill in."""
        rows = []
        with self._lock:
            for text, prediction in doubted:
                key = text_hash(text)
                if key in self._known or len(self._known) > MOST_ROWS or not text.strip():
                    continue
                self._known.add(key)
                guess = prediction.answer
                told = JOINED_BY.join(guess) if isinstance(guess, list) else str(guess)
                rows.append([text, "", told, f"{prediction.confidence:.4f}"])
            if rows:
                self._write(rows)

    def _write(self, rows: Sequence[Sequence[str]]) -> None:
        with self._opened() as file:
            write = cell_writer(file)
            if not file.tell():  # new, or the one before was taken away to be labelled
                write(COLUMNS)
            for row in rows:
                write(row)

    def _opened(self) -> TextIO:
        return open(self.file, "a", encoding="utf-8", newline="", opener=_for_its_owner)


def _for_its_owner(path: str, flags: int) -> int:
    """Opens a file of people's texts; a new one is for nobody else to read."""
    return os.open(path, flags, 0o600)
