"""What a file is, by its bytes and not by its name; and the text of it, however it was saved."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import re
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO, cast

from ..core.errors import UserError, nearest
from .mixed import LONGEST_LINE, MIXED, WANTED, AsUtf8, numbered_lines, too_long_a_line
from .unpack import is_archive

BLOCK = 1 << 20
HEAD_BYTES = 1 << 16

GZIP = b"\x1f\x8b"
BYTE_ORDER_MARKS = (  # the longer ones first: UTF-16's is the beginning of UTF-32's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
FOREIGN = {
    b"%PDF-": "a PDF document",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"\x7fELF": "a program",
    b"MZ\x90": "a program",
    b"{\\rtf": "a document of a word processor",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"BZh91AY&SY": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with zstandard",
    b"ARROW1": "an Arrow (Feather) file",
    b"SQLite format 3": "a SQLite database",
    b"version https://git-lfs": "a Git LFS pointer, which stands for a file that was not fetched",
}
SAVE_AS_TABLE = (
    "Give a CSV, TSV, JSON lines, Parquet or Excel file, or a folder with one sub-folder per answer."
)
SAVE_AS_UTF8 = "Save the file as UTF-8 (in a spreadsheet: Save as > CSV UTF-8) and try again."

CONTROL = bytes([*range(9), *range(14, 27), *range(28, 32)])
STRAY_BYTES = re.compile("[\udc80-\udcff]+")  # how `surrogateescape` shows bytes that are not UTF-8
NOT_ASCII, LETTER = re.compile(r"[^\x00-\x7f]"), re.compile("[A-Za-z]")
NOT_IN_CP1252 = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")


def checked_path(source: str | Path) -> Path:
    """``source`` as the path of a file or folder that is there and can be opened."""
    path = Path(source).expanduser()
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            os.listdir(path)
        elif stat.S_ISREG(mode):
            path.open("rb").close()
        else:
            raise UserError(f"{path} is neither a file nor a folder.", SAVE_AS_TABLE)
    except PermissionError as error:
        raise UserError(
            f"{path} cannot be opened: permission denied.", f"Allow reading it: chmod u+r '{path}'"
        ) from error
    except (OSError, ValueError) as error:
        raise _no_such_file(path) from error
    return path


def _no_such_file(path: Path) -> UserError:
    try:
        neighbours = os.listdir(path.parent)
    except (OSError, ValueError):
        return UserError(f"There is no file {path}, nor the folder it should be in.", "Check the path.")
    return UserError(f"There is no file {path}.{nearest(path.name, neighbours)}", "Check the path.")


def file_kind(path: Path) -> str:
    """ "text", "parquet", "excel" or "archive"; UserError for an empty file or anything else."""
    with path.open("rb") as file:
        magic = file.read(512)
    if not magic:
        raise UserError(f"{path.name} is empty.", f"Give {WANTED} with a text and its answer in each row.")
    if is_archive(path):
        return "archive"
    if magic.startswith(b"PAR1"):
        return "parquet"
    if magic.startswith((b"\xd0\xcf\x11\xe0", b"PK\x03\x04")):
        _refuse_document(path)
        return "excel"
    head = head_of(path) if magic.startswith(GZIP) else magic
    if head.startswith((b"PAR1", b"PK\x03\x04")):
        raise UserError(
            f"{path.name} is a compressed Parquet, Excel or zip file.", f"Unpack it: gunzip '{path}'"
        )
    _refuse_foreign(path.name, head)
    return "text"


def _refuse_document(path: Path) -> None:
    names: list[str] = []
    with suppress(zipfile.BadZipFile, OSError, ValueError), zipfile.ZipFile(path) as parts:
        names = parts.namelist()  # what is no zip, or damaged, is told where it is read
    if any(name.startswith(("word/", "ppt/")) for name in names):
        raise UserError(f"{path.name} is a document, not {WANTED}.", SAVE_AS_TABLE)


def _refuse_foreign(name: str, head: bytes) -> None:
    for magic, what in FOREIGN.items():
        if head.startswith(magic):
            raise UserError(f"{name} is {what}, not {WANTED}.", SAVE_AS_TABLE)
    if head.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        raise UserError(f"{name} is a web page, not {WANTED}.", "Use the address of the file itself.")


def open_bytes(path: Path) -> BinaryIO:
    """The bytes of ``path``, decompressed where it is gzip."""
    with path.open("rb") as file:
        compressed = file.read(2) == GZIP
    return cast(BinaryIO, gzip.open(path, "rb")) if compressed else path.open("rb")


def open_text(path: Path, encoding: str, *, newline: str | None) -> IO[str]:
    file = open_bytes(path)
    if encoding == MIXED:
        return io.TextIOWrapper(io.BufferedReader(AsUtf8(file), BLOCK), encoding="utf-8-sig", newline=newline)
    return io.TextIOWrapper(file, encoding=encoding, newline=newline)


def head_of(path: Path) -> bytes:
    """The first bytes of ``path``, decompressed."""
    with damage_told(path), open_bytes(path) as file:
        return file.read(HEAD_BYTES)


@contextmanager
def damage_told(path: Path) -> Iterator[None]:
    """Turn what a damaged gzip file raises into a UserError."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(
            f"{path.name} is damaged or cut short: it cannot be unpacked.", "Download or save it again."
        ) from error


