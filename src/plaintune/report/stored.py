"""The report in a model folder: its numbers, and the page that is drawn from them."""

from __future__ import annotations

import json
from pathlib import Path

from ..core.errors import BrokenModel, OutputExists, UserError
from ..core.files import write_text
from ..core.settings import REPORT, REPORT_PAGE
from ..data.write import make_room
from .contents import Explain, Told, contents, without_texts
from .page import render_page


def write_report(folder: Path, told: Told, *, explain: Explain | None, texts: bool) -> None:
    """The page and its numbers, into a model folder."""
    report = contents(told, explain=explain, texts=texts)
    write_text(folder / REPORT, json.dumps(report, ensure_ascii=False, allow_nan=False))
    write_text(folder / REPORT_PAGE, render_page(report))


def rewrite_report(folder: Path, out: Path | None, *, texts: bool, replace_existing: bool) -> Path:
    """The page of a model once more, from its numbers, into its folder or to ``out``. Raises UserError."""
    try:
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"There is no {REPORT} in {folder}.",
            "Give the folder that train wrote; a model of an older release has none: train it again.",
        ) from None
    except ValueError as error:
        raise BrokenModel(f"{folder / REPORT} is damaged ({error}).", "Train it again.") from error
    if out is not None and out.exists() and not replace_existing:
        raise OutputExists(f"{out} exists already.", "Add --yes to replace it, or choose another: --out FILE")
    page = out or folder / REPORT_PAGE
    make_room(page)
    write_text(page, render_page(report if texts else without_texts(report)))
    return page
