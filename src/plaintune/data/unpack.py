"""An archive from anyone → a folder of plain files: zip, tar, tar.gz, tar.bz2 and tar.xz.

Nothing in an archive is trusted. zipfile and tarfile only read here; every file is written by this
module, under a name it has checked, with the user's own default permissions. Links, owners, modes and
devices are never taken over, so there is nothing left for tarfile's own filter to filter (and Python
3.11.0–3.11.3 have none). A link to a file of the archive becomes that file, once all else is written.
"""

from __future__ import annotations

import bz2
import contextlib
import errno
import gzip
import io
import lzma
import os
import posixpath
import shutil
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal

from ..core.errors import OutputExists, UserError
from ..core.events import Listener, progress, silent, stage

MOST_BYTES = 20 << 30
MOST_MEMBERS = 5_000_000
MOST_RATIO = 200  # unpacked to packed; text rarely passes 20
RATIO_COUNTS_FROM_BYTES = 100 << 20
_CHUNK_BYTES = 1 << 20
_LONGEST_HEADER_BYTES = 16 << 20  # tarfile reads a header in one piece, whatever size it claims
_TAR_BLOCK_BYTES = 512

_DECOMPRESSORS: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
_TAR_NAMES = (".tgz", ".tbz2", ".txz", ".tar.gz", ".tar.bz2", ".tar.xz")
_DOCUMENT_NAMES = (".xlsx", ".xlsm", ".docx", ".pptx", ".ods", ".odt", ".epub")
_BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, struct.error),
    *(EOFError, ValueError, OverflowError, RecursionError),
    *(FileExistsError, NotADirectoryError, IsADirectoryError),  # a name that is both a file and a folder
)


def is_archive(path: Path) -> bool:
    """Whether ``path`` holds an archive of files, going by its contents.

    Spreadsheets and documents are zips inside but no archives here, and neither is one compressed file.
    """
    try:
        with path.open("rb") as raw:
            if raw.read(4) in (b"PK\x03\x04", b"PK\x05\x06"):
                return not _is_document(path)
            with _decompressed(raw) as stream:
                block = stream.read(_TAR_BLOCK_BYTES)
            if len(block) == _TAR_BLOCK_BYTES and not block.strip(b"\0"):
                return path.name.lower().endswith((".tar", *_TAR_NAMES))  # a tar of no files, or just zeros
            return _is_tar_header(block)
    except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        unreadable = isinstance(error, OSError) and error.errno is not None
        return not unreadable and path.name.lower().endswith(_TAR_NAMES)  # spoiled before its first header


@contextlib.contextmanager
def unpacked(archive: Path, *, listener: Listener = silent) -> Iterator[Path]:
    """A temporary folder that holds the files of ``archive``; it is removed afterwards, come what may.

    It is called as the archive is, since messages name it.
    """
    with tempfile.TemporaryDirectory(prefix="plaintune-", ignore_cleanup_errors=True) as place:
        folder = Path(place, archive.name)
        folder.mkdir()
        _unpack(archive, folder, listener)
        yield folder


def extract(archive: Path, target: Path, *, folder: str = "", listener: Listener = silent) -> Path:
    """``target``, a new folder with what ``archive`` holds; it appears only when it is complete.

    With ``folder``, that folder of the archive becomes ``target``.
    """
    target = Path(os.path.abspath(target))
    if target.exists():
        raise OutputExists(f"{target} is there already.", "Remove it, or name a folder not there yet.")
    aside = target.with_name(f".{target.name}.unpacking")
    shutil.rmtree(aside, ignore_errors=True)  # left by a run that was killed
    try:
        aside.mkdir(parents=True)
        _unpack(archive, aside, listener)
        if not (aside / folder).is_dir():
            raise UserError(
                f"{archive.name} has no folder '{folder}', so it is not the archive that was expected.",
                "Check that it is the right file.",
            )
        (aside / folder).rename(target)
    except OSError as error:
        raise cannot_write(error, target) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return target


