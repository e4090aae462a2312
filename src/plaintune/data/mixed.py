"""A text file in two encodings: UTF-8, but for lines that another program wrote in Windows-1252."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from ..core.errors import UserError

MIXED = "utf-8 and cp1252"
LONGEST_LINE = 64 << 20  # bytes; a longer stretch without a line end is not a table of texts
WANTED = "a table (CSV, TSV, JSON lines, Parquet or Excel)"
FIRST_LINES = 5
STRAY_BYTE = re.compile("[\udc80-\udcff]")  # how `surrogateescape` shows a byte that is not UTF-8
# Windows-1252 as browsers have it: the five bytes it leaves open stay what they are, so that none is lost
WESTERN = "".join(bytes([byte]).decode("cp1252", "replace") for byte in range(256))
WESTERN = "".join(chr(byte) if letter == "\ufffd" else letter for byte, letter in enumerate(WESTERN))


@dataclass(frozen=True)
class OddLines:
    """The lines of a file that are not in its encoding."""

    count: int
    first: tuple[int, ...]  # their numbers, a few


class AsUtf8(io.RawIOBase):
    """The bytes of ``file``, its lines that are not UTF-8 turned into it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._lines = (line for _, line in numbered_lines(file))
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._rest:
            line = next(self._lines, b"")
            self._rest = memoryview(line if _is_utf8(line) else as_western(line).encode())
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def as_western(line: bytes) -> str:
    """The text of a line that is not UTF-8. Where most of its accents are, only the others are Western."""
    line = line.removeprefix(codecs.BOM_UTF8)
    text = line.decode("utf-8", "surrogateescape")
    strays = len(STRAY_BYTE.findall(text))
    if sum(letter > "\x7f" for letter in text) >= 2 * strays:
        return STRAY_BYTE.sub(lambda stray: WESTERN[ord(stray.group()) - 0xDC00], text)
    return codecs.charmap_decode(line, "strict", WESTERN)[0]


def odd_lines(file: BinaryIO) -> OddLines:
    """Which lines of ``file`` are not UTF-8."""
    numbers = list(dict.fromkeys(number for number, line in numbered_lines(file) if not _is_utf8(line)))
    return OddLines(len(numbers), tuple(numbers[:FIRST_LINES]))


def numbered_lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Lines with their ends, numbered from 1; in two pieces where a carriage return stands inside one."""
    first = file.readline(LONGEST_LINE + 1)
    number, old_mac = 0, b"\r" in first[:-2] and not first.endswith(b"\n")
    for line in chain((first,), iter(lambda: file.readline(LONGEST_LINE + 1), b"")):
        if len(line) > LONGEST_LINE:
            raise too_long_a_line(Path(file.name).name)
        number += not old_mac
        for piece in line.splitlines(keepends=True) if b"\r" in line else (line,):
            number += old_mac
            yield number, piece


def too_long_a_line(name: str) -> UserError:
    """What to say of a file that is no table of texts."""
    return UserError(f"{name} has a line of more than 64 MiB.", f"Give {WANTED}: one text per row.")


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
