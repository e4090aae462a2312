"""The plaintune that runs here as a wheel, and the versions of what it needs: for a machine without it."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGE = Path(__file__).parents[1]
TAG = "py3-none-any"
WHEEL = f"Wheel-Version: 1.0\nGenerator: plaintune\nRoot-Is-Purelib: true\nTag: {TAG}\n"


def write_wheel(folder: Path) -> Path:
    """A wheel of the package as it is installed, in whatever way it was (PEP 427)."""
    told = metadata.distribution("plaintune")
    name = f"plaintune-{told.version}"
    info = f"{name}.dist-info"
    files = dict(_package_files())
    files[f"{info}/METADATA"] = (told.read_text("METADATA") or "").encode()
    files[f"{info}/entry_points.txt"] = (told.read_text("entry_points.txt") or "").encode()
    files[f"{info}/WHEEL"] = WHEEL.encode()
    record = "".join(f"{file},sha256={_digest(content)},{len(content)}\n" for file, content in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    wheel = folder / f"{name}-{TAG}.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as out:
        for file, content in files.items():
            out.writestr(zipfile.ZipInfo(file), content, zipfile.ZIP_DEFLATED)
    return wheel


def pinned_requirements() -> list[str]:
    """`name==version` of all that predicting and serving need, as installed here."""
    found: dict[str, str] = {}
    waiting = [Requirement(line) for line in metadata.requires("plaintune") or []]
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        if name in found or (wanted.marker is not None and not _applies(wanted)):
            continue
        told = metadata.distribution(wanted.name)
        found[name] = told.version.partition("+")[0]
        for line in told.requires or []:
            below = Requirement(line)
            if below.marker is None or _applies(below, wanted.extras):
                waiting.append(Requirement(line.partition(";")[0]))
    return [f"{name}=={version}" for name, version in sorted(found.items())]


def _applies(wanted: Requirement, extras: set[str] | None = None) -> bool:
    assert wanted.marker is not None
    return any(wanted.marker.evaluate({"extra": extra}) for extra in ["", *(extras or ())])


def _package_files() -> Iterator[tuple[str, bytes]]:
    for path in sorted(PACKAGE.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield f"plaintune/{path.relative_to(PACKAGE).as_posix()}", path.read_bytes()


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