def cannot_write(error: OSError, path: Path) -> UserError:
    """What to tell a user whose disk refused to take ``path``."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(f"The disk is full: there is no room for {path}.", "Free some space and try again.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return UserError(
            f"There is no permission to write {path}.",
            "Choose a place that is yours, or set PLAINTUNE_HOME to a folder you may write to.",
        )
    return UserError(
        f"{path} cannot be written: {error.strerror or error}.", "Choose another place, or see to that first."
    )


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    kind: Literal["file", "folder", "link", "other"]
    open: Callable[[], IO[bytes]]
    link_to: str = ""  # seen from the top of the archive


class _Limits:
    """What an archive may still unpack to."""

    def __init__(self, archive: Path, target: Path) -> None:
        self.name = archive.name
        self.packed_bytes = archive.stat().st_size
        self.free_bytes = shutil.disk_usage(target).free
        self.bytes = self.members = 0

    def admit(self, size: int) -> None:
        """Count ``size`` bytes that are about to be unpacked; raises UserError where that is too much."""
        self.bytes += size
        if self.bytes > max(RATIO_COUNTS_FROM_BYTES, MOST_RATIO * self.packed_bytes):
            raise UserError(
                f"{self.name} unpacks to more than {MOST_RATIO} times its own size, as archives do that "
                "are made to fill a disk.",
                "If you trust it, unpack it yourself and give the folder.",
            )
        if self.bytes > MOST_BYTES:
            raise UserError(
                f"{self.name} unpacks to more than {MOST_BYTES >> 30} GiB.",
                "Unpack the part you need yourself and give that file or folder.",
            )
        if self.bytes > self.free_bytes:
            raise UserError(
                f"{self.name} does not fit on the disk: {self.free_bytes >> 20:,} MiB are free.",
                "Free some space, or set TMPDIR to a folder on a larger disk.",
            )

    def admit_member(self, member: _Member) -> None:
        self.members += 1
        if self.members > MOST_MEMBERS:
            raise UserError(
                f"{self.name} holds more than {MOST_MEMBERS:,} files.",
                "Put the texts into one file, such as a CSV, and give that.",
            )
        self.admit(member.size)


def _unpack(archive: Path, target: Path, listener: Listener) -> None:
    stage(listener, f"Unpacking {archive.name}")
    try:
        raw = archive.open("rb")
    except OSError as error:
        raise UserError(
            f"{archive} cannot be read: {error.strerror}.", "Check its name and that you may read it."
        ) from error
    try:
        with raw:
            written = _write_members(raw, target, _Limits(archive, target), listener)
    except _BROKEN as error:
        raise _broken(archive, error) from error
    except NotImplementedError as error:  # of zipfile, for a compression it does not know
        raise UserError(
            f"{archive.name} is compressed in a way that Python cannot read ({error}).",
            "Unpack it yourself and give the folder, or pack it again as an ordinary zip.",
        ) from error
    except OSError as error:
        if error.errno is None:  # how gzip and bz2 report spoiled data
            raise _broken(archive, error) from error
        raise cannot_write(error, target) from error
    if not written:
        raise UserError(f"{archive.name} holds no files.", "Check that it is the right archive.")


def _broken(archive: Path, error: Exception) -> UserError:
    return UserError(
        f"{archive.name} is damaged or was cut short ({error or type(error).__name__}).",
        "Download or copy it again.",
    )


def _write_members(raw: IO[bytes], target: Path, limits: _Limits, listener: Listener) -> int:
    """Write what the archive in ``raw`` holds below ``target``; how many files that were."""
    links: list[tuple[Path, Path]] = []
    files = reported = 0
    is_zip = raw.read(2) == b"PK"
    for member in _zip_members(raw, limits.name) if is_zip else _tar_members(raw, limits):
        limits.admit_member(member)
        place = _inside(target, member.name)
        link_to = _inside(target, member.link_to)
        if place is None or link_to is None or member.kind == "other":
            raise _refused(limits.name, member)
        if _is_junk(member.name) or place == target:
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        if member.kind == "folder":
            place.mkdir(exist_ok=True)
        elif member.kind == "link":
            links.append((place, link_to))
        else:
            with member.open() as source, place.open("wb") as copy:
                shutil.copyfileobj(source, copy, _CHUNK_BYTES)
            files += 1
        if raw.tell() - reported > limits.packed_bytes // 100:
            reported = raw.tell()
            progress(listener, reported, limits.packed_bytes)
    for place, link_to in links:
        if link_to.is_file() and not place.exists():
            limits.admit(link_to.stat().st_size)
            shutil.copyfile(link_to, place)
    progress(listener, limits.packed_bytes, limits.packed_bytes)
    return files


def _zip_members(raw: IO[bytes], name: str) -> Iterator[_Member]:
    with zipfile.ZipFile(raw) as archive:
        for info in archive.infolist():
            if info.flag_bits & 0x1:
                raise UserError(
                    f"{name} is locked with a password.", "Unpack it yourself and give the folder."
                )
            mode = stat.S_IFMT(info.external_attr >> 16)
            link_to = ""
            if stat.S_ISLNK(mode):
                with archive.open(info) as source:  # a zip keeps a link's aim as the file's content
                    link_to = source.read(4096).decode("utf-8", "replace")
            yield _Member(
                name=_zip_name(info),
                size=info.file_size,
                kind="folder" if info.filename.endswith("/") else _KINDS.get(mode, "other"),
                open=partial(archive.open, info),
                link_to=posixpath.join(posixpath.dirname(info.filename), link_to) if link_to else "",
            )


def _zip_name(info: zipfile.ZipInfo) -> str:
    """The name of a member; some packers write UTF-8 without saying so."""
    if not info.flag_bits & 0x800:
        with contextlib.suppress(UnicodeError):
            return info.filename.encode("cp437").decode("utf-8")
    return info.filename


_KINDS: dict[int, Literal["file", "folder", "link"]] = {
    0: "file",  # a zip from a system without modes
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "link",
}


def _tar_members(raw: IO[bytes], limits: _Limits) -> Iterator[_Member]:
    with _decompressed(raw) as data, tarfile.open(fileobj=(stream := _Forward(data)), mode="r:") as archive:
        for info in archive:
            archive.members = []  # type: ignore[attr-defined]  # it would keep a kilobyte for each file
            is_link = info.islnk() or info.issym()
            link_from = posixpath.dirname(info.name) if info.issym() else ""
            yield _Member(
                name=info.name,
                size=info.size,
                kind="file" if info.isreg() else "folder" if info.isdir() else "link" if is_link else "other",
                open=partial(_tar_file, archive, info),
                link_to=posixpath.join(link_from, info.linkname) if is_link else "",
            )
        if stream.last_read != bytes(_TAR_BLOCK_BYTES):  # tarfile takes any spoiled header for the end
            raise tarfile.ReadError("it does not end as a tar does")
        while rest := stream.read(_CHUNK_BYTES):  # up to the checksum that ends a gzip
            limits.admit(len(rest))


def _tar_file(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    stream = archive.extractfile(info)
    assert stream is not None  # only folders and devices have none
    return stream


class _Forward(io.RawIOBase):
    """A stream for tarfile that never goes back, and never gives a header of gigabytes in one piece.

    Both only happen in archives made to hang or to fill the memory (CVE-2025-8194 is one).
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.last_read = b""

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LONGEST_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {size} bytes")
        self.last_read = self.stream.read(size)
        return self.last_read

    def tell(self) -> int:
        return self.stream.tell()

    def seek(self, position: int, whence: int = 0) -> int:
        if position < self.tell():
            raise tarfile.ReadError("a header that points back")
        return self.stream.seek(position)


