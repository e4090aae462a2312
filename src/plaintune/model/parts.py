"""The parts of a model as bytes, out of a folder or a `.plaintune` file: nothing is trusted but what fits.

What is checked is what is opened: each part is read once, within the size that the manifest gives it.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..core.errors import BrokenModel, UserError
from .folder import (
    GRAPH,
    MANIFEST,
    NGRAMS,
    PARTS,
    SELF_TEST,
    TOKENIZER,
    Manifest,
    broken,
    parsed_manifest,
    put_back,
)

SINGLE_FILE = ".plaintune"
MOST_BYTES = {MANIFEST: 300_000_000, GRAPH: 2_000_000_000, TOKENIZER: 100_000_000, NGRAMS: 64_000_000}
MOST_BYTES |= {SELF_TEST: 1_000_000}
SETTLED_SECONDS = 10  # whoever replaces a model and is still alive does not leave it aside for so long
MOST_MEMBERS, MOST_LISTED = 64, 300  # bytes that a member takes in the list of them
MOST_VALUES = 5_000_000  # in a manifest
UNREADABLE = (zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError)  # as a file, or as a zip
END, END_64 = b"PK\x05\x06", b"PK\x06\x07"  # how the records at the end of a zip begin
ZIP_END, ZIP_ENDS = 22, 42  # bytes of the last of them, and of the last two


class Source:
    """Where the parts of one model are read from, each within a size."""

    def __init__(self, place: Path, file: zipfile.ZipFile | None) -> None:
        self.place, self._file = place, file

    def read(self, name: str) -> bytes:
        """A part, whole. Raises BrokenModel where it is missing, too large, or lies elsewhere."""
        size = self.size(name)
        if size is None:
            raise broken(self.place, f"{name} is missing")
        if size > MOST_BYTES[name]:
            raise broken(self.place, f"{name} is too large ({size:,} bytes)")
        try:
            with self._open(name) as part:
                content: bytes = part.read(size + 1)
        except UNREADABLE as error:
            raise broken(self.place, f"{name} cannot be read ({error})") from error
        if len(content) != size:
            raise broken(self.place, f"{name} has changed while it was read")
        return content

    def has(self, name: str) -> bool:
        """Whether there is such a part."""
        return self.size(name) is not None

    def size(self, name: str) -> int | None:
        """In bytes, None for a part that is not there. Raises BrokenModel where it is not the model's own."""
        if self._file is not None:
            return self._file.getinfo(name).file_size if name in self._file.namelist() else None
        path = self.place / name
        if not path.exists():
            return None
        if not path.resolve().is_relative_to(self.place.resolve()) or not stat.S_ISREG(path.stat().st_mode):
            raise broken(self.place, f"{name} is not a file of the model's own")
        return path.stat().st_size

    def _open(self, name: str) -> Any:
        return (self.place / name).open("rb") if self._file is None else self._file.open(name)


@contextmanager
def opened_source(place: Path) -> Iterator[Source]:
    """The folder or the `.plaintune` file at ``place``. Raises BrokenModel where it is neither."""
    try:
        if not place.exists():
            put_back(place, after_seconds=SETTLED_SECONDS)
        folder, file_there = place.is_dir(), place.is_file()
    except OSError as error:
        problem = f"{place} cannot be opened: {error.strerror}."
        raise UserError(problem, "Check the path, and who may read it.") from error
    if folder:
        yield Source(place, None)
        return
    if not file_there:
        raise BrokenModel(
            f"There is no model folder at {place}.", f"Train one first: plaintune train FILE --out {place}"
        )
    try:
        _check_end(place)
        file = zipfile.ZipFile(place)
    except UNREADABLE as error:
        raise broken(place, f"it cannot be read ({error})") from error
    with file:
        _check_members(place, file)
        yield Source(place, file)


def read_parts(place: Path) -> tuple[Manifest, dict[str, bytes]]:
    """The manifest and every part it lists, unchanged since they were written. Raises BrokenModel."""
    with opened_source(place) as source:
        manifest = _read_manifest(source)
        listed = manifest.files or {}
        return manifest, {name: _read_part(source, name, listed.get(name)) for name in PARTS}


def read_part(place: Path, name: str, sha256: str) -> bytes:
    """One part again, which must be the one of that SHA-256. Raises BrokenModel."""
    with opened_source(place) as source:
        content = source.read(name)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise broken(place, f"{name} has changed since it was read")
    return content


def write_single_file(files: Mapping[str, bytes], out: Path) -> None:
    """``files`` by their names as one `.plaintune` file: a zip with nothing compressed in it."""
    aside = out.with_name(f".{out.name}.part")
    try:
        with aside.open("wb") as raw, zipfile.ZipFile(raw, "w", zipfile.ZIP_STORED) as file:
            for name, content in files.items():
                file.writestr(zipfile.ZipInfo(name), content)  # its fixed date: same model, same file
            file.close()
            raw.flush()
            os.fsync(raw.fileno())
        aside.replace(out)
    except OSError as error:
        raise UserError(
            f"{out} cannot be written: {error.strerror or error}.", "Choose another place."
        ) from error
    finally:
        aside.unlink(missing_ok=True)


def _read_manifest(source: Source) -> Manifest:
    place = source.place
    if place.is_dir() and not (place / MANIFEST).exists():
        raise BrokenModel(
            f"{place} is not a plaintune model: {MANIFEST} is missing.",
            "Give the folder that `plaintune train` wrote, for example reviews-model.",
        )
    try:
        content = source.read(MANIFEST)
        if sum(map(content.count, (b"[", b"{", b","))) > MOST_VALUES:
            raise ValueError("it holds too many values")
        written = json.loads(content)
    except (OSError, ValueError, RecursionError) as error:
        raise broken(place, f"{MANIFEST} cannot be read ({error})") from error
    return parsed_manifest(place, written)


def _read_part(source: Source, name: str, written: Any) -> bytes:
    if not isinstance(written, dict) or not isinstance(written.get("bytes"), int):
        raise broken(source.place, f"{MANIFEST} does not list {name}")
    size = source.size(name)
    if size not in (None, written["bytes"]):
        raise broken(source.place, f"{name} has {size:,} bytes instead of {written['bytes']:,}")
    content = source.read(name)
    if hashlib.sha256(content).hexdigest() != written.get("sha256"):
        raise broken(source.place, f"{name} has changed since it was written")
    return content


def _check_end(place: Path) -> None:
    """A short list of members, by the record at the end of the file: each that is listed takes memory."""
    with place.open("rb") as file:
        file.seek(max(0, place.stat().st_size - ZIP_ENDS))
        tail = file.read(ZIP_ENDS)
    end = tail[-ZIP_END:]
    listed = int.from_bytes(end[12:16], "little")
    if not end.startswith(END) or tail.startswith(END_64) or listed > MOST_MEMBERS * MOST_LISTED:
        raise broken(place, "it is no file of plaintune's, or holds too many files")


def _check_members(place: Path, file: zipfile.ZipFile) -> None:
    """Plain names, each once, nothing compressed: what is stored cannot be more than the file."""
    members = file.infolist()
    names = [member.filename for member in members]
    if len(members) > MOST_MEMBERS or len(set(names)) != len(names):
        raise broken(place, "it holds too many files, or one twice")
    for member in members:
        if member.filename != Path(member.filename).name or "\\" in member.filename:
            raise broken(place, f"the name {member.filename[:60]!r} in it is not plain")
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise broken(place, f"{member.filename} in it is compressed or locked")
        if member.file_size != member.compress_size:
            raise broken(place, f"{member.filename} in it gives a size that is not its own")
