"""What goes to the rented machine: the data, the job, and plaintune itself as a wheel.

The wheel is made from the files of the plaintune that runs: the same from a checkout and from an installed
package, and nothing has to be published for it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from ..core.errors import UserError
from ..core.files import file_sha256
from ..core.settings import Settings
from ..model.wheel import write_wheel
from .names import BACKBONE, DATA, MENDED, MODEL, PLAN_GIVEN, TEST, UNLABELED, name_there, things_to_send

JOB, PROGRESS = "job.json", "progress.jsonl"
SETUP, SETUP_SAID = "setup.sh", "setup.log"
WITHOUT_GPU = "PLAINTUNE_WITHOUT_GPU"  # set where rented machines have none: the cloud of the tests
FETCHED = "fetched"  # put beside the model once it has come home whole
NEEDS = re.compile(r"^(?P<package>[^;]+?)\s*(?:;\s*extra\s*==\s*['\"](?P<extra>[\w-]+)['\"]\s*)?$")

# Only what is missing is installed, so that a machine that is kept, or an image made for it, starts quickly.
SETUP_TEXT = """\
set -euo pipefail
cd "$(dirname "$0")"
environment=$HOME/plaintune-env
if [ "$(cat "$environment/installed" 2>/dev/null)" != '{key}' ]; then
    command -v uv >/dev/null || export PATH="$HOME/.local/bin:$PATH"
    command -v uv >/dev/null || python3 -m pip install --quiet --user uv
    uv venv --quiet --clear --python 3.11 "$environment"
    uv pip install --quiet --python "$environment/bin/python" -r requirements.txt
    echo '{key}' >"$environment/installed"
fi
PATH="$HOME/.local/bin:$PATH" uv pip install --quiet --no-deps --python "$environment/bin/python" ./*.whl
"""


def requirements() -> list[str]:
    """What plaintune needs for training, as its metadata say."""
    needed = []
    for line in metadata.requires("plaintune") or ():
        parts = NEEDS.match(line)
        if parts and parts["extra"] in (None, "train"):
            needed.append(parts["package"])
    return sorted(needed)


def setup_key() -> str:
    """Names a set of requirements: a machine that carries it has them installed."""
    return hashlib.sha256("\n".join(requirements()).encode()).hexdigest()[:16]


def pack(
    folder: Path, source: str, test: str | None, settings: Settings, *, checkpoint: Path | None = None
) -> Path:
    """Put together in ``folder`` all that the machine needs; gives the folder.

    Data that lie there already stay as they were when the run began. Raises UserError for what cannot be
    sent.
    """
    pack_plaintune(folder)
    given = things_to_send(source, test, settings)
    sent = {place: _sent(folder / place, one) for place, one in given.items()}
    mended = enumerate(settings.corrections)
    settings = replace(
        settings,
        backbone=sent.get(BACKBONE, settings.backbone),
        plan=sent.get(PLAN_GIVEN, settings.plan),
        corrections=tuple(sent.get(f"{MENDED}-{number}", file) for number, file in mended),
        unlabeled=sent.get(UNLABELED, settings.unlabeled),
    )
    job = {
        "source": sent.get(DATA, source),
        "test": sent.get(TEST, test),
        "settings": asdict(settings),
        "needs_gpu": WITHOUT_GPU not in os.environ,
    }
    (folder / JOB).write_text(json.dumps(job, ensure_ascii=False, indent=1), encoding="utf-8")
    begun = folder / f"{MODEL}.plaintune-checkpoint"
    shutil.rmtree(begun, ignore_errors=True)
    if checkpoint is not None and checkpoint.is_dir():
        shutil.copytree(checkpoint, begun)
    return folder


def pack_plaintune(folder: Path) -> Path:
    """Only what sets plaintune up on a machine; gives the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_wheel(folder)
    (folder / "requirements.txt").write_text("\n".join(requirements()) + "\n", encoding="utf-8")
    (folder / SETUP).write_text(SETUP_TEXT.format(key=setup_key()), encoding="utf-8")
    (folder / ".skyignore").touch()  # else SkyPilot leaves out what a .gitignore among the data names
    return folder


def _sent(place: Path, given: str) -> str:
    """Copy a file or folder for the machine; gives where it will lie there."""
    path, there = Path(given).expanduser().resolve(), name_there(place.name, given)
    if (place / path.name).exists():  # of the machine before this one: the file may have changed since
        return there
    if not path.exists():
        raise UserError(f"There is no file or folder {given}.", "Look for a typing error in its name.")
    place.mkdir()
    if path.is_dir():
        shutil.copytree(path, place / path.name)
    else:
        shutil.copy2(path, place / path.name)
    return there


def fingerprint(source: str, test: str | None, settings: Settings) -> str:
    """Names a run by its data as they are on disk and by all that was said, but for the minutes."""
    files = [source, test, settings.unlabeled, *settings.corrections]
    said = {name: value for name, value in asdict(settings).items() if name != "minutes"}
    told = [said, files, [_content(file) for file in files if file]]
    return hashlib.sha256(json.dumps(told, default=str).encode()).hexdigest()[:16]


def _content(given: str) -> Any:
    """What changes when a file or a folder does; nothing for an address."""
    path = Path(given).expanduser()
    if path.is_file():
        return file_sha256(path)
    parts = [(file, file.stat()) for file in sorted(path.rglob("*")) if file.is_file()]
    return [(str(file.relative_to(path)), seen.st_size, seen.st_mtime_ns) for file, seen in parts]