def _decompressed(raw: IO[bytes]) -> IO[bytes]:
    raw.seek(0)
    start = raw.read(6)
    raw.seek(0)
    return next((opener(raw) for magic, opener in _DECOMPRESSORS.items() if start.startswith(magic)), raw)


def _is_tar_header(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.TarError:
        return False
    return True


def _is_document(path: Path) -> bool:
    """Whether a zip is an Office, OpenDocument or EPUB file inside."""
    try:
        with zipfile.ZipFile(path) as archive:
            return bool({"[Content_Types].xml", "mimetype"} & set(archive.namelist()))
    except (*_BROKEN, NotImplementedError):
        return path.name.lower().endswith(_DOCUMENT_NAMES)


def _inside(target: Path, name: str) -> Path | None:
    """Where ``name`` lies below ``target``, or None where it leaves it. Zips of old Windows tools use \\."""
    normal = posixpath.normpath(name.replace("\\", "/"))
    leaves = normal.startswith("/") or normal.split("/")[0] == ".." or normal[1:2] == ":"
    return None if leaves else target / normal


def _is_junk(name: str) -> bool:
    """Whether macOS put this in beside the user's files."""
    parts = name.split("/")
    return "__MACOSX" in parts or parts[-1] == ".DS_Store" or parts[-1].startswith("._")


def _refused(archive_name: str, member: _Member) -> UserError:
    what = "is neither a file nor a folder" if member.kind == "other" else "points outside its own folder"
    return UserError(
        f"{archive_name} holds '{member.name}', which {what}; nothing of it was kept.",
        "Get the archive from someone you trust, or unpack it yourself and give the folder.",
    )
