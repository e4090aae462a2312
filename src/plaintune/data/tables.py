"""Any file of rows → a Table that can be read row by row, as often as needed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from ..core.errors import UserError
from ..core.events import Listener, silent
from .delimited import PROMISED, text_table
from .dialect import SAMPLE_CHARS
from .encoding import checked_path, damage_told, detect_encoding, file_kind, open_bytes, open_text
from .jsonfile import JSON_SUFFIXES, json_table
from .mixed import MIXED, odd_lines
from .sheets import excel_table, parquet_table
from .table import Row, Table

__all__ = ["TABLE_SUFFIXES", "Row", "Table", "is_url", "local_path", "open_table", "suffix_of"]

TABLE_SUFFIXES = (*PROMISED, ".label", *JSON_SUFFIXES, ".parquet", ".xlsx", ".xls", ".ods")
ENCODING_NAMES = {"utf-8": "UTF-8", "utf-8-sig": "UTF-8", "cp1252": "Windows-1252", "latin-1": "Latin-1"}
ENCODING_NAMES[MIXED] = "UTF-8 and Windows-1252"


def open_table(
    source: str | Path,
    *,
    expected: Collection[str] = (),
    answers: Collection[str] | None = None,
    listener: Listener = silent,
) -> Table:
    """The rows of one file (or web address of one): CSV, TSV, JSON, Parquet, Excel, text lines.

    A first row that holds one of the names ``expected`` is a header, whatever it looks like. First words
    that come back are the answers of their lines, given ``answers`` only where they are among these. The
    file is known by its bytes, whatever its name. Text files are tried as a whole in their encoding first,
    so that reading the rows meets no surprise. Raises UserError.
    """
    path = local_path(source, listener=listener)
    if path.is_dir():
        raise UserError(f"{path} is a folder, not a file.", "Give one file of it.")
    kind = file_kind(path)
    if kind == "archive":
        raise UserError(f"{path.name} is an archive, not one table.", "Unpack it and give one file of it.")
    if kind == "parquet":
        return parquet_table(path)
    if kind == "excel":
        return excel_table(path, expected, to_answer=answers is not None)
    return _open_text_table(path, expected, answers)


def _open_text_table(path: Path, expected: Collection[str], answers: Collection[str] | None) -> Table:
    encoding = detect_encoding(path)
    with damage_told(path), open_text(path, encoding, newline="") as file:
        sample = file.read(SAMPLE_CHARS)
        whole = not file.read(1)
    suffix = suffix_of(path)
    table = json_table(path, encoding, sample, suffix=suffix)
    if table is None:
        table = text_table(
            path, encoding, sample, whole=whole, suffix=suffix, expected=expected, answers=answers
        )
    notes = table.notes
    if encoding in ("cp1252", "latin-1"):
        notes += (
            "The file is not UTF-8; it was read as Western European text. "
            "If accents look wrong, save it as UTF-8.",
        )
    odd = None
    if encoding == MIXED:
        with open_bytes(path) as lines:
            odd = odd_lines(lines)
        which = ", ".join(map(str, odd.first)) + (", …" if odd.count > len(odd.first) else "")
        notes += (f"Not all of the file is UTF-8; read as Western European text: line {which}.",)
    return replace(table, encoding=ENCODING_NAMES.get(encoding, encoding.upper()), notes=notes, odd_lines=odd)


def suffix_of(path: Path) -> str:
    """The ending that names the format, in lower case: ".csv" for both a.csv and a.CSV.gz."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def is_url(source: object) -> bool:
    return isinstance(source, str) and source.lower().startswith(("http://", "https://"))


def local_path(source: str | Path, *, listener: Listener = silent) -> Path:
    """Where ``source`` lies on this machine: checked, and downloaded first if it is an address."""
    if is_url(source):
        from .fetch import cached_download

        return cached_download(str(source), listener=listener)
    if isinstance(source, str) and "://" in source:
        raise UserError(f"I cannot fetch {source}.", "Give a path, or an address that begins with https://")
    return checked_path(source)
