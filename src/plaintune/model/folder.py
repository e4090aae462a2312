"""The model folder: what training hands over, and what is checked before anything of it is opened."""

from __future__ import annotations

import base64
import math
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import BrokenModel, OutputExists, UserError
from ..core.files import file_sha256, hold, write_json
from ..core.metrics import most_frequent
from ..core.tasks import Task
from ..data.examples import JOINED_BY

FORMAT_VERSION = 1
NEEDED_BYTES = 500_000_000  # the bundled model: graph 90 MB, checkpoint 130 MB twice, the rest small
MANIFEST, GRAPH, TOKENIZER = "manifest.json", "model.onnx", "tokenizer.json"
NGRAMS, CARD = "ngrams.safetensors", "README.md"
SELF_TEST = "self-test.json"  # in an exported model
PARTS = (GRAPH, TOKENIZER, NGRAMS)
MOST_TOKENS = 8192  # of a text: what attention needs grows with the square
MOST_WINDOWS = 64  # of a text


@dataclass(frozen=True)
class Manifest:
    """Everything about a model but its weights."""

    task: str  # a value of `core.tasks.Task`
    classes: tuple[str, ...]  # none where the answer is a number
    prior: tuple[float, ...]  # each class's share of the training rows; of numbers the mean and spread
    text_columns: tuple[str, ...]
    label_columns: tuple[str, ...]
    separator: str | None  # of several answers in one column
    max_length_tokens: int
    pad_id: int
    blend: dict[str, Any]
    backbone: dict[str, str]  # name, source, sha256
    settings: dict[str, Any]
    choices: tuple[dict[str, Any], ...]  # name, value, reason
    data: dict[str, Any]  # source, fingerprint, rows, and how they were divided
    training_hashes: str  # of the normalised training texts: base64 of little-endian uint64; none in exports
    scores: dict[str, Any]
    versions: dict[str, str]
    seconds: float
    windows: int = 1  # in which a text longer than max_length_tokens is seen, at most
    parity: Mapping[str, float] | None = None  # of the graph with torch
    reference: Mapping[str, Any] | None = None  # of `model.watch`; None in a folder of an older release
    format_version: int = FORMAT_VERSION
    files: Mapping[str, Mapping[str, Any]] | None = None  # bytes and sha256 of each part

    @property
    def joined_by(self) -> str:
        """What stands between several answers in one cell, as it did in the training data."""
        lists = self.separator is None or self.separator[0] == "["  # lists, in whatever brackets
        return JOINED_BY if lists else str(self.separator)

    @property
    def majority_class(self) -> str:
        """The answer most frequent in training; empty where several are as frequent."""
        frequent = most_frequent(np.asarray(self.prior)).tolist() if self.classes else []
        return self.classes[frequent[0]] if len(frequent) == 1 else ""

    @property
    def training_text_hashes(self) -> NDArray[np.uint64]:
        """`core.features.text_hash` of each text it learned from, sorted; empty in what `export` wrote."""
        return np.frombuffer(base64.b64decode(self.training_hashes), dtype="<u8")


def checkpoint_folder(out: Path) -> Path:
    """Where a run that writes ``out`` keeps what it needs to go on after a kill."""
    return out.with_name(f"{out.name}.plaintune-checkpoint")


def packed_hashes(hashes: NDArray[np.uint64]) -> str:
    """Hashes as the manifest keeps them."""
    return base64.b64encode(np.unique(hashes).astype("<u8").tobytes()).decode()


