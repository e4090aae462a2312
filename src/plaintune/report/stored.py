"""The report in a model folder: its numbers, and the page that is drawn from them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import BrokenModel, OutputExists, UserError
from ..core.files import write_json, write_text
from ..core.settings import DATA_CHECK, REPORT, REPORT_PAGE
from ..data.leaks import without_words
from ..data.write import make_room
from .contents import REPORT_FORMAT, Explain, Told, contents, without_texts
from .page import render_page


@dataclass(frozen=True)
class Redrawn:
    """The page that was written, and what it did not change."""

    page: Path
    still_with_texts: Path | None  # the numbers, where they hold texts and the page was to hold none


def write_report(folder: Path, told: Told, *, explain: Explain | None, texts: bool) -> None:
    """The page and its numbers, into a model folder."""
    report = contents(told, explain=explain, texts=texts)
    write_json(folder / REPORT, report)
    write_text(folder / REPORT_PAGE, render_page(report))


def rewrite_report(folder: Path, out: Path | None, *, texts: bool, replace_existing: bool) -> Redrawn:
    """The page of a model once more, from its numbers, into its folder or to ``out``. Raises UserError.

    Without ``texts`` the page has none; where it goes into the folder, nothing in there keeps any.
    """
    report = _read_report(folder)
    if out is not None and out.exists() and not replace_existing:
        raise OutputExists(f"{out} exists already.", "Add --yes to replace it, or choose another: --out FILE")
    page = out or folder / REPORT_PAGE
    make_room(page)
    shown = report if texts else without_texts(report)
    if not texts and out is None:
        _forget_words(folder / DATA_CHECK)
        write_json(folder / REPORT, shown)
    write_text(page, render_page(shown))
    return Redrawn(page, folder / REPORT if shown != report and out is not None else None)


def _read_report(folder: Path) -> dict[str, Any]:
    file = folder / REPORT
    try:
        report = _read_json(file)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"There is no {REPORT} in {folder}.",
            "Give the folder that train wrote; a model of an older release has none: train it again.",
        ) from None
    if not isinstance(report.get("format"), int):
        raise BrokenModel(f"{file} is damaged (it says nothing of its format).", "Train it again.")
    if report["format"] != REPORT_FORMAT:
        raise BrokenModel(
            f"{file} was written by another plaintune (format {report['format']}, this one reads "
            f"{REPORT_FORMAT}).",
            "Fetch the newer plaintune and, in its folder, type: pip install --upgrade .",
        )
    return report


def _forget_words(file: Path) -> None:
    """Leave the words of texts out of a check-up on disk, where there is one."""
    if file.exists():
        write_json(file, without_words(_read_json(file)))


def _read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises BrokenModel, FileNotFoundError and NotADirectoryError."""
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BrokenModel(f"{file} is damaged ({error}).", "Train it again.") from error
    if not isinstance(read, dict):
        raise BrokenModel(f"{file} is damaged (it holds no object).", "Train it again.")
    return read