def detect_encoding(path: Path) -> str:
    """The codec that reads the whole of the text file ``path``: it has been tried on every byte.

    UTF-8, UTF-16 and UTF-32 are recognised by their marks or their pattern; anything else that is
    not UTF-8 is Western European single-byte text, wholly or in some lines (`MIXED`), or else a
    UserError naming the first bad line.
    """
    head = head_of(path)
    if not head.strip():
        raise UserError(f"{path.name} is empty.", f"Give {WANTED} with a text and its answer in each row.")
    encoding = next((name for mark, name in BYTE_ORDER_MARKS if head.startswith(mark)), None)
    encoding = encoding or _utf16_by_its_zeros(head)
    if encoding is None:
        if is_binary(head):
            raise UserError(f"{path.name} is a binary file, not {WANTED}.", SAVE_AS_TABLE)
        encoding = "utf-8"
    if _decodes(path, encoding):
        return encoding
    if not encoding.startswith("utf-8"):
        raise UserError(f"{path.name} is damaged: not all of it is {encoding.upper()} text.", SAVE_AS_UTF8)
    return _single_byte_or_broken(path)


def is_binary(data: bytes) -> bool:
    """Are there more control characters than texts have? UTF-8 may have more of them than other bytes."""
    controls = len(data) - len(data.translate(None, CONTROL))
    if controls <= len(data) / 20:
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return True
    return controls > len(data) / 3


def _utf16_by_its_zeros(head: bytes) -> str | None:
    """Western text in UTF-16 has a zero in (nearly) every second byte, and only there."""
    half = len(head) // 2
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if half and odd > 0.4 * half and even < 0.02 * half:
        return "utf-16-le"
    if half and even > 0.4 * half and odd < 0.02 * half:
        return "utf-16-be"
    return None


def _decodes(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    line_bytes = 0
    try:
        with damage_told(path), open_bytes(path) as file:
            while block := file.read(BLOCK):
                last_end = max(block.rfind(b"\n"), block.rfind(b"\r"))
                line_bytes = line_bytes + len(block) if last_end < 0 else len(block) - last_end
                if line_bytes > LONGEST_LINE:
                    raise too_long_a_line(path.name)
                decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _single_byte_or_broken(path: Path) -> str:
    """ "cp1252", "latin-1" or `MIXED` for a file that is not UTF-8; UserError where it is broken UTF-8.

    In single-byte text a run of accents that happens to be valid UTF-8 (`É»`) is rare; in a UTF-8
    file with a few lines from elsewhere the valid characters are many. One in twenty decides.
    """
    valid = letters = first_bad_line = 0
    strays: Counter[str] = Counter()
    runs = cut = 0  # of bytes that are not UTF-8; and those that are the beginning of a character
    text, undefined = "", False  # undefined: of the bytes, those that Windows-1252 leaves open
    with damage_told(path), open_bytes(path) as file:
        for number, line in numbered_lines(file):
            undefined = undefined or NOT_IN_CP1252.search(line) is not None
            text = line.decode("utf-8", "surrogateescape")
            if line.isascii():
                continue
            valid += len(NOT_ASCII.findall(text))
            if found := STRAY_BYTES.findall(text):
                first_bad_line = first_bad_line or number
                letters += len(LETTER.findall(text))
                runs += len(found)
                cut += sum(map(_begins_character, found))
                strays.update("".join(found))
    stray = strays.total()
    valid -= stray
    tail = text[len(text.rstrip("".join(strays))) :]  # the end of the file, where it is not UTF-8
    cut_off = len(tail) == stray and _ends_inside_character(tail)
    if cut_off or (valid * 20 >= stray and 2 * cut > runs):
        raise UserError(
            f"{path.name} is UTF-8 with broken characters, the first in line {first_bad_line}.", SAVE_AS_UTF8
        )
    if stray > 20 and stray > 0.3 * (stray + letters):
        raise UserError(
            f"{path.name} is not UTF-8 (first seen in line {first_bad_line}), and I cannot tell what it is.",
            SAVE_AS_UTF8,
        )
    if valid * 20 >= stray:
        return MIXED
    return "latin-1" if undefined else "cp1252"


def _begins_character(run: str) -> bool:
    """Are these stray bytes, two or more, a UTF-8 character cut short? (`â€`, of a quotation mark.)"""
    lead, *others = (ord(stray) - 0xDC00 for stray in run)  # the bytes behind the surrogates
    return bool(others) and 0xE0 <= lead <= 0xF4 and all(0x80 <= byte <= 0xBF for byte in others)


def _ends_inside_character(tail: str) -> bool:
    """Are the last bytes of a file, all there is beyond ASCII, a UTF-8 character cut short?

    A single one from 0xE0 on is not: more often it is the `é` of a text that ends in `café`.
    """
    return _begins_character(tail) or (len(tail) == 1 and 0xC2 <= ord(tail) - 0xDC00 <= 0xDF)