@contextmanager
def staging_folder(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` to write the parts in; it is gone afterwards unless `publish` renamed it.

    Raises UserError where another process has one.
    """
    staged = out.with_name(f".{out.name}.part-{os.getpid()}")
    created = [parent for parent in out.parents if not parent.exists()]
    with ExitStack() as held:
        held.callback(_remove_empty, created)
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(_only_writer(out))
            for leftover in out.parent.glob(f".{out.name}.part-*"):
                shutil.rmtree(leftover, ignore_errors=True)
            staged.mkdir()
        except OSError as error:
            raise _unwritable(out, error) from error
        held.callback(shutil.rmtree, staged, ignore_errors=True)
        yield staged


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with suppress(OSError):  # not empty: something was published, or a checkpoint waits there
            folder.rmdir()


@contextmanager
def _only_writer(out: Path) -> Iterator[None]:
    """Nobody else writes ``out`` meanwhile, where the system can tell."""
    path = out.with_name(f".{out.name}.lock")
    with path.open("ab") as file:
        hold(file, path, out, kind="DIR")
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def require_free(out: Path, *, replace_existing: bool) -> None:
    """Raise before any work where ``out`` is taken or cannot be written."""
    require_name(out)
    put_back(out)
    if out.exists() or out.is_symlink():
        if not (out / MANIFEST).is_file() and not (out.is_dir() and not any(out.iterdir())):
            raise UserError(
                f"{out} exists and is not a plaintune model, so it is left alone.",
                "Choose another place: --out DIR",
            )
        if not replace_existing and (out / MANIFEST).is_file():
            raise OutputExists(
                f"{out} already holds a model.", "Add --yes to replace it, or choose another place: --out DIR"
            )
    existing = next(parent for parent in out.absolute().parents if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < NEEDED_BYTES:
        raise UserError(
            f"{existing} has {free / 1e6:,.0f} MB free; a run needs {NEEDED_BYTES / 1e6:,.0f} MB.",
            "Free some space there or choose another place: --out DIR",
        )


def require_name(out: Path) -> None:
    """Raise UserError where ``out`` cannot be renamed: the folder one is in, one above it, a mounted one."""
    if out.resolve() in (Path.cwd(), *Path.cwd().parents):
        raise UserError(f"{out} is the folder you are in, or above it.", "Name a new folder: --out DIR")
    if out.is_mount():
        raise UserError(
            f"{out} is mounted here, so no model can take its place.",
            f"Name a folder in it: --out {out}/model",
        )


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Write the manifest, last of all, with the size and SHA-256 of every part beside it."""
    files = {}
    for name in PARTS:
        part = folder / name
        files[name] = {"bytes": part.stat().st_size, "sha256": file_sha256(part)}
    manifest = replace(manifest, files=files)
    write_json(folder / MANIFEST, asdict(manifest), indent=1)
    return manifest


def publish(staged: Path, out: Path) -> None:
    """Put what is finished in its place; a folder that was there goes only once the new one is in."""
    try:
        put_back(out)
        if out.is_dir():
            out.replace(out.with_name(f".{out.name}.old-{os.getpid()}"))
        staged.replace(out)
    except OSError as error:
        raise _unwritable(out, error) from error
    finally:
        put_back(out)


def put_back(out: Path, *, after_seconds: float = 0) -> None:
    """Remove what `publish` moved aside, or give it its place again where the new one never came."""
    name = re.compile(rf"\.{re.escape(out.name)}\.old-\d+")
    with suppress(OSError):  # another was quicker, or it is not ours to move
        found = [path for path in out.parent.glob(".*.old-*") if name.fullmatch(path.name)]
        for old in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True):  # the latest first
            if out.exists():  # renamed first: what is half removed must not be put back
                shutil.rmtree(old.replace(out.with_name(f".{out.name}.part-of-old")), ignore_errors=True)
            elif time.time() - old.stat().st_ctime >= after_seconds:
                old.replace(out)


def parsed_manifest(folder: Path, written: Any) -> Manifest:
    """The manifest as JSON told it. Raises BrokenModel for one that does not fit, or of a newer plaintune."""
    try:
        version = int(written["format_version"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise broken(folder, f"{MANIFEST} cannot be read ({error})") from error
    if version > FORMAT_VERSION:
        raise BrokenModel(
            f"{folder} was written by a newer plaintune (format {version}, this one reads {FORMAT_VERSION}).",
            "Fetch the newer plaintune and, in its folder, type: pip install --upgrade .",
        )
    known = {field.name for field in fields(Manifest)}
    try:
        manifest = Manifest(**{name: value for name, value in written.items() if name in known})
        manifest = replace(
            manifest,
            classes=tuple(map(str, manifest.classes)),
            prior=tuple(map(float, manifest.prior)),
            text_columns=tuple(map(str, manifest.text_columns)),
            label_columns=tuple(map(str, manifest.label_columns)),
            choices=tuple(manifest.choices),
            max_length_tokens=int(manifest.max_length_tokens),
            pad_id=int(manifest.pad_id),
            windows=int(manifest.windows),
        )
        _check_shapes(manifest)
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        raise broken(folder, f"{MANIFEST} lacks a part ({error})") from error
    return manifest


def _check_shapes(manifest: Manifest) -> None:
    """Raise ValueError where the numbers of a manifest do not go together, or would need boundless memory."""
    task = Task(manifest.task)
    if len(manifest.prior) != (2 if task is Task.NUMBER else len(manifest.classes)):
        raise ValueError("as many shares as answers")
    if task is Task.SINGLE and len(manifest.classes) < 2:
        raise ValueError("two answers")
    if not 1 <= manifest.max_length_tokens <= MOST_TOKENS or not 0 <= manifest.pad_id < 2**31:
        raise ValueError(f"a text length of 1 to {MOST_TOKENS} tokens")
    if not 1 <= manifest.windows <= MOST_WINDOWS or (manifest.windows > 1 and manifest.max_length_tokens < 8):
        raise ValueError(f"1 to {MOST_WINDOWS} windows of at least 8 tokens")
    for number in (number for number in manifest.blend.values() if not isinstance(number, str)):
        if not math.isfinite(number):
            raise ValueError("plain numbers in the blend")


def broken(place: Path, what: str) -> BrokenModel:
    """The model at ``place`` cannot be trusted, because of ``what``."""
    return BrokenModel(f"The model in {place} is damaged: {what}.", "Copy it again whole, or train it anew.")


def _unwritable(out: Path, error: OSError) -> UserError:
    return UserError(
        f"{out} cannot be written: {error.strerror or error}.",
        "Free some space there or choose another place: --out DIR",
    )
