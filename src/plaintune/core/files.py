"""Files written aside and renamed, so that a reader sees the old or the new, never half."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import UserError


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` through a file beside it."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any, *, indent: int | None = None) -> None:
    """Write ``value`` to ``path`` as JSON in the same way. Raises ValueError for NaN."""
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False))


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` through a file beside it."""
    aside = path.with_name(f".{path.name}.part")
    with aside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def kept_array(file: Path, make: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
    """The array in ``file``, an .npz; where there is none, or a damaged one, it is made and put there."""
    try:
        with np.load(file, allow_pickle=False) as parts:  # checks each part's checksum
            return np.asarray(parts["made"], dtype=np.float32)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        made = make()
    content = io.BytesIO()
    np.savez(content, made=made)
    write_bytes(file, content.getvalue())
    return made


def hold(file: Any, path: Path, out: Path, *, kind: str) -> None:
    """Hold ``file``, which is at ``path``, until it is closed, where the system can; a kill releases it.

    Raises UserError where another process holds it, to write ``out``, which is of this ``kind``.
    """
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not path.exists() or os.fstat(file.fileno()).st_ino != path.stat().st_ino:
            raise BlockingIOError  # whoever held it has just put it in its place, or removed it
    except BlockingIOError:
        raise UserError(
            f"Another run is writing {out}.", f"Wait for it, or choose another name: --out {kind}"
        ) from None
    except OSError:  # a file system without locks
        return


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
